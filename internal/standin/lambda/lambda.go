// Package lambda is a stand-in for AWS Lambda: the Invoke API for callers, and the Lambda Runtime API for functions,
// which are real bootstrap programs run as child processes with the environment that Lambda gives them.
//
//	Invoke ──▶ a warm instance is free? ──────────────────────────────▶ one event ──▶ warm again
//	             │ no                                                      ▲    │ time-out, exit
//	             ├─ fewer than Function.Instances? exec, init (10 s) ──────┘    └──▶ gone
//	             └─ else 429; an asynchronous event waits and tries again
//
// An instance has a Runtime API listener of its own on loopback, handles one event at a time, is frozen between events
// where the system can do that, and lives until it exits, times out or Run ends. A caller has its answer once the instance
// asks for the next event, so that who calls again at once finds it free.
//
// Not played: extensions, response streaming, a read-only file system, versions and aliases beyond $LATEST, destinations
// and dead-letter queues. What a caller or a function could ask for of these is refused, never ignored.
//
// Sources: AWS Lambda developer guide, "Using the Lambda runtime API for custom runtimes", "Understanding the Lambda
// execution environment lifecycle", "How Lambda handles errors and retries with asynchronous invocation", "Invoke".
package lambda

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// Limits of the service, in bytes ("Lambda quotas"; the response's is the figure of its error message).
const (
	maxRequest       = 6 << 20
	maxEvent         = 1 << 20 // asynchronous
	maxResponse      = 6<<20 + 100
	maxClientContext = 3583
	maxLogTail       = 4 << 10
)

// How asynchronous events are retried unless a function says otherwise ("Configuring error handling settings for Lambda
// asynchronous invocations"); both are also the most that it may say.
const (
	maxRetryAttempts = 2
	maxEventAge      = 6 * time.Hour
)

// Config is what a Server works with.
type Config struct {
	Region, AccountID string
	Credentials       func(accessKeyID string) (sigv4.Credentials, bool)
	// Authorize is IAM, the function's own policy included: whether a key may do lambda:InvokeFunction to a function's ARN.
	// The error's text goes to the caller. nil: every key may invoke every function.
	Authorize func(accessKeyID, action, resource string, context map[string]string) error
	Functions []Function
	// InitTimeout bounds an instance's start; 0 means Lambda's 10 s.
	InitTimeout time.Duration
	// Minute is how long a minute lasts between the attempts of asynchronous events; 0 means 60 s. See deliver.
	Minute time.Duration
	// Unconfirmed is the server's to change once it is made; see Switches.
	Unconfirmed Unconfirmed
	Log         *slog.Logger
	// Output receives what the functions write and Lambda's START, END and REPORT lines, each line prefixed by function
	// and instance, as "[front/1] ". nil discards it.
	Output io.Writer
}

// Function is one function: how it is run and how many instances it may have at once.
type Function struct {
	Name string
	// Bootstrap is the absolute path of the program; Args follow it.
	Bootstrap string
	Args      []string
	Dir       string        // working directory and LAMBDA_TASK_ROOT; empty means Bootstrap's folder
	Handler   string        // _HANDLER; empty means "bootstrap"
	Timeout   time.Duration // 0 means Lambda's 3 s
	// MemoryMB is what an instance may use; 0 means 128. On Linux one that has used more is killed, if not at once then when
	// it answers. Elsewhere nobody looks.
	MemoryMB  int
	Env       map[string]string // on top of Lambda's own; the execution role's credentials are part of it
	Instances int               // the reserved concurrency; 0 means 1
	// MaximumRetryAttempts is how often an asynchronous event is tried again after the function failed, 0 to 2; nil means 2.
	MaximumRetryAttempts *int
	// MaximumEventAge is when an asynchronous event is too old to be tried, a minute to six hours in Config.Minute's
	// minutes; 0 means six hours.
	MaximumEventAge time.Duration
}

