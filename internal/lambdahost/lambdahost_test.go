package lambdahost

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// TestMain turns the test binary into a Lambda bootstrap when a test starts it as one.
func TestMain(m *testing.M) {
	if os.Getenv("LAMBDAHOST_TEST_BOOTSTRAP") != "" {
		Start(ALB(http.HandlerFunc(describe), slog.New(slog.DiscardHandler)))
	}
	os.Exit(m.Run())
}

// describe answers with the request as the handler sees it.
func describe(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%s %s\nurl %s\npath %q\nhost %s\nfrom %s\nid %q\n", r.Method, r.RequestURI, r.URL, r.URL.Path, r.Host, r.RemoteAddr, RequestID(r.Context()))
	if err := r.ParseForm(); err != nil {
		fmt.Fprintln(w, "form:", err)
	}
	for _, part := range []map[string][]string{r.Header, r.Form} {
		for _, k := range slices.Sorted(maps.Keys(part)) {
			fmt.Fprintf(w, "  %s: %q\n", k, part[k])
		}
		fmt.Fprintln(w, "--")
	}
}

func TestEventsBecomeRequests(t *testing.T) {
	for folder, front := range map[string]func(http.Handler, *slog.Logger) func(context.Context, json.RawMessage) (any, error){"testdata": ALB, "testdata/httpapi": HTTPAPI} {
		files, err := filepath.Glob(folder + "/*.json")
		if err != nil || len(files) == 0 {
			t.Fatal("no events in", folder, err)
		}
		for _, file := range files {
			t.Run(filepath.ToSlash(file), func(t *testing.T) {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				var a struct{ Body string }
				if err := json.Unmarshal(answerOf(t, front, http.HandlerFunc(describe), raw, slog.New(slog.DiscardHandler)), &a); err != nil {
					t.Fatal(err)
				}
				golden := strings.TrimSuffix(file, ".json") + ".golden"
				if *update {
					if err := os.WriteFile(golden, []byte(a.Body), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if a.Body != string(want) {
					t.Errorf("the handler saw\n%s\nwant (%s)\n%s", a.Body, golden, want)
				}
			})
		}
	}
}

// answerOf is the JSON that the front is given.
func answerOf(t *testing.T, front func(http.Handler, *slog.Logger) func(context.Context, json.RawMessage) (any, error), h http.Handler, raw []byte, log *slog.Logger) []byte {
	t.Helper()
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "req-1"})
	out, err := front(h, log)(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	var sent bytes.Buffer // as aws-lambda-go encodes it
	enc := json.NewEncoder(&sent)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimRight(sent.Bytes(), "\n")
}

// event makes a multi-value event, changed by edits.
func event(edits ...func(*events.ALBTargetGroupRequest)) []byte {
	e := events.ALBTargetGroupRequest{HTTPMethod: "GET", Path: "/", MultiValueHeaders: map[string][]string{"host": {"vpn.example.com"}}}
	e.RequestContext.ELB.TargetGroupArn = "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/nightlatch/0123456789abcdef"
	for _, edit := range edits {
		edit(&e)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return raw
}

func singleValue(e *events.ALBTargetGroupRequest) {
	e.MultiValueHeaders, e.Headers = nil, map[string]string{"host": "vpn.example.com"}
}

func answer(t *testing.T, h http.Handler, raw []byte) events.ALBTargetGroupResponse {
	t.Helper()
	return loggedAnswer(t, h, raw, slog.New(slog.DiscardHandler))
}

func loggedAnswer(t *testing.T, h http.Handler, raw []byte, log *slog.Logger) (a events.ALBTargetGroupResponse) {
	t.Helper()
	sent := answerOf(t, ALB, h, raw, log)
	if len(sent) > 1_000_000 {
		t.Errorf("the answer has %d bytes; the load balancer refuses more than 1 MB", len(sent))
	}
	if err := json.Unmarshal(sent, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestResponsesBecomeAnswers(t *testing.T) {
	type want = events.ALBTargetGroupResponse
	html := map[string][]string{"Content-Type": {"text/html; charset=utf-8"}}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, "packed")
	z.Close()
	for name, tc := range map[string]struct {
		event []byte
		h     http.HandlerFunc
		want  want
	}{
		"several cookies keep their own values": {event(), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Set-Cookie", "a=1; Path=/")
			w.Header().Add("Set-Cookie", "b=2; Path=/")
			w.WriteHeader(204)
		}, want{StatusCode: 204, StatusDescription: "204 No Content", MultiValueHeaders: map[string][]string{"Set-Cookie": {"a=1; Path=/", "b=2; Path=/"}}}},
		"a single-value event gets a single-value answer, lists joined": {event(singleValue), func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Vary"] = []string{"Accept", "Cookie"}
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, "ok")
		}, want{StatusCode: 200, StatusDescription: "200 OK", Body: "ok", Headers: map[string]string{"Vary": "Accept, Cookie", "Content-Type": "text/plain"}}},
		"a single-value answer keeps the last cookie, for joining would break both": {event(singleValue), func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			w.WriteHeader(303)
		}, want{StatusCode: 303, StatusDescription: "303 See Other", Headers: map[string]string{"Set-Cookie": "b=2"}}},
		"text is text, and its type is sniffed": {event(), func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "<!doctype html><p>꺼짐</p>")
		}, want{StatusCode: 200, StatusDescription: "200 OK", Body: "<!doctype html><p>꺼짐</p>", MultiValueHeaders: html}},
		"bytes that are no UTF-8 travel as base64": {event(), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			w.Write([]byte{0x89, 'P', 0xff})
		}, want{StatusCode: 200, StatusDescription: "200 OK", Body: "iVD/", IsBase64Encoded: true, MultiValueHeaders: map[string][]string{"Content-Type": {"image/png"}}}},
		"a compressed body travels as base64": {event(), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zipped.Bytes())
		}, want{StatusCode: 200, StatusDescription: "200 OK", Body: base64.StdEncoding.EncodeToString(zipped.Bytes()), IsBase64Encoded: true,
			MultiValueHeaders: map[string][]string{"Content-Type": {"text/plain"}, "Content-Encoding": {"gzip"}}}},
		"hop-by-hop headers and the length stay behind": {event(), func(w http.ResponseWriter, r *http.Request) {
			for _, name := range append([]string{"Content-Length"}, hopByHop...) {
				w.Header().Set(name, "1")
			}
			w.WriteHeader(404)
		}, want{StatusCode: 404, StatusDescription: "404 Not Found", MultiValueHeaders: map[string][]string{}}},
		"headers after the status are too late, as with net/http": {event(), func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(103)
			w.WriteHeader(202)
			w.WriteHeader(500)
			w.Header().Set("Late", "1")
		}, want{StatusCode: 202, StatusDescription: "202 Accepted", MultiValueHeaders: map[string][]string{}}},
		"HEAD has the headers and no body": {event(func(e *events.ALBTargetGroupRequest) { e.HTTPMethod = "HEAD" }), func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "<!doctype html>")
		}, want{StatusCode: 200, StatusDescription: "200 OK", MultiValueHeaders: html}},
		"a line break cannot start another header": {event(), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/\r\nSet-Cookie: x=1")
			w.WriteHeader(302)
		}, want{StatusCode: 302, StatusDescription: "302 Found", MultiValueHeaders: map[string][]string{"Location": {"/  Set-Cookie: x=1"}}}},
		"a handler that writes nothing answers 200": {event(), func(http.ResponseWriter, *http.Request) {},
			want{StatusCode: 200, StatusDescription: "200 OK", MultiValueHeaders: map[string][]string{}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answer(t, tc.h, tc.event); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestAPanicIsA500AndTheNextEventIsServed(t *testing.T) {
	var log bytes.Buffer
	calls := 0
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			io.WriteString(w, "half an ans")
			panic("no route")
		}
	})
	a := loggedAnswer(t, h, event(), slog.New(slog.NewJSONHandler(&log, nil))) // a function error would be a blank 502
	if a.StatusCode != 500 || strings.Contains(a.Body, "half") || strings.Contains(a.Body, "no route") || !strings.Contains(a.Body, "req-1") {
		t.Errorf("got %d %s, want a 500 with the request id, without the cause or what was written before", a.StatusCode, a.Body)
	}
	for _, want := range []string{`"panic":"no route"`, `"request_id":"req-1"`, "lambdahost_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log %s has no %s", log.String(), want)
		}
	}
	if a := answer(t, h, event()); a.StatusCode != 200 {
		t.Errorf("after a panic got %d, want 200", a.StatusCode)
	}
}

