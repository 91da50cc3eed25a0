package httpapi

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

const (
	host        = "vpn.localhost:8443"
	functionARN = "arn:aws:lambda:us-east-1:111122223333:function:nightlatch-front"
)

var caller = sigv4.Credentials{AccessKeyID: "AKIDAPI", SecretAccessKey: "secret-of-the-gateway"}

// fn is the Lambda service with one function in it.
type fn struct {
	mu     sync.Mutex
	events [][]byte
	path   string
	answer func(w http.ResponseWriter) // replaces the ordinary answer
}

func (f *fn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	v := sigv4.Verifier{Service: "lambda", Region: "us-east-1", Lookup: func(id string) (sigv4.Credentials, bool) { return caller, id == caller.AccessKeyID }}
	if _, err := v.Verify(r, body); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	f.path = r.URL.EscapedPath()
	f.events = append(f.events, body)
	if f.answer != nil {
		f.answer(w)
		return
	}
	io.WriteString(w, `{"statusCode":200,"headers":{"Content-Type":"text/plain"},"body":"hello"}`)
}

// says makes every answer of the function this one.
func (f *fn) says(answer string) {
	f.answer = func(w http.ResponseWriter) { io.WriteString(w, answer) }
}

func (f *fn) last(t *testing.T) (e event) {
	t.Helper()
	if len(f.events) == 0 {
		t.Fatal("the function was not invoked")
	}
	if err := json.Unmarshal(f.events[len(f.events)-1], &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// world is an API with its function, joined in memory so that it runs in a synctest bubble.
type world struct {
	*Server
	fn  *fn
	log *bytes.Buffer
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "lambda.us-east-1.amazonaws.com" {
		return nil, fmt.Errorf("no such host: %s", r.URL.Host)
	}
	rec := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	w.fn.ServeHTTP(rec, in)
	if err := r.Context().Err(); err != nil { // the caller went away meanwhile
		return nil, err
	}
	return rec.Result(), nil
}

func newWorld(t *testing.T, edit func(*Config)) *world {
	t.Helper()
	w := &world{fn: &fn{}, log: &bytes.Buffer{}}
	c := Config{
		Region: "us-east-1", AccountID: "111122223333", APIID: "a1b2c3d4e5", Domain: "vpn.localhost",
		LambdaURL: "https://lambda.us-east-1.amazonaws.com", FunctionARN: functionARN, Caller: caller,
		Client: &http.Client{Transport: w}, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	if edit != nil {
		edit(&c)
	}
	var err error
	if w.Server, err = New(c); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) do(method, target, body string, header http.Header) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = host
	maps.Copy(r.Header, header)
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, r)
	return rec.Result()
}

func (w *world) get(target string) *http.Response { return w.do("GET", target, "", nil) }

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// refused: API Gateway answers itself, in its own form, says why in the log, and invokes nobody.
func (w *world) refused(t *testing.T, name string, resp *http.Response, status int, why string) {
	t.Helper()
	want := `{"message":"` + http.StatusText(status) + `"}`
	if got := text(t, resp); resp.StatusCode != status || got != want || resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Apigw-Requestid") == "" {
		t.Errorf("%s: got %d %s %v, want %d %s and a request id", name, resp.StatusCode, got, resp.Header, status, want)
	}
	if !strings.Contains(w.log.String(), "refused") || !strings.Contains(w.log.String(), why) {
		t.Errorf("%s: the log does not say %s:\n%s", name, why, w.log)
	}
	w.log.Reset()
}

