package alb

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func segment(t *testing.T, token string, i int) []byte {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d segments, want 3", len(parts))
	}
	raw, err := base64.URLEncoding.DecodeString(parts[i]) // the padded alphabet: an unpadded segment fails here
	if err != nil {
		t.Fatalf("segment %d %q is not padded base64url: %v", i, parts[i], err)
	}
	return raw
}

func publicKey(t *testing.T, w *world, kid string) *ecdsa.PublicKey {
	t.Helper()
	rec := httptest.NewRecorder()
	w.KeyHandler().ServeHTTP(rec, httptest.NewRequest("GET", "/"+kid, nil))
	block, rest := pem.Decode(rec.Body.Bytes())
	if rec.Code != 200 || block == nil || block.Type != "PUBLIC KEY" || len(rest) > 0 {
		t.Fatalf("key %s: got %d %q, want one PEM block PUBLIC KEY", kid, rec.Code, rec.Body)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		t.Fatalf("key %s is a %T, want ECDSA on P-256", kid, parsed)
	}
	return key
}

func TestTokenIsWhatALBSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		b := w.signIn(t)
		// Claims of several lengths, so that every padding occurs.
		pads := map[int]bool{}
		for _, email := range []string{"a@x", "ab@x", "abc@x"} {
			w.idp.claims["email"] = email
			time.Sleep(10 * time.Minute) // refresh
			b.get("/")
			token := w.fn.headers(t)["x-amzn-oidc-data"][0]
			var head map[string]any
			if err := json.Unmarshal(segment(t, token, 0), &head); err != nil {
				t.Fatal(err)
			}
			kid, _ := head["kid"].(string)
			if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(kid) {
				t.Errorf("kid %q is not a UUID", kid)
			}
			exp := float64(time.Now().Add(time.Minute).Unix())
			want := map[string]any{"typ": "JWT", "kid": kid, "alg": "ES256", "iss": issuer, "client": "client-1", "signer": w.ARN(), "exp": exp}
			if !reflect.DeepEqual(head, want) {
				t.Errorf("header: got %v, want %v", head, want)
			}
			claims := claimsOf(t, token)
			want = map[string]any{"sub": "9f0c-sub", "email": email, "email_verified": "false", "username": "IdentityCenter_alice", "iss": issuer, "exp": exp}
			if !reflect.DeepEqual(claims, want) {
				t.Errorf("payload: got %v, want %v", claims, want)
			}

			// By the standard library alone: R||S over the padded string as it stands.
			key := publicKey(t, w, kid)
			sig := segment(t, token, 2)
			if len(sig) != 64 {
				t.Fatalf("the signature has %d bytes, want 64 (R||S, not DER)", len(sig))
			}
			signed := token[:strings.LastIndexByte(token, '.')]
			digest := sha256.Sum256([]byte(signed))
			r, v := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
			if !ecdsa.Verify(key, digest[:], r, v) {
				t.Error("the signature does not fit the padded string")
			}
			if bare := strings.ReplaceAll(signed, "=", ""); bare != signed {
				if digest := sha256.Sum256([]byte(bare)); ecdsa.Verify(key, digest[:], r, v) {
					t.Error("the signature fits the string without padding")
				}
			}
			pads[strings.Count(signed, "=")] = true

			// By a library nobody here wrote, which must be told about the padding.
			find := func(*jwt.Token) (any, error) { return key, nil }
			if _, err := jwt.Parse(token, find, jwt.WithPaddingAllowed(), jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(issuer), jwt.WithExpirationRequired()); err != nil {
				t.Errorf("golang-jwt with padding: %v", err)
			}
			if _, err := jwt.Parse(token, find); err == nil {
				t.Error("golang-jwt accepts the token without being told about padding, so it has none")
			}
		}
		if len(pads) < 2 {
			t.Errorf("only paddings %v occurred; the test proves less than it should", pads)
		}
	})
}

