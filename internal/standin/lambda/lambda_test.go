//go:build unix

package lambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

var caller = sigv4.Credentials{AccessKeyID: "AKIADEMO", SecretAccessKey: "secret", SessionToken: "token"}

// stand is a running stand-in, with what its functions have written.
type stand struct {
	*Server
	url  string
	out  *output
	log  *output
	stop func() time.Duration // ends Run, waits for it, tells how long that took
}

// output is a writer that a test can wait on.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed and replaced at every write
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	close(o.more)
	o.more = make(chan struct{})
	return len(p), nil
}

func (o *output) String() string { o.mu.Lock(); defer o.mu.Unlock(); return o.text.String() }

// await returns the first match of the expression in what is written within five seconds.
func (o *output) await(t *testing.T, expr string) []string {
	t.Helper()
	re := regexp.MustCompile(expr)
	late := time.After(5 * time.Second)
	for {
		o.mu.Lock()
		text, more := o.text.String(), o.more
		o.mu.Unlock()
		if m := re.FindStringSubmatch(text); m != nil {
			return m
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("waited for %q in vain in\n%s", expr, text)
		}
	}
}

// run starts a stand-in whose functions are this test binary in one of the modes of bootstrap_test.go.
func run(t *testing.T, edit func(*Config), functions ...Function) *stand {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range functions {
		f := &functions[i]
		if f.Bootstrap == "" {
			f.Bootstrap = self
			f.Env = map[string]string{modeVariable: f.Handler, "AWS_SECRET_ACCESS_KEY": "role-secret"}
		}
		f.Timeout = max(f.Timeout, 0)
		if f.Timeout == 0 {
			f.Timeout = 10 * time.Second // far more than any takes, for the machine may be busy
		}
		if f.MemoryMB == 0 {
			f.MemoryMB = 2048 // as the time-out: the race detector has an appetite
		}
	}
	st := &stand{out: newOutput(), log: newOutput()}
	c := Config{Region: "us-east-1", AccountID: "111122223333", Functions: functions, Output: st.out, Log: slog.New(slog.NewTextHandler(st.log, nil)),
		Credentials: func(id string) (sigv4.Credentials, bool) { return caller, id == caller.AccessKeyID }}
	if edit != nil {
		edit(&c)
	}
	if st.Server, err = New(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	srv := httptest.NewServer(st.Handler())
	st.url = srv.URL
	st.stop = sync.OnceValue(func() time.Duration {
		began := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Error("Run:", err)
		}
		return time.Since(began)
	})
	t.Cleanup(func() { st.stop(); srv.Close() })
	st.ready(t)
	return st
}

