package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == offlineVerb {
		offlineExec(os.Args[2:])
	}
	m.Run()
}

// line is an event of the stream; test "" is the package's own.
func line(action, pkg, test, output string) string {
	return fmt.Sprintf(`{"Time":"2026-11-22T09:00:00Z","Action":%q,"Package":"github.com/nightlatch/nightlatch/%s","Test":%q,"Output":%q}`+"\n", action, pkg, test, output)
}

func TestReadTests(t *testing.T) {
	const pkg = "internal/latch"
	for name, tt := range map[string]struct {
		stream                   string
		passed, failed, packages int
		skips                    []string
		says                     []string // in the failures
	}{
		"a test that passed": {
			stream: line("start", pkg, "", "") + line("run", pkg, "TestA", "") + line("pass", pkg, "TestA", "") + line("pass", pkg, "", ""),
			passed: 1, packages: 1,
		},
		"a test with subtests counts as its subtests": {
			stream: line("run", pkg, "TestA", "") + line("run", pkg, "TestA/one", "") + line("pass", pkg, "TestA/one", "") +
				line("run", pkg, "TestA/two/deep", "") + line("pass", pkg, "TestA/two/deep", "") + line("pass", pkg, "TestA/two", "") +
				line("pass", pkg, "TestA", "") + line("pass", pkg, "", ""),
			passed: 2, packages: 1,
		},
		"a failing subtest fails once, and all it says is shown": {
			stream: line("output", pkg, "TestA", "=== RUN   TestA\n") + line("output", pkg, "TestA/one", "    a_test.go:3: got 1, want 2\n") +
				line("fail", pkg, "TestA/one", "") + line("pass", pkg, "TestA/two", "") + line("fail", pkg, "TestA", "") +
				line("output", pkg, "", "-test.shuffle 42\n") + line("fail", pkg, "", ""),
			passed: 1, failed: 1, packages: 1,
			says: []string{"internal/latch TestA/one\n    a_test.go:3: got 1, want 2", "-shuffle=42"},
		},
		"a skipped test is named with its reason": {
			stream: line("run", pkg, "TestP", "") + line("output", pkg, "TestP", "=== RUN   TestP\n") + line("output", pkg, "TestP", "    p_test.go:9: needs python3\n") +
				line("output", pkg, "TestP", "--- SKIP: TestP (0.00s)\n") + line("skip", pkg, "TestP", "") + line("pass", pkg, "", ""),
			packages: 1, skips: []string{"internal/latch TestP: needs python3"},
		},
		"a test skipped without a word": {
			stream:   line("output", pkg, "TestP", "--- SKIP: TestP (0.00s)\n") + line("skip", pkg, "TestP", "") + line("pass", pkg, "", ""),
			packages: 1, skips: []string{"internal/latch TestP: it gives no reason"},
		},
		"a package without tests is nothing": {
			stream: line("output", "cmd/nightlatch", "", "?   \tcmd/nightlatch\t[no test files]\n") + line("skip", "cmd/nightlatch", "", ""),
		},
		"a process that ended in the middle of a test": {
			stream: line("run", pkg, "TestA", "") + line("pass", pkg, "TestA", "") + line("run", pkg, "TestB", "") + line("output", pkg, "TestB", "about to exit\n") +
				line("fail", pkg, "", ""),
			passed: 1, failed: 1, packages: 1, says: []string{"TestB\nabout to exit"},
		},
		"a package that failed with every test passed": {
			stream: line("pass", pkg, "TestA", "") + line("output", pkg, "", "a goroutine is left\n") + line("fail", pkg, "", ""),
			passed: 1, failed: 1, packages: 1, says: []string{"package internal/latch\na goroutine is left"},
		},
		"a build that failed is shown once for all that need it": {
			stream: `{"ImportPath":"x [x.test]","Action":"build-output","Output":"x.go:1:1: expected 'package'\n"}` + "\n" +
				`{"ImportPath":"x [x.test]","Action":"build-fail"}` + "\n" +
				`{"Action":"fail","Package":"github.com/nightlatch/nightlatch/a","FailedBuild":"x [x.test]"}` + "\n" +
				`{"Action":"fail","Package":"github.com/nightlatch/nightlatch/b","FailedBuild":"x [x.test]"}` + "\n",
			failed: 2, packages: 2, says: []string{"package a\nx.go:1:1: expected 'package'"},
		},
		"text in between, and a last line cut short, are shown when something fails": {
			stream: "go: warning\n" + line("fail", pkg, "TestA", "") + `{"Action":"pa`,
			failed: 1, says: []string{"go: warning\n{\"Action\":\"pa"},
		},
		"a line longer than any buffer": {
			stream: line("output", pkg, "TestA", strings.Repeat("x", 1<<20)) + line("pass", pkg, "TestA", "") + line("pass", pkg, "", ""),
			passed: 1, packages: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := readTests(strings.NewReader(tt.stream))
			if r.passed != tt.passed || r.failed != tt.failed || r.packages != tt.packages {
				t.Errorf("got %d passed, %d failed, %d packages; want %d, %d, %d", r.passed, r.failed, r.packages, tt.passed, tt.failed, tt.packages)
			}
			var skips []string
			for _, s := range r.skips {
				skips = append(skips, s.String())
			}
			if !slices.Equal(skips, tt.skips) {
				t.Errorf("skips: got %q, want %q", skips, tt.skips)
			}
			all := strings.Join(r.failures, "\n---\n")
			for _, s := range tt.says {
				if strings.Count(all, s) != 1 {
					t.Errorf("got failures\n%s\nwant %q in them, once", all, s)
				}
			}
			if len(tt.says) == 0 && all != "" {
				t.Errorf("got failures\n%s\nwant none", all)
			}
		})
	}
}

