package sigv4_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

var role = sigv4.Credentials{AccessKeyID: "ASIAROLE", SecretAccessKey: "role-secret", SessionToken: "role/token+1="}

func verifier(service string) sigv4.Verifier {
	return sigv4.Verifier{Service: service, Region: "us-east-1", Lookup: func(id string) (sigv4.Credentials, bool) {
		return role, id == role.AccessKeyID
	}}
}

// signedBySDK is a request that AWS's own signer signed.
func signedBySDK(t *testing.T, method, url, body, service string, header map[string]string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	for name, value := range header {
		r.Header.Set(name, value)
	}
	sum := sha256.Sum256([]byte(body))
	c := aws.Credentials{AccessKeyID: role.AccessKeyID, SecretAccessKey: role.SecretAccessKey, SessionToken: role.SessionToken}
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hex.EncodeToString(sum[:]), service, "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	return r
}

// Requests of every shape that the stand-ins meet, and a few that only look alike when encoded carelessly.
var shapes = map[string]struct {
	method, url, body string
	header            map[string]string
}{
	"a form":                              {"POST", "https://ec2.us-east-1.amazonaws.com/", "Action=DescribeClientVpnEndpoints&Version=2016-11-15", map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}},
	"no path":                             {"POST", "https://dynamodb.us-east-1.amazonaws.com", "{}", map[string]string{"X-Amz-Target": "DynamoDB_20120810.GetItem", "Content-Type": "application/x-amz-json-1.0"}},
	"a port":                              {"GET", "http://127.0.0.1:4566/", "", nil},
	"names where one begins another":      {"GET", "https://h/?Filter.1.Value.1=a&Filter.1.Value.10=b&Filter.1=c&a=1&a-b=2", "", nil},
	"a name twice":                        {"GET", "https://h/?x=2&x=10&x=1", "", nil},
	"spaces, plus, tilde, star, percent":  {"GET", "https://h/?q=a%20b&p=a%2Bb&t=~*&e=%25&n=", "", nil},
	"an encoded colon in the path":        {"POST", "https://h/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af/invocations", "{}", nil},
	"spaces and slashes in the path":      {"GET", "https://h/schedules/a%20b%2Fc/~d", "", nil},
	"a header with runs of spaces":        {"GET", "https://h/", "", map[string]string{"X-Amz-Meta-Note": "  two   words  "}},
	"a body and a declared content hash":  {"PUT", "https://h/k", "body", map[string]string{"X-Amz-Content-Sha256": "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"}},
	"characters of another alphabet":      {"GET", "https://h/?name=%EB%B0%95&p=%E2%82%AC", "", nil},
	"a query with an empty name in a row": {"GET", "https://h/?b&a&c=", "", nil},
}

func TestVerifyAcceptsWhatAWSSigns(t *testing.T) {
	for name, c := range shapes {
		t.Run(name, func(t *testing.T) {
			r := signedBySDK(t, c.method, c.url, c.body, "svc", c.header)
			if id, err := verifier("svc").Verify(r, []byte(c.body)); err != nil || id != role.AccessKeyID {
				t.Errorf("Verify = %q, %v; want %q: AWS's signer and ours must agree on the canonical request", id, err, role.AccessKeyID)
			}
		})
	}
}

func TestSignIsWhatAWSSigns(t *testing.T) {
	for name, c := range shapes {
		if c.body != "" { // AWS's signer also signs content-length then; Verify shows those equal
			continue
		}
		t.Run(name, func(t *testing.T) {
			want := signedBySDK(t, c.method, c.url, c.body, "svc", c.header)
			got := httptest.NewRequest(c.method, c.url, nil)
			for k, v := range c.header {
				got.Header.Set(k, v)
			}
			at, err := time.Parse("20060102T150405Z", want.Header.Get("X-Amz-Date"))
			if err != nil {
				t.Fatal(err)
			}
			sigv4.Sign(got, nil, role, "svc", "us-east-1", at)
			if g, w := got.Header.Get("Authorization"), want.Header.Get("Authorization"); g != w {
				t.Errorf("Authorization\n got %s\nwant %s", g, w)
			}
		})
	}
}

// The vector "get-vanilla" of the AWS Signature Version 4 test suite.
func TestSignPublishedVector(t *testing.T) {
	r := httptest.NewRequest("GET", "https://example.amazonaws.com/", nil)
	c := sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	r.Header.Set("X-Amz-Security-Token", "left over from another role")
	sigv4.Sign(r, nil, c, "service", "us-east-1", time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC))
	want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	if got := r.Header.Get("Authorization"); got != want {
		t.Errorf("Authorization\n got %s\nwant %s", got, want)
	}
}

