package signin

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

const (
	testARN    = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/vpn/0123456789abcdef"
	testClient = "5abcdefghijklmnop0123456789"
	testIssuer = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEfGhI"
	testKid    = "7f3a1c2e-9b1d-4c5a-8e2f-0a1b2c3d4e5f"
)

// mint makes tokens as the load balancer does, from literal JSON text and with nothing of the verifier's: base64url
// with padding, an ES256 signature as R and S over the padded text.
type mint struct {
	key             *ecdsa.PrivateKey
	header, payload string
	enc             *base64.Encoding
	sign            func(text string) []byte
}

func newMint(key *ecdsa.PrivateKey, now time.Time) mint {
	exp := now.Add(2 * time.Minute).Unix()
	return mint{
		key: key,
		header: fmt.Sprintf(`{"typ":"JWT","kid":%q,"alg":"ES256","iss":%q,"client":%q,"signer":%q,"exp":%d}`,
			testKid, testIssuer, testClient, testARN, exp),
		payload: fmt.Sprintf(`{"sub":"8d6c7b5a-0000-4000-8000-1234567890ab","identities":"[{\"userId\":\"alice@corp.example\",\"providerName\":\"IdentityCenter\",\"providerType\":\"SAML\",\"primary\":\"true\"}]",`+
			`"email_verified":"false","email":"alice@corp.example","username":"IdentityCenter_alice@corp.example","exp":%d,"iss":%q}`, exp, testIssuer),
		enc: base64.URLEncoding,
	}
}