func TestTokenIgnoresIssuerAndExpiryOfTheClaims(t *testing.T) {
	w := newWorld(t, nil)
	w.idp.claims["iss"], w.idp.claims["exp"], w.idp.claims["big"] = "https://evil.example", 99999999999, json.Number("12345678901234567890")
	w.idp.claims["name"] = "who????" // holds '_' once encoded, whatever its place
	w.signIn(t).get("/")
	token := w.fn.headers(t)["x-amzn-oidc-data"][0]
	if !strings.Contains(token, "_") {
		t.Error("the token is not in the URL alphabet of base64")
	}
	raw := string(segment(t, token, 1))
	if strings.Contains(raw, "evil") || strings.Contains(raw, "99999999999") || !strings.Contains(raw, "12345678901234567890") {
		t.Errorf("payload %s: want our issuer and expiry, and numbers as they were", raw)
	}
}

func TestTokenFromBeforeARotationCanBeChecked(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signIn(t)
	var kids []any
	for range 2 {
		b.get("/")
		token, head, _ := w.token(t)
		kids = append(kids, head["kid"])
		if err := w.RotateKey(); err != nil {
			t.Fatal(err)
		}
		find := func(*jwt.Token) (any, error) { return publicKey(t, w, head["kid"].(string)), nil }
		if _, err := jwt.Parse(token, find, jwt.WithPaddingAllowed(), jwt.WithValidMethods([]string{"ES256"})); err != nil {
			t.Error(err)
		}
	}
	if kids[0] == kids[1] {
		t.Error("tokens before and after a rotation have the same kid")
	}
}

func TestKeyServer(t *testing.T) {
	w := newWorld(t, nil)
	first := w.keys[0].saved.ID
	for i := range keptKeys {
		publicKey(t, w, first)
		if i == keptKeys-1 {
			break
		}
		if err := w.RotateKey(); err != nil {
			t.Fatal(err)
		}
		if w.keys[0].saved.ID == first {
			t.Fatal("the new key does not sign")
		}
	}
	if err := w.RotateKey(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		method, path string
		status       int
	}{
		"a key rotated out long ago": {"GET", "/" + first, 404},
		"an unknown key":             {"GET", "/00000000-0000-4000-8000-000000000000", 404},
		"no key":                     {"GET", "/", 404},
		"a longer path":              {"GET", "/" + w.keys[0].saved.ID + "/x", 404},
		"no JWKS":                    {"GET", "/.well-known/jwks.json", 404},
		"reading only":               {"POST", "/" + w.keys[0].saved.ID, 405},
	} {
		rec := httptest.NewRecorder()
		w.KeyHandler().ServeHTTP(rec, httptest.NewRequest(tc.method, tc.path, nil))
		if rec.Code != tc.status {
			t.Errorf("%s: got %d, want %d", name, rec.Code, tc.status)
		}
	}
}

func TestClientCannotSpeakForTheLoadBalancer(t *testing.T) {
	for _, mode := range []OnUnauthenticated{Authenticate, Allow} {
		w := newWorld(t, nil)
		b := w.signIn(t)
		w.Server.c.OnUnauthenticated = mode
		if mode == Allow {
			clear(b.cookies)
		}
		b.do("GET", "/", "", http.Header{
			"X-Amzn-Oidc-Data": {"forged", "twice"}, "x-amzn-oidc-data": {"raw"}, "X-AMZN-OIDC-IDENTITY": {"root"},
			"x-Amzn-oIdC-AccessToken": {"forged"}, "X-Amzn-Oidc-Anything": {"new"}, "X-Forwarded-Proto": {"gopher"}, "X-Forwarded-Port": {"1"},
		})
		h := w.fn.headers(t)
		for name, values := range h {
			for _, v := range values {
				if slices.Contains([]string{"forged", "twice", "raw", "root", "new", "gopher", "1"}, v) {
					t.Errorf("%s: %s: %s reached the target", mode, name, v)
				}
			}
		}
		want := 1
		if mode == Allow {
			want = 0
		}
		for _, name := range []string{"x-amzn-oidc-data", "x-amzn-oidc-identity", "x-amzn-oidc-accesstoken"} {
			if got := len(h[name]); got != want {
				t.Errorf("%s: %d values of %s, want %d", mode, got, name, want)
			}
		}
	}
}

