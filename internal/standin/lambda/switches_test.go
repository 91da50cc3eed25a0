//go:build unix

package lambda

import (
	"slices"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

func (st *stand) flip(t *testing.T, name string) {
	t.Helper()
	all := st.Switches()
	i := slices.IndexFunc(all, func(s switches.Switch) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no switch %s", name)
	}
	was := all[i].On()
	all[i].Set(!was)
	if all[i].On() == was {
		t.Fatalf("switch %s does not change", name)
	}
}

func TestEventsTwice(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "beat", Handler: "go", Instances: 2})
	count := func(want int) {
		t.Helper()
		id := st.call(t, "beat", `{"do":"look"}`, event).header.Get("X-Amzn-Requestid")
		again := ""
		if want == 2 {
			again = `(.*\n)*.*hop.*` + id
		}
		st.log.await(t, "hop.*event for beat.*status=200.*"+id+".*\n"+again)
		if n := strings.Count(st.out.String(), "START RequestId: "+id); n != want {
			t.Errorf("an event ran %d times, want %d", n, want)
		}
	}
	count(1)
	st.flip(t, "EventsTwice")
	count(2)
	if a := st.call(t, "beat", `{"do":"look"}`); a.status != 200 || strings.Count(st.out.String(), "START RequestId: "+a.header.Get("X-Amzn-Requestid")) != 1 {
		t.Errorf("a synchronous call: got %+v, want it once", a)
	}
	st.flip(t, "EventsTwice")
	count(1)
}

func TestNeverWarm(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "f", Handler: "go"})
	pid := func() any { return st.call(t, "f", `{"do":"look"}`).json(t)["pid"] }
	warm := pid()
	if pid() != warm {
		t.Fatal("two calls in a row ran in different processes before it is switched on")
	}
	st.flip(t, "NeverWarm")
	seen := []any{warm}
	for range 3 {
		now := pid()
		if slices.Contains(seen, now) {
			t.Errorf("process %v ran again, want a new one for every call", now)
		}
		if last := int(seen[len(seen)-1].(float64)); alive(last) {
			t.Errorf("process %d is still there beside the new one", last)
		}
		seen = append(seen, now)
	}
	if n := strings.Count(st.out.String(), "Init Duration"); n != 4 {
		t.Errorf("%d cold starts are reported, want 4", n)
	}
	st.flip(t, "NeverWarm")
	if now := pid(); now != seen[3] {
		t.Error("switched off, the last instance is not used again")
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if f := st.functions["f"]; f.live != 1 || len(f.warm) != 1 {
		t.Errorf("%d instances live and %d are free, want one", f.live, len(f.warm))
	}
}

func TestHandledErrors(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "f", Handler: "go"})
	want := func(do, word string) {
		t.Helper()
		if got := st.call(t, "f", `{"do":"`+do+`"}`).header.Get("X-Amz-Function-Error"); got != word {
			t.Errorf("%s: X-Amz-Function-Error is %q, want %q", do, got, word)
		}
	}
	want("error", "Unhandled")
	st.flip(t, "HandledErrors")
	want("error", "Handled")
	want("panic", "Handled") // the runtime reports it, then ends
	want("exit", "Unhandled")
	want("look", "")
}