func TestSkipsAreComparedBothWays(t *testing.T) {
	skips := []skip{{"browser", "TestB", "no browser"}, {"ad", "TestAD", "no Samba"}}
	for name, tt := range map[string]struct{ list, want string }{
		"both are listed":      {"# peers that cannot be had\nTestB  # no browser on this system\n\nTestAD\n", ""},
		"one is not listed":    {"TestAD\n", "skipped, and not in skips.txt: browser TestB: no browser"},
		"one was not skipped":  {"TestAD\nTestB\nTestOld\n", "in skips.txt, and not skipped: TestOld"},
		"nothing may be":       {"", "skipped, and not in skips.txt: browser TestB: no browser\nskipped, and not in skips.txt: ad TestAD: no Samba"},
		"a part of a name not": {"TestA\nTestB\n", "skipped, and not in skips.txt: ad TestAD: no Samba\nin skips.txt, and not skipped: TestA"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := compareSkips(skips, tt.list); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSummaryCountsWhatItNames(t *testing.T) {
	var out bytes.Buffer
	c := &check{out: &out}
	c.step("good", func() error { return nil })
	c.step("absent", func() error { return fmt.Errorf("%w: the network was needed", errNotRun) })
	if !c.summary() {
		t.Error("nothing failed, and the summary says that something did")
	}
	if got := out.String(); !strings.Contains(got, "\n  absent: the network was needed\n") || !strings.HasSuffix(got, "\n1 passed, 0 failed, 1 skipped\n") {
		t.Errorf("got\n%s", got)
	}
	out.Reset()
	c.step("bad", func() error { return errors.New("line one\nline two") })
	if c.summary() {
		t.Error("a check failed, and the summary says that none did")
	}
	if got := out.String(); !strings.Contains(got, "    line one\n    line two\n") || !strings.HasSuffix(got, "\n1 passed, 1 failed, 1 skipped\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestWhatNeedsTheNetworkIsNotRunAndTheRestFails(t *testing.T) {
	for stderr, notRun := range map[string]bool{
		`govulncheck: fetching vulnerabilities: Get "https://vuln.go.dev/index/modules.json.gz": dial tcp: lookup vuln.go.dev: no such host`:         true,
		`govulncheck: fetching vulnerabilities: HTTP GET https://vuln.go.dev/index/modules.json.gz returned unexpected status: 403 Forbidden`:        true,
		`go: example.com/a@v1.0.0: Get "https://proxy.example/example.com/a/@v/v1.0.0.mod": dial tcp 192.0.2.1:443: connect: network is unreachable`: true,
		`go: example.com/a@v1.0.0: module lookup disabled by GOPROXY=off`:                                                                            true,
		`main.go:3:2: undefined: x`: false,
	} {
		if got := unreachable.MatchString("go: downloading example.com/b v1.0.0\n" + stderr + "\n"); got != notRun {
			t.Errorf("%s: got not run %v, want %v", stderr, got, notRun)
		}
	}
}

const insideVariable = "CHECK_TEST_INSIDE"

// The test runs itself once more as check runs the tests.
func TestOfflineMeansLoopbackOnly(t *testing.T) {
	if os.Getenv(insideVariable) != "" {
		inside(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := offlineCommand(t.Context(), []string{self, "-test.run=^TestOfflineMeansLoopbackOnly$", "-test.v"})
	if err != nil {
		t.Skip(err)
	}
	cmd.Env = append(cmd.Environ(), insideVariable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("inside: %v\n%s", err, out)
	}
}

func inside(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatalf("loopback: %v", err)
	}
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	// An address of TEST-NET-1 (RFC 5737), which nobody has.
	if c, err := d.DialContext(ctx, "tcp", "192.0.2.1:9"); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beyond loopback: got %v, %v; want an answer at once that there is no way", c, err)
	}
}

func TestFormattedNamesTheFiles(t *testing.T) {
	dir := t.TempDir()
	goroot, _, err := command(t.Context(), "", nil, "go", "env", "GOROOT")
	if err != nil {
		t.Fatal(err)
	}
	gofmt, err := exec.LookPath(strings.TrimSpace(goroot) + "/bin/gofmt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/a.go", []byte("package a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := formatted(t.Context(), dir, gofmt); err != nil {
		t.Errorf("a formatted file: %v", err)
	}
	if err := os.WriteFile(dir+"/b.go", []byte("package  a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := formatted(t.Context(), dir, gofmt); err == nil || !strings.Contains(err.Error(), "b.go") || strings.Contains(err.Error(), "a.go") {
		t.Errorf("got %v, want b.go and nothing else named", err)
	}
}

func TestTheEndOfFuzzingIsNoFailure(t *testing.T) {
	for said, want := range map[string]bool{
		"--- FAIL: FuzzX (600.05s)\n    context deadline exceeded\nFAIL\n":                                                            true,
		"--- FAIL: FuzzX (3.05s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzX/0123456789abcdef\n": false,
		"--- FAIL: FuzzX (3.05s)\n    fuzz_test.go:9: a fault\n":                                                                      false,
	} {
		if got := timeIsUp(said); got != want {
			t.Errorf("%q: %v, want %v", said, got, want)
		}
	}
}
