package lambda

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// grace is what a child has between SIGTERM and SIGKILL when the stand-in stops; with outputGrace it stays below the
	// two seconds that Run promises.
	grace = 1200 * time.Millisecond
	// outputGrace is how long to go on reading the output of a child that has ended, when a process it left holds the pipe.
	outputGrace = 300 * time.Millisecond
	// drainGrace is how long to wait at most for what a child wrote before it answered.
	drainGrace = 2 * time.Second
	// maxLine is where a line without end is broken, as CloudWatch Logs does with its events.
	maxLine = 256 << 10
)

// instance is one execution environment: a child process and the Runtime API it talks to.
//
//	starting ── first next ──▶ waiting ── event ──▶ busy ── response or error ──▶ answered ── next ──▶ waiting
type instance struct {
	s     *Server
	f     *function
	out   *lines
	pipe  *os.File // the child's end of its output
	cmd   *exec.Cmd
	ready chan struct{} // closed at the first next
	turns chan *turn    // of capacity one: the event for the next that waits
	// exited is closed when the child is gone, its output read and its listener closed; exit is set before.
	exited chan struct{}
	exit   string

	mu        sync.Mutex // guards what follows
	pid       int        // set once, before start returns
	waiting   bool       // a next is open
	ending    bool       // it was told to end: nothing freezes it any more
	started   bool       // ready is closed
	turn      *turn      // the event being handled
	initError *outcome
	peak      int // MB
}

// turn is one event in the hands of an instance.
type turn struct {
	inv      invocation
	deadline time.Time
	answer   *outcome      // guarded by instance.mu
	done     chan struct{} // closed when the event was answered and the instance asks for the next
}

// start executes the function's program. The instance it returns is never nil; with an outcome, it is already gone.
func (s *Server) start(f *function, serial int, id string) (*instance, *outcome) {
	i := &instance{s: s, f: f, ready: make(chan struct{}), turns: make(chan *turn, 1), exited: make(chan struct{}),
		out: &lines{mu: &s.output, to: s.c.Output, prefix: fmt.Sprintf("[%s/%d] ", f.Name, serial), mark: random(16), marked: make(chan struct{}, 1)}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		close(i.exited)
		return i, failure(id, "Runtime.Unknown", err.Error())
	}
	output, pipe, err := os.Pipe()
	if err != nil {
		listener.Close()
		close(i.exited)
		return i, failure(id, "Runtime.Unknown", err.Error())
	}
	api := &http.Server{Handler: i.api(), ErrorLog: slog.NewLogLogger(s.c.Log.Handler(), slog.LevelWarn)}
	i.cmd = exec.Command(f.Bootstrap, f.Args...)
	i.cmd.Dir = f.Dir
	i.cmd.Env = s.environment(f, listener.Addr().String())
	i.cmd.Stdout, i.cmd.Stderr, i.pipe = pipe, pipe, pipe
	i.cmd.SysProcAttr = attributes()
	started := make(chan error, 1)
	s.work.Go(func() { api.Serve(listener) })
	copied := make(chan struct{})
	s.work.Go(func() { io.Copy(i.out, output); close(copied) })
	s.work.Go(func() {
		// Linux ends the child with the thread that made it (see attributes), so this one must live as long as it does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := i.cmd.Start()
		if err == nil {
			i.mu.Lock() // the child may ask for its first event before this line
			i.pid = i.cmd.Process.Pid
			i.mu.Unlock()
			started <- nil
			err = i.cmd.Wait()
			signalGroup(i.pid, true) // what it left behind, as Lambda does with an environment
			i.exit = "Runtime exited without providing a reason"
			if state := i.cmd.ProcessState; state != nil && !state.Success() {
				i.exit = "Runtime exited with error: " + state.String()
			} else if err != nil {
				i.exit = "Runtime exited with error: " + err.Error()
			}
		} else {
			i.exit = err.Error()
			started <- err
		}
		pipe.Close()
		select {
		case <-copied:
		case <-time.After(outputGrace):
		}
		output.Close()
		<-copied
		i.out.flush()
		api.Close()
		close(i.exited)
		s.ended(f, i)
	})
	if err := <-started; err != nil {
		<-i.exited
		return i, failure(id, "Runtime.InvalidEntrypoint", err.Error())
	}
	s.work.Go(func() {
		select {
		case <-i.exited:
		case <-s.stopping:
			i.stop(grace)
		}
	})
	return i, nil
}

