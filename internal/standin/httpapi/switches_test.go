package httpapi

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Both sides of every unconfirmed fact, as a client or a function meets them.
func TestUnconfirmed(t *testing.T) {
	status := func(resp *http.Response) string { return fmt.Sprint(resp.StatusCode) }
	facts := map[string]struct {
		see     func(t *testing.T, w *world) string
		off, on string
	}{
		"LongHeadersAre400": {func(t *testing.T, w *world) string {
			return text(t, w.get("/?"+strings.Repeat("x", maxHeaders)))
		}, `{"message":"Request Header Fields Too Large"}`, `{"message":"Bad Request"}`},
		"OddMethodsPass": {func(t *testing.T, w *world) string {
			return status(w.do("PROPFIND", "/", "", nil)) + fmt.Sprint(len(w.fn.events))
		}, "4040", "2001"},
		"PathsEncoded": {func(t *testing.T, w *world) string {
			w.get("/a%20b%2Fc%3F?d")
			return w.fn.last(t).RawPath + " " + w.fn.last(t).RequestContext.HTTP.Path
		}, "/a b/c /a b/c", "/a%20b%2Fc%3F /a%20b%2Fc%3F"},
		"HeadersSpaced": {func(t *testing.T, w *world) string {
			w.do("GET", "/", "", http.Header{"X-Probe": {"a", "b"}})
			return w.fn.last(t).Headers["x-probe"]
		}, "a,b", "a, b"},
		"ForwardedReplaced": {func(t *testing.T, w *world) string {
			w.do("GET", "/", "", http.Header{"X-Forwarded-For": {"10.0.0.1"}})
			return w.fn.last(t).Headers["x-forwarded-for"]
		}, "10.0.0.1, 192.0.2.1", "192.0.2.1"},
		"SourceHasPort": {func(t *testing.T, w *world) string {
			w.get("/")
			return w.fn.last(t).RequestContext.HTTP.SourceIP + " " + w.fn.last(t).Headers["x-forwarded-for"]
		}, "192.0.2.1 192.0.2.1", "192.0.2.1:1234 192.0.2.1"},
		"FormsAreText": {func(t *testing.T, w *world) string {
			w.do("POST", "/", "a=1", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
			return w.fn.last(t).Body
		}, "YT0x", "a=1"},
		"TimeoutsAre504": {func(t *testing.T, w *world) string {
			w.fn.answer = func(http.ResponseWriter) { time.Sleep(time.Minute) }
			return text(t, w.get("/"))
		}, `{"message":"Service Unavailable"}`, `{"message":"Gateway Timeout"}`},
		"BusyIs503": {func(t *testing.T, w *world) string {
			w.fn.answer = func(rw http.ResponseWriter) { rw.WriteHeader(429) }
			return status(w.get("/"))
		}, "500", "503"},
	}
	for name, fact := range facts {
		for on, want := range map[bool]string{false: fact.off, true: fact.on} {
			t.Run(fmt.Sprintf("%s %v", name, on), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, nil)
					if on {
						w.turnOn(t, name)
					}
					if got := fact.see(t, w); got != want {
						t.Errorf("got %q, want %q\n%s", got, want, w.log)
					}
				})
			})
		}
	}
	for _, s := range newWorld(t, nil).Switches() {
		if _, ok := facts[s.Name]; !ok {
			t.Errorf("no test sees what %s changes", s.Name)
		}
	}
}

func (w *world) turnOn(t *testing.T, name string) {
	t.Helper()
	for _, s := range w.Switches() {
		if s.Name == name {
			s.Set(true)
			return
		}
	}
	t.Fatalf("no switch is called %s", name)
}

func TestEveryUnconfirmedFactHasItsSwitch(t *testing.T) {
	w := newWorld(t, nil)
	fields := reflect.ValueOf(&w.c.Unconfirmed).Elem()
	all := w.Switches()
	if len(all) != fields.NumField() {
		t.Errorf("%d switches for %d facts", len(all), fields.NumField())
	}
	for _, s := range all {
		if !strings.HasSuffix(s.About, ".") || s.On() {
			t.Errorf("%s: on from the start, or without a sentence: %q", s.Name, s.About)
		}
		s.Set(true)
		if f := fields.FieldByName(s.Name); !f.IsValid() || !f.Bool() || !s.On() {
			t.Errorf("%s flips another field than its own", s.Name)
		}
	}
}

// The race detector is the judge.
func TestSwitchesCanFlipWhileRequestsRun(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.RateLimit, c.BurstLimit = 1000, 1000 })
	var flipping sync.WaitGroup
	flipping.Go(func() {
		for range 10 {
			for _, s := range w.Switches() {
				s.Set(!s.On())
			}
		}
	})
	for range 20 {
		w.get("/")
	}
	flipping.Wait()
}
