//go:build unix

package lambda

import (
	"strings"
	"testing"
	"time"
)

func TestAnEventIsRetriedAsOftenAsTheFunctionWants(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		retries int
		why     string
	}{
		"never":     {0, "failed once"},
		"once more": {1, "failed twice"},
		"twice":     {2, "failed three times"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := run(t, func(c *Config) { c.Minute = 60 * time.Millisecond }, Function{Name: "beat", Handler: "go", MaximumRetryAttempts: &tt.retries})
			id := st.call(t, "beat", `{"do":"error"}`, event).header.Get("X-Amzn-Requestid")
			st.log.await(t, "event given up.*"+id+".*"+tt.why+", last with errorString")
			if n := strings.Count(st.out.String(), "START RequestId: "+id); n != tt.retries+1 {
				t.Errorf("%d attempts, want %d", n, tt.retries+1)
			}
		})
	}
}

func TestAnEventThatIsTooOldIsGivenUp(t *testing.T) {
	t.Parallel()
	t.Run("while the function is busy", func(t *testing.T) {
		t.Parallel()
		g := newGate(t)
		st := run(t, func(c *Config) { c.Minute = 60 * time.Millisecond }, Function{Name: "beat", Handler: "go", MaximumEventAge: 2 * time.Minute})
		if a := st.call(t, "beat", g.payload(), event); a.status != 202 {
			t.Fatal(a)
		}
		<-g.came
		began := time.Now()
		id := st.call(t, "beat", `{"do":"look"}`, event).header.Get("X-Amzn-Requestid")
		st.log.await(t, "event given up.*"+id+".*older than 2m0s")
		if took := time.Since(began); took < 120*time.Millisecond {
			t.Errorf("given up after %v, want not before two minutes of 60 ms", took)
		}
		close(g.leave)
		if strings.Contains(st.out.String(), id) {
			t.Error("it ran all the same")
		}
	})
	t.Run("before its next attempt", func(t *testing.T) {
		t.Parallel()
		st := run(t, func(c *Config) { c.Minute = 60 * time.Millisecond }, Function{Name: "beat", Handler: "go", MaximumEventAge: time.Minute})
		id := st.call(t, "beat", `{"do":"error"}`, event).header.Get("X-Amzn-Requestid")
		st.log.await(t, "event given up.*"+id+".*older than 1m0s")
		if n := strings.Count(st.out.String(), "START RequestId: "+id); n != 1 {
			t.Errorf("%d attempts, want 1: the second would come when the event is a minute old", n)
		}
	})
}

func TestAnEventThatWaitsIsGivenUpAtTheStop(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "beat", Handler: "go"})
	id := st.call(t, "beat", `{"do":"error"}`, event).header.Get("X-Amzn-Requestid")
	st.log.await(t, "event failed, will be tried again.*"+id)
	if took := st.stop(); took > time.Second {
		t.Errorf("Run took %v to stop, want it not to wait for the minute", took)
	}
	st.log.await(t, "event given up.*"+id+".*the stand-in stops")
}

func TestALimitIsPartOfWhatIsAllowed(t *testing.T) {
	t.Parallel()
	st := run(t, nil, Function{Name: "f", Handler: "raw"})
	if a := st.call(t, "f", `"`+strings.Repeat("a", 1<<20-2)+`"`, event); a.status != 202 {
		t.Errorf("an event of 1 MB: got %d %.200s, want 202", a.status, a.body)
	}
	st.log.await(t, "event for f.*status=200") // it has the one instance
	if a := st.call(t, "f", `"`+strings.Repeat("a", 6<<20-2)+`"`); a.status != 200 || a.header.Get("X-Amz-Function-Error") != "" || len(a.body) != 6<<20 {
		t.Errorf("a payload of 6 MB: got %d %.200s, want it back", a.status, a.body)
	}
}