func (m mint) String() string {
	text := m.enc.EncodeToString([]byte(m.header)) + "." + m.enc.EncodeToString([]byte(m.payload))
	sign := m.sign
	if sign == nil {
		sign = func(text string) []byte {
			sum := sha256.Sum256([]byte(text))
			r, s, err := ecdsa.Sign(rand.Reader, m.key, sum[:])
			if err != nil {
				panic(err)
			}
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	}
	return text + "." + m.enc.EncodeToString(sign(text))
}

func publicPEM(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// transport is the key server, without a network.
type transport func(r *http.Request) (int, string)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	status, body := f(r)
	if status == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://elsewhere.example/key"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func newKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func config(keys transport) ALBConfig {
	return ALBConfig{ARN: testARN, ClientID: testClient, Issuer: testIssuer, Region: "us-east-1",
		Client: &http.Client{Transport: keys}, Log: slog.New(slog.DiscardHandler)}
}

func newALB(t testing.TB, keys transport) *ALB {
	t.Helper()
	a, err := NewALB(config(keys))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ask(a *ALB, tokens ...string) (access.Identity, error) {
	r := httptest.NewRequest("GET", "/", nil)
	for _, t := range tokens {
		r.Header.Add("x-amzn-oidc-data", t)
	}
	// What a client could send along must never matter.
	r.Header.Set("x-amzn-oidc-identity", "somebody-else")
	return a.Authenticate(r)
}

func TestTokens(t *testing.T) {
	key := newKey(t, elliptic.P256())
	otherARN := strings.Replace(testARN, "0123456789abcdef", "fedcba9876543210", 1)
	edit := func(part *string, old, new string) {
		if !strings.Contains(*part, old) {
			t.Fatalf("the test edits %q, which is not in %s", old, *part)
		}
		*part = strings.Replace(*part, old, new, 1)
	}
	now := time.Now()
	exp := fmt.Sprint(now.Add(2 * time.Minute).Unix())
	at := func(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }
	tests := map[string]struct {
		change func(*mint)
		raw    func(string) []string // from the minted token to what is sent
		want   error                 // nil: accepted
		asked  bool                  // whether the key server may be asked
	}{
		"a token as the load balancer makes it, padded": {asked: true},
		"the same without padding":                      {change: func(m *mint) { m.enc = base64.RawURLEncoding }, asked: true},
		"email_verified as a boolean":                   {change: func(m *mint) { edit(&m.payload, `"email_verified":"false"`, `"email_verified":true`) }, asked: true},
		"no iss and no exp in the payload, as far as AWS documents": {asked: true, change: func(m *mint) {
			edit(&m.payload, `,"exp":`+exp+`,"iss":"`+testIssuer+`"`, "")
		}},
		"expired 20 seconds ago, within the leeway": {asked: true, change: func(m *mint) {
			edit(&m.header, exp, at(-20*time.Second))
		}},

		"no token":                               {raw: func(string) []string { return nil }, want: ErrNoToken},
		"an empty header":                        {raw: func(string) []string { return []string{""} }, want: ErrToken},
		"the header twice, though both are good": {raw: func(s string) []string { return []string{s, s} }, want: ErrToken},
		"two tokens joined by a comma":           {raw: func(s string) []string { return []string{s + "," + s} }, want: ErrToken},
		"two segments":                           {raw: func(s string) []string { return []string{s[:strings.LastIndexByte(s, '.')]} }, want: ErrToken},
		"four segments":                          {raw: func(s string) []string { return []string{s + ".e30="} }, want: ErrToken},
		"an empty signature":                     {raw: func(s string) []string { return []string{s[:strings.LastIndexByte(s, '.')+1]} }, want: ErrToken},
		"more than 16 KB": {want: ErrToken, change: func(m *mint) {
			edit(&m.payload, `"sub"`, `"pad":"`+strings.Repeat("x", 16<<10)+`","sub"`)
		}},
		"the other base64 alphabet": {want: ErrToken, change: func(m *mint) { // '?' three times encodes with a '_' or '/'
			m.enc = base64.StdEncoding
			edit(&m.header, `"typ"`, `"x":"???>>>","typ"`)
		}},
		"padding where none belongs":           {raw: func(s string) []string { return []string{strings.Replace(s, ".", "=.", 1)} }, want: ErrToken},
		"a line break inside":                  {raw: func(s string) []string { return []string{s[:10] + "\r\n" + s[10:]} }, want: ErrToken},
		"a header that is no object":           {change: func(m *mint) { m.header = `["ES256"]` }, want: ErrToken},
		"text after the header":                {change: func(m *mint) { m.header += "{}" }, want: ErrToken},
		"a payload that is no JSON":            {change: func(m *mint) { m.payload = "sub=alice" }, want: ErrToken},
		"signer twice, ours first":             {change: func(m *mint) { edit(&m.header, `"exp"`, `"signer":"`+otherARN+`","exp"`) }, want: ErrToken},
		"signer twice, ours last":              {change: func(m *mint) { edit(&m.header, `"typ"`, `"signer":"`+otherARN+`","typ"`) }, want: ErrToken},
		"an extension that must be understood": {change: func(m *mint) { edit(&m.header, `"typ"`, `"crit":["b64"],"typ"`) }, want: ErrToken},

		"algorithm none": {want: ErrToken, change: func(m *mint) {
			edit(&m.header, "ES256", "none")
			m.sign = func(string) []byte { return nil }
		}},
		"algorithm HS256, with the public key as the secret": {want: ErrToken, change: func(m *mint) {
			edit(&m.header, "ES256", "HS256")
			secret := publicPEM(t, m.key.Public())
			m.sign = func(text string) []byte {
				h := hmac.New(sha256.New, []byte(secret))
				h.Write([]byte(text))
				return h.Sum(nil)
			}
		}},
		"algorithm RS256": {want: ErrToken, change: func(m *mint) {
			edit(&m.header, "ES256", "RS256")
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			m.sign = func(text string) []byte {
				sum := sha256.Sum256([]byte(text))
				s, _ := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
				return s
			}
		}},
		"es256 in lower case":   {change: func(m *mint) { edit(&m.header, "ES256", "es256") }, want: ErrToken},
		"typ is something else": {change: func(m *mint) { edit(&m.header, `"typ":"JWT"`, `"typ":"at+jwt"`) }, want: ErrToken},

		"another load balancer of the Region": {change: func(m *mint) { edit(&m.header, testARN, otherARN) }, want: ErrToken},
		"our ARN with something behind it":    {change: func(m *mint) { edit(&m.header, testARN, testARN+"0") }, want: ErrToken},
		"only the beginning of our ARN":       {change: func(m *mint) { edit(&m.header, testARN, testARN[:len(testARN)-1]) }, want: ErrToken},
		"no signer":                           {change: func(m *mint) { edit(&m.header, `"signer":"`+testARN+`",`, "") }, want: ErrToken},
		"Signer, spelt with a capital":        {change: func(m *mint) { edit(&m.header, `"signer"`, `"Signer"`) }, want: ErrToken},
		"signer as a list with ours in it":    {change: func(m *mint) { edit(&m.header, `"`+testARN+`"`, `["`+testARN+`"]`) }, want: ErrToken},
		"another app client":                  {change: func(m *mint) { edit(&m.header, testClient, "another") }, want: ErrToken},
		"another issuer in the header":        {change: func(m *mint) { edit(&m.header, "us-east-1_AbC", "us-east-1_XyZ") }, want: ErrToken},
		"another issuer in the payload":       {change: func(m *mint) { edit(&m.payload, "us-east-1_AbC", "us-east-1_XyZ") }, want: ErrToken, asked: true},
		"expired in the header only, no exp beneath": {want: ErrToken, change: func(m *mint) {
			edit(&m.header, exp, at(-time.Minute))
			edit(&m.payload, `"exp":`+exp+`,`, "")
		}},
		"expired in the payload only": {change: func(m *mint) { edit(&m.payload, exp, at(-time.Minute)) }, want: ErrToken, asked: true},
		"good for an hour":            {change: func(m *mint) { edit(&m.header, exp, at(time.Hour)) }, want: ErrToken},
		"no exp in the header":        {change: func(m *mint) { edit(&m.header, `,"exp":`+exp, "") }, want: ErrToken},
		"exp as a string":             {change: func(m *mint) { edit(&m.header, exp, `"`+exp+`"`) }, want: ErrToken},
		"exp with a fraction":         {change: func(m *mint) { edit(&m.header, exp, exp+".5") }, want: ErrToken},
		"exp null":                    {change: func(m *mint) { edit(&m.header, exp, "null") }, want: ErrToken},
		"exp beyond an integer":       {change: func(m *mint) { edit(&m.header, exp, exp+"000000000000") }, want: ErrToken},
		"exp where times overflow":    {change: func(m *mint) { edit(&m.header, exp, "9223372036854775807") }, want: ErrToken},

		"kid that climbs":       {change: func(m *mint) { edit(&m.header, testKid, "../"+testKid) }, want: ErrToken},
		"kid as an address":     {change: func(m *mint) { edit(&m.header, testKid, "https://elsewhere.example/"+testKid) }, want: ErrToken},
		"kid in upper case":     {change: func(m *mint) { edit(&m.header, testKid, strings.ToUpper(testKid)) }, want: ErrToken},
		"kid with a line break": {change: func(m *mint) { edit(&m.header, testKid, testKid+`\n`) }, want: ErrToken},
		"no kid":                {change: func(m *mint) { edit(&m.header, `"kid":"`+testKid+`",`, "") }, want: ErrToken},

		"signature in DER": {want: ErrToken, change: func(m *mint) {
			m.sign = func(text string) []byte {
				sum := sha256.Sum256([]byte(text))
				der, _ := ecdsa.SignASN1(rand.Reader, m.key, sum[:])
				return der
			}
		}},
		"signed by another key of ours": {change: func(m *mint) { m.key = newKey(t, elliptic.P256()) }, want: ErrToken, asked: true},
		"signature of zeros":            {change: func(m *mint) { m.sign = func(string) []byte { return make([]byte, 64) } }, want: ErrToken, asked: true},
		"signed over the text without its padding": {want: ErrToken, asked: true, change: func(m *mint) {
			sign := *m
			m.sign = func(text string) []byte {
				sum := sha256.Sum256([]byte(strings.ReplaceAll(text, "=", "")))
				r, s, _ := ecdsa.Sign(rand.Reader, sign.key, sum[:])
				return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
			}
			for !strings.Contains(base64.URLEncoding.EncodeToString([]byte(m.payload)), "=") {
				m.payload += " "
			}
		}},
		"payload swapped after signing": {want: ErrToken, asked: true, raw: func(s string) []string {
			p := strings.Split(s, ".")
			p[1] = base64.URLEncoding.EncodeToString([]byte(`{"sub":"mallory"}`))
			return []string{strings.Join(p, ".")}
		}},
		"no sub":       {change: func(m *mint) { edit(&m.payload, `"sub"`, `"sup"`) }, want: ErrToken, asked: true},
		"an empty sub": {change: func(m *mint) { edit(&m.payload, "8d6c7b5a-0000-4000-8000-1234567890ab", "") }, want: ErrToken, asked: true},
		"an operator's sub": {want: ErrToken, asked: true, change: func(m *mint) {
			edit(&m.payload, "8d6c7b5a-0000-4000-8000-1234567890ab", "arn:aws:iam::111122223333:user/operator")
		}},
		"the sub of nobody, who opened it by hand": {want: ErrToken, asked: true, change: func(m *mint) {
			edit(&m.payload, "8d6c7b5a-0000-4000-8000-1234567890ab", string(latch.ByHandSubject))
		}},
		"sub as a number": {change: func(m *mint) { edit(&m.payload, `"8d6c7b5a-0000-4000-8000-1234567890ab"`, "7") }, want: ErrToken, asked: true},
		"sub with a line break": {want: ErrToken, asked: true, change: func(m *mint) {
			edit(&m.payload, "8d6c7b5a", `8d6c\n7b5a`)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			a := newALB(t, func(r *http.Request) (int, string) {
				asked.Add(1)
				if got, want := r.URL.String(), "https://public-keys.auth.elb.us-east-1.amazonaws.com/"+testKid; got != want {
					t.Errorf("asked %s, want %s: only the configured Region's key server may be asked", got, want)
				}
				return 200, publicPEM(t, key.Public())
			})
			m := newMint(key, now)
			if tt.change != nil {
				tt.change(&m)
			}
			sent := []string{m.String()}
			if tt.raw != nil {
				sent = tt.raw(m.String())
			}
			p, err := ask(a, sent...)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got error %v, want %v", err, tt.want)
			}
			if tt.want == nil {
				want := access.Identity{Principal: latch.Principal{Subject: "8d6c7b5a-0000-4000-8000-1234567890ab", Issuer: testIssuer, Name: "alice@corp.example", Email: "alice@corp.example"}}
				if !reflect.DeepEqual(p, want) {
					t.Errorf("got %+v, want %+v", p, want)
				}
			} else if !reflect.DeepEqual(p, access.Identity{}) {
				t.Errorf("a refused token named %+v; nobody must come with an error", p)
			}
			if got := asked.Load() > 0; got != tt.asked {
				t.Errorf("key server asked: %v, want %v: what can be refused without a network call must be", got, tt.asked)
			}
			if err != nil && len(sent) > 0 && len(sent[0]) > 50 && strings.Contains(err.Error(), sent[0][:50]) {
				t.Errorf("the error repeats the token, and errors are logged: %v", err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	key := newKey(t, elliptic.P256())
	for name, tt := range map[string]struct{ payload, name, email string }{
		"a full name wins":                       {`"name":"Alice Kim","username":"u","email":"a@x"`, "Alice Kim", "a@x"},
		"else given and family name":             {`"given_name":"Alice","family_name":"Kim","username":"u"`, "Alice Kim", ""},
		"else the e-mail address":                {`"username":"IdentityCenter_602dc3bb","email":"a@x"`, "a@x", "a@x"},
		"else the user name":                     {`"username":"IdentityCenter_alice"`, "IdentityCenter_alice", ""},
		"without the provider when it is known":  {`"username":"IdentityCenter_alice","identities":"[{\"userId\":\"alice\",\"providerName\":\"IdentityCenter\"}]"`, "alice", ""},
		"control characters go":                  {`"name":"Al\u0007ice\n"`, "Alice", ""},
		"a name of the wrong kind is no refusal": {`"name":["x"],"identities":7,"username":"u"`, "u", ""},
		"nothing at all":                         {`"x":1`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newALB(t, func(*http.Request) (int, string) { return 200, publicPEM(t, key.Public()) })
			m := newMint(key, time.Now())
			m.payload = `{"sub":"s",` + tt.payload + `}`
			p, err := ask(a, m.String())
			if err != nil || p.Name != tt.name || p.Email != tt.email {
				t.Errorf("got %q <%s>, %v; want %q <%s>", p.Name, p.Email, err, tt.name, tt.email)
			}
		})
	}
}

func TestKeyServer(t *testing.T) {
	key := newKey(t, elliptic.P256())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		status int
		body   string
		want   error
		again  time.Duration // when a second fetch is due
	}{
		"404: nobody's key":             {404, "no such key", ErrToken, missLife},
		"403, as S3 has it":             {403, "<Error><Code>AccessDenied</Code></Error>", ErrToken, missLife},
		"500":                           {500, "oops", ErrKeyServer, failureLife},
		"a redirect is not followed":    {302, "", ErrKeyServer, failureLife},
		"no answer in three seconds":    {0, "", ErrKeyServer, failureLife},
		"a page of HTML":                {200, "<!doctype html><title>Sign in</title>", ErrKeyServer, failureLife},
		"an RSA key":                    {200, publicPEM(t, rsaKey.Public()), ErrKeyServer, failureLife},
		"a key on another curve":        {200, publicPEM(t, newKey(t, elliptic.P384()).Public()), ErrKeyServer, failureLife},
		"a certificate instead":         {200, strings.ReplaceAll(publicPEM(t, key.Public()), "PUBLIC KEY", "CERTIFICATE"), ErrKeyServer, failureLife},
		"a good key behind 8 KB of air": {200, strings.Repeat("\n", 8<<10) + publicPEM(t, key.Public()), ErrKeyServer, failureLife},
		"a good key":                    {200, publicPEM(t, key.Public()), nil, keyLife},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fetches := 0
				a := newALB(t, func(r *http.Request) (int, string) {
					fetches++
					if r.URL.Host != "public-keys.auth.elb.us-east-1.amazonaws.com" {
						t.Errorf("asked %s", r.URL)
					}
					return tt.status, tt.body
				})
				try := func() {
					t.Helper()
					if _, err := ask(a, newMint(key, time.Now()).String()); !errors.Is(err, tt.want) {
						t.Fatalf("got %v, want %v", err, tt.want)
					}
				}
				began := time.Now()
				try()
				if d := time.Since(began); d > 3*time.Second {
					t.Errorf("the person waited %v, want at most 3s", d)
				}
				time.Sleep(tt.again - time.Millisecond)
				try()
				if fetches != 1 {
					t.Errorf("%d fetches within %v, want the answer to be remembered", fetches, tt.again)
				}
				time.Sleep(time.Millisecond)
				try()
				if fetches != 2 {
					t.Errorf("%d fetches after %v, want a second one", fetches, tt.again)
				}
			})
		})
	}
}

func TestOneFetchForManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t, elliptic.P256())
		var fetches atomic.Int32
		a := newALB(t, func(r *http.Request) (int, string) {
			fetches.Add(1)
			time.Sleep(time.Second)
			if r.Context().Err() != nil {
				return 500, ""
			}
			return 200, publicPEM(t, key.Public())
		})
		token := newMint(key, time.Now()).String()
		// The first one's browser goes away in the middle of the fetch; the others must not notice.
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("x-amzn-oidc-data", token)
				if i == 0 {
					r = r.WithContext(first)
				} else {
					time.Sleep(time.Microsecond)
				}
				if _, err := a.Authenticate(r); err != nil {
					t.Errorf("request %d: %v", i, err)
				}
			})
		}
		time.Sleep(time.Millisecond)
		cancel()
		wg.Wait()
		if n := fetches.Load(); n != 1 {
			t.Errorf("%d fetches for 100 requests at once, want 1", n)
		}
	})
}

func TestInventedKidsCostLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t, elliptic.P256())
		fetches := 0
		a := newALB(t, func(r *http.Request) (int, string) {
			fetches++
			if strings.HasSuffix(r.URL.Path, testKid) {
				return 200, publicPEM(t, key.Public())
			}
			return 404, ""
		})
		good := newMint(key, time.Now()).String()
		if _, err := ask(a, good); err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			m := newMint(key, time.Now())
			m.header = strings.Replace(m.header, testKid, fmt.Sprintf("00000000-0000-4000-8000-%012d", i), 1)
			if _, err := ask(a, m.String()); err == nil {
				t.Fatal("an invented key was accepted")
			}
		}
		if fetches > perMinute {
			t.Errorf("%d fetches in a minute, want at most %d", fetches, perMinute)
		}
		if _, err := ask(a, good); err != nil {
			t.Errorf("the good key is gone: %v; invented ones must not push it out or use up its turn", err)
		}
		time.Sleep(time.Minute)
		m := newMint(key, time.Now())
		m.header = strings.Replace(m.header, testKid, "00000000-0000-4000-8000-999999999999", 1)
		if _, err := ask(a, m.String()); !errors.Is(err, ErrToken) {
			t.Errorf("a minute later: %v, want the server to be asked again", err)
		}
		if len(a.keys.misses) > maxMisses || len(a.keys.entries) > maxKeys {
			t.Errorf("%d misses and %d keys are kept, want at most %d and %d", len(a.keys.misses), len(a.keys.entries), maxMisses, maxKeys)
		}
	})
}

func TestKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t, elliptic.P256())
		a := newALB(t, func(*http.Request) (int, string) { return 200, publicPEM(t, key.Public()) })
		for i := range 3 * maxKeys {
			m := newMint(key, time.Now())
			m.header = strings.Replace(m.header, testKid, fmt.Sprintf("00000000-0000-4000-8000-%012d", i), 1)
			if _, err := ask(a, m.String()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		if len(a.keys.entries) != maxKeys {
			t.Errorf("%d keys are kept, want %d", len(a.keys.entries), maxKeys)
		}
	})
}

func TestConfiguration(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*ALBConfig)
		want   string // part of the error; empty: good
		url    string
	}{
		"commercial": {url: "https://public-keys.auth.elb.us-east-1.amazonaws.com/"},
		"GovCloud west": {url: "https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1/", change: func(c *ALBConfig) {
			c.Region, c.ARN = "us-gov-west-1", "arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:111122223333:loadbalancer/app/vpn/0123456789abcdef"
		}},
		"GovCloud east": {url: "https://s3-us-gov-east-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-east-1/", change: func(c *ALBConfig) {
			c.Region, c.ARN = "us-gov-east-1", "arn:aws-us-gov:elasticloadbalancing:us-gov-east-1:111122223333:loadbalancer/app/vpn/0123456789abcdef"
		}},
		"GovCloud region in the commercial partition": {want: "partition", change: func(c *ALBConfig) {
			c.Region, c.ARN = "us-gov-west-1", strings.Replace(testARN, "us-east-1", "us-gov-west-1", 1)
		}},
		"another region than the load balancer's": {want: "us-east-1", change: func(c *ALBConfig) { c.Region = "eu-west-1" }},
		"a region that would change the address":  {want: "not an AWS Region", change: func(c *ALBConfig) { c.Region = "evil.example/#" }},
		"part of an ARN":                          {want: "alb.arn", change: func(c *ALBConfig) { c.ARN = "loadbalancer/app/vpn/0123456789abcdef" }},
		"a network load balancer":                 {want: "alb.arn", change: func(c *ALBConfig) { c.ARN = strings.Replace(testARN, "/app/", "/net/", 1) }},
		"an ARN with a wildcard":                  {want: "alb.arn", change: func(c *ALBConfig) { c.ARN = strings.Replace(testARN, "0123456789abcdef", "*", 1) }},
		"no ARN":                                  {want: "alb.arn", change: func(c *ALBConfig) { c.ARN = "" }},
		"no client":                               {want: "client_id", change: func(c *ALBConfig) { c.ClientID = "" }},
		"no issuer":                               {want: "issuer", change: func(c *ALBConfig) { c.Issuer = "" }},
		"an issuer in the clear":                  {want: "issuer", change: func(c *ALBConfig) { c.Issuer = "http://cognito.example" }},
		"no HTTP client":                          {want: "required", change: func(c *ALBConfig) { c.Client = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(nil)
			if tt.change != nil {
				tt.change(&c)
			}
			a, err := NewALB(c)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want an error that names %q: without it every token would be refused, or worse", err, tt.want)
				}
				return
			}
			if err != nil || a.keys.base != tt.url {
				t.Fatalf("got %v, keys from %s; want %s", err, a.keys.base, tt.url)
			}
		})
	}
}