// environment is Lambda's ("Defined runtime environment variables"), and nothing of this process's own.
func (s *Server) environment(f *function, api string) []string {
	env := map[string]string{
		"AWS_LAMBDA_RUNTIME_API": api, "_HANDLER": f.Handler, "LAMBDA_TASK_ROOT": f.Dir, "LAMBDA_RUNTIME_DIR": "/var/runtime",
		"AWS_LAMBDA_FUNCTION_NAME": f.Name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_REGION": s.c.Region, "AWS_DEFAULT_REGION": s.c.Region,
		"AWS_LAMBDA_LOG_GROUP_NAME":  "/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME": time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + random(16),
		"TZ":                         ":UTC", "LANG": "en_US.UTF-8", "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
	}
	for name, value := range f.Env {
		env[name] = value
	}
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// awaitInit waits for the first next, until limit after the beginning. On any other end the child is stopped and the outcome says why.
func (i *instance) awaitInit(id string, began time.Time, limit time.Duration) *outcome {
	timer := time.NewTimer(time.Until(began.Add(limit)))
	defer timer.Stop()
	timedOut := false
	select {
	case <-i.ready:
		return nil
	case <-i.exited:
	case <-timer.C:
		timedOut = true
		i.stop(0)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.initError != nil: // reported before the exit or the time-out, and more telling
		return i.initError
	case timedOut:
		o := failure(id, "Sandbox.Timedout", fmt.Sprintf("Task timed out after %.2f seconds", limit.Seconds()))
		o.timedOut = true
		return o
	}
	return failure(id, "Runtime.ExitError", i.exit)
}

// handle gives the instance, which must be free, one event and waits for what comes of it.
func (i *instance) handle(inv invocation, deadline time.Time) outcome {
	t := &turn{inv: inv, deadline: deadline, done: make(chan struct{})}
	i.turns <- t
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	timedOut := false
	select {
	case <-t.done:
		i.drain()
	case <-i.exited:
	case <-timer.C:
		timedOut = true
		i.stop(0)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case t.answer != nil: // even if it then exited, or did not ask for the next event in time
		return *t.answer
	case timedOut:
		o := failure(inv.id, "Sandbox.Timedout", fmt.Sprintf("Task timed out after %.2f seconds", i.f.Timeout.Seconds()))
		o.timedOut = true
		return *o
	}
	return *failure(inv.id, "Runtime.ExitError", i.exit)
}

// drain waits until what the child wrote before it asked for the next event has been passed on, so that Lambda's own
// lines come after it: a mark sent after it through the same pipe arrives after it.
func (i *instance) drain() {
	select {
	case <-i.out.marked: // one that came too late
	default:
	}
	if _, err := io.WriteString(i.pipe, i.out.mark+"\n"); err != nil {
		return // it has ended meanwhile, and all is read
	}
	select {
	case <-i.out.marked:
	case <-i.exited:
	case <-time.After(drainGrace):
	}
}

// failure is what Lambda itself says of a function that failed.
func failure(id, errorType, message string) *outcome {
	message = "RequestId: " + id + " Error: " + message
	return &outcome{errorType: errorType, message: message, payload: marshal(map[string]string{"errorType": errorType, "errorMessage": message})}
}

// stop ends the child and what it started, and waits until it is gone: at once, or politely when there is time.
func (i *instance) stop(grace time.Duration) {
	i.mu.Lock()
	i.ending = true
	i.mu.Unlock()
	if grace > 0 {
		signalGroup(i.pid, false)
		thaw(i.pid) // what is frozen does not hear
		select {
		case <-i.exited:
			return
		case <-time.After(grace):
			i.s.c.Log.Warn("killed", "to", "lambda", "function", i.f.Name, "pid", i.pid, "why", "still running after SIGTERM", "after", grace)
		}
	}
	if !i.gone() { // a process id that was given back may be another's
		signalGroup(i.pid, true)
	}
	<-i.exited
}

func (i *instance) gone() bool {
	select {
	case <-i.exited:
		return true
	default:
		return false
	}
}

// freeze stops the child and what it started for as long as it has no event, unless it is told to end.
func (i *instance) freeze() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.ending && !i.gone() {
		freeze(i.pid)
	}
}

func (i *instance) thaw() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.gone() {
		thaw(i.pid)
	}
}

func (i *instance) peakMB() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.peak
}

func (i *instance) printf(format string, args ...any) { fmt.Fprintf(i.out, format, args...) }

// api is the Lambda Runtime API, version 2018-06-01.
func (i *instance) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", i.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { i.answer(w, r, false) })
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { i.answer(w, r, true) })
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", i.failInit)
	return mux
}

// outgrown kills a child that has used more memory than it may, and says so.
func (i *instance) outgrown() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.peak = max(i.peak, peakMemory(i.pid))
	if i.peak <= i.f.MemoryMB {
		return false
	}
	if !i.gone() {
		signalGroup(i.pid, true)
	}
	return true
}

func (i *instance) next(w http.ResponseWriter, r *http.Request) {
	if i.outgrown() {
		return
	}
	i.mu.Lock()
	if i.waiting || i.turn != nil && i.turn.answer == nil {
		i.mu.Unlock()
		runtimeError(w, http.StatusForbidden, "InvalidStateTransition", "The event that was handed out is not answered yet, or another next is open")
		return
	}
	i.waiting = true
	if t := i.turn; t != nil {
		i.turn = nil
		close(t.done)
	}
	if !i.started {
		i.started = true
		close(i.ready)
	}
	i.mu.Unlock()

	i.freeze()
	var t *turn
	select {
	case t = <-i.turns:
	case <-r.Context().Done():
	}
	i.thaw()
	i.mu.Lock()
	i.waiting, i.turn = false, t
	i.mu.Unlock()
	if t == nil {
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", t.inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(t.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", t.inv.arn)
	h.Set("Lambda-Runtime-Trace-Id", t.inv.trace)
	if t.inv.clientContext != "" {
		h.Set("Lambda-Runtime-Client-Context", t.inv.clientContext)
	}
	w.Write(t.inv.payload)
}

