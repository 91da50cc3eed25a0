package signin

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestProbeKeyServer(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		err    error
		good   bool
	}{
		"knows no such key":      {404, nil, true},
		"says so as S3 does":     {403, nil, true},
		"in trouble":             {500, nil, false},
		"redirects":              {302, nil, false},
		"cannot be reached":      {0, errors.New("no route to host"), false},
		"answers what is no key": {200, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if got := r.URL.String(); got != "https://public-keys.auth.elb.eu-central-1.amazonaws.com/"+noKey {
						t.Errorf("asked %s", got)
					}
					return &http.Response{StatusCode: tt.status, Body: io.NopCloser(strings.NewReader("x")), Header: http.Header{}, Request: r}, tt.err
				})}
				err := ProbeKeyServer(t.Context(), client, "eu-central-1")
				if (err == nil) != tt.good || err != nil && !errors.Is(err, ErrKeyServer) {
					t.Errorf("got %v, want good: %t", err, tt.good)
				}
			})
		})
	}
}

func TestProbeIssuer(t *testing.T) {
	for name, tt := range map[string]struct {
		path   string // that is answered otherwise
		answer func() (*http.Response, error)
		words  string // of the error; empty: it is well
	}{
		"well": {"", nil, ""},
		"away": {"/openid-configuration", func() (*http.Response, error) { return nil, errors.New("no route to host") }, "discovery"},
		"somebody else": {"/openid-configuration", func() (*http.Response, error) {
			return says(200, map[string]any{"issuer": "https://other.example"}), nil
		}, "discovery"},
		"without keys": {"/keys", func() (*http.Response, error) { return says(200, map[string]any{"keys": []any{}}), nil }, "keys: none"},
		"with shared keys": {"/keys", func() (*http.Response, error) {
			return says(200, map[string]any{"keys": []any{map[string]string{"kty": "oct"}}}), nil
		}, "keys: none"},
		"keys in trouble": {"/keys", func() (*http.Response, error) { return says(503, nil), nil }, "keys: "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newOP(t)
				p.answer = func(r *http.Request) (*http.Response, error, bool) {
					if tt.path == "" || !strings.HasSuffix(r.URL.Path, tt.path) {
						return nil, nil, false
					}
					answer, err := tt.answer()
					return answer, err, true
				}
				err := ProbeIssuer(t.Context(), &http.Client{Transport: p}, opIssuer)
				if (err == nil) != (tt.words == "") || err != nil && (!errors.Is(err, ErrIssuer) || !strings.Contains(err.Error(), tt.words)) {
					t.Errorf("got %v, want %q", err, tt.words)
				}
			})
		})
	}
}
