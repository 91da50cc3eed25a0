// Package e2e walks the whole chain from outside: a real browser and clients that nobody here wrote, at the binary that
// people run. README.md says what it needs; skips.txt lists what may be missing under CI.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/e2e/browser"
	"github.com/nightlatch/nightlatch/e2e/demo"
)

// program is the binary under test, built once.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests mostly wait for stand-ins that take their time, so more of them run at once than there are processors.
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", "5"); err != nil {
			panic(err)
		}
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "nightlatch-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if program, err = demo.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	chromium.mu.Lock()
	defer chromium.mu.Unlock()
	if chromium.b != nil {
		chromium.b.Stop()
	}
	return code
}

// missing skips a test whose peer is not installed, and says how to get it.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Skipf(format, args...)
}

// start runs a demo for the test, in a folder of its own, and checks at the end that it stops as promised.
func start(t *testing.T, flags ...string) *demo.Demo {
	t.Helper()
	return startIn(t, t.TempDir(), flags...)
}

func startIn(t *testing.T, dir string, flags ...string) *demo.Demo {
	t.Helper()
	return startWith(t, dir, nil, flags...)
}

func startWith(t *testing.T, dir string, env []string, flags ...string) *demo.Demo {
	t.Helper()
	d, err := demo.StartWith(t.Context(), program, dir, env, append([]string{"--port", "0"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of demo.log:\n%s", d.Log())
		}
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// quick makes the stand-ins fast enough for many journeys and slow enough to see every state.
var quick = []string{"--associate-takes", "2s", "--scheduler-minute", "3s"}

// chromium is one process for all tests; it starts with the first that needs it.
var chromium struct {
	mu sync.Mutex // guards b
	b  *browser.Browser
}

// person opens a window, and checks at the end that nothing went wrong unseen.
func person(t *testing.T, o browser.Options) *browser.Person {
	t.Helper()
	p := guest(t, o)
	t.Cleanup(func() {
		for _, c := range p.Complaints() {
			t.Errorf("in the browser: %s", c)
		}
	})
	return p
}

// guest is a person who does what makes browsers complain.
func guest(t *testing.T, o browser.Options) *browser.Person {
	t.Helper()
	chromium.mu.Lock()
	defer chromium.mu.Unlock()
	if chromium.b == nil {
		var err error
		if chromium.b, err = browser.Start(context.Background()); err != nil {
			if err == browser.ErrNone {
				missing(t, "%v", err)
			}
			t.Fatal(err)
		}
	}
	p, err := chromium.b.Person(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Leave)
	return p
}

// must fails the test at the first thing that did not work, and says what it was for.
func must(t *testing.T, err error, doing string, args ...any) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", fmt.Sprintf(doing, args...), err)
	}
}

// eventually asks again, ten times a second, until the answer is yes; what was said last is told when the time is over.
func eventually(t *testing.T, within time.Duration, ask func() (yes bool, said string)) {
	t.Helper()
	over, again := time.After(within), time.NewTicker(100*time.Millisecond)
	defer again.Stop()
	for {
		yes, said := ask()
		if yes {
			return
		}
		select {
		case <-again.C:
		case <-over:
			t.Fatalf("after %v still: %s", within, said)
		}
	}
}
