package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The Go runtime library for Lambda has an event that a real HTTP API made of "curl https://API/". The same request must
// become the same event here.
func TestEventIsThatOfARealHTTPAPI(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-lambda-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "events", "testdata", "apigw-v2-request-no-authorizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	about := want["requestContext"].(map[string]any)
	delete(about, "authentication") // of clients that bring certificates
	domain := about["domainName"].(string)
	const traceID = "Root=1-5e9f0c65-1de4d666d4dd26aced652b6c"

	w := newWorld(t, func(c *Config) {
		c.Domain, c.AccountID, c.APIID = domain, about["accountId"].(string), about["apiId"].(string)
	})
	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.RemoteAddr, r.Proto = domain, about["http"].(map[string]any)["sourceIp"].(string)+":50312", "HTTP/1.1"
	r.Header = http.Header{"Accept": {"*/*"}, "User-Agent": {"curl/7.58.0"}, "X-Amzn-Trace-Id": {traceID}}
	w.Handler().ServeHTTP(httptest.NewRecorder(), r)
	var got map[string]any
	if err := json.Unmarshal(w.fn.events[0], &got); err != nil {
		t.Fatal(err)
	}
	// What is another one each time is of the same form.
	here := got["requestContext"].(map[string]any)
	for name, form := range map[string]string{
		"requestId": `^[A-Za-z0-9_-]{15}=$`, "time": `^\d\d/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d{4}:\d\d:\d\d:\d\d \+0000$`, "timeEpoch": `^\d{13}$`,
	} {
		for whose, v := range map[string]any{"the real one's": about[name], "ours": here[name]} {
			if f, ok := v.(float64); ok {
				v = fmt.Sprintf("%.0f", f)
			}
			if !regexp.MustCompile(form).MatchString(v.(string)) {
				t.Errorf("%s %s, %v, is not of the form %s", whose, name, v, form)
			}
		}
		here[name] = about[name]
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestEventOfARequestWithEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock starts at midnight, January 1, 2000
		w := newWorld(t, nil)
		w.do("POST", "/capture/a%20b?repeat=one&repeat=two&to=https%3A%2F%2Fx%2Fy&plus=a+b&coded=a%2Bb&empty=&bare&%zz=1&&", `{"hello":"λ"}`, http.Header{
			"Content-Type": {"application/json"}, "Cookie": {"session=abc; theme=dark", "last=1"}, "X-Probe": {"first", "second, third"},
			"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Proto": {"gopher"}, "X-Forwarded-Port": {"1"}, "X-Forwarded-Host": {"evil.example"}, "Forwarded": {"for=10.0.0.1"},
			"Connection": {"keep-alive, x-probe"}, "Te": {"trailers"}, "Keep-Alive": {"1"}, "Proxy-Authorization": {"x"}, "User-Agent": {"curl/8"},
			"X-Amzn-Oidc-Data": {"forged"},
		})
		e := w.fn.last(t)
		trace := e.Headers["x-amzn-trace-id"]
		if !regexp.MustCompile(`^Root=1-386d4380-[0-9a-f]{24}$`).MatchString(trace) {
			t.Errorf("trace %q", trace)
		}
		want := event{
			Version: "2.0", RouteKey: "$default", RawPath: "/capture/a b",
			RawQueryString: "repeat=one&repeat=two&to=https%3A%2F%2Fx%2Fy&plus=a+b&coded=a%2Bb&empty=&bare&%zz=1&&",
			Cookies:        []string{"session=abc", "theme=dark", "last=1"},
			Headers: map[string]string{
				"content-type": "application/json", "content-length": "14", "host": host, "user-agent": "curl/8", "x-probe": "first,second, third",
				"x-forwarded-for": "10.0.0.1, 192.0.2.1", "x-forwarded-proto": "https", "x-forwarded-port": "443", "x-forwarded-host": "evil.example",
				"forwarded": "for=10.0.0.1", "x-amzn-trace-id": trace, "x-amzn-oidc-data": "forged",
			},
			Query: map[string]string{"repeat": "one,two", "to": "https://x/y", "plus": "a b", "coded": "a+b", "empty": "", "bare": "", "%zz": "1"},
			RequestContext: requestContext{
				AccountID: "111122223333", APIID: "a1b2c3d4e5", DomainName: "vpn.localhost", DomainPrefix: "vpn",
				HTTP:      httpContext{Method: "POST", Path: "/capture/a b", Protocol: "HTTP/1.1", SourceIP: "192.0.2.1", UserAgent: "curl/8"},
				RequestID: e.RequestContext.RequestID, RouteKey: "$default", Stage: "$default", Time: "01/Jan/2000:00:00:00 +0000", TimeEpoch: 946684800000,
			},
			Body: `{"hello":"λ"}`,
		}
		if !reflect.DeepEqual(e, want) {
			t.Errorf("got  %+v\nwant %+v", e, want)
		}
		for _, absent := range []string{`"pathParameters"`, `"stageVariables"`, `"authorizer"`, `"cookie"`} {
			if strings.Contains(string(w.fn.events[0]), absent) {
				t.Errorf("the event has %s: %s", absent, w.fn.events[0])
			}
		}
	})
}

