//go:build unix

package lambda

import (
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTheEndOfTheLogOnRequest(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "f", Handler: "go"})
	first := st.call(t, "f", `{"do":"print","n":1000}`)
	if first.header.Get("X-Amz-Log-Result") != "" {
		t.Error("a caller who did not ask got the log")
	}
	a := st.call(t, "f", `{"do":"print","n":1000}`, tail)
	log := a.logOf(t)
	if len(log) != 4<<10 || !regexp.MustCompile(`\nline 998 of x+\nline 999 of x+\nEND RequestId: `+a.header.Get("X-Amzn-Requestid")+`\nREPORT RequestId: .*\n$`).MatchString(log) {
		t.Errorf("got %d bytes, want the last 4 KB, to the report:\n%s", len(log), log)
	}
	a = st.call(t, "f", `{"do":"look"}`, tail)
	id := a.header.Get("X-Amzn-Requestid")
	log = a.logOf(t)
	if !strings.Contains(log, "START RequestId: "+id) || !strings.Contains(log, "REPORT RequestId: "+id) || strings.Contains(log, first.header.Get("X-Amzn-Requestid")) || strings.Contains(log, "[f/1]") {
		t.Errorf("want the log of this invocation alone, as the function writes it; got\n%s", log)
	}
	if a := st.call(t, "f", `{"do":"look"}`, tail, event); a.status != 202 || a.header.Get("X-Amz-Log-Result") != "" {
		t.Errorf("an event has no log to return: got %d %v", a.status, a.header)
	}
}

func TestAFunctionMayPrintMuch(t *testing.T) {
	t.Parallel()
	// The reader is slow, so that the answer would overtake the lines.
	st := run(t, func(c *Config) { c.Output = slow{c.Output} }, Function{Name: "f", Handler: "go"})
	const lines = 2000
	if a := st.call(t, "f", `{"do":"print","n":2000}`); a.status != 200 || a.header.Get("X-Amz-Function-Error") != "" {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	if got := st.out.String(); strings.Count(got, "[f/1] line ") != lines || !regexp.MustCompile(`\n\[f/1\] line 1999 of x{80}\n\[f/1\] END RequestId`).MatchString(got) {
		t.Errorf("%d lines arrived before the answer, want %d, and Lambda's own after them", strings.Count(got, "[f/1] line "), lines)
	}
}

type slow struct{ io.Writer }

func (s slow) Write(p []byte) (int, error) {
	<-time.After(50 * time.Microsecond)
	return s.Writer.Write(p)
}

// The lines are those of CloudWatch Logs, and in their order.
func TestWhatLambdaSaysOfFailures(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		function Function
		payload  string
		want     string
	}{
		"a process that exits": {Function{Handler: "go"}, `{"do":"exit"}`,
			`START RequestId: ID Version: \$LATEST\nRequestId: ID Error: Runtime exited with error: exit status 3\nRuntime\.ExitError\nEND RequestId: ID\nREPORT RequestId: ID\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 2048 MB(\tMax Memory Used: \d+ MB)?\tInit Duration: [\d.]+ ms\tStatus: error\tError Type: Runtime\.ExitError\n$`},
		"a process that takes too long": {Function{Handler: "raw-hang", Timeout: 300 * time.Millisecond}, `{}`,
			`START RequestId: ID Version: \$LATEST\n\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ID Task timed out after 0\.30 seconds\n\nEND RequestId: ID\nREPORT RequestId: ID\tDuration: [\d.]+ ms\t.*\tStatus: timeout\n$`},
		"an init that exits, twice": {Function{Handler: "init-exit"}, `{}`,
			`^INIT_REPORT Init Duration: [\d.]+ ms\tPhase: init\tStatus: error\tError Type: Runtime\.ExitError\nINIT_REPORT Init Duration: [\d.]+ ms\tPhase: invoke\tStatus: error\tError Type: Runtime\.ExitError\nSTART RequestId: ID Version: \$LATEST\nRequestId: ID Error: Runtime exited with error: exit status 7\nRuntime\.ExitError\nEND RequestId: ID\nREPORT RequestId: ID\tDuration: `},
		"an init that never ends, twice": {Function{Handler: "init-hang", Timeout: 300 * time.Millisecond}, `{}`,
			`^(pids \d+\n)?INIT_REPORT Init Duration: [\d.]+ ms\tPhase: init\tStatus: timeout\n(pids \d+\n)?INIT_REPORT Init Duration: [\d.]+ ms\tPhase: invoke\tStatus: timeout\nSTART RequestId: ID Version: \$LATEST\n\S+ ID Task timed out after 0\.30 seconds\n\nEND RequestId: ID\nREPORT RequestId: ID\tDuration: [\d.]+ ms\t`},
		"an error that the function reports": {Function{Handler: "raw"}, `{"do":"header-error"}`,
			`START RequestId: ID Version: \$LATEST\nEND RequestId: ID\nREPORT RequestId: ID\t.*\tStatus: error\tError Type: Custom\.Broken\n$`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.function.Name = "f"
			st := run(t, func(c *Config) {
				if tt.function.Handler == "init-hang" {
					c.InitTimeout = 200 * time.Millisecond
				}
			}, tt.function)
			a := st.call(t, "f", tt.payload, tail)
			log := regexp.MustCompile(`\[f/\d\] `).ReplaceAllString(st.out.String(), "")
			if !regexp.MustCompile(strings.ReplaceAll(tt.want, "ID", a.header.Get("X-Amzn-Requestid"))).MatchString(log) {
				t.Errorf("got\n%s\nwant %s", log, tt.want)
			}
			if got := a.logOf(t); !strings.HasPrefix(got, "START RequestId: ") || !strings.HasSuffix(log, got) {
				t.Errorf("the end of the log is\n%s\nwant it from START on", got)
			}
		})
	}
}

func TestAStreamIsRefused(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "f", Handler: "raw"})
	a := st.call(t, "f", `"stream"`)
	if a.header.Get("X-Amz-Function-Error") != "Unhandled" || a.json(t)["errorType"] != "Runtime.InvalidResponseModeHeader" {
		t.Errorf("got %s, want a function error: streaming is not played", a.body)
	}
	st.out.await(t, "streaming: 400 InvalidFunctionResponseMode")
	if a := st.call(t, "f", `{"on":"again"}`); a.body != `{"on":"again"}` {
		t.Errorf("afterwards got %s", a.body)
	}
}

func TestLinesKeepTheMarkAndAllButTheEnd(t *testing.T) {
	var b strings.Builder
	l := &lines{mu: new(sync.Mutex), to: &b, prefix: "> ", mark: "MARK", marked: make(chan struct{}, 1)}
	for _, part := range []string{"a line that has begun", "MA", "RK\n", " goes on\nMARK\nMARK", " is a word\n"} {
		io.WriteString(l, part)
	}
	if want := "> a line that has begun goes on\n> MARK is a word\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	select {
	case <-l.marked:
	default:
		t.Error("nobody was told of the mark")
	}
	l.startTail()
	for range 10_000 {
		io.WriteString(l, strings.Repeat("x", 100)+"\n")
	}
	if len(l.tail) > 3*maxLogTail {
		t.Errorf("%d bytes are kept for a tail of %d", len(l.tail), maxLogTail)
	}
}