// Server is the stand-in. It answers Invoke while Run runs.
type Server struct {
	c         Config
	verify    sigv4.Verifier
	functions map[string]*function
	stopping  chan struct{} // closed when Run ends

	output sync.Mutex // guards c.Output: whole lines
	mu     sync.Mutex // guards phase, c.Unconfirmed, and the pools and counters in functions
	phase  phase
	work   sync.WaitGroup // invocations, waiting events and instances; added to under mu and only while running
}

type phase int

const (
	idle phase = iota
	running
	stopped
)

// function is a Function with its instances; the fields below it are guarded by Server.mu.
type function struct {
	Function
	arn    string
	warm   []*instance // free, the last used at the end
	live   int         // instances that exist or are being started
	serial int         // of the next instance
}

// reserved are the variables that Lambda sets itself and CreateFunction refuses ("Defined runtime environment
// variables"). The credentials belong to them; here they come in Function.Env, because nothing plays STS.
var reserved = []string{"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"}

// New checks c. It starts nothing.
func New(c Config) (*Server, error) {
	if c.Credentials == nil || c.Log == nil || c.Region == "" || c.AccountID == "" {
		return nil, errors.New("lambda: Region, AccountID, Credentials and Log are required")
	}
	s := &Server{c: c, functions: map[string]*function{}, stopping: make(chan struct{}),
		verify: sigv4.Verifier{Service: "lambda", Region: c.Region, Lookup: c.Credentials}}
	s.c.InitTimeout = cmp.Or(c.InitTimeout, 10*time.Second)
	s.c.Minute = cmp.Or(c.Minute, time.Minute)
	if c.Output == nil {
		s.c.Output = io.Discard
	}
	for _, f := range c.Functions {
		if f.Name == "" || s.functions[f.Name] != nil {
			return nil, fmt.Errorf("lambda: function name %q is empty or taken", f.Name)
		}
		if !filepath.IsAbs(f.Bootstrap) {
			return nil, fmt.Errorf("lambda: function %s: bootstrap %q is not an absolute path", f.Name, f.Bootstrap)
		}
		for name := range f.Env {
			if slices.Contains(reserved, name) {
				return nil, fmt.Errorf("lambda: function %s: %s is set by Lambda and cannot be configured", f.Name, name)
			}
		}
		f.Dir = cmp.Or(f.Dir, filepath.Dir(f.Bootstrap))
		f.Handler = cmp.Or(f.Handler, "bootstrap")
		f.Timeout = cmp.Or(f.Timeout, 3*time.Second)
		f.MemoryMB = cmp.Or(f.MemoryMB, 128)
		f.Instances = cmp.Or(f.Instances, 1)
		f.MaximumEventAge = cmp.Or(f.MaximumEventAge, maxEventAge)
		if f.MaximumEventAge < time.Minute || f.MaximumEventAge > maxEventAge {
			return nil, fmt.Errorf("lambda: function %s: MaximumEventAge %s is not between a minute and six hours", f.Name, f.MaximumEventAge)
		}
		if f.MaximumRetryAttempts == nil {
			f.MaximumRetryAttempts = new(maxRetryAttempts)
		}
		if n := *f.MaximumRetryAttempts; n < 0 || n > maxRetryAttempts {
			return nil, fmt.Errorf("lambda: function %s: MaximumRetryAttempts %d is not between 0 and %d", f.Name, n, maxRetryAttempts)
		}
		s.functions[f.Name] = &function{Function: f, arn: s.FunctionARN(f.Name)}
	}
	return s, nil
}

// FunctionARN is the ARN of a function of that name, whether there is one or not.
func (s *Server) FunctionARN(name string) string {
	return fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", s.c.Region, s.c.AccountID, name)
}

// Run lets functions run until ctx ends. It returns once every child has ended, at the latest two seconds later;
// invocations under way are answered 500 and asynchronous events that still wait are given up, with a log line for each.
// It can be called once.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.phase != idle {
		s.mu.Unlock()
		return errors.New("lambda: Run called twice")
	}
	s.phase = running
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.phase = stopped
	s.mu.Unlock()
	close(s.stopping)
	s.work.Wait()
	return nil
}