func TestTraceID(t *testing.T) {
	now := time.Unix(0x67891234, 0)
	const id = `1-67891234-[0-9a-f]{24}`
	for client, want := range map[string]string{
		"":                            "^Root=" + id + "$",
		"Root=1-abc-def":              "^Self=" + id + ";Root=1-abc-def$",
		"Self=old;Root=1-abc-def;K=v": "^Self=" + id + ";Root=1-abc-def;K=v$",
		"K=v":                         "^Root=" + id + ";K=v$",
	} {
		if got := traceID(client, now); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%q: got %q, want %s", client, got, want)
		}
	}
}

func TestEvent(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signIn(t)
	b.do("POST", "/a%2Fb/c?k=v%20w&k=2&&flag&%ED%95%9C=%41", "for=2h", http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "X-Forwarded-For": {"203.0.113.9", "198.51.100.7"}, "X-Two": {"1", "2"},
	})
	e := w.fn.last(t)
	if got := slices.Sorted(mapKeys(e)); !slices.Equal(got, []string{"body", "httpMethod", "isBase64Encoded", "multiValueHeaders", "multiValueQueryStringParameters", "path", "requestContext"}) {
		t.Errorf("keys of a multi-value event: %v", got)
	}
	for path, want := range map[string]any{
		"requestContext":                  map[string]any{"elb": map[string]any{"targetGroupArn": w.TargetGroupARN()}},
		"httpMethod":                      "POST",
		"path":                            "/a%2Fb/c",
		"multiValueQueryStringParameters": map[string]any{"k": []any{"v%20w", "2"}, "flag": []any{""}, "%ED%95%9C": []any{"%41"}},
		"body":                            base64.StdEncoding.EncodeToString([]byte("for=2h")),
		"isBase64Encoded":                 true,
	} {
		if !reflect.DeepEqual(e[path], want) {
			t.Errorf("%s: got %v, want %v", path, e[path], want)
		}
	}
	h := w.fn.headers(t)
	for name, want := range map[string][]string{
		"x-forwarded-for": {"203.0.113.9, 198.51.100.7, 192.0.2.1"}, "x-two": {"1", "2"}, "host": {host}, "content-type": {"application/x-www-form-urlencoded"},
	} {
		if !slices.Equal(h[name], want) {
			t.Errorf("%s: got %q, want %q", name, h[name], want)
		}
	}
	for name := range h {
		if name != strings.ToLower(name) {
			t.Errorf("header name %s is not lower-case", name)
		}
	}

	w.Server.c.MultiValueHeaders = false
	b.do("GET", "/?k=1&k=2", "", http.Header{"X-Two": {"1", "2"}})
	e = w.fn.last(t)
	if got := e["queryStringParameters"]; !reflect.DeepEqual(got, map[string]any{"k": "2"}) {
		t.Errorf("single-value query: got %v, want the last value", got)
	}
	if got := e["headers"].(map[string]any)["x-two"]; got != "2" {
		t.Errorf("single-value header: got %v, want the last value", got)
	}
	if e["multiValueHeaders"] != nil || e["multiValueQueryStringParameters"] != nil {
		t.Error("a single-value event holds multi-value maps")
	}
	if b.get("/"); !strings.Contains(string(w.fn.events[len(w.fn.events)-1]), `"queryStringParameters":{}`) {
		t.Error("a request without a query has no empty queryStringParameters")
	}

	w.Server.c.MultiValueHeaders, w.Server.c.DropInvalidHeaderFields = true, true
	b.do("GET", "/", "", http.Header{"X_amzn_oidc_data": {"forged"}, "X-Fine-1": {"1"}})
	if h := w.fn.headers(t); h["x_amzn_oidc_data"] != nil || h["x-fine-1"] == nil {
		t.Errorf("drop_invalid_header_fields: got %v", h)
	}
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestBodyEncoding(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signIn(t)
	for name, tc := range map[string]struct {
		header http.Header
		body   string
		status int
		plain  bool
	}{
		"JSON goes as it is":                  {http.Header{"Content-Type": {"application/json"}}, `{"for":"2h"}`, 200, true},
		"a charset does not change that":      {http.Header{"Content-Type": {"Application/JSON; charset=utf-8"}}, `{}`, 200, true},
		"any text goes as it is":              {http.Header{"Content-Type": {"text/x-anything"}}, "한", 200, true},
		"XML and JavaScript too":              {http.Header{"Content-Type": {"application/xml"}}, "<a/>", 200, true},
		"a form is encoded":                   {http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "a=1", 200, false},
		"JSON of another name is encoded":     {http.Header{"Content-Type": {"application/problem+json"}}, "{}", 200, false},
		"no type is encoded":                  {nil, "a", 200, false},
		"text with a Content-Encoding is too": {http.Header{"Content-Type": {"text/plain"}, "Content-Encoding": {"gzip"}}, "\x1f\x8b", 200, false},
		"text that is not UTF-8 is refused":   {http.Header{"Content-Type": {"text/plain"}}, "\xff", 400, true},
		"no body is not encoded":              {http.Header{"Content-Type": {"image/png"}}, "", 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := b.do("POST", "/", tc.body, tc.header).StatusCode; got != tc.status {
				t.Fatalf("got %d, want %d", got, tc.status)
			}
			if tc.status != 200 {
				return
			}
			want := tc.body
			if !tc.plain {
				want = base64.StdEncoding.EncodeToString([]byte(tc.body))
			}
			if e := w.fn.last(t); e["body"] != want || e["isBase64Encoded"] != !tc.plain {
				t.Errorf("got %q, isBase64Encoded %v", e["body"], e["isBase64Encoded"])
			}
		})
	}
}

