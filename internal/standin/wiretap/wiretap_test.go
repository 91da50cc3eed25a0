package wiretap_test

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/standin/wiretap"
)

func webToken(claims string) string {
	part := func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"ES256","kid":"k1"}`) + "." + part(claims) + "." + part("CANARY of a signature")
}

// TestLast: what is worth reading is shown, and no canary is.
func TestLast(t *testing.T) {
	var deflated bytes.Buffer
	z, err := flate.NewWriter(&deflated, 9)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(z, `<samlp:AuthnRequest xmlns:samlp="urn:oasis" ID="_1"><saml:Issuer>urn:amazon:cognito:sp:pool</saml:Issuer></samlp:AuthnRequest>`)
	z.Close()
	request := base64.StdEncoding.EncodeToString(deflated.Bytes())
	response := base64.StdEncoding.EncodeToString([]byte(`<samlp:Response><ds:SignatureValue>CANARY</ds:SignatureValue><saml:NameID>alice@corp.example</saml:NameID></samlp:Response>`))
	signed := webToken(`{"sub":"alice-1","nonce":"CANARY"}`)
	event := fmt.Sprintf(`{"path":"/api","multiValueHeaders":{"cookie":["AWSELBAuthSessionCookie-0=CANARY"],"x-amzn-oidc-data":[%q],"x-amzn-oidc-accesstoken":["CANARY"],"content-type":["application/x-www-form-urlencoded"]},"isBase64Encoded":true,"body":%q}`,
		signed, base64.StdEncoding.EncodeToString([]byte("for=3m&password=CANARY")))

	for name, c := range map[string]struct {
		method, target, contentType, body string
		in, out                           http.Header
		answer                            string
		want                              []string
	}{
		"a redirect to the identity provider": {
			method: "GET", target: "/oauth2/authorize?client_id=c1&state=CANARYCANARYCANARY&nonce=CANARY",
			out:  http.Header{"Location": {"https://idp.example/sso?SAMLRequest=" + url.QueryEscape(request) + "&RelayState=CANARY"}, "Set-Cookie": {"cognito=CANARY; Path=/; Secure"}},
			want: []string{"client_id = c1", "<saml:Issuer>urn:amazon:cognito:sp:pool</saml:Issuer>", "RelayState = (hidden, 6 characters)", "Set-Cookie: cognito=(hidden, 6 characters); Path=/; Secure"},
		},
		"an assertion posted": {
			method: "POST", target: "/saml2/idpresponse", contentType: "application/x-www-form-urlencoded",
			body: url.Values{"SAMLResponse": {response}, "RelayState": {"CANARY"}}.Encode(),
			want: []string{"<saml:NameID>alice@corp.example</saml:NameID>", "<ds:SignatureValue>(hidden, 6 characters)</ds:SignatureValue>"},
		},
		"a code exchanged": {
			method: "POST", target: "/oauth2/token", contentType: "application/x-www-form-urlencoded", body: "grant_type=authorization_code&code=CANARY",
			in:  http.Header{"Authorization": {"Basic CANARY"}},
			out: http.Header{"Content-Type": {"application/json"}}, answer: `{"access_token":"` + signed + `","refresh_token":"CANARY","expires_in":900}`,
			want: []string{"grant_type = authorization_code", "Authorization: Basic (hidden, 6 characters)", `"sub": "alice-1"`, `"kid": "k1"`, `"expires_in": 900`},
		},
		"a password typed, and the page that shows an authenticator's key": {
			method: "POST", target: "/signin", contentType: "application/x-www-form-urlencoded; charset=utf-8", body: "username=alice&password=CANARY&flow=CANARY",
			out: http.Header{"Content-Type": {"text/html; charset=utf-8"}}, answer: "<p>CANARY",
			want: []string{"username = alice", "(text/html, 9 bytes)"},
		},
		"an event for the function": {
			method: "POST", target: "/2015-03-31/functions/nightlatch/invocations", body: event,
			in:  http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=AKIA/ec2, SignedHeaders=host, Signature=CANARY"}, "X-Amz-Security-Token": {"CANARY"}},
			out: http.Header{"Content-Type": {"application/json"}}, answer: `{"statusCode":303,"multiValueHeaders":{"Location":["https://vpn.example/?code=CANARY&x=1"]},"body":"{\"state\":\"open\",\"code\":\"CANARY\"}"}`,
			want: []string{"Credential=AKIA/ec2", `"sub": "alice-1"`, `AWSELBAuthSessionCookie-0=(hidden, 6 characters)`, "for = 3m", `"state": "open"`, "x = 1"},
		},
		"an HTTP API's event, and the answer to it": {
			method: "POST", target: "/2015-03-31/functions/nightlatch/invocations", contentType: "application/json",
			body: `{"version":"2.0","rawPath":"/oauth2/callback","rawQueryString":"code=CANARY&state=CANARYCANARYCANARY&x=1","cookies":["__Host-session=CANARY","lang=CANARY"],` +
				`"queryStringParameters":{"code":"CANARY","state":"CANARYCANARYCANARY"},"headers":{"content-type":"application/x-www-form-urlencoded","authorization":"Bearer CANARY"},` +
				`"isBase64Encoded":true,"body":"` + base64.StdEncoding.EncodeToString([]byte("for=3m&token=CANARY")) + `"}`,
			out: http.Header{"Content-Type": {"application/json"}}, answer: `{"statusCode":303,"headers":{"Location":"https://idp.example/?state=CANARYCANARYCANARY&nonce=CANARY&scope=openid"},"cookies":["__Host-session=CANARY; Path=/; HttpOnly"],"body":""}`,
			want: []string{`"__Host-session=(hidden, 6 characters)"`, `code = (hidden, 6 characters)`, "x = 1", "for = 3m", "__Host-session=(hidden, 6 characters); Path=/; HttpOnly", "scope = openid"},
		},
		"a role assumed": {
			method: "POST", target: "/", contentType: "application/x-www-form-urlencoded", body: "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A444455556666%3Arole%2Fspoke",
			out: http.Header{"Content-Type": {"text/xml"}}, answer: `<Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>CANARY</SecretAccessKey><SessionToken>CANARY</SessionToken></Credentials>`,
			want: []string{"RoleArn = arn:aws:iam::444455556666:role/spoke", "<AccessKeyId>ASIA1</AccessKeyId>", "<SecretAccessKey>(hidden, 6 characters)</SecretAccessKey>", "<SessionToken>(hidden, 6 characters)</SessionToken>"},
		},
		"a document that is none": {
			method: "POST", target: "/", contentType: "text/xml", body: "<a>CANARY",
			out: http.Header{"Content-Type": {"application/json"}}, answer: `{"CANARY`,
			want: []string{"(no XML: 9 bytes)", "(no JSON: 8 bytes)"},
		},
		"bytes of an unknown kind": {
			method: "PUT", target: "/file", contentType: "application/octet-stream", body: "CANARY",
			want: []string{"(application/octet-stream, 6 bytes)"},
		},
		"a body that nobody wants to read": {
			method: "POST", target: "/", contentType: "text/plain", body: strings.Repeat("CANARY", 20_000),
			want: []string{"(text/plain, 120000 bytes)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var tap wiretap.Tap
			if got := tap.Last("hop"); got != "" {
				t.Errorf("before any message: %q, want nothing", got)
			}
			h := tap.Hear("hop", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || string(body) != c.body {
					t.Errorf("the stand-in reads %q, %v; want what was sent", body, err)
				}
				for k, v := range c.out {
					w.Header()[k] = v
				}
				w.WriteHeader(http.StatusTeapot)
				io.WriteString(w, c.answer)
			}))
			r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
			for k, v := range c.in {
				r.Header[k] = v
			}
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Body.String() != c.answer || w.Code != http.StatusTeapot {
				t.Errorf("the caller was told %d %q, want the stand-in's answer", w.Code, w.Body)
			}
			got := tap.Last("hop")
			if strings.Contains(got, "CANARY") {
				t.Errorf("a secret is shown:\n%s", got)
			}
			for _, want := range append(c.want, "418 I'm a teapot") {
				if !strings.Contains(got, want) {
					t.Errorf("%q is not shown:\n%s", want, got)
				}
			}
		})
	}
}
