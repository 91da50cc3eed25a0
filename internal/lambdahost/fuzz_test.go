package lambdahost

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// The fuzz targets hold the mapping to what it is for: a handler sees what the event says, no more and no less, and a
// front is told what the handler wrote, byte for byte.

func seed(f *testing.F, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		f.Fatal("no events in", pattern, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
}

// echo answers with the request's body, after look has looked at the request.
func echo(t *testing.T, look func(*http.Request, []byte)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		look(r, body)
		describe(&recorder{header: http.Header{}}, r) // reads all that a handler may read
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Add("Set-Cookie", "a=1")
		w.Write(body)
	})
}

// sameHeaders: every header of the event reached the handler with its values, but those that mean nothing in it.
func sameHeaders(t *testing.T, r *http.Request, want http.Header) {
	want = want.Clone()
	for _, name := range append([]string{"Host"}, hopByHop...) {
		want.Del(name)
	}
	for name, values := range r.Header {
		got := slices.Sorted(slices.Values(values))
		if !slices.Equal(got, slices.Sorted(slices.Values(want[name]))) {
			t.Errorf("header %q: the handler sees %q, the event has %q", name, got, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("the handler does not see %v", want)
	}
}

func sameRequest(t *testing.T, r *http.Request, method string, body, want []byte) {
	if r.Method != method || string(body) != string(want) {
		t.Errorf("the handler sees %s %q, want %s %q", r.Method, body, method, want)
	}
	if r.URL.Path == "" || r.Host == "" && r.Header.Get("Host") != "" || r.URL.Host != r.Host || r.ContentLength != int64(len(want)) {
		t.Errorf("a request that no server would hand on: %+v", r)
	}
	if _, err := netip.ParseAddrPort(r.RemoteAddr); err != nil && r.RemoteAddr != "" {
		t.Errorf("RemoteAddr %q is no address", r.RemoteAddr)
	}
}

// answered: the front is told what was written; 400 is our own.
func answered(t *testing.T, called bool, status int, cookies []string, body string, encoded bool, method string, want []byte) {
	if !called {
		if status != 400 {
			t.Errorf("the handler was not called, and the answer is %d", status)
		}
		return
	}
	got := []byte(body)
	if encoded {
		var err error
		if got, err = base64.StdEncoding.DecodeString(body); err != nil {
			t.Error(err)
		}
	}
	if method == http.MethodHead {
		want = nil
	}
	if status != 200 || !slices.Equal(cookies, []string{"a=1"}) || string(got) != string(want) {
		t.Errorf("the front is told %d %q %q, want 200, a cookie and %q", status, cookies, got, want)
	}
}

func FuzzALBEvent(f *testing.F) {
	seed(f, "testdata/*.json")
	f.Add(event(singleValue))
	f.Add([]byte(`{"requestContext":{"elb":{"targetGroupArn":"a"}},"httpMethod":"GET","path":"//x/../y","multiValueHeaders":{"Host":["h"],"host":["h"]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e events.ALBTargetGroupRequest
		called, body := false, []byte(nil)
		out, err := ALB(echo(t, func(r *http.Request, got []byte) {
			called = true
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Fatal(err)
			}
			if body = []byte(e.Body); e.IsBase64Encoded {
				body, _ = base64.StdEncoding.DecodeString(e.Body)
			}
			sameRequest(t, r, e.HTTPMethod, got, body)
			headers, pairs := http.Header{}, []string{}
			for name, value := range e.Headers {
				headers.Add(name, value)
			}
			for name, values := range e.MultiValueHeaders {
				for _, value := range values {
					headers.Add(name, value)
				}
			}
			sameHeaders(t, r, headers)
			if e.MultiValueQueryStringParameters == nil {
				for name, value := range e.QueryStringParameters {
					pairs = append(pairs, name+"="+value)
				}
			}
			for name, values := range e.MultiValueQueryStringParameters {
				for _, value := range values {
					pairs = append(pairs, name+"="+value)
				}
			}
			if len(r.URL.RawQuery) != len(strings.Join(pairs, "&")) || slices.ContainsFunc(pairs, func(p string) bool { return !strings.Contains("&"+r.URL.RawQuery+"&", "&"+p+"&") }) {
				t.Errorf("the query is %q, the event has %q", r.URL.RawQuery, pairs)
			}
			if path, err := url.PathUnescape(e.Path); err != nil || r.URL.Path != path {
				t.Errorf("the path is %q, the event has %q", r.URL.Path, e.Path)
			}
		}), slog.New(slog.DiscardHandler))(t.Context(), raw)
		if err != nil {
			if !errors.Is(err, errALB) {
				t.Errorf("got %v, want a response or errALB", err)
			}
			return
		}
		json.Unmarshal(raw, &e)
		var a events.ALBTargetGroupResponse
		if err := json.Unmarshal(out.(json.RawMessage), &a); err != nil {
			t.Fatal(err)
		}
		if (a.MultiValueHeaders != nil) != (e.MultiValueHeaders != nil) || (a.MultiValueHeaders == nil) == (a.Headers == nil) {
			t.Errorf("answered in the wrong form: %s", out)
		}
		cookies := a.MultiValueHeaders["Set-Cookie"]
		if a.Headers != nil {
			cookies = []string{a.Headers["Set-Cookie"]}
		}
		answered(t, called, a.StatusCode, cookies, a.Body, a.IsBase64Encoded, e.HTTPMethod, body)
	})
}

func FuzzHTTPAPIEvent(f *testing.F) {
	seed(f, "testdata/httpapi/*.json")
	f.Add(httpEvent(func(e *events.APIGatewayV2HTTPRequest) { e.RawPath, e.Cookies = "/%zz?x", []string{"a=1", "b=2"} }))
	f.Add(httpEvent(func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.Stage, e.RawPath = "prod", "/prod/x" }))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e events.APIGatewayV2HTTPRequest
		called, body := false, []byte(nil)
		out, err := HTTPAPI(echo(t, func(r *http.Request, got []byte) {
			called = true
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Fatal(err)
			}
			if body = []byte(e.Body); e.IsBase64Encoded {
				body, _ = base64.StdEncoding.DecodeString(e.Body)
			}
			sameRequest(t, r, e.RequestContext.HTTP.Method, got, body)
			headers := http.Header{}
			for name, value := range e.Headers {
				headers.Add(name, value)
			}
			if len(e.Cookies) > 0 {
				headers.Set("Cookie", strings.Join(e.Cookies, "; "))
			}
			sameHeaders(t, r, headers)
			if r.URL.RawQuery != e.RawQueryString {
				t.Errorf("the query is %q, the event has %q", r.URL.RawQuery, e.RawQueryString)
			}
			path := e.RawPath
			if s := e.RequestContext.Stage; s != "" && s != "$default" {
				if p := strings.TrimPrefix(path, "/"+s); p == "" {
					path = "/"
				} else if p[0] == '/' {
					path = p
				}
			}
			if once, _ := url.PathUnescape(path); r.URL.Path != path && r.URL.Path != once {
				t.Errorf("the path is %q, the event has %q", r.URL.Path, e.RawPath)
			}
			if again, err := url.ParseRequestURI(r.RequestURI); err != nil || again.Path != r.URL.Path || again.RawQuery != r.URL.RawQuery {
				t.Errorf("the target %q does not mean %s", r.RequestURI, r.URL)
			}
			if name := (&url.URL{Host: r.Host}).Hostname(); !strings.EqualFold(name, e.RequestContext.DomainName) {
				t.Errorf("the host is %q, the gateway was called by %q", r.Host, e.RequestContext.DomainName)
			}
		}), slog.New(slog.DiscardHandler))(t.Context(), raw)
		if err != nil {
			if !errors.Is(err, errHTTPAPI) {
				t.Errorf("got %v, want a response or errHTTPAPI", err)
			}
			return
		}
		var a events.APIGatewayV2HTTPResponse
		if err := json.Unmarshal(out.(json.RawMessage), &a); err != nil {
			t.Fatal(err)
		}
		answered(t, called, a.StatusCode, a.Cookies, a.Body, a.IsBase64Encoded, e.RequestContext.HTTP.Method, body)
	})
}