// The left side was sent to a real HTTP API by people who published what its function got (hotsock/voker).
func TestPathsAreDecodedTwice(t *testing.T) {
	for sent, want := range map[string]string{
		"/plain":                 "/plain",
		"/":                      "/",
		"/trailing/":             "/trailing/",
		"//two":                  "//two",
		"/space%20value":         "/space value",
		"/question%3Fvalue":      "/question",
		"/hash%23value":          "/hash#value",
		"/slash%2Fvalue":         "/slash/value",
		"/%EA%B0%80":             "/가",
		"/literal%252Fvalue":     "/literal/value",
		"/literal%253Fvalue":     "/literal?value",
		"/literal%2525value":     "/literal%value",
		"/dots%2F..%2F%2E%2Fend": "/dots/.././end",
	} {
		w := newWorld(t, nil)
		w.get(sent + "?a=%3F")
		if e := w.fn.last(t); e.RawPath != want || e.RequestContext.HTTP.Path != want || e.RawQueryString != "a=%3F" {
			t.Errorf("%s: got %q and %q, query %q; want %q, and the query as it was", sent, e.RawPath, e.RequestContext.HTTP.Path, e.RawQueryString, want)
		}
	}
}

func TestBodiesThatAreNotPlainlyTextAreBase64(t *testing.T) {
	for name, c := range map[string]struct {
		kind, coding, body string
		encoded            bool
	}{
		"JSON":                     {"application/json; charset=utf-8", "", `{"a":1}`, false},
		"JSON in capitals":         {"Application/JSON", "", `{"a":1}`, false},
		"text":                     {"text/csv", "", "a,b", false},
		"XML":                      {"application/xml", "", "<a/>", false},
		"a form":                   {"application/x-www-form-urlencoded", "", "a=1", true},
		"a form with files":        {"multipart/form-data; boundary=x", "", "--x", true},
		"bytes":                    {"application/octet-stream", "", "a", true},
		"of no type":               {"", "", "a", true},
		"compressed text":          {"text/plain", "gzip", "a", true},
		"text that is not UTF-8":   {"text/plain", "", "\xff", true},
		"a kind of JSON":           {"application/problem+json", "", "{}", true},
		"a type that begins alike": {"application/jsonp", "", "{}", true},
	} {
		w := newWorld(t, nil)
		h := http.Header{"Content-Type": {c.kind}}
		if c.coding != "" {
			h.Set("Content-Encoding", c.coding)
		}
		w.do("POST", "/", c.body, h)
		want := c.body
		if c.encoded {
			want = base64.StdEncoding.EncodeToString([]byte(want))
		}
		if e := w.fn.last(t); e.Base64 != c.encoded || e.Body != want || e.Headers["content-length"] != fmt.Sprint(len(c.body)) {
			t.Errorf("%s: got %v %q of length %s, want %v %q", name, e.Base64, e.Body, e.Headers["content-length"], c.encoded, want)
		}
	}
	w := newWorld(t, nil)
	w.get("/")
	if raw := string(w.fn.events[0]); strings.Contains(raw, `"body"`) || strings.Contains(raw, `"cookies"`) || strings.Contains(raw, `"queryStringParameters"`) || !strings.Contains(raw, `"isBase64Encoded":false`) {
		t.Errorf("of a bare GET: %s", raw)
	}
}

// Every key that the developer guide's example has, with the type that it has there.
func TestEventHasTheGuidesShape(t *testing.T) {
	w := newWorld(t, nil)
	w.do("POST", "/my/path?parameter1=value1", "Hello", http.Header{"Content-Type": {"text/plain"}, "Cookie": {"cookie1"}})
	var got map[string]any
	if err := json.Unmarshal(w.fn.events[0], &got); err != nil {
		t.Fatal(err)
	}
	text, object := reflect.TypeFor[string](), reflect.TypeFor[map[string]any]()
	check := func(where string, got map[string]any, want map[string]reflect.Type) {
		if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s has the keys %v, want %v", where, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		for k, v := range got {
			if reflect.TypeOf(v) != want[k] {
				t.Errorf("%s.%s is %T, want %v", where, k, v, want[k])
			}
		}
	}
	// Of the example's keys authentication, authorizer, pathParameters and stageVariables belong to what is not set up here.
	check("event", got, map[string]reflect.Type{"version": text, "routeKey": text, "rawPath": text, "rawQueryString": text, "cookies": reflect.TypeFor[[]any](),
		"headers": object, "queryStringParameters": object, "requestContext": object, "body": text, "isBase64Encoded": reflect.TypeFor[bool]()})
	about := got["requestContext"].(map[string]any)
	check("requestContext", about, map[string]reflect.Type{"accountId": text, "apiId": text, "domainName": text, "domainPrefix": text, "http": object, "requestId": text,
		"routeKey": text, "stage": text, "time": text, "timeEpoch": reflect.TypeFor[float64]()})
	check("http", about["http"].(map[string]any), map[string]reflect.Type{"method": text, "path": text, "protocol": text, "sourceIp": text, "userAgent": text})
}

func TestTimeIsUTC(t *testing.T) {
	now := time.Date(2000, time.February, 1, 1, 0, 1, 234e6, time.FixedZone("", 3600))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	e, err := new(Server).event(r, nil, "id", now, Unconfirmed{})
	if err != nil {
		t.Fatal(err)
	}
	if c := e.RequestContext; c.Time != "01/Feb/2000:00:00:01 +0000" || c.TimeEpoch != 949363201234 {
		t.Errorf("got %s, %d", c.Time, c.TimeEpoch)
	}
}