// ready waits until Run has begun.
func (st *stand) ready(t *testing.T) {
	t.Helper()
	for range 1000 {
		st.mu.Lock()
		phase := st.phase
		st.mu.Unlock()
		if phase == running {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Fatal("Run did not begin")
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%v in %d %s", err, a.status, a.body)
	}
	return m
}

// call invokes a function; edits change the request before, or with "signed" after, it is signed.
func (st *stand) call(t *testing.T, function, payload string, edits ...func(*http.Request)) answer {
	t.Helper()
	a, err := st.try(function, payload, edits...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (st *stand) try(function, payload string, edits ...func(*http.Request)) (answer, error) {
	r, err := http.NewRequest("POST", st.url+"/2015-03-31/functions/"+url.PathEscape(function)+"/invocations", strings.NewReader(payload))
	if err != nil {
		return answer{}, err
	}
	for _, edit := range edits {
		edit(r)
	}
	if r.Header.Get("Authorization") == "" && r.Header.Get("X-Unsigned") == "" {
		sigv4.Sign(r, []byte(payload), caller, "lambda", "us-east-1", time.Now())
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func tail(r *http.Request) { r.Header.Set("X-Amz-Log-Type", "Tail") }

// logOf is X-Amz-Log-Result.
func (a answer) logOf(t *testing.T) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(a.header.Get("X-Amz-Log-Result"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func event(r *http.Request) { r.Header.Set("X-Amz-Invocation-Type", "Event") }

// gate holds functions that call it until they are let through, and tells that they came.
type gate struct {
	url         string
	came, leave chan struct{}
}

func newGate(t *testing.T) *gate {
	g := &gate{came: make(chan struct{}, 100), leave: make(chan struct{})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.came <- struct{}{}
		select {
		case <-g.leave:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(srv.Close)
	g.url = srv.URL
	return g
}

func (g *gate) payload() string { return fmt.Sprintf(`{"do":"wait","url":%q}`, g.url) }

func TestAFunctionSeesWhatLambdaGivesIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	st := run(t, nil, Function{Name: "front", Handler: "go", MemoryMB: 256, Dir: dir})
	a := st.call(t, "front", `{"do":"look"}`, header("X-Amz-Client-Context", "eyJjdXN0b20iOnsiayI6InYifX0="), header("X-Amzn-Trace-Id", "Root=1-5c34e7d4-00ca239424b68028d4c56d68"))
	if a.status != 200 || a.header.Get("X-Amz-Function-Error") != "" || a.header.Get("X-Amz-Executed-Version") != "$LATEST" {
		t.Fatalf("got %+v, want an answer without function error from $LATEST", a)
	}
	got := a.json(t)
	for key, want := range map[string]any{
		"arn": "arn:aws:lambda:us-east-1:111122223333:function:front", "id": a.header.Get("X-Amzn-Requestid"), "dir": dir, "custom": "v",
		"trace": "Root=1-5c34e7d4-00ca239424b68028d4c56d68", "ownGroup": true,
	} {
		if got[key] != want {
			t.Errorf("the function's %s is %v, want %v", key, got[key], want)
		}
	}
	if left := got["leftSeconds"].(float64); left <= 5 || left > 10 {
		t.Errorf("the function has %v s to its deadline, want nearly its time-out of 10 s", left)
	}
	env := map[string]string{}
	for _, pair := range got["env"].([]any) {
		name, value, _ := strings.Cut(pair.(string), "=")
		env[name] = value
	}
	for name, want := range map[string]string{
		"AWS_LAMBDA_RUNTIME_API": `^127\.0\.0\.1:\d+$`, "_HANDLER": "^go$", "LAMBDA_TASK_ROOT": "^" + regexp.QuoteMeta(dir) + "$", "AWS_LAMBDA_FUNCTION_NAME": "^front$",
		"LAMBDA_RUNTIME_DIR": "^/var/runtime$", "AWS_LAMBDA_FUNCTION_VERSION": `^\$LATEST$`, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "^256$", "AWS_REGION": "^us-east-1$", "AWS_DEFAULT_REGION": "^us-east-1$",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "^on-demand$", "AWS_LAMBDA_LOG_GROUP_NAME": "^/aws/lambda/front$", "AWS_LAMBDA_LOG_STREAM_NAME": `^\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$`,
		"TZ": "^:UTC$", "LANG": "^en_US.UTF-8$", "PATH": "^/usr/local/bin:", "AWS_SECRET_ACCESS_KEY": "^role-secret$", modeVariable: "^go$", "_X_AMZN_TRACE_ID": "^Root=1-5c34e7d4",
	} {
		if !regexp.MustCompile(want).MatchString(env[name]) {
			t.Errorf("%s=%q, want %s", name, env[name], want)
		}
		delete(env, name)
	}
	if len(env) > 0 {
		t.Errorf("the function also sees %v: nothing of our own environment may leak in", env)
	}
	if strings.Contains(st.log.String(), "role-secret") {
		t.Error("a credential is in the log")
	}
	// The child's own lines come through a pipe and may fall anywhere among Lambda's.
	re := `\[front/1\] START RequestId: ID Version: \$LATEST\n(.*\n)*\[front/1\] END RequestId: ID\n(.*\n)*\[front/1\] REPORT RequestId: ID\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 256 MB(\tMax Memory Used: \d+ MB)?\tInit Duration: [\d.]+ ms\n`
	st.out.await(t, strings.ReplaceAll(re, "ID", a.header.Get("X-Amzn-Requestid")))
	st.out.await(t, `(?m)^\[front/1\] looking$`)
}

func TestInstancesStayWarmAndTakeOneEventAtATime(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	st := run(t, nil, Function{Name: "front", Handler: "go", Instances: 2})
	first := st.call(t, "front", `{"do":"look"}`).json(t)["pid"]
	for range 3 {
		if again := st.call(t, "front", `{"do":"look"}`).json(t)["pid"]; again != first {
			t.Fatalf("a call one after the other ran in process %v, want the warm %v", again, first)
		}
	}
	if n := strings.Count(st.out.String(), "Init Duration"); n != 1 {
		t.Errorf("%d cold starts are reported, want 1", n)
	}
	answers := make(chan answer, 2)
	for range 2 {
		go func() {
			a, err := st.try("front", g.payload())
			if err != nil {
				t.Error(err)
			}
			answers <- a
		}()
		<-g.came
	}
	a := st.call(t, "front", `{"do":"look"}`)
	wantBody := map[string]any{"Type": "User", "message": "Rate Exceeded.", "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}
	if a.status != 429 || a.header.Get("X-Amzn-Errortype") != "TooManyRequestsException" || !reflect.DeepEqual(a.json(t), wantBody) {
		t.Errorf("beyond two instances got %+v, want 429 TooManyRequestsException and %v", a, wantBody)
	}
	close(g.leave)
	pids := map[any]bool{}
	for range 2 {
		pids[(<-answers).json(t)["pid"]] = true
	}
	if len(pids) != 2 {
		t.Errorf("two events at once ran in %d processes, want 2", len(pids))
	}
	if a := st.call(t, "front", `{"do":"look"}`); a.status != 200 {
		t.Errorf("after the rush got %d %s, want 200", a.status, a.body)
	}
}

func TestFunctionErrorsAreAnswered200WithTheErrorHeader(t *testing.T) {
	t.Parallel()
	big := fmt.Sprintf(`{"do":"big","n":%d}`, maxResponse)
	for name, tc := range map[string]struct {
		function  Function
		payload   string
		errorType string // a regular expression, as the message
		message   string
		stays     bool // the instance lives on
	}{
		"an error that the handler returns":       {Function{Handler: "go"}, `{"do":"error"}`, "^errorString$", "^refused$", true},
		"a panic, after which the process exits":  {Function{Handler: "go"}, `{"do":"panic"}`, "^string$", "^oh no$", false},
		"an exit in the middle of an event":       {Function{Handler: "go"}, `{"do":"exit"}`, `^Runtime\.ExitError$`, "^RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 3$", false},
		"a signal in the middle of an event":      {Function{Handler: "go"}, `{"do":"die"}`, `^Runtime\.ExitError$`, "signal: killed$", false},
		"longer than the time-out":                {Function{Handler: "go", Timeout: 300 * time.Millisecond}, `{"do":"hang"}`, `^Sandbox\.Timedout$`, `Task timed out after 0\.30 seconds$`, false},
		"an answer of more than 6 MB":             {Function{Handler: "go"}, big, `^Function\.ResponseSizeTooLarge$`, `exceeded maximum allowed payload size \(6291556 bytes\)`, false},
		"an event that the handler cannot decode": {Function{Handler: "go"}, `[]`, "^UnmarshalTypeError$", "cannot unmarshal array", true},
		"an init that reports an error":           {Function{Handler: "init-error"}, `{}`, `^Runtime\.NoSuchHandler$`, "^no handler$", false},
		"an init that exits":                      {Function{Handler: "init-exit"}, `{}`, `^Runtime\.ExitError$`, "exit status 7$", false},
		"an init that never ends":                 {Function{Handler: "init-hang", Timeout: 300 * time.Millisecond}, `{}`, `^Sandbox\.Timedout$`, `Task timed out after 0\.30 seconds$`, false},
		"a bootstrap that is not there":           {Function{Bootstrap: "/nowhere/bootstrap", Dir: "/"}, `{}`, `^Runtime\.InvalidEntrypoint$`, "no such file", false},
		"an error type in the runtime's header":   {Function{Handler: "raw"}, `{"do":"header-error"}`, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.function.Name = "f"
			st := run(t, func(c *Config) {
				c.InitTimeout = 5 * time.Second
				if tc.function.Handler == "init-hang" {
					c.InitTimeout = 200 * time.Millisecond
				}
			}, tc.function)
			a := st.call(t, "f", tc.payload)
			if a.status != 200 || a.header.Get("X-Amz-Function-Error") != "Unhandled" {
				t.Fatalf("got %d, X-Amz-Function-Error %q, %.300s; want 200 Unhandled", a.status, a.header.Get("X-Amz-Function-Error"), a.body)
			}
			if tc.errorType != "" {
				got := a.json(t)
				if !regexp.MustCompile(tc.errorType).MatchString(fmt.Sprint(got["errorType"])) || !regexp.MustCompile(tc.message).MatchString(fmt.Sprint(got["errorMessage"])) {
					t.Errorf("got %s, want type %s and message %s", a.body, tc.errorType, tc.message)
				}
			}
			st.mu.Lock()
			f := st.functions["f"]
			live, warm := f.live, len(f.warm)
			st.mu.Unlock()
			if tc.stays && (live != 1 || warm != 1) || !tc.stays && (live != 0 || warm != 0) {
				t.Errorf("afterwards %d instances live and %d are free; lives on: %v", live, warm, tc.stays)
			}
			if strings.HasPrefix(tc.function.Handler, "init") && strings.Count(st.out.String(), "INIT_REPORT") != 2 {
				t.Errorf("a failed init is tried once more, within the invocation; got\n%s", st.out)
			}
		})
	}
}

func TestAFailedInitIsTriedAgainWithinTheInvocation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	st := run(t, nil, Function{Name: "f", Handler: "init-exit-once", Dir: dir})
	if a := st.call(t, "f", `{}`); a.status != 200 || a.header.Get("X-Amz-Function-Error") != "" {
		t.Errorf("got %+v, want the second init's answer", a)
	}
	st.out.await(t, `INIT_REPORT Init Duration: [\d.]+ ms\tPhase: init\tStatus: error\tError Type: Runtime.ExitError\n(.*\n)*.*REPORT RequestId`)
	if strings.Contains(st.out.String(), "MB\tInit Duration") {
		t.Error("an init within the invocation counts as its duration, not as Init Duration")
	}
}

func TestAnInstanceThatExitsWhileFreeIsReplaced(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "f", Handler: "go"})
	first := st.call(t, "f", `{"do":"look"}`).json(t)["pid"]
	f := st.functions["f"]
	st.mu.Lock()
	i := f.warm[0]
	st.mu.Unlock()
	syscall.Kill(i.pid, syscall.SIGKILL)
	<-i.exited
	if a := st.call(t, "f", `{"do":"look"}`); a.status != 200 || a.header.Get("X-Amz-Function-Error") == "" && a.json(t)["pid"] == first {
		t.Errorf("got %+v after the free instance was killed", a)
	}
	if a := st.call(t, "f", `{"do":"look"}`); a.header.Get("X-Amz-Function-Error") != "" {
		t.Errorf("the place of the killed instance is not free: %+v", a)
	}
}

func TestAsynchronousEvents(t *testing.T) {
	t.Parallel()
	t.Run("fail three times with one and two minutes between, then are given up", func(t *testing.T) {
		t.Parallel()
		st := run(t, func(c *Config) { c.Minute = 60 * time.Millisecond }, Function{Name: "beat", Handler: "go"})
		began := time.Now()
		a := st.call(t, "beat", `{"do":"error"}`, event)
		if a.status != 202 || a.body != "" {
			t.Errorf("got %d %q, want 202 and nothing", a.status, a.body)
		}
		id := a.header.Get("X-Amzn-Requestid")
		st.log.await(t, "event given up.*"+id+".*failed three times, last with errorString")
		if took := time.Since(began); took < 180*time.Millisecond {
			t.Errorf("three attempts took %v, want one and two minutes of 60 ms between them", took)
		}
		if n := strings.Count(st.out.String(), "START RequestId: "+id); n != 3 {
			t.Errorf("%d attempts have the event's request id, want 3", n)
		}
	})
	t.Run("that are throttled wait and are not lost", func(t *testing.T) {
		t.Parallel()
		g := newGate(t)
		st := run(t, func(c *Config) { c.Minute = 60 * time.Millisecond }, Function{Name: "beat", Handler: "go"})
		if a := st.call(t, "beat", g.payload(), event); a.status != 202 {
			t.Fatal(a)
		}
		<-g.came
		queued := st.call(t, "beat", `{"do":"look"}`, event)
		if queued.status != 202 {
			t.Fatalf("got %d for an event that must wait, want 202", queued.status)
		}
		if a := st.call(t, "beat", `{}`); a.status != 429 {
			t.Errorf("a synchronous call meanwhile got %d, want 429", a.status)
		}
		if strings.Contains(st.out.String(), queued.header.Get("X-Amzn-Requestid")) {
			t.Error("the second event ran beside the first in a function of one instance")
		}
		close(g.leave)
		st.log.await(t, "hop.*event for beat.*status=200.*"+queued.header.Get("X-Amzn-Requestid"))
	})
}

func TestTheInvokeAPIRefuses(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "front", Handler: "go"})
	sign := func(c sigv4.Credentials, service, region string, at time.Time) func(*http.Request) {
		return func(r *http.Request) { sigv4.Sign(r, []byte(`{}`), c, service, region, at) }
	}
	stranger := caller
	stranger.AccessKeyID = "AKIASTRANGER"
	liar := caller
	liar.SecretAccessKey = "guess"
	for name, tc := range map[string]struct {
		function, payload string
		edit              func(*http.Request)
		status            int
		code              string
	}{
		"an unsigned call":                  {"front", `{}`, header("X-Unsigned", "1"), 403, "MissingAuthenticationTokenException"},
		"a signature that is cut short":     {"front", `{}`, header("Authorization", "AWS4-HMAC-SHA256 Credential=AKIADEMO"), 403, "IncompleteSignatureException"},
		"an access key nobody knows":        {"front", `{}`, sign(stranger, "lambda", "us-east-1", time.Now()), 403, "UnrecognizedClientException"},
		"a wrong secret":                    {"front", `{}`, sign(liar, "lambda", "us-east-1", time.Now()), 403, "InvalidSignatureException"},
		"a signature for another service":   {"front", `{}`, sign(caller, "ec2", "us-east-1", time.Now()), 403, "InvalidSignatureException"},
		"an old signature":                  {"front", `{}`, sign(caller, "lambda", "us-east-1", time.Now().Add(-time.Hour)), 403, "InvalidSignatureException"},
		"a function that is not there":      {"back", `{}`, nil, 404, "ResourceNotFoundException"},
		"another account's function":        {"arn:aws:lambda:us-east-1:999999999999:function:front", `{}`, nil, 404, "ResourceNotFoundException"},
		"an alias nobody made":              {"front:live", `{}`, nil, 404, "ResourceNotFoundException"},
		"a version nobody published":        {"front", `{}`, func(r *http.Request) { r.URL.RawQuery = "Qualifier=1" }, 404, "ResourceNotFoundException"},
		"a payload that is not JSON":        {"front", `{"a":`, nil, 400, "InvalidRequestContentException"},
		"two JSON values":                   {"front", `{}{}`, nil, 400, "InvalidRequestContentException"},
		"an invocation type that is none":   {"front", `{}`, header("X-Amz-Invocation-Type", "Later"), 400, "ValidationException"},
		"a log type that is none":           {"front", `{}`, header("X-Amz-Log-Type", "Whole"), 400, "ValidationException"},
		"a name with a space":               {"fr ont", `{}`, nil, 400, "ValidationException"},
		"a name with two qualifiers":        {"front:a:b", `{}`, nil, 400, "ValidationException"},
		"a qualifier with a star":           {"front", `{}`, func(r *http.Request) { r.URL.RawQuery = "Qualifier=%2A" }, 400, "ValidationException"},
		"an empty qualifier":                {"front", `{}`, func(r *http.Request) { r.URL.RawQuery = "Qualifier=" }, 400, "ValidationException"},
		"a qualifier beside another":        {"front:$LATEST", `{}`, func(r *http.Request) { r.URL.RawQuery = "Qualifier=1" }, 404, "ResourceNotFoundException"},
		"a tenant, which is not played":     {"front", `{}`, header("X-Amz-Tenant-Id", "t"), 400, "InvalidParameterValueException"},
		"a client context that is too long": {"front", `{}`, header("X-Amz-Client-Context", base64.StdEncoding.EncodeToString([]byte(`"`+strings.Repeat("c", 3582)+`"`))), 400, "InvalidRequestContentException"},
		"a client context that is not JSON": {"front", `{}`, header("X-Amz-Client-Context", "bm8="), 400, "InvalidRequestContentException"},
		"a payload of more than 6 MB":       {"front", `"` + strings.Repeat("a", 6<<20) + `"`, nil, 413, "RequestTooLargeException"},
		"an event of more than 1 MB":        {"front", `"` + strings.Repeat("a", 1<<20) + `"`, event, 413, "RequestTooLargeException"},
		"another operation":                 {"front", ``, func(r *http.Request) { r.Method = "GET" }, 404, "UnknownOperationException"},
	} {
		t.Run(name, func(t *testing.T) {
			edit := tc.edit
			if edit == nil {
				edit = func(*http.Request) {}
			}
			a := st.call(t, tc.function, tc.payload, edit)
			if a.status != tc.status || a.header.Get("X-Amzn-Errortype") != tc.code {
				t.Errorf("got %d %s %.200s, want %d %s", a.status, a.header.Get("X-Amzn-Errortype"), a.body, tc.status, tc.code)
			}
			key := "message"
			if tc.code == "ResourceNotFoundException" {
				key = "Message"
			}
			if m := a.json(t); m[key] == nil || m["Type"] != "User" || len(m) != 2 {
				t.Errorf("got %s, want Type and %s", a.body, key)
			}
		})
	}
	if strings.Contains(st.out.String(), "START") {
		t.Error("a refused call reached the function")
	}
}

func TestAFunctionIsFoundByEveryFormOfItsName(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "front", Handler: "go"})
	for ref, arn := range map[string]string{"back": "back", "front:live": "front:live", st.FunctionARN("back") + ":1": "back:1"} {
		want := map[string]any{"Type": "User", "Message": "Function not found: arn:aws:lambda:us-east-1:111122223333:function:" + arn}
		if a := st.call(t, ref, `{}`); a.status != 404 || !reflect.DeepEqual(a.json(t), want) {
			t.Errorf("%s: got %d %s, want 404 %v", ref, a.status, a.body, want)
		}
	}
	for _, ref := range []string{"front", "front:$LATEST", "111122223333:function:front", st.FunctionARN("front"), st.FunctionARN("front") + ":$LATEST"} {
		if a := st.call(t, ref, ``, header("X-Amz-Invocation-Type", "DryRun")); a.status != 204 {
			t.Errorf("%s: got %d %s, want 204", ref, a.status, a.body)
		}
	}
	if got := st.call(t, st.FunctionARN("front")+":$LATEST", `{"do":"look"}`).json(t)["arn"]; got != st.FunctionARN("front")+":$LATEST" {
		t.Errorf("the function was told %v, want the ARN it was called by", got)
	}
	if a := st.call(t, "front", ``); a.header.Get("X-Amz-Function-Error") != "" {
		t.Errorf("without a payload a function gets {}: %+v", a)
	}
}

func TestTheRuntimeAPIRefuses(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "f", Handler: "raw"})
	got := st.call(t, "f", `{"do":"misbehave"}`).json(t)
	for what, want := range map[string]any{
		"an answer for another event":       "400 InvalidRequestID",
		"a next before the answer":          "403 InvalidStateTransition",
		"an init error after the init":      "403 InvalidStateTransition",
		"a path that is none":               "404 ",
		"a GET for an answer":               "405 ",
		"a second answer to the same event": "403 InvalidStateTransition",
	} {
		if what == "a second answer to the same event" {
			st.out.await(t, "second answer: "+want.(string))
		} else if got[what] != want {
			t.Errorf("%s: got %v, want %v", what, got[what], want)
		}
	}
}