func TestFunctionAnswers(t *testing.T) {
	const head = `"statusCode":200,"statusDescription":"200 OK","isBase64Encoded":false,`
	for name, tc := range map[string]struct {
		single bool
		answer string
		status int
		why    string
	}{
		"headers and a body":                      {false, `{` + head + `"multiValueHeaders":{"x":["1"]},"body":"hi"}`, 200, ""},
		"the body may be left out":                {false, `{` + head + `"multiValueHeaders":{}}`, 200, ""},
		"headers only, with multi-value enabled":  {false, `{` + head + `"headers":{"x":"1"}}`, 502, "LambdaInvalidResponse"},
		"multi-value headers, not enabled":        {true, `{` + head + `"multiValueHeaders":{"x":["1"]}}`, 502, "LambdaInvalidResponse"},
		"single-value headers":                    {true, `{` + head + `"headers":{"x":"1"}}`, 200, ""},
		"no JSON":                                 {false, `hello`, 502, "LambdaInvalidResponse"},
		"null":                                    {false, `null`, 502, "LambdaInvalidResponse"},
		"no status":                               {false, `{"multiValueHeaders":{},"body":""}`, 502, "LambdaInvalidResponse"},
		"a status as a string":                    {false, `{"statusCode":"200","statusDescription":"200 OK","isBase64Encoded":false,"multiValueHeaders":{}}`, 502, "LambdaInvalidResponse"},
		"no description":                          {false, `{"statusCode":200,"isBase64Encoded":false,"multiValueHeaders":{}}`, 502, "LambdaInvalidResponse"},
		"a description of another status":         {false, `{"statusCode":200,"statusDescription":"404 Not Found","isBase64Encoded":false,"multiValueHeaders":{}}`, 502, "LambdaInvalidResponse"},
		"no word on the encoding":                 {false, `{"statusCode":200,"statusDescription":"200 OK","multiValueHeaders":{}}`, 502, "LambdaInvalidResponse"},
		"a status nobody knows":                   {false, `{"statusCode":700,"statusDescription":"700 X","isBase64Encoded":false,"multiValueHeaders":{}}`, 502, "LambdaInvalidResponse"},
		"a header split in two":                   {false, `{` + head + `"multiValueHeaders":{"x":["1\r\nset-cookie: a=b"]}}`, 502, "LambdaInvalidResponse"},
		"a header name with a space":              {false, `{` + head + `"multiValueHeaders":{"x y":["1"]}}`, 502, "LambdaInvalidResponse"},
		"a body that is not the base64 it claims": {false, `{"statusCode":200,"statusDescription":"200 OK","isBase64Encoded":true,"multiValueHeaders":{},"body":"!"}`, 502, "LambdaInvalidResponse"},
		"names in another case":                   {false, `{"StatusCode":200,"StatusDescription":"200 OK","IsBase64Encoded":false,"MultiValueHeaders":{}}`, 502, "LambdaInvalidResponse"},
		"one name in another case":                {false, `{` + head + `"multiValueheaders":{}}`, 502, "LambdaInvalidResponse"},
		"a body that is null":                     {false, `{` + head + `"multiValueHeaders":{},"body":null}`, 502, "LambdaInvalidResponse"},
		"headers that are null":                   {true, `{` + head + `"headers":null}`, 502, "LambdaInvalidResponse"},
		"the other mode's headers that are null":  {true, `{` + head + `"headers":{"x":"1"},"multiValueHeaders":null}`, 200, ""},
		"a header that is a number":               {true, `{` + head + `"headers":{"content-length":5}}`, 502, "LambdaInvalidResponse"},
		"a header that is null":                   {true, `{` + head + `"headers":{"x":null}}`, 502, "LambdaInvalidResponse"},
		"a list of headers that is null":          {false, `{` + head + `"multiValueHeaders":{"x":null}}`, 502, "LambdaInvalidResponse"},
		"a header in a list that is null":         {false, `{` + head + `"multiValueHeaders":{"x":["1",null]}}`, 502, "LambdaInvalidResponse"},
		"a header that is no list":                {false, `{` + head + `"multiValueHeaders":{"x":"1"}}`, 502, "LambdaInvalidResponse"},
		"two spaces before the reason":            {false, `{"statusCode":200,"statusDescription":"200  OK","isBase64Encoded":false,"multiValueHeaders":{}}`, 502, "LambdaInvalidResponse"},
		"a description without a reason":          {false, `{"statusCode":200,"statusDescription":"200 ","isBase64Encoded":false,"multiValueHeaders":{}}`, 502, "LambdaInvalidResponse"},
		"an answer that is not UTF-8":             {false, `{` + head + `"multiValueHeaders":{},"body":"` + "\xff" + `"}`, 502, "LambdaInvalidResponse"},
		"one header of 16 KB":                     {false, `{` + head + `"multiValueHeaders":{"x":["` + strings.Repeat("x", 16<<10) + `"]}}`, 502, "LambdaInvalidResponse"},
		"headers of 32 KB together":               {false, `{` + head + `"multiValueHeaders":{"x":["` + strings.Repeat("x", 16000) + `","` + strings.Repeat("x", 16000) + `","` + strings.Repeat("x", 1000) + `"]}}`, 502, "LambdaInvalidResponse"},
		"headers of a little less":                {false, `{` + head + `"multiValueHeaders":{"x":["` + strings.Repeat("x", 16000) + `","` + strings.Repeat("x", 16000) + `","` + strings.Repeat("x", 700) + `"]}}`, 200, ""},
		"an answer of 1 MB":                       {false, `{` + head + `"multiValueHeaders":{},"body":"` + strings.Repeat("x", 1<<20-len(`{`+head+`"multiValueHeaders":{},"body":""}`)) + `"}`, 200, ""},
		"an answer of one byte more":              {false, `{` + head + `"multiValueHeaders":{},"body":"` + strings.Repeat("x", 1<<20-len(`{`+head+`"multiValueHeaders":{},"body":"`)-1) + `"}`, 502, "LambdaResponseTooLarge"},
		"an answer over 1 MB":                     {false, `{` + head + `"multiValueHeaders":{},"body":"` + strings.Repeat("x", 1<<20) + `"}`, 502, "LambdaResponseTooLarge"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.MultiValueHeaders = !tc.single })
			w.fn.answer = func(rw http.ResponseWriter) { io.WriteString(rw, tc.answer) }
			resp := w.signIn(t).get("/")
			if resp.StatusCode != tc.status {
				t.Errorf("got %d, want %d\n%s", resp.StatusCode, tc.status, w.log)
			}
			if tc.why == "" {
				if resp.Header.Get("Server") != "" {
					t.Error("the function's answer says it is the load balancer's")
				}
				return
			}
			if !strings.Contains(w.log.String(), "why="+tc.why) {
				t.Errorf("the log does not say %s:\n%s", tc.why, w.log)
			}
			if got := text(t, resp); !strings.Contains(got, "<h1>502 Bad Gateway</h1>") || resp.Header.Get("Set-Cookie") != "" {
				t.Errorf("got %q, want the load balancer's error page", got)
			}
		})
	}
}

