package lambdahost

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// httpEvent makes an HTTP API's event, changed by edits.
func httpEvent(edits ...func(*events.APIGatewayV2HTTPRequest)) []byte {
	e := events.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: "$default", RawPath: "/", Headers: map[string]string{"host": "vpn.example.com"}}
	e.RequestContext.Stage, e.RequestContext.DomainName = "$default", "vpn.example.com"
	e.RequestContext.HTTP.Method, e.RequestContext.HTTP.SourceIP = "GET", "198.51.100.4"
	for _, edit := range edits {
		edit(&e)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return raw
}

func httpAnswer(t *testing.T, h http.Handler, raw []byte) events.APIGatewayV2HTTPResponse {
	t.Helper()
	sent := answerOf(t, HTTPAPI, h, raw, slog.New(slog.DiscardHandler))
	if len(sent) > 6_000_000 {
		t.Errorf("the answer has %d bytes; Lambda refuses more than 6 MB", len(sent))
	}
	for _, null := range []string{`"headers":null`, `"multiValueHeaders":null`, `"cookies":null`} {
		if bytes.Contains(sent, []byte(null)) {
			t.Errorf("the answer has %s, of which AWS does not say what it means", null)
		}
	}
	var a events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(sent, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// request is what the handler is given for an event.
func request(t *testing.T, edits ...func(*events.APIGatewayV2HTTPRequest)) *http.Request {
	t.Helper()
	var seen *http.Request
	a := httpAnswer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r }), httpEvent(edits...))
	if seen == nil {
		t.Fatalf("the handler was not called: %d %s", a.StatusCode, a.Body)
	}
	return seen
}