func TestLogHoldsNoToken(t *testing.T) {
	key := newKey(t, elliptic.P256())
	var log bytes.Buffer
	c := config(func(*http.Request) (int, string) { return 500, "" })
	c.Log = slog.New(slog.NewJSONHandler(&log, nil))
	a, err := NewALB(c)
	if err != nil {
		t.Fatal(err)
	}
	token := newMint(key, time.Now()).String()
	_, _ = ask(a, token)
	for s := range strings.SplitSeq(token, ".") {
		if strings.Contains(log.String(), s) {
			t.Errorf("the log repeats a part of the token:\n%s", log.String())
		}
	}
	if !strings.Contains(log.String(), `"no key"`) {
		t.Errorf("the operator is not told that the key server failed:\n%s", log.String())
	}
}

// FuzzAuthenticate: whatever the header holds, nobody gets in but by text that our load balancer signed, and nothing is
// fetched but a key of a well-formed id from the configured Region.
func FuzzAuthenticate(f *testing.F) {
	key := newKey(f, elliptic.P256())
	m := newMint(key, time.Now())
	good := m.String()
	f.Add(good)
	m.enc = base64.RawURLEncoding
	raw := m.String()
	f.Add(raw)
	f.Add("")
	f.Add("..")
	f.Add("e30=.e30=.AAAA")
	f.Add(strings.Replace(good, ".", "=.", 1))
	keyPEM := publicPEM(f, key.Public())
	f.Fuzz(func(t *testing.T, token string) {
		a := newALB(t, func(r *http.Request) (int, string) {
			if kid, ok := strings.CutPrefix(r.URL.String(), "https://public-keys.auth.elb.us-east-1.amazonaws.com/"); !ok || !kidForm.MatchString(kid) {
				t.Errorf("asked %s", r.URL)
			}
			return 200, keyPEM
		})
		p, err := ask(a, token)
		if err != nil {
			if !reflect.DeepEqual(p, access.Identity{}) {
				t.Errorf("an error and %+v", p)
			}
			return
		}
		signed := token[:max(0, strings.LastIndexByte(token, '.'))]
		if !strings.HasPrefix(good, signed+".") && !strings.HasPrefix(raw, signed+".") {
			t.Errorf("accepted text that was never signed: %q", token)
		}
	})
}