func (i *instance) answer(w http.ResponseWriter, r *http.Request, isError bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse+1))
	if err != nil {
		return // the child is gone or broke off; its turn ends by exit or time-out
	}
	if i.outgrown() {
		return // it would not have come so far
	}
	o := outcome{payload: body}
	tooLarge := len(body) > maxResponse
	mode := r.Header.Get("Lambda-Runtime-Function-Response-Mode")
	if mode != "" { // "streaming" is the one that Lambda knows, and not played
		o = *failure(r.PathValue("id"), "Runtime.InvalidResponseModeHeader", "response mode "+mode+" is not played by this stand-in")
	} else if tooLarge {
		io.Copy(io.Discard, r.Body) // so that the child hears of it, instead of losing the connection while it sends
		o.errorType = "Function.ResponseSizeTooLarge"
		o.payload = marshal(map[string]string{"errorType": o.errorType, "errorMessage": fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxResponse)})
	} else if isError {
		o.errorType, o.reported = errorType(r, body), true
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.turn == nil || i.turn.inv.id != r.PathValue("id"):
		runtimeError(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
	case i.turn.answer != nil:
		runtimeError(w, http.StatusForbidden, "InvalidStateTransition", "This event is answered already")
	case mode != "":
		i.turn.answer = &o
		runtimeError(w, http.StatusBadRequest, "InvalidFunctionResponseMode", "Invalid function response mode")
	case tooLarge:
		i.turn.answer = &o
		runtimeError(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", maxResponse))
	default:
		i.turn.answer = &o
		accepted(w)
	}
}

// failInit keeps the error for the caller; the runtime is expected to exit after it.
func (i *instance) failInit(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse))
	if err != nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.started {
		runtimeError(w, http.StatusForbidden, "InvalidStateTransition", "The runtime has left its init phase")
		return
	}
	i.initError = &outcome{payload: body, errorType: errorType(r, body)}
	accepted(w)
}

// errorType is what the runtime says in its header, else in the payload, else that nobody said.
func errorType(r *http.Request, body []byte) string {
	if t := r.Header.Get("Lambda-Runtime-Function-Error-Type"); t != "" {
		return t
	}
	var said struct {
		ErrorType string `json:"errorType"`
	}
	if json.Unmarshal(body, &said) == nil && said.ErrorType != "" {
		return said.ErrorType
	}
	return "Function.Unknown"
}

func accepted(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	w.Write(marshal(map[string]string{"status": "OK"}))
}

func runtimeError(w http.ResponseWriter, status int, errorType, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(marshal(map[string]string{"errorType": errorType, "errorMessage": message}))
}

func marshal(m map[string]string) []byte {
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings always encode
	}
	return raw
}

// peakMemory reads VmHWM, the child's own high-water mark, in MB. (The rusage that wait reports counts the image of
// this process before exec.) It is 0 where there is no /proc.
func peakMemory(pid int) int {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	var kB int
	fmt.Sscan(rest, &kB)
	return (kB + 1023) / 1024
}

// lines passes whole lines on, each with a prefix, so that instances that write at once do not mix within a line.
type lines struct {
	mu     *sync.Mutex // guards to, which instances share, and the rest
	to     io.Writer
	prefix string
	part   []byte
	mark   string        // a line that is nobody's: see instance.drain
	marked chan struct{} // of capacity one: told when mark came
	tail   []byte        // the end of what was passed on since startTail, at least maxLogTail of it
	tails  bool
}

// Write never fails: a child must not be stopped by a reader of its output.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		n := bytes.IndexByte(l.part, '\n')
		switch {
		case n < 0 && len(l.part) < maxLine:
			return len(p), nil
		case n < 0:
			l.pass(l.part[:maxLine])
			l.part = l.part[maxLine:]
		default:
			line, rest := l.part[:n], l.part[n+1:]
			if begun, ok := bytes.CutSuffix(line, []byte(l.mark)); ok && l.mark != "" {
				l.part = append(slices.Clone(begun), rest...) // a line that the child has only begun goes on after it
				select {
				case l.marked <- struct{}{}:
				default: // nobody waits any more
				}
				continue
			}
			l.pass(line)
			l.part = rest
		}
	}
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.pass(l.part)
		l.part = nil
	}
}

// pass passes one line on; the caller holds mu.
func (l *lines) pass(line []byte) {
	fmt.Fprintf(l.to, "%s%s\n", l.prefix, line)
	if !l.tails {
		return
	}
	l.tail = append(append(l.tail, line...), '\n')
	if len(l.tail) > 2*maxLogTail {
		l.tail = slices.Clone(l.tail[len(l.tail)-maxLogTail:])
	}
}

// startTail begins to keep the end of the log, endTail returns it.
func (l *lines) startTail() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail, l.tails = nil, true
}

func (l *lines) endTail() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tails = false
	return l.tail[max(0, len(l.tail)-maxLogTail):]
}