func TestRequestsThatNeverReachTheFunction(t *testing.T) {
	type request struct {
		method, target, body string
		header               http.Header
	}
	room := maxHeaders - len("GET / HTTP/1.1") - len(host)
	for name, c := range map[string]struct {
		request
		status int
		why    string
	}{
		"a byte too much of headers":   {request{"GET", "/", "", http.Header{"X": {strings.Repeat("x", room), "y"}}}, 431, "HeadersTooLong"},
		"a byte too much of query":     {request{"GET", "/?" + strings.Repeat("x", room), "", nil}, 431, "HeadersTooLong"},
		"a WebSocket":                  {request{"GET", "/", "", http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}}}, 400, "does not upgrade"},
		"a method that no route names": {request{"TRACE", "/", "", nil}, 404, "no route can name"},
		"a byte more than 10 MB":       {request{"POST", "/", strings.Repeat("x", maxBody+1), nil}, 413, "RequestEntityTooLarge"},
		"a percent sign, encoded":      {request{"GET", "/percent%25done", "", nil}, 400, "percent sign"},
		"a path that is not UTF-8":     {request{"GET", "/%ff", "", nil}, 400, "not UTF-8"},
		"a query that is not UTF-8":    {request{"GET", "/?\xff", "", nil}, 400, "not UTF-8"},
		"a header that is not UTF-8":   {request{"GET", "/", "", http.Header{"X-Name": {"\xff"}}}, 400, "not UTF-8"},
		"the server and not a path":    {request{"OPTIONS", "*", "", nil}, 400, "no path"},
	} {
		w := newWorld(t, nil)
		w.refused(t, name, w.do(c.method, c.target, c.body, c.header), c.status, c.why)
		if n := len(w.fn.events); n > 0 {
			t.Errorf("%s: the function was invoked %d times", name, n)
		}
	}
	for name, c := range map[string]request{
		"as much as may be of headers": {"GET", "/", "", http.Header{"X": {strings.Repeat("x", room)}}},
		"10 MB of body":                {"POST", "/", strings.Repeat("x", maxBody), nil},
		"a lasting connection":         {"GET", "/", "", http.Header{"Connection": {"keep-alive"}}},
	} {
		w := newWorld(t, nil)
		if resp := w.do(c.method, c.target, c.body, c.header); resp.StatusCode != 200 {
			t.Errorf("%s: got %d, want 200\n%s", name, resp.StatusCode, w.log)
		}
	}
}

func TestEveryMethodOfARouteReachesTheFunction(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		w := newWorld(t, nil)
		resp := w.do(method, "/x", "", nil)
		if e := w.fn.last(t); resp.StatusCode != 200 || e.RequestContext.HTTP.Method != method || e.RouteKey != "$default" {
			t.Errorf("%s: got %d, and the event has %s %s", method, resp.StatusCode, e.RequestContext.HTTP.Method, e.RouteKey)
		}
	}
}

func TestTheLogSaysWhyAndHoldsNoSecret(t *testing.T) {
	w := newWorld(t, nil)
	w.fn.says(`{"statusCode":302,"headers":{"location":"/?state=sss-secret"},"cookies":["s=ccc-secret"]}`)
	w.do("POST", "/oauth2/callback?code=qqq-secret", "password=bbb-secret", http.Header{"Cookie": {"s=kkk-secret"}, "Authorization": {"Bearer aaa-secret"}})
	w.do("TRACE", "/oauth2/callback?code=qqq-secret", "", nil)
	w.fn.says(`{"statusCode":"ttt-secret","cookies":["s=ccc-secret"]}`)
	w.get("/")
	for _, want := range []string{`msg=hop to=httpapi what="POST /oauth2/callback" status=302`, `msg=refused to=httpapi what="TRACE /oauth2/callback" why=NotFound`, "statusCode is not of the type"} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, w.log)
		}
	}
	if strings.Contains(w.log.String(), "secret") {
		t.Errorf("the log holds a secret:\n%s", w.log)
	}
}