// on reads one of Unconfirmed's facts.
func (s *Server) on(fact *bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *fact
}

// begin counts an invocation or event into work; it reports false outside Run.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == running {
		s.work.Add(1)
	}
	return s.phase == running
}

// Handler serves the Invoke API: POST /2015-03-31/functions/{name or ARN}/invocations, signed for "lambda".
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{function}/invocations", s.serveInvoke)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, &apiError{http.StatusNotFound, "UnknownOperationException", "This stand-in plays Invoke and no other operation of Lambda."})
	})
	return mux
}

// apiError is an error of the Lambda API, as opposed to one of the function.
type apiError struct {
	status        int
	code, message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

var (
	errThrottled = &apiError{http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded."}
	errStopping  = &apiError{http.StatusInternalServerError, "ServiceException", "The stand-in is stopping, or has not started yet."}
)

// invocation is one event on its way to a function. It keeps its request id over all attempts.
type invocation struct {
	id, arn, trace, clientContext string
	payload                       []byte
}

// outcome is what a function made of an event.
type outcome struct {
	payload   []byte
	errorType string // empty when the function succeeded
	reported  bool   // the error, by the function itself
	message   string // of an error that Lambda found
	timedOut  bool
	cold      bool
	log       []byte // the end of the invocation's log
}

func (s *Server) serveInvoke(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id := uuid()
	w.Header().Set("X-Amzn-Requestid", id)
	f, inv, kind, tail, refused := s.parse(r, id)
	if refused != nil {
		s.refuse(w, refused)
		return
	}
	if !s.begin() {
		s.refuse(w, errStopping)
		return
	}
	hop := func(status int, detail string) {
		s.c.Log.Info("hop", "to", "lambda", "what", "Invoke "+f.Name, "status", status, "took", time.Since(began), "detail", detail, "request_id", id)
	}
	switch kind {
	case "DryRun":
		s.work.Done()
		w.WriteHeader(http.StatusNoContent)
		hop(http.StatusNoContent, "dry run")
	case "Event":
		go func() { defer s.work.Done(); s.deliver(f, inv) }()
		if s.on(&s.c.Unconfirmed.EventsTwice) && s.begin() {
			go func() { defer s.work.Done(); s.deliver(f, inv) }()
		}
		w.WriteHeader(http.StatusAccepted)
		hop(http.StatusAccepted, "queued")
	default:
		// A caller that hangs up does not end the invocation: r's context plays no part.
		out, err := s.invoke(f, inv)
		s.work.Done()
		if err != nil {
			s.refuse(w, err)
			return
		}
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		w.Header().Set("X-Amzn-Trace-Id", inv.trace)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case out.reported && s.on(&s.c.Unconfirmed.HandledErrors):
			w.Header().Set("X-Amz-Function-Error", "Handled")
		case out.errorType != "":
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
		}
		if tail {
			w.Header().Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(out.log))
		}
		w.Write(out.payload)
		hop(http.StatusOK, out.detail())
	}
}

func (o outcome) detail() string {
	switch {
	case o.errorType != "":
		return "function error " + o.errorType
	case o.cold:
		return "cold start"
	}
	return ""
}

// The patterns of Invoke's parameters, from the API Reference; messages hold them as the service's do.
const (
	namePattern      = `(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?`
	qualifierPattern = `\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`
)

var (
	names      = regexp.MustCompile("^(" + namePattern + ")$")
	qualifiers = regexp.MustCompile("^(" + qualifierPattern + ")$")
)