func TestAnAnswerThatIsTooLargeIsAProblemThatSaysSo(t *testing.T) {
	for name, body := range map[string]struct {
		fill   string
		n      int
		status int
	}{
		"just small enough":                     {"a", 999_000, 200},
		"too large":                             {"a", 1_000_001, 502},
		"too large only once encoded as base64": {"\xff", 800_000, 502},
		"markup is not blown up by escaping it for scripts": {"<", 990_000, 200},
	} {
		t.Run(name, func(t *testing.T) {
			a := answer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				io.WriteString(w, strings.Repeat(body.fill, body.n))
			}), event())
			if a.StatusCode != body.status {
				t.Fatalf("got %d, want %d", a.StatusCode, body.status)
			}
			if a.StatusCode == 502 && (a.MultiValueHeaders["Content-Type"][0] != "application/problem+json" || !strings.Contains(a.Body, "1 MB")) {
				t.Errorf("got %v %s, want a problem document that names the limit", a.MultiValueHeaders, a.Body)
			}
		})
	}
}

func TestEventsThatAreNotTheLoadBalancersAreErrorsThatSaySo(t *testing.T) {
	for name, raw := range map[string]string{
		"an empty object, as a console's test sends": `{}`,
		"a schedule's event":                         `{"source":"aws.scheduler","detail":{}}`,
		"an API Gateway event":                       `{"httpMethod":"GET","path":"/","headers":{"host":"x"},"requestContext":{"stage":"prod"}}`,
		"not an object":                              `"open"`,
		"null":                                       `null`,
		"no headers at all":                          `{"requestContext":{"elb":{"targetGroupArn":"arn"}},"httpMethod":"GET","path":"/"}`,
		"no method":                                  `{"requestContext":{"elb":{"targetGroupArn":"arn"}},"headers":{"host":"x"},"path":"/"}`,
		"a body that claims to be base64 and is not":   `{"requestContext":{"elb":{"targetGroupArn":"arn"}},"httpMethod":"GET","path":"/","headers":{"host":"x"},"isBase64Encoded":true,"body":"%%"}`,
		"a header of the wrong shape for single-value": `{"requestContext":{"elb":{"targetGroupArn":"arn"}},"httpMethod":"GET","path":"/","headers":{"host":["x"]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
			_, err := ALB(h, slog.New(slog.DiscardHandler))(t.Context(), []byte(raw))
			if !errors.Is(err, errALB) || !strings.Contains(err.Error(), "not a load balancer event") {
				t.Errorf("got %v, want an error that says it is not a load balancer event", err)
			}
		})
	}
}

func TestMalformedRequestsAre400(t *testing.T) {
	for name, edit := range map[string]func(*events.ALBTargetGroupRequest){
		"a broken escape in the path":           func(e *events.ALBTargetGroupRequest) { e.Path = "/%zz" },
		"an absolute form, naming another host": func(e *events.ALBTargetGroupRequest) { e.Path = "https://evil.example/" },
		"an empty path":                         func(e *events.ALBTargetGroupRequest) { e.Path = "" },
		"a query hidden in the path":            func(e *events.ALBTargetGroupRequest) { e.Path = "/?a=1" },
		"a control character in the query": func(e *events.ALBTargetGroupRequest) {
			e.MultiValueQueryStringParameters = map[string][]string{"a": {"b\r\nc"}}
		},
		"a method that is no token": func(e *events.ALBTargetGroupRequest) { e.HTTPMethod = "GE T" },
		"no host":                   func(e *events.ALBTargetGroupRequest) { e.MultiValueHeaders = map[string][]string{"accept": {"*/*"}} },
		"two hosts":                 func(e *events.ALBTargetGroupRequest) { e.MultiValueHeaders["host"] = []string{"a", "b"} },
	} {
		t.Run(name, func(t *testing.T) {
			h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
			if a := answer(t, h, event(edit)); a.StatusCode != 400 {
				t.Errorf("got %d %s, want 400", a.StatusCode, a.Body)
			}
		})
	}
}

func TestPeerIsTheLastForwardedAddress(t *testing.T) {
	for header, want := range map[string]string{
		"198.51.100.4":                            "198.51.100.4:0",
		"10.0.0.1,  198.51.100.4":                 "198.51.100.4:0",
		"127.0.0.1\n198.51.100.4":                 "198.51.100.4:0",
		"10.0.0.1, 198.51.100.4:50312":            "198.51.100.4:50312",
		"2001:db8::7":                             "[2001:db8::7]:0",
		"[2001:db8::7]":                           "[2001:db8::7]:0",
		"[2001:db8::7]:50312":                     "[2001:db8::7]:50312",
		"198.51.100.4, unknown":                   "",
		"198.51.100.4,":                           "",
		"198.51.100.4, <script>alert(1)</script>": "",
	} {
		if got := peer(strings.Split(header, "\n")); got != want {
			t.Errorf("peer(%q) = %q, want %q", header, got, want)
		}
	}
	if got := peer(nil); got != "" {
		t.Errorf("without the header got %q, want nothing", got)
	}
}

// The process side: aws-lambda-go's loop, against the smallest Runtime API there can be.
func TestStartServesEventsWithRequestIDAndDeadline(t *testing.T) {
	events := make(chan []byte, 1)
	answers := make(chan []byte, 1)
	runtime := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/invocation/next") {
			select {
			case e := <-events:
				w.Header().Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
				w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
				w.Write(e)
			case <-r.Context().Done():
			}
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		answers <- append([]byte(r.URL.Path+"\n"), body...)
	}))
	defer runtime.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = []string{"LAMBDAHOST_TEST_BOOTSTRAP=1", "AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(runtime.URL, "http://")}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); cmd.Wait() }()
	raw, err := os.ReadFile("testdata/multi-get.json")
	if err != nil {
		t.Fatal(err)
	}
	events <- raw
	select {
	case a := <-answers:
		if !bytes.Contains(a, []byte("/8476a536-e9f4-11e8-9739-2dfe598c3fcd/response\n")) || !bytes.Contains(a, []byte(`id \"8476a536-e9f4-11e8-9739-2dfe598c3fcd\"`)) {
			t.Errorf("got %s, want a response that names the invocation's request id", a)
		}
	case <-ctx.Done():
		t.Fatal("the bootstrap did not answer")
	}
}