func TestResponsesBecomeHTTPAPIAnswers(t *testing.T) {
	type want = events.APIGatewayV2HTTPResponse
	type headers = map[string]string
	html := headers{"Content-Type": "text/html; charset=utf-8"}
	for name, tc := range map[string]struct {
		event []byte
		h     http.HandlerFunc
		want  want
	}{
		"cookies are a list beside the headers": {httpEvent(), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Set-Cookie", "a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
			w.Header().Add("Set-Cookie", "b=2; Path=/")
			w.WriteHeader(303)
		}, want{StatusCode: 303, Headers: headers{}, Cookies: []string{"a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=2; Path=/"}}},
		"a header that was set twice is a list": {httpEvent(), func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Vary"] = []string{"Accept", "Cookie"}
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, "ok")
		}, want{StatusCode: 200, Body: "ok", Headers: headers{"Vary": "Accept, Cookie", "Content-Type": "text/plain"}, Cookies: []string{}}},
		"bytes that are no UTF-8 travel as base64": {httpEvent(), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			w.Write([]byte{0x89, 'P', 0xff})
		}, want{StatusCode: 200, Body: "iVD/", IsBase64Encoded: true, Headers: headers{"Content-Type": "image/png"}, Cookies: []string{}}},
		"hop-by-hop headers and the length stay behind": {httpEvent(), func(w http.ResponseWriter, r *http.Request) {
			for _, name := range append([]string{"Content-Length"}, hopByHop...) {
				w.Header().Set(name, "1")
			}
			w.WriteHeader(404)
		}, want{StatusCode: 404, Headers: headers{}, Cookies: []string{}}},
		"HEAD has the headers and no body": {httpEvent(func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.HTTP.Method = "HEAD" }), func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "<!doctype html>")
		}, want{StatusCode: 200, Headers: html, Cookies: []string{}}},
		"a line break cannot start another header": {httpEvent(), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/\r\nSet-Cookie: x=1")
			w.Header().Set("Set-Cookie", "y=1\nz=2")
			w.WriteHeader(302)
		}, want{StatusCode: 302, Headers: headers{"Location": "/  Set-Cookie: x=1"}, Cookies: []string{"y=1 z=2"}}},
		"a handler that writes nothing answers 200": {httpEvent(), func(http.ResponseWriter, *http.Request) {},
			want{StatusCode: 200, Headers: headers{}, Cookies: []string{}}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.MultiValueHeaders = map[string][]string{}
			if got := httpAnswer(t, tc.h, tc.event); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

// What a client can write into its request must not become what the front says of it.
func TestHTTPAPIBelievesTheGatewayAlone(t *testing.T) {
	r := request(t, func(e *events.APIGatewayV2HTTPRequest) {
		maps.Copy(e.Headers, map[string]string{"x-forwarded-for": "10.0.0.1", "x-forwarded-host": "evil.example", "x-forwarded-proto": "http", "x-forwarded-port": "80",
			"forwarded": "for=10.0.0.1;host=evil.example;proto=http", "x-real-ip": "10.0.0.1", "x-original-url": "/admin", "x-rewrite-url": "/admin", "x-http-method-override": "POST"})
	})
	if r.RemoteAddr != "198.51.100.4:0" || r.Host != "vpn.example.com" || r.URL.String() != "https://vpn.example.com/" || r.Method != "GET" {
		t.Errorf("got %s %s of %s from %s, want GET https://vpn.example.com/ from 198.51.100.4", r.Method, r.URL, r.Host, r.RemoteAddr)
	}
	for sourceIP, want := range map[string]string{
		"2001:db8::7": "[2001:db8::7]:0", "10.1.15.242:39870": "10.1.15.242:39870", "[2001:db8::7]:39870": "[2001:db8::7]:39870",
		"": "", "unknown": "", "198.51.100.4, 10.0.0.1": "",
	} {
		r := request(t, func(e *events.APIGatewayV2HTTPRequest) {
			e.RequestContext.HTTP.SourceIP, e.Headers["x-forwarded-for"] = sourceIP, "10.0.0.1"
		})
		if r.RemoteAddr != want {
			t.Errorf("sourceIp %q: RemoteAddr %q, want %q: no header stands in for what the gateway does not say", sourceIP, r.RemoteAddr, want)
		}
	}
}

func TestHTTPAPIPaths(t *testing.T) {
	for raw, want := range map[string]struct{ path, uri string }{
		"/capture/plain":         {"/capture/plain", "/capture/plain"},
		"/capture/space value":   {"/capture/space value", "/capture/space%20value"},
		"/capture/space%20value": {"/capture/space value", "/capture/space%20value"}, // should AWS leave it as it was
		"/capture/hash#value":    {"/capture/hash#value", "/capture/hash%23value"},
		"/capture/question?a=1":  {"/capture/question?a=1", "/capture/question%3Fa=1"},
		"/capture/literal%value": {"/capture/literal%value", "/capture/literal%25value"},
		"/capture/a%2Fb":         {"/capture/a/b", "/capture/a%2Fb"},
		"/capture/한":             {"/capture/한", "/capture/%ED%95%9C"},
		"//evil.example/x":       {"//evil.example/x", "//evil.example/x"},
		"/a/../b":                {"/a/../b", "/a/../b"},
		"/a\nb":                  {"/a\nb", "/a%0Ab"},
	} {
		r := request(t, func(e *events.APIGatewayV2HTTPRequest) { e.RawPath, e.RawQueryString = raw, "q=a%3Fb#c" })
		if r.URL.Path != want.path || r.RequestURI != want.uri+"?q=a%3Fb#c" || r.URL.RequestURI() != r.RequestURI || r.URL.RawQuery != "q=a%3Fb#c" {
			t.Errorf("%q: got path %q, target %q, query %q; want %q, %q and the query as it was", raw, r.URL.Path, r.RequestURI, r.URL.RawQuery, want.path, want.uri)
		}
	}
	for _, c := range []struct{ stage, raw, want string }{
		{"$default", "/$default/x", "/$default/x"},
		{"prod", "/prod/x", "/x"},
		{"prod", "/prod/", "/"},
		{"prod", "/prod", "/"},
		{"prod", "/product", "/product"},
		{"prod", "/x/prod/y", "/x/prod/y"},
		{"prod", "/prod//evil.example", "//evil.example"},
		{"", "/x", "/x"},
	} {
		r := request(t, func(e *events.APIGatewayV2HTTPRequest) { e.RequestContext.Stage, e.RawPath = c.stage, c.raw })
		if r.URL.Path != c.want {
			t.Errorf("stage %s: %s became %s, want %s", c.stage, c.raw, r.URL.Path, c.want)
		}
	}
}

func TestHTTPAPICookies(t *testing.T) {
	for name, c := range map[string]struct {
		cookies []string
		header  string
		want    []string
	}{
		"a list":                       {[]string{"a=1", "b=2"}, "", []string{"a=1; b=2"}},
		"none":                         {nil, "", nil},
		"the header's, without a list": {nil, "a=1; b=2", []string{"a=1; b=2"}},
		"both: they count once":        {[]string{"a=1", "b=2"}, "a=1; b=2", []string{"a=1; b=2"}},
	} {
		r := request(t, func(e *events.APIGatewayV2HTTPRequest) {
			if e.Cookies = c.cookies; c.header != "" {
				e.Headers["cookie"] = c.header
			}
		})
		if got := r.Header.Values("Cookie"); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestMalformedHTTPAPIRequestsAre400(t *testing.T) {
	type event = events.APIGatewayV2HTTPRequest
	for name, edit := range map[string]func(*event){
		"an absolute form, naming another host": func(e *event) { e.RawPath = "https://evil.example/" },
		"an empty path":                         func(e *event) { e.RawPath = "" },
		"no path but the stage's name":          func(e *event) { e.RequestContext.Stage, e.RawPath = "prod", "prod" },
		"a control character in the query":      func(e *event) { e.RawQueryString = "a=b\r\nc" },
		"a method that is no token":             func(e *event) { e.RequestContext.HTTP.Method = "GE T" },
		"another host than the gateway's":       func(e *event) { e.Headers["host"] = "evil.example" },
		"another host before the gateway's":     func(e *event) { e.Headers["host"] = "evil.example,vpn.example.com" },
		"the gateway's host as a user":          func(e *event) { e.Headers["host"] = "vpn.example.com@evil.example" },
		"another host with a port":              func(e *event) { e.Headers["host"] = "evil.example:443" },
		"the gateway's host with a name for a port": func(e *event) {
			e.Headers["host"] = "vpn.example.com:evil.example"
		},
		"two hosts": func(e *event) { e.Headers = map[string]string{"host": "vpn.example.com", "Host": "vpn.example.com"} },
	} {
		t.Run(name, func(t *testing.T) {
			h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
			if a := httpAnswer(t, h, httpEvent(edit)); a.StatusCode != 400 || a.Headers["Content-Type"] != "application/problem+json" {
				t.Errorf("got %d %v %s, want 400 and a problem document", a.StatusCode, a.Headers, a.Body)
			}
		})
	}
	if r := request(t, func(e *event) { e.Headers = map[string]string{} }); r.Host != "vpn.example.com" {
		t.Errorf("without a Host header: %q, want the domain that the gateway was called by", r.Host)
	}
}

func TestEventsOfAnotherFrontAreErrorsThatSaySo(t *testing.T) {
	discard := slog.New(slog.DiscardHandler)
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	for name, c := range map[string]struct{ raw, say string }{
		"an empty object, as a console's test sends": {`{}`, "requestContext.http.method"},
		"a load balancer's":                          {string(event()), "it is a load balancer's"},
		"a load balancer's, single-value":            {string(event(singleValue)), "it is a load balancer's"},
		"a schedule's":                               {`{"source":"aws.scheduler","detail":{}}`, "its source is aws.scheduler"},
		"an HTTP API's of format 1.0":                {`{"version":"1.0","httpMethod":"GET","path":"/","requestContext":{"stage":"$default"}}`, "payload format version 1.0"},
		"of a format to come":                        {strings.Replace(string(httpEvent()), `"2.0"`, `"3.0"`, 1), "payload format version to 2.0"},
		"a WebSocket API's":                          {`{"requestContext":{"eventType":"CONNECT","stage":"prod"}}`, "requestContext.http"},
		"no domain":                                  {`{"version":"2.0","rawPath":"/","headers":{},"requestContext":{"http":{"method":"GET"}}}`, "domainName"},
		"no headers":                                 {`{"version":"2.0","rawPath":"/","requestContext":{"domainName":"x","http":{"method":"GET"}}}`, "headers"},
		"not an object":                              {`"open"`, ""},
		"null":                                       {`null`, ""},
		"a list for a header":                        {`{"version":"2.0","headers":{"host":["x"]},"requestContext":{"domainName":"x","http":{"method":"GET"}}}`, ""},
		"a body that claims to be base64 and is not": {strings.Replace(string(httpEvent()), `"isBase64Encoded":false`, `"isBase64Encoded":true,"body":"%%"`, 1), "body"},
	} {
		_, err := HTTPAPI(h, discard)(t.Context(), []byte(c.raw))
		if err == nil || !strings.Contains(err.Error(), "not an HTTP API event") || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v, want an error that says it is not an HTTP API event, and %q", name, err, c.say)
		}
	}
	if _, err := ALB(h, discard)(t.Context(), httpEvent()); err == nil || !strings.Contains(err.Error(), "it is an HTTP API's") {
		t.Errorf("an HTTP API's event behind a load balancer: %v, want an error that says whose it is", err)
	}
}

func TestAnHTTPAPIAnswerThatIsTooLargeIsAProblemThatSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		fill   string
		n      int
		status int
	}{
		"more than a load balancer takes":       {"a", 1_100_000, 200},
		"just small enough":                     {"a", 5_999_000, 200},
		"too large":                             {"a", 6_000_001, 502},
		"too large only once encoded as base64": {"\xff", 4_600_000, 502},
	} {
		a := httpAnswer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Add("Set-Cookie", "session=secret")
			io.WriteString(w, strings.Repeat(c.fill, c.n))
		}), httpEvent())
		if a.StatusCode != c.status {
			t.Errorf("%s: got %d, want %d", name, a.StatusCode, c.status)
		}
		if a.StatusCode == 502 && (!strings.Contains(a.Body, "6 MB") || len(a.Cookies) > 0) {
			t.Errorf("%s: got %s and cookies %v, want a problem document that names the limit, and nothing of what was written", name, a.Body, a.Cookies)
		}
	}
}

func TestAPanicBehindAnHTTPAPIIsA500(t *testing.T) {
	var log bytes.Buffer
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Set-Cookie", "half=1")
		panic("no route")
	})
	var a events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(answerOf(t, HTTPAPI, h, httpEvent(), slog.New(slog.NewJSONHandler(&log, nil))), &a); err != nil {
		t.Fatal(err)
	}
	if a.StatusCode != 500 || len(a.Cookies) > 0 || strings.Contains(a.Body, "no route") || !strings.Contains(a.Body, "req-1") {
		t.Errorf("got %+v, want a 500 with the request id and without the cause", a)
	}
	if !strings.Contains(log.String(), `"panic":"no route"`) {
		t.Errorf("the log does not say why: %s", &log)
	}
}