// parse checks the request in the order in which the service does: size, signature, permission, function, payload. tail
// says whether the caller asks for the end of the log.
func (s *Server) parse(r *http.Request, id string) (f *function, inv invocation, kind string, tail bool, _ *apiError) {
	fail := func(status int, code, format string, args ...any) (*function, invocation, string, bool, *apiError) {
		return nil, inv, "", false, &apiError{status, code, fmt.Sprintf(format, args...)}
	}
	invalid := func(value, member, constraint string) (*function, invocation, string, bool, *apiError) {
		return fail(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy %s", value, member, constraint)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return fail(http.StatusBadRequest, "InvalidRequestContentException", "Could not read the request: %v", err)
	}
	if len(body) > maxRequest {
		return fail(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request must be smaller than %d bytes for the InvokeFunction operation", maxRequest)
	}
	key, err := s.verify.Verify(r, body)
	if err != nil {
		e, ok := errors.AsType[*sigv4.Error](err)
		if !ok {
			return fail(http.StatusInternalServerError, "ServiceException", "%v", err)
		}
		return fail(http.StatusForbidden, signatureCode(e.Code), "%s", e.Message)
	}
	kind = cmp.Or(r.Header.Get("X-Amz-Invocation-Type"), "RequestResponse")
	if !slices.Contains([]string{"Event", "RequestResponse", "DryRun"}, kind) {
		return invalid(kind, "invocationType", "enum value set: [Event, RequestResponse, DryRun]")
	}
	name, qualifier := r.PathValue("function"), r.URL.Query().Get("Qualifier")
	if !names.MatchString(name) {
		return invalid(name, "functionName", "regular expression pattern: "+namePattern)
	}
	if r.URL.Query().Has("Qualifier") && (!qualifiers.MatchString(qualifier) || len(qualifier) > 128) {
		return invalid(qualifier, "qualifier", "regular expression pattern: "+qualifierPattern)
	}
	// Who may not is not told whether there is such a function.
	f, arn := s.find(name, qualifier)
	if s.c.Authorize != nil {
		if err := s.c.Authorize(key, "lambda:InvokeFunction", arn, map[string]string{"aws:RequestedRegion": s.c.Region}); err != nil {
			return fail(http.StatusForbidden, "AccessDeniedException", "%s", err.Error())
		}
	}
	if kind == "Event" && len(body) > maxEvent {
		return fail(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "%d byte payload is too large for the Event invocation type (limit %d bytes)", len(body), maxEvent)
	}
	for _, name := range []string{"X-Amz-Tenant-Id", "X-Amz-Durable-Execution-Name"} {
		if r.Header.Get(name) != "" {
			return fail(http.StatusBadRequest, "InvalidParameterValueException", "%s is not played by this stand-in.", name)
		}
	}
	switch v := r.Header.Get("X-Amz-Log-Type"); v {
	case "", "None":
	case "Tail": // which means nothing to an event
		tail = true
	default:
		return invalid(v, "logType", "enum value set: [None, Tail]")
	}
	clientContext, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Amz-Client-Context"))
	if err != nil || len(clientContext) > maxClientContext || len(clientContext) > 0 && !json.Valid(clientContext) {
		return fail(http.StatusBadRequest, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object of at most %d bytes.", maxClientContext)
	}
	if f == nil {
		return fail(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s", arn)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}") // what a function gets when it is invoked without a payload
	}
	if err := json.Unmarshal(body, new(json.RawMessage)); err != nil {
		return fail(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json: %v", err)
	}
	inv = invocation{id: id, arn: arn, trace: r.Header.Get("X-Amzn-Trace-Id"), payload: body}
	if kind != "Event" { // "Lambda passes the ClientContext object to your function for synchronous invocations only"
		inv.clientContext = string(clientContext)
	}
	if inv.trace == "" {
		inv.trace = fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", time.Now().Unix(), random(12), random(8))
	}
	return f, inv, kind, tail, nil
}

// find resolves a name, a partial ARN or an ARN, each with or without ":$LATEST". It returns the ARN asked for, too.
func (s *Server) find(ref, qualifier string) (*function, string) {
	name := strings.TrimPrefix(ref, s.FunctionARN(""))
	name = strings.TrimPrefix(name, s.c.AccountID+":function:")
	name, suffix, _ := strings.Cut(name, ":")
	if suffix != "" && qualifier != "" && suffix != qualifier {
		return nil, ref + ":" + qualifier
	}
	arn := s.FunctionARN(name)
	if strings.HasPrefix(ref, "arn:") && !strings.HasPrefix(ref, s.FunctionARN("")) {
		return nil, ref // another account's or Region's
	}
	if q := cmp.Or(suffix, qualifier); q != "" {
		arn += ":" + q
		if q != "$LATEST" {
			return nil, arn
		}
	}
	return s.functions[name], arn
}

func signatureCode(c sigv4.Code) string {
	switch c {
	case sigv4.MissingAuthenticationToken, sigv4.UnrecognizedClient, sigv4.IncompleteSignature:
		return string(c) + "Exception"
	default: // wrong and expired signatures
		return "InvalidSignatureException"
	}
}

func (s *Server) refuse(w http.ResponseWriter, e *apiError) {
	s.c.Log.Warn("refused", "to", "lambda", "why", e.Error(), "status", e.status)
	kind := "User"
	if e.status >= 500 {
		kind = "Service"
	}
	body := map[string]string{"Type": kind, "message": e.message}
	switch e.code {
	case "TooManyRequestsException":
		body["Reason"] = "ReservedFunctionConcurrentInvocationLimitExceeded"
	case "ResourceNotFoundException", "ServiceException", "AccessDeniedException": // those whose model spells the key so
		body["Message"] = e.message
		delete(body, "message")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", e.code)
	w.WriteHeader(e.status)
	json.NewEncoder(w).Encode(body)
}

// deliver takes an asynchronous event to the function: after a failure once more, a minute after the first and two after
// the second, as often as the function wants. A throttled event goes back to the queue, for one second at first and five
// minutes at most. Whatever its lot, it is given up when it is too old. All of these are counted in Config.Minute.
func (s *Server) deliver(f *function, inv invocation) {
	began := time.Now()
	tooOld := began.Add(f.MaximumEventAge / time.Second * (s.c.Minute / 60))
	throttled, failures := s.c.Minute/60, 0
	giveUp := func(level slog.Level, why string) {
		s.c.Log.Log(context.Background(), level, "event given up", "to", "lambda", "function", f.Name, "request_id", inv.id, "why", why)
	}
	for {
		var wait time.Duration
		out, err := s.invoke(f, inv)
		switch {
		case err == errStopping:
			giveUp(slog.LevelWarn, "the stand-in stops")
			return
		case err != nil:
			wait = throttled
			throttled = min(2*throttled, 5*s.c.Minute)
		case out.errorType == "":
			s.c.Log.Info("hop", "to", "lambda", "what", "event for "+f.Name, "status", http.StatusOK, "took", time.Since(began), "detail", out.detail(), "request_id", inv.id)
			return
		case failures == *f.MaximumRetryAttempts:
			giveUp(slog.LevelError, "it failed "+[]string{"once", "twice", "three times"}[failures]+", last with "+out.errorType)
			return
		default:
			failures++
			wait = time.Duration(failures) * s.c.Minute
			s.c.Log.Warn("event failed, will be tried again", "to", "lambda", "function", f.Name, "request_id", inv.id, "why", out.errorType, "in", wait)
		}
		select {
		case <-time.After(wait):
		case <-s.stopping:
			continue // to be told so
		}
		if !time.Now().Before(tooOld) {
			giveUp(slog.LevelError, fmt.Sprintf("it is older than %s", f.MaximumEventAge))
			return
		}
	}
}

// invoke runs one event on a free instance, or on a new one. The error is errThrottled or errStopping; what the function
// did wrong is in the outcome. The caller has called begin.
func (s *Server) invoke(f *function, inv invocation) (outcome, *apiError) {
	s.mu.Lock()
	if s.phase != running {
		s.mu.Unlock()
		return outcome{}, errStopping
	}
	var i, dropped *instance
	if n := len(f.warm); n > 0 {
		i, f.warm = f.warm[n-1], f.warm[:n-1]
		if s.c.Unconfirmed.NeverWarm { // the new one takes its place
			i, dropped = nil, i
		}
	} else if f.live < f.Instances {
		f.live++
	} else {
		s.mu.Unlock()
		return outcome{}, errThrottled
	}
	s.mu.Unlock()
	if dropped != nil {
		dropped.stop(0)
	}

	cold := i == nil
	var initFor time.Duration
	var failed *outcome
	if cold {
		i, initFor, failed = s.boot(f, inv.id, s.c.InitTimeout, "init")
	}
	began := time.Now()
	deadline := began.Add(f.Timeout)
	if failed != nil && !s.ending() {
		// Lambda tries a failed init once more as part of the invocation, within the function's own time-out.
		initFor = 0
		i, _, failed = s.boot(f, inv.id, f.Timeout, "invoke")
	}
	i.out.startTail()
	i.printf("START RequestId: %s Version: $LATEST\n", inv.id)
	var out outcome
	if failed != nil {
		out = *failed
	} else {
		out = i.handle(inv, deadline)
	}
	s.report(i, inv.id, time.Since(began), initFor, out)
	out.log = i.out.endTail()
	s.release(f, i)
	if s.ending() && out.errorType != "" {
		return outcome{}, errStopping // the function was stopped by us; its error says nothing
	}
	out.cold = cold
	return out, nil
}

// boot starts an instance and waits until it asks for its first event. Where that fails the instance has ended, and the
// outcome says why.
func (s *Server) boot(f *function, id string, limit time.Duration, phase string) (*instance, time.Duration, *outcome) {
	began := time.Now()
	s.mu.Lock()
	f.serial++
	serial := f.serial
	s.mu.Unlock()
	i, failed := s.start(f, serial, id)
	if failed == nil {
		failed = i.awaitInit(id, began, limit)
	}
	took := time.Since(began)
	if failed == nil {
		return i, took, nil
	}
	status := "error\tError Type: " + failed.errorType
	if failed.timedOut {
		status = "timeout"
	}
	i.printf("INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: %s\n", ms(took), phase, status)
	return i, took, failed
}

// report writes the lines that close an invocation. Since August 2025 the billed duration includes a cold start's init.
func (s *Server) report(i *instance, id string, took, initFor time.Duration, out outcome) {
	var b strings.Builder
	switch {
	case out.timedOut:
		fmt.Fprintf(&b, "%s %s Task timed out after %.2f seconds\n\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), id, i.f.Timeout.Seconds())
	case out.message != "":
		fmt.Fprintf(&b, "%s\n%s\n", out.message, out.errorType)
	}
	billed := (took + initFor + time.Millisecond - 1).Truncate(time.Millisecond)
	fmt.Fprintf(&b, "END RequestId: %s\nREPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB", id, id, ms(took), billed.Milliseconds(), i.f.MemoryMB)
	if peak := i.peakMB(); peak > 0 {
		fmt.Fprintf(&b, "\tMax Memory Used: %d MB", min(peak, i.f.MemoryMB))
	}
	if initFor > 0 {
		fmt.Fprintf(&b, "\tInit Duration: %.2f ms", ms(initFor))
	}
	switch {
	case out.timedOut:
		b.WriteString("\tStatus: timeout")
	case out.errorType != "":
		b.WriteString("\tStatus: error\tError Type: " + out.errorType)
	}
	b.WriteByte('\n')
	i.printf("%s", b.String())
}

// release gives an instance that lives back to the pool, and the place of one that does not to the next.
func (s *Server) release(f *function, i *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.gone() {
		f.live--
		return
	}
	f.warm = append(f.warm, i)
}

// ended takes an instance that exited while it was free out of the pool. One that was busy is not in it: release sees it.
func (s *Server) ended(f *function, i *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(f.warm); n > 0 {
		f.warm = slices.DeleteFunc(f.warm, func(w *instance) bool { return w == i })
		f.live -= n - len(f.warm)
	}
}

func (s *Server) ending() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// uuid is a random UUID (RFC 9562, version 4), the form of Lambda's request ids.
func uuid() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// random is n random bytes in hexadecimal.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
