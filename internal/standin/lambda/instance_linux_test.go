package lambda

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// state is the letter that the kernel has for a process: T for stopped.
func state(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(raw), ") ")
	return strings.SplitN(rest, " ", 2)[0]
}

func TestAnInstanceIsFrozenBetweenEvents(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	st := run(t, nil, Function{Name: "f", Handler: "go"})
	pid := int(st.call(t, "f", `{"do":"look"}`).json(t)["pid"].(float64))
	frozen := func() {
		t.Helper()
		for late := time.After(5 * time.Second); state(pid) != "T"; {
			select {
			case <-late:
				t.Fatalf("the instance is in state %s, want T: it has no event", state(pid))
			case <-time.After(time.Millisecond):
			}
		}
	}
	frozen()
	answers := make(chan answer, 1)
	go func() {
		a, err := st.try("f", g.payload())
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}()
	<-g.came
	if s := state(pid); s == "T" {
		t.Error("the instance is stopped while it has an event")
	}
	close(g.leave)
	if a := <-answers; int(a.json(t)["pid"].(float64)) != pid {
		t.Errorf("got %+v, want the same process, thawed", a)
	}
	frozen()
	if took := st.stop(); took > time.Second {
		t.Errorf("Run took %v to stop, want a frozen instance to hear of it", took)
	}
	if strings.Contains(st.log.String(), "killed") {
		t.Errorf("the frozen instance did not hear SIGTERM:\n%s", st.log)
	}
}

func TestAnInstanceThatUsesTooMuchMemoryIsKilled(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handler, payload, want string
	}{
		"in an event":    {"go", `{"do":"eat","n":150}`, `START RequestId: ID Version: \$LATEST\n\[f/1\] RequestId: ID Error: Runtime exited with error: signal: killed\n\[f/1\] Runtime\.ExitError\n(.*\n)*.*\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t.*Status: error\tError Type: Runtime\.ExitError\n`},
		"in its init":    {"init-eat", `{}`, `Phase: init\tStatus: error\tError Type: Runtime\.ExitError\n(.*\n)*.*Phase: invoke\tStatus: error\tError Type: Runtime\.ExitError\n`},
		"or it does not": {"go", `{"do":"eat","n":1}`, `\tMemory Size: 128 MB\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms\n`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := run(t, nil, Function{Name: "f", Handler: tt.handler, MemoryMB: 128})
			a := st.call(t, "f", tt.payload)
			if killed := !strings.HasPrefix(name, "or"); killed != (a.header.Get("X-Amz-Function-Error") == "Unhandled" && strings.Contains(a.body, "signal: killed")) {
				t.Errorf("got %+v, killed for it: %v", a, killed)
			}
			st.out.await(t, strings.ReplaceAll(tt.want, "ID", a.header.Get("X-Amzn-Requestid")))
		})
	}
}