func TestFunctionFails(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter)
		status int
		why    string
	}{
		"it throws, or runs out of time": {func(w http.ResponseWriter) {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			io.WriteString(w, `{"errorMessage":"boom"}`)
		}, 502, "LambdaUnhandled"},
		"it is throttled":          {func(w http.ResponseWriter) { w.WriteHeader(429) }, 502, "LambdaThrottling"},
		"it does not exist":        {func(w http.ResponseWriter) { w.WriteHeader(404) }, 502, "LambdaResourceNotFound"},
		"it may not be invoked":    {func(w http.ResponseWriter) { w.WriteHeader(403) }, 502, "LambdaAccessDenied"},
		"it has had enough":        {func(w http.ResponseWriter) { w.WriteHeader(413) }, 502, "LambdaRequestTooLarge"},
		"it dislikes the event":    {func(w http.ResponseWriter) { w.WriteHeader(400) }, 502, "LambdaBadRequest"},
		"Lambda itself has failed": {func(w http.ResponseWriter) { w.WriteHeader(500) }, 502, "LambdaServiceException"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.fn.answer = tc.answer
			if got := w.signIn(t).get("/").StatusCode; got != tc.status || !strings.Contains(w.log.String(), "why="+tc.why) {
				t.Errorf("got %d, want %d and %s\n%s", got, tc.status, tc.why, w.log)
			}
		})
	}
	t.Run("Lambda cannot be reached", func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.LambdaURL = "https://nowhere.localhost" })
		if got := w.signIn(t).get("/").StatusCode; got != 502 {
			t.Errorf("got %d, want 502", got)
		}
	})
	t.Run("Lambda does not answer in time", func(t *testing.T) {
		w := newWorld(t, nil)
		w.silent = "/2015-03-31/"
		if got := w.signIn(t).get("/").StatusCode; got != 504 || !strings.Contains(w.log.String(), "why=LambdaConnectionTimeout") {
			t.Errorf("got %d, want 504\n%s", got, w.log)
		}
	})
	t.Run("the client goes away before it answers", func(t *testing.T) {
		w := newWorld(t, nil)
		b := w.signIn(t)
		ctx, leave := context.WithCancel(t.Context())
		w.fn.answer = func(http.ResponseWriter) { leave() }
		r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
		r.Header.Set("Cookie", "AWSELBAuthSessionCookie-0="+b.cookies["AWSELBAuthSessionCookie-0"])
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, r)
		if rec.Code != 460 || !strings.Contains(w.log.String(), "why=ClientClosedConnection") {
			t.Errorf("got %d, want 460\n%s", rec.Code, w.log)
		}
	})
	t.Run("the signature is of another key", func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Caller.SecretAccessKey = "old" })
		if got := w.signIn(t).get("/").StatusCode; got != 502 || !strings.Contains(w.log.String(), "LambdaAccessDenied") {
			t.Errorf("got %d, want 502\n%s", got, w.log)
		}
	})
}

func TestFunctionAnswerOnTheWire(t *testing.T) {
	w := newWorld(t, nil)
	w.fn.answer = func(rw http.ResponseWriter) {
		io.WriteString(rw, `{"statusCode":201,"statusDescription":"201 Created","isBase64Encoded":true,"multiValueHeaders":{"content-type":["image/png"],"Connection":["close"],"transfer-encoding":["chunked"],"CONTENT-LENGTH":["999"],"vary":["a","b"]},"body":"iVBORw=="}`)
	}
	resp := w.signIn(t).get("/")
	if resp.StatusCode != 201 || text(t, resp) != "\x89PNG" {
		t.Errorf("got %d", resp.StatusCode)
	}
	h := resp.Header
	if h.Get("Content-Length") != "4" || h.Get("Connection") != "" || h.Get("Transfer-Encoding") != "" || !slices.Equal(h.Values("Vary"), []string{"a", "b"}) {
		t.Errorf("headers %v: want a computed length, no hop-by-hop headers, both values of Vary", h)
	}
}