func TestOnlyItsOwnDomainFindsTheAPI(t *testing.T) {
	for name, c := range map[string]struct {
		host, sni string
		status    int
	}{
		"its own, with a port":      {"vpn.localhost:8443", "vpn.localhost", 200},
		"its own":                   {"vpn.localhost", "vpn.localhost", 200},
		"in capitals":               {"VPN.localhost", "vpn.LOCALHOST", 200},
		"another":                   {"evil.example", "vpn.localhost", 403},
		"its own as a user":         {"vpn.localhost@evil.example", "vpn.localhost", 403},
		"its own below another":     {"vpn.localhost.evil.example", "vpn.localhost", 403},
		"two":                       {"vpn.localhost,evil.example", "vpn.localhost", 403},
		"an address":                {"127.0.0.1:8443", "", 403},
		"a connection to another":   {"vpn.localhost", "evil.example", 403},
		"a connection to no name":   {"vpn.localhost", "", 403},
		"a port that is no port":    {"vpn.localhost:x", "vpn.localhost", 403},
		"X-Forwarded-Host is none ": {"evil.example", "evil.example", 403},
	} {
		w := newWorld(t, nil)
		r := httptest.NewRequest("GET", "/", nil)
		r.Host, r.TLS = c.host, &tls.ConnectionState{ServerName: c.sni}
		r.Header.Set("X-Forwarded-Host", "vpn.localhost")
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, r)
		if rec.Code != c.status || len(w.fn.events) != map[bool]int{true: 1}[c.status == 200] {
			t.Errorf("%s: got %d and %d invocations, want %d", name, rec.Code, len(w.fn.events), c.status)
		}
		if c.status == 200 && (w.fn.last(t).RequestContext.DomainName != "vpn.localhost" || w.fn.last(t).Headers["host"] != c.host) {
			t.Errorf("%s: the event has domain %q and host %q", name, w.fn.last(t).RequestContext.DomainName, w.fn.last(t).Headers["host"])
		}
	}
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.RateLimit, c.BurstLimit = 2, 3 })
		count := func() (passed int) {
			for range 10 {
				resp := w.get("/")
				if resp.StatusCode != 200 {
					w.refused(t, "the throttle", resp, 429, "TooManyRequests")
					break
				}
				passed++
			}
			return passed
		}
		for _, c := range []struct {
			after time.Duration
			want  int
		}{{0, 3}, {0, 0}, {500 * time.Millisecond, 1}, {time.Second, 2}, {time.Hour, 3}} {
			time.Sleep(c.after)
			if got := count(); got != c.want {
				t.Errorf("after %v: %d passed, want %d", c.after, got, c.want)
			}
		}
	})
}

