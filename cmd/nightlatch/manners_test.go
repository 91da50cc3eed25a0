//go:build !lambda

package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/certs"
)

var bubble = regexp.MustCompile(`^goroutine \d+.*\[(.*), synctest bubble (\d+)`)

// others are the goroutines beside the caller's in its bubble, without the one that waits for the bubble to end.
func others() (stacks []string) {
	buf := make([]byte, 4<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	mine := bubble.FindStringSubmatch(all[0])
	for _, s := range all[1:] {
		if m := bubble.FindStringSubmatch(s); m != nil && mine != nil && m[2] == mine[2] && !strings.Contains(s, "internal/synctest.Run(") && !strings.Contains(s, "testing/synctest.testingSynctestTest(") {
			stacks = append(stacks, s)
		}
	}
	return stacks
}

// TestNothingRunsAfterTheAnswer: Lambda freezes a function that has answered. What would still run then is finished
// minutes later, or never.
func TestNothingRunsAfterTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, 2, 20*time.Second)
		path := "/api/v1/endpoints/" + g.config.Endpoints[0].Name
		session := g.signIn("kim")
		quiet := func(after string) {
			t.Helper()
			if left := others(); len(left) > 0 {
				t.Errorf("after %s there is still\n%s", after, strings.Join(left, "\n\n"))
			}
		}
		for _, r := range []struct{ method, path, body string }{
			{http.MethodGet, "/", ""}, {http.MethodGet, path, ""}, {http.MethodPost, path + "/open", `{"for": "1h"}`}, {http.MethodGet, path, ""},
			{http.MethodPost, path + "/extend", `{"for": "1h"}`}, {http.MethodPost, path + "/done", `{}`}, {http.MethodGet, "/nowhere", ""},
		} {
			if a := g.browse(r.method, r.path, r.body, session); a.StatusCode >= http.StatusInternalServerError {
				t.Errorf("%s %s: %s", r.method, r.path, a.Status)
			}
			quiet(r.method + " " + r.path)
		}
		oneBeat(g)
		quiet("the beat")

		// The check itself.
		stop := make(chan struct{})
		go func() { <-stop }()
		synctest.Wait()
		if n := len(others()); n != 1 {
			t.Errorf("%d goroutines found beside this one, want the one that waits", n)
		}
		close(stop)
	})
}

// TestRoots: one file is read at start, and where there is none the system's own way.
func TestRoots(t *testing.T) {
	dir := t.TempDir()
	system, err := x509.SystemCertPool()
	if err != nil {
		t.Skip("no system roots:", err)
	}
	made := func(name string) (file string, pool *x509.CertPool) {
		a, err := certs.New("", []string{name})
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(dir, name)
		if err := a.WriteFile(file); err != nil {
			t.Fatal(err)
		}
		return file, a.Pool()
	}
	file, ofFile := made("file.localhost")
	bundle, ofBundle := made("bundle.localhost")
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(dir, "absent")
	for name, tt := range map[string]struct {
		variable, bundle string
		want             *x509.CertPool // nil: an error
	}{
		"the variable comes first":        {file, bundle, ofFile},
		"the bundle":                      {"", bundle, ofBundle},
		"no bundle":                       {"", absent, system},
		"an empty bundle":                 {"", empty, system},
		"the variable names no file":      {absent, bundle, nil},
		"the variable names another kind": {empty, bundle, nil},
	} {
		got, err := roots(func(string) string { return tt.variable }, tt.bundle)
		if (tt.want == nil) != (err != nil) || tt.want != nil && !got.Equal(tt.want) {
			t.Errorf("%s: other roots than wanted (%v)", name, err)
		}
	}
}

// TestCollectLater: the collector has what it had from the second event on. Not parallel: it is the whole process's.
func TestCollectLater(t *testing.T) {
	percent, limit := debug.SetGCPercent(90), debug.SetMemoryLimit(1<<40)
	defer debug.SetGCPercent(percent)
	defer debug.SetMemoryLimit(limit)
	var during []int
	look := func(context.Context, json.RawMessage) (any, error) {
		now := debug.SetGCPercent(-1)
		debug.SetGCPercent(now)
		during = append(during, now)
		return nil, nil
	}
	served := collectLater()(look)
	if l := debug.SetMemoryLimit(-1); l != noGarbageBelow {
		t.Errorf("at the start the limit is %d, want %d", l, noGarbageBelow)
	}
	for range 3 {
		if _, err := served(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int{-1, 90, 90}; !slices.Equal(during, want) {
		t.Errorf("the collector's percentage during three events is %d, want %d", during, want)
	}
	if l := debug.SetMemoryLimit(-1); l != 1<<40 {
		t.Errorf("in the end the limit is %d", l)
	}
}