func TestAForeignRuntime(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 to play a runtime that nobody here wrote")
	}
	script, err := filepath.Abs("testdata/bootstrap.py")
	if err != nil {
		t.Fatal(err)
	}
	st := run(t, nil, Function{Name: "f", Bootstrap: python, Args: []string{"-Su", script}, Handler: "lambda_function.handler", Env: map[string]string{"PATH": os.Getenv("PATH"), "HOME": os.Getenv("HOME")}})
	a := st.call(t, "f", `{"key":["value",1]}`)
	want := map[string]any{"python": map[string]any{"key": []any{"value", 1.0}}, "handler": "lambda_function.handler", "id": a.header.Get("X-Amzn-Requestid")}
	if got := a.json(t); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v\n%s", got, want, st.out)
	}
}

func TestRunReturnsOnlyWhenEveryChildHasEnded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handler string
		most    time.Duration
	}{
		"free and obedient":               {"go", time.Second},
		"free, and deaf to SIGTERM":       {"stubborn", 2 * time.Second},
		"busy, deaf, and with a grandson": {"family", 2 * time.Second},
		"still in its init":               {"init-hang", 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := run(t, nil, Function{Name: "f", Handler: tc.handler})
			answers := make(chan answer, 1)
			go func() {
				a, err := st.try("f", `{"do":"look"}`)
				if err != nil {
					t.Error(err)
				}
				answers <- a
			}()
			pids := strings.Fields(st.out.await(t, `pids ([\d ]+)\n`)[1])
			busy := tc.handler == "family" || tc.handler == "init-hang"
			if !busy {
				<-answers
			}
			if took := st.stop(); took > tc.most {
				t.Errorf("Run took %v to stop, want at most %v", took, tc.most)
			}
			for _, pid := range pids {
				var n int
				fmt.Sscan(pid, &n)
				if alive(n) {
					t.Errorf("process %d lives after Run has returned", n)
				}
			}
			if busy {
				if a := <-answers; a.status != 500 || a.header.Get("X-Amzn-Errortype") != "ServiceException" || a.json(t)["Type"] != "Service" || a.json(t)["Message"] == nil {
					t.Errorf("a call under way got %d %s, want 500 ServiceException", a.status, a.body)
				}
			}
			if a := st.call(t, "f", `{}`); a.status != 500 {
				t.Errorf("after the stop got %d, want 500", a.status)
			}
		})
	}
}