func TestConfigFaultsAreToldTogether(t *testing.T) {
	_, err := New(Config{APIID: "A", Domain: "vpn.localhost:8443", IntegrationTimeout: 31 * time.Second, BodyTimeout: time.Millisecond, RateLimit: 1})
	if err == nil {
		t.Fatal("got no error for an empty configuration")
	}
	for _, want := range []string{"Region is empty", "FunctionARN is empty", "APIID", "without a port", "LambdaURL", "30 seconds", "less than a second", "both, or neither", "Log is nil"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestWhatTheFunctionAnswersIsWhatTheClientGets(t *testing.T) {
	const asJSON, asText = "application/json", "text/plain; charset=utf-8"
	for name, c := range map[string]struct {
		answer     string
		status     int // 500: API Gateway's own words
		kind, body string
		cookies    []string
	}{
		"all there is to say":              {`{"statusCode":201,"headers":{"content-type":"text/html","X-Own":"1"},"cookies":["a=1; Path=/","b=2"],"isBase64Encoded":true,"body":"iVD/"}`, 201, "text/html", "\x89P\xff", []string{"a=1; Path=/", "b=2"}},
		"a status alone":                   {`{"statusCode":204}`, 204, asText, "", nil},
		"no type: text":                    {`{"statusCode":200,"body":"<b>"}`, 200, asText, "<b>", nil},
		"a cookie among the headers":       {`{"statusCode":200,"headers":{"set-cookie":"c=3"},"cookies":["a=1"]}`, 200, asText, "", []string{"c=3", "a=1"}},
		"nothing, and what Go makes of it": {`{"statusCode":200,"headers":{},"multiValueHeaders":{},"body":"","cookies":[]}`, 200, asText, "", nil},
		"headers of format 1.0":            {`{"statusCode":200,"multiValueHeaders":{"x-own":["1"]}}`, 200, asText, "", nil},

		"an object without a status":     {`{"message": "hello"}`, 200, asJSON, `{"message": "hello"}`, nil},
		"headers without a status":       {`{"headers":{"content-type":"application/xml"},"body":"x"}`, 200, asJSON, `{"headers":{"content-type":"application/xml"},"body":"x"}`, nil},
		"a string":                       {`"Hello \"you\""`, 200, asJSON, `Hello "you"`, nil},
		"a list":                         {`[1, 2]`, 200, asJSON, `[1, 2]`, nil},
		"a number":                       {`42`, 200, asJSON, `42`, nil},
		"null":                           {`null`, 200, asJSON, `null`, nil},
		"half an object":                 {`{"name":`, 200, asJSON, `{"name":`, nil},
		"a status in another's capitals": {`{"StatusCode":204}`, 200, asJSON, `{"StatusCode":204}`, nil},

		"a status of words":          {`{"statusCode":"200"}`, 500, asJSON, "", nil},
		"a status with a fraction":   {`{"statusCode":200.5,"body":"x"}`, 500, asJSON, "", nil},
		"a status of null":           {`{"statusCode":null}`, 500, asJSON, "", nil},
		"no status that there is":    {`{"statusCode":0,"body":"{}"}`, 500, asJSON, "", nil},
		"a status that is not final": {`{"statusCode":101}`, 500, asJSON, "", nil},
		"a status beyond all":        {`{"statusCode":600}`, 500, asJSON, "", nil},
		"a body that is an object":   {`{"statusCode":200,"body":{"a":1}}`, 500, asJSON, "", nil},
		"a body of null":             {`{"statusCode":200,"body":null}`, 500, asJSON, "", nil},
		"no base64":                  {`{"statusCode":200,"isBase64Encoded":true,"body":"%%"}`, 500, asJSON, "", nil},
		"cookies of null":            {`{"statusCode":200,"cookies":null}`, 500, asJSON, "", nil},
		"a cookie of null":           {`{"statusCode":200,"cookies":[null]}`, 500, asJSON, "", nil},
		"a cookie of two lines":      {`{"statusCode":200,"cookies":["a=1\r\nX: y"]}`, 500, asJSON, "", nil},
		"a header of two lines":      {`{"statusCode":200,"headers":{"x":"a\r\nX: y"}}`, 500, asJSON, "", nil},
		"a header of null":           {`{"statusCode":200,"headers":{"x":null}}`, 500, asJSON, "", nil},
		"a header that is a list":    {`{"statusCode":200,"headers":{"x":["1"]}}`, 500, asJSON, "", nil},
		"a header without a name":    {`{"statusCode":200,"headers":{"":"1"}}`, 500, asJSON, "", nil},
	} {
		w := newWorld(t, nil)
		w.fn.says(c.answer)
		resp := w.get("/")
		if c.status == 500 {
			w.refused(t, name, resp, 500, "IntegrationError")
			continue
		}
		if got := text(t, resp); resp.StatusCode != c.status || got != c.body || resp.Header.Get("Content-Type") != c.kind || !slices.Equal(resp.Header.Values("Set-Cookie"), c.cookies) {
			t.Errorf("%s: got %d %q %v, want %d %q, type %s, cookies %q\n%s", name, resp.StatusCode, got, resp.Header, c.status, c.body, c.kind, c.cookies, w.log)
		}
		if resp.Header.Get("Apigw-Requestid") != w.fn.last(t).RequestContext.RequestID {
			t.Errorf("%s: the client's request id %q is not the event's", name, resp.Header.Get("Apigw-Requestid"))
		}
		if own := strings.Contains(c.answer, "X-Own"); own != (resp.Header.Get("X-Own") == "1") {
			t.Errorf("%s: headers %v", name, resp.Header)
		}
	}
}

func TestHopByHopHeadersOfAnAnswerStayBehind(t *testing.T) {
	w := newWorld(t, nil)
	w.fn.says(`{"statusCode":200,"headers":{"connection":"close","TRANSFER-ENCODING":"chunked","keep-alive":"1","upgrade":"x","content-length":"99","trailer":"x","x-kept":"1"},"body":"four"}`)
	resp := w.get("/")
	if len(resp.Header) != 4 || resp.Header.Get("X-Kept") != "1" || resp.Header.Get("Content-Length") != "4" {
		t.Errorf("got %v, want X-Kept, the right length, a type and a request id", resp.Header)
	}
	w.fn.says(`{"statusCode":304,"headers":{"content-length":"99","content-type":"text/html"}}`)
	if resp := w.get("/"); resp.StatusCode != 304 || resp.Header.Get("Content-Length") != "" {
		t.Errorf("got %d %v, want 304 and no length, which is the function's word", resp.StatusCode, resp.Header)
	}
}

func TestIntegrationsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		status int
		why    string
	}{
		"the function failed": {func(w http.ResponseWriter) {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			io.WriteString(w, `{"statusCode":200}`)
		}, 500, "its own log says why"},
		"no permission":           {func(w http.ResponseWriter) { w.WriteHeader(403) }, 500, "Lambda answered 403"},
		"no such function":        {func(w http.ResponseWriter) { w.WriteHeader(404) }, 500, "Lambda answered 404"},
		"Lambda is not well":      {func(w http.ResponseWriter) { w.WriteHeader(500) }, 500, "Lambda answered 500"},
		"no instance is free":     {func(w http.ResponseWriter) { w.WriteHeader(429) }, 500, "Lambda answered 429"},
		"an event of over 6 MB":   {func(w http.ResponseWriter) { w.WriteHeader(413) }, 413, "RequestEntityTooLarge"},
		"it redirects":            {func(w http.ResponseWriter) { w.Header().Set("Location", "/x"); w.WriteHeader(302) }, 500, "Lambda answered 302"},
		"an answer of over 10 MB": {func(w http.ResponseWriter) { w.Write(bytes.Repeat([]byte(" "), maxBody+1)) }, 500, "more than 10 MB"},
	} {
		w := newWorld(t, nil)
		w.fn.answer = c.answer
		w.refused(t, name, w.get("/"), c.status, c.why)
	}
	w := newWorld(t, func(c *Config) { c.Caller.SecretAccessKey = "wrong" })
	w.refused(t, "a wrong signature", w.get("/"), 500, "Lambda answered 403")
	w = newWorld(t, func(c *Config) { c.LambdaURL = "https://nowhere.example" })
	w.refused(t, "no Lambda", w.get("/"), 500, "no such host")
	if w = newWorld(t, nil); w.get("/").StatusCode != 200 || w.fn.path != "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A111122223333%3Afunction%3Anightlatch-front/invocations" {
		t.Errorf("invoked %s", w.fn.path)
	}
}

func TestTheFunctionMayTakeAsLongAsTheIntegration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for limit, takes := range map[time.Duration]time.Duration{0: 30 * time.Second, 5 * time.Second: 5 * time.Second} {
			w := newWorld(t, func(c *Config) { c.IntegrationTimeout, c.BodyTimeout = limit, time.Second })
			w.fn.answer = func(rw http.ResponseWriter) { time.Sleep(takes - time.Millisecond); io.WriteString(rw, `"late"`) }
			if resp := w.get("/"); resp.StatusCode != 200 || text(t, resp) != "late" {
				t.Errorf("a function that takes %v less a moment: got %d\n%s", takes, resp.StatusCode, w.log)
			}
			w.fn.answer = func(rw http.ResponseWriter) { time.Sleep(takes + time.Millisecond) }
			w.refused(t, "too long", w.get("/"), 503, "IntegrationTimeout")
		}
	})
}