func TestVerifyRefuses(t *testing.T) {
	const body = "Action=A&Version=1"
	for name, c := range map[string]struct {
		tamper func(*http.Request)
		body   string
		want   sigv4.Code
	}{
		"no signature":                    {func(r *http.Request) { r.Header.Del("Authorization") }, body, sigv4.MissingAuthenticationToken},
		"another scheme":                  {func(r *http.Request) { r.SetBasicAuth("a", "b") }, body, sigv4.IncompleteSignature},
		"no signed headers":               {replace("SignedHeaders=", "Headers="), body, sigv4.IncompleteSignature},
		"a scope cut short":               {replace("/aws4_request", ""), body, sigv4.IncompleteSignature},
		"no date":                         {func(r *http.Request) { r.Header.Del("X-Amz-Date") }, body, sigv4.IncompleteSignature},
		"another body":                    {nil, body + "2", sigv4.SignatureDoesNotMatch},
		"another method":                  {func(r *http.Request) { r.Method = "PUT" }, body, sigv4.SignatureDoesNotMatch},
		"another path":                    {func(r *http.Request) { r.URL.Path = "/b" }, body, sigv4.SignatureDoesNotMatch},
		"another query":                   {func(r *http.Request) { r.URL.RawQuery = "q=2" }, body, sigv4.SignatureDoesNotMatch},
		"a query that does not parse":     {func(r *http.Request) { r.URL.RawQuery += "&a;b" }, body, sigv4.SignatureDoesNotMatch},
		"another host":                    {func(r *http.Request) { r.Host = "evil.example" }, body, sigv4.SignatureDoesNotMatch},
		"another target":                  {func(r *http.Request) { r.Header.Set("X-Amz-Target", "T.Delete") }, body, sigv4.SignatureDoesNotMatch},
		"a target twice":                  {func(r *http.Request) { r.Header.Add("X-Amz-Target", "T.Delete") }, body, sigv4.SignatureDoesNotMatch},
		"a header slipped in":             {func(r *http.Request) { r.Header.Set("X-Amz-Extra", "1") }, body, sigv4.SignatureDoesNotMatch},
		"another service in the scope":    {replace("/svc/", "/sts/"), body, sigv4.SignatureDoesNotMatch},
		"another Region in the scope":     {replace("/us-east-1/", "/eu-west-1/"), body, sigv4.SignatureDoesNotMatch},
		"another day in the scope":        {replace("ASIAROLE/2000", "ASIAROLE/2001"), body, sigv4.SignatureDoesNotMatch},
		"a signature changed by one bit":  {func(r *http.Request) { flipLast(r) }, body, sigv4.SignatureDoesNotMatch},
		"a wrong content hash":            {func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64)) }, body, sigv4.SignatureDoesNotMatch},
		"host left out of what is signed": {replace(";host", ""), body, sigv4.IncompleteSignature},
		"an unknown key":                  {replace("ASIAROLE", "ASIAOTHER"), body, sigv4.UnrecognizedClient},
		"no session token":                {func(r *http.Request) { r.Header.Del("X-Amz-Security-Token") }, body, sigv4.UnrecognizedClient},
		"another session token":           {func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }, body, sigv4.UnrecognizedClient},
		"sent five minutes late":          {func(*http.Request) { time.Sleep(5*time.Minute + time.Second) }, body, sigv4.RequestExpired},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := signedBySDK(t, "POST", "https://h/a?q=1", body, "svc", map[string]string{"X-Amz-Target": "T.Get"})
				if c.tamper != nil {
					c.tamper(r)
				}
				_, err := verifier("svc").Verify(r, []byte(c.body))
				if e, ok := errors.AsType[*sigv4.Error](err); !ok || e.Code != c.want {
					t.Errorf("Verify: %v, want %s", err, c.want)
				}
				if err != nil && strings.Contains(err.Error(), role.SecretAccessKey) {
					t.Errorf("the refusal tells the secret: %v", err)
				}
			})
		})
	}
}

func TestSkewIsTheServicesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := signedBySDK(t, "POST", "https://h/", "", "ec2", nil)
		time.Sleep(14 * time.Minute)
		v := verifier("ec2")
		v.Skew = 15 * time.Minute
		if _, err := v.Verify(r, nil); err != nil {
			t.Errorf("14 minutes of 15: %v", err)
		}
	})
}

// Over a real connection net/http moves Host and Content-Length out of the headers; signatures must survive that.
func TestVerifyBehindAServer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if _, err := verifier("svc").Verify(r, body); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	}))
	defer srv.Close()
	r := signedBySDK(t, "POST", srv.URL+"/x?a=1", "hello", "svc", map[string]string{"Content-Type": "text/plain"})
	r.RequestURI = "" // httptest makes server requests
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if msg, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d: %s", resp.StatusCode, msg)
	}
}

func replace(old, with string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
	}
}

func flipLast(r *http.Request) {
	a := []byte(r.Header.Get("Authorization"))
	a[len(a)-1] ^= 1
	r.Header.Set("Authorization", string(a))
}