func TestANewWithAFaultIsRefused(t *testing.T) {
	good := Config{Region: "us-east-1", AccountID: "111122223333", Log: slog.New(slog.DiscardHandler),
		Credentials: func(string) (sigv4.Credentials, bool) { return caller, true }, Functions: []Function{{Name: "f", Bootstrap: "/f"}}}
	s, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	f := s.functions["f"]
	if s.c.InitTimeout != 10*time.Second || s.c.Minute != time.Minute || f.Timeout != 3*time.Second || f.MemoryMB != 128 || f.Instances != 1 || *f.MaximumRetryAttempts != 2 || f.MaximumEventAge != 6*time.Hour {
		t.Errorf("got %+v of %+v, want Lambda's own defaults", f.Function, s.c)
	}
	for name, edit := range map[string]func(*Config){
		"no log":                          func(c *Config) { c.Log = nil },
		"no name":                         func(c *Config) { c.Functions = []Function{{Bootstrap: "/f"}} },
		"a name twice":                    func(c *Config) { c.Functions = append(c.Functions, c.Functions[0]) },
		"a relative program":              func(c *Config) { c.Functions = []Function{{Name: "f", Bootstrap: "f"}} },
		"three retries":                   func(c *Config) { c.Functions[0].MaximumRetryAttempts = new(3) },
		"fewer retries than none":         func(c *Config) { c.Functions[0].MaximumRetryAttempts = new(-1) },
		"an event of less than a minute":  func(c *Config) { c.Functions[0].MaximumEventAge = 59 * time.Second },
		"an event of more than six hours": func(c *Config) { c.Functions[0].MaximumEventAge = 6*time.Hour + time.Second },
		"a reserved variable": func(c *Config) {
			c.Functions = []Function{{Name: "f", Bootstrap: "/f", Env: map[string]string{"AWS_REGION": "x"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			c.Functions = slices.Clone(c.Functions)
			edit(&c)
			if _, err := New(c); err == nil {
				t.Error("New accepted it")
			}
		})
	}
}

func TestOutputIsWholeLinesUnderTheirPrefix(t *testing.T) {
	var b bytes.Buffer
	l := &lines{mu: new(sync.Mutex), to: &b, prefix: "[f/1] "}
	for _, part := range []string{"a", "b\nc\n\nd", strings.Repeat("x", maxLine), "end"} {
		io.WriteString(l, part)
	}
	l.flush()
	want := "[f/1] ab\n[f/1] c\n[f/1] \n[f/1] d" + strings.Repeat("x", maxLine-1) + "\n[f/1] xend\n"
	if b.String() != want {
		t.Errorf("got %d bytes %.40q…%q, want %d bytes", b.Len(), b.String(), b.String()[max(0, b.Len()-20):], len(want))
	}
}
