package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// patience bounds the wait for any one answer of a function, its start included.
const patience = 30 * time.Second

// program is how a function is started.
type program struct {
	path string
	args []string
	env  []string // on top of Lambda's
}

// process is one execution environment: a child process and the Runtime API that it talks to. It is Lambda's without
// what costs time for the sake of likeness: nothing is frozen between events, and no output is waited for.
type process struct {
	cmd      *exec.Cmd
	api      *http.Server
	began    time.Time      // just before the program was executed
	nexts    chan time.Time // when the function asked for an event
	events   chan []byte
	answers  chan answered
	exited   chan struct{} // closed when the child is gone and its output read
	output   tail
	sequence int // of events; the requests' ids
}

// answered is what the function made of an event, and when all of it was here.
type answered struct {
	body []byte
	at   time.Time
	err  error // that the function reported
}

// start executes a program with the environment that Lambda gives ("Defined runtime environment variables") and nothing
// of this process's own.
func start(ctx context.Context, p program, handler string) (*process, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &process{nexts: make(chan time.Time, 1), events: make(chan []byte), answers: make(chan answered, 1), exited: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", c.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { c.answer(w, r, nil) })
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		c.answer(w, r, errors.New("the function reports an error"))
	})
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, r *http.Request) {
		c.answer(w, r, errors.New("the function cannot start"))
	})
	c.api = &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	go c.api.Serve(listener)

	c.cmd = exec.CommandContext(ctx, p.path, p.args...)
	c.cmd.Dir = filepath.Dir(p.path)
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	c.cmd.WaitDelay = time.Second
	c.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), "_HANDLER=" + handler, "LAMBDA_TASK_ROOT=" + c.cmd.Dir,
		"AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/bench", "AWS_LAMBDA_LOG_STREAM_NAME=bench",
		"AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region, "AWS_ACCESS_KEY_ID=" + role.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + role.SecretAccessKey,
		"TZ=:UTC", "LANG=en_US.UTF-8", "PATH=/usr/local/bin:/usr/bin/:/bin:/opt/bin",
	}, p.env...)
	c.began = time.Now()
	if err := c.cmd.Start(); err != nil {
		c.api.Close()
		return nil, err
	}
	go func() {
		c.cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// stop kills the function and waits until it is gone.
func (c *process) stop() {
	c.cmd.Process.Kill()
	<-c.exited
	c.api.Close()
}

func (c *process) next(w http.ResponseWriter, r *http.Request) {
	c.nexts <- time.Now()
	select {
	case event := <-c.events:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", strconv.Itoa(c.sequence))
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", functionARN)
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0")
		w.Write(event)
	case <-r.Context().Done():
	}
}

func (c *process) answer(w http.ResponseWriter, r *http.Request, failed error) {
	body, err := io.ReadAll(r.Body)
	at := time.Now()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, `{"status":"OK"}`)
	if err == nil && failed != nil {
		err = fmt.Errorf("%w: %s", failed, body)
	}
	c.answers <- answered{body, at, err}
}

// ready waits until the function asks for an event, and says when it did.
func (c *process) ready(ctx context.Context) (time.Time, error) {
	select {
	case at := <-c.nexts:
		return at, nil
	case a := <-c.answers: // an init error
		return time.Time{}, cmp.Or(a.err, errors.New("an answer without an event"))
	case <-c.exited:
	case <-time.After(patience):
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	return time.Time{}, fmt.Errorf("%s asks for no event:\n%s", c.cmd.Path, &c.output)
}

// invoke gives the function, which must be ready, one event. It returns the answer, when the event was handed out, and
// when the answer was here, whole.
func (c *process) invoke(ctx context.Context, event []byte) (body []byte, from, to time.Time, err error) {
	c.sequence++
	from = time.Now()
	c.events <- event
	select {
	case a := <-c.answers:
		if a.err != nil {
			return nil, from, a.at, fmt.Errorf("%w\n%s", a.err, &c.output)
		}
		return a.body, from, a.at, nil
	case <-c.exited:
	case <-time.After(patience):
	case <-ctx.Done():
		return nil, from, from, ctx.Err()
	}
	return nil, from, from, fmt.Errorf("%s does not answer:\n%s", c.cmd.Path, &c.output)
}

// peakMiB is the most memory that the process has held at a time (VmHWM of proc_pid_status(5)), in MiB; 0 where the system
// does not tell. The resource usage of wait4 does not do: on Linux it counts what the parent had before the exec.
func (c *process) peakMiB() float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 64)
			return n / 1024
		}
	}
	return 0
}

// cpu is the time that all threads have run so far (proc_pid_schedstat(5)); 0 where the system does not tell.
func (c *process) cpu() (total time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", c.cmd.Process.Pid))
	for _, t := range threads {
		raw, err := os.ReadFile(t)
		if err != nil {
			continue
		}
		ran, _, _ := strings.Cut(string(raw), " ")
		n, _ := strconv.ParseInt(ran, 10, 64)
		total += time.Duration(n)
	}
	return total
}

// tail keeps the end of what a function writes, for the message when it fails.
type tail struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

const maxTail = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if n := t.buf.Len(); n > maxTail {
		t.buf.Next(n - maxTail)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
