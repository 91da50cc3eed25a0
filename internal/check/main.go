// Command check is the test command: every check and test that this machine can run, in one go, with nothing installed
// but Go and git. It ends by naming what it could not run, and why, so that a green run never says more than it knows.
//
//	go run ./internal/check         formatting, vet, tidiness, staticcheck, govulncheck, all tests, and all histories and
//	                                crash points of the latch, of which the race detector sees a sample
//	go run ./internal/check -e2e    instead: the tests of e2e, against real browsers and foreign clients
//	go run ./internal/check -fuzz 10m
//	                                instead: every fuzz target of the product for so long, new inputs kept beside its seeds;
//	                                with names of targets behind it, those only
//
// The last line counts: a check is one, a test or subtest without subtests of its own is one, and what could not run is
// one each. The exit code is 1 when anything failed.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// lambdaTags are those of the Lambda build.
const lambdaTags = "lambda,lambda.norpc"

func main() {
	if len(os.Args) > 1 && os.Args[1] == offlineVerb {
		offlineExec(os.Args[2:])
	}
	e2e := flag.Bool("e2e", false, "run the tests of e2e instead; e2e/peers.sh installs what they need")
	fuzz := flag.Duration("fuzz", 0, "run the fuzz targets of the product for so `long` each instead, and keep what they find")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &check{out: os.Stdout}
	if err := c.all(ctx, *e2e, *fuzz); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
	if !c.summary() {
		os.Exit(1)
	}
}

// check is one run.
type check struct {
	out            io.Writer
	passed, failed int
	notRun         []string // one line each: what, and why
}

func (c *check) all(ctx context.Context, e2e bool, fuzz time.Duration) error {
	mod, _, err := command(ctx, "", nil, "go", "env", "GOMOD", "GOROOT", "GOVERSION")
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	env := strings.Split(mod, "\n")
	root := filepath.Dir(env[0])
	fmt.Fprintf(c.out, "%s %s/%s, %d processors. The first run downloads modules and compiles the AWS SDK, which takes minutes.\n",
		env[2], runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if fuzz > 0 {
		return c.fuzz(ctx, root, fuzz, flag.Args())
	}
	if e2e {
		return c.endToEnd(ctx, filepath.Join(root, "e2e"))
	}
	c.step("gofmt", func() error { return formatted(ctx, root, filepath.Join(env[1], "bin", "gofmt")) })
	c.step("go vet", func() error { return quiet(ctx, root, "go", "vet", "./...") })
	c.step("go vet, lambda", func() error { return quiet(ctx, root, "go", "vet", "-tags", lambdaTags, "./...") })
	c.step("go mod tidy", func() error { return quiet(ctx, root, "go", "mod", "tidy", "-diff") })
	c.step("staticcheck", func() error {
		return errors.Join(quiet(ctx, root, "go", "tool", "staticcheck", "./..."), quiet(ctx, root, "go", "tool", "staticcheck", "-tags", lambdaTags, "./cmd/..."))
	})
	c.step("govulncheck", func() error { return quiet(ctx, root, "go", "tool", "govulncheck", "./...") })
	c.step("cfn-lint", func() error { return linted(ctx, root) })
	args := []string{"test", "-json", "-shuffle=on"}
	why := noRace(ctx, root)
	if why == "" {
		args = append(args, "-race")
	} else {
		c.notRun = append(c.notRun, "race detector: "+why)
	}
	c.tests(ctx, root, "go test", true, append(args, "./...")...)
	if why == "" { // under the race detector they are a sample
		c.tests(ctx, root, "histories", true, "test", "-json", "-run=^(TestHistories|TestCrashPoints)$", "./internal/latch")
	}
	c.notRun = append(c.notRun, "e2e: needs a browser, a directory and foreign clients: run e2e/peers.sh, then go test -C e2e ./...")
	return nil
}

// The emulator is the one peer that peers.sh cannot install, so its test is left out where it is not, and is no skip. The
// imports are those that the test asks for.
const (
	emulatorTest    = "TestStackOnEmulator"
	emulatorImports = "import moto.moto_server.werkzeug_app, boto3, yaml"
)

// endToEnd runs the suite of e2e and holds its skips against the list that is committed: on the machine that is meant to
// run everything, a peer that quietly went missing is a failure.
func (c *check) endToEnd(ctx context.Context, dir string) error {
	list, err := os.ReadFile(filepath.Join(dir, "skips.txt"))
	if err != nil {
		return err
	}
	c.step("go vet", func() error { return quiet(ctx, dir, "go", "vet", "./...") })
	c.step("go mod tidy", func() error { return quiet(ctx, dir, "go", "mod", "tidy", "-diff") })
	dex := filepath.Join(dir, "dex") // a module of its own
	c.step("go vet, dex", func() error { return quiet(ctx, dex, "go", "vet", "./...") })
	c.step("tidy, dex", func() error { return quiet(ctx, dex, "go", "mod", "tidy", "-diff") })
	args := []string{"test", "-json", "-count=1", "-p=1", "-timeout=30m"}
	if _, _, err := command(ctx, dir, nil, "python3", "-c", emulatorImports); err != nil {
		args = append(args, "-skip=^"+emulatorTest+"$")
		c.notRun = append(c.notRun, "e2e "+emulatorTest+": no moto for python3, which Debian does not have: pip install 'moto[server,all]'")
	}
	r := c.tests(ctx, dir, "go test", false, append(args, "./...")...)
	c.step("skips", func() error { return compareSkips(r.skips, string(list)) })
	return nil
}

// linted has cfn-lint read every template that is kept as a golden file, at its most talkative: even hints are failures.
func linted(ctx context.Context, root string) error {
	if _, _, err := command(ctx, root, nil, "cfn-lint", "--version"); err != nil {
		return fmt.Errorf("%w: cfn-lint is not installed: pip install cfn-lint", errNotRun)
	}
	templates, err := filepath.Glob(filepath.Join(root, "internal", "deploy", "testdata", "*.template.yaml"))
	if err != nil || len(templates) == 0 {
		return fmt.Errorf("no template to look at: %v", err)
	}
	return quiet(ctx, root, "cfn-lint", append([]string{"-c", "I", "--"}, templates...)...)
}

// errNotRun marks a check that this machine cannot run, which is no failure.
var errNotRun = errors.New("not run")

// step runs one check and says how it went.
func (c *check) step(name string, do func() error) {
	begun := time.Now()
	fmt.Fprintf(c.out, "%-16s", name)
	switch err := do(); {
	case err == nil:
		c.passed++
		fmt.Fprintf(c.out, "ok       %6.1fs\n", time.Since(begun).Seconds())
	case errors.Is(err, errNotRun):
		c.notRun = append(c.notRun, name+": "+strings.TrimPrefix(err.Error(), errNotRun.Error()+": "))
		fmt.Fprintf(c.out, "not run  %6.1fs\n", time.Since(begun).Seconds())
	default:
		c.failed++
		fmt.Fprintf(c.out, "FAILED   %6.1fs\n%s\n\n", time.Since(begun).Seconds(), indent(err.Error()))
	}
}

// tests runs go test and adds its counts. Offline, if the system can do that, means that nothing but loopback exists
// while the tests run; the checks before have had every module downloaded.
func (c *check) tests(ctx context.Context, dir, name string, offline bool, args ...string) results {
	begun := time.Now()
	fmt.Fprintf(c.out, "%-16s", name)
	cmd := exec.CommandContext(ctx, "go", args...)
	var env []string
	if offline {
		wrapped, err := offlineCommand(ctx, cmd.Args)
		if err != nil {
			c.notRun = append(c.notRun, "proof that no test needs the network: "+err.Error())
		} else {
			cmd, env = wrapped, []string{"GOPROXY=off"}
		}
	}
	cmd.Dir, cmd.Env = dir, append(cmd.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	var r results
	if err == nil {
		r = readTests(stdout)
		err = cmd.Wait()
	}
	if err != nil && r.failed == 0 {
		r.failed++
		r.failures = append(r.failures, fmt.Sprintf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String()))
	}
	if err == nil && r.passed == 0 {
		r.failed++
		r.failures = append(r.failures, "no test ran at all")
	}
	word := "ok     "
	if r.failed > 0 {
		word = "FAILED "
	}
	fmt.Fprintf(c.out, "%s  %6.1fs  %d tests in %d packages%s\n", word, time.Since(begun).Seconds(), r.passed+r.failed, r.packages, flags(args, env != nil))
	for _, f := range r.failures {
		fmt.Fprintf(c.out, "%s\n\n", indent(f))
	}
	c.passed, c.failed = c.passed+r.passed, c.failed+r.failed
	for _, s := range r.skips {
		c.notRun = append(c.notRun, s.String())
	}
	return r
}

func flags(args []string, offline bool) string {
	var out string
	if slices.Contains(args, "-race") {
		out += ", race detector on"
	}
	if offline {
		out += ", no network"
	}
	return out
}

// summary prints what could not run, and the counts. It reports whether nothing failed.
func (c *check) summary() bool {
	if len(c.notRun) > 0 {
		fmt.Fprintf(c.out, "\nNot run here:\n")
		for _, n := range c.notRun {
			fmt.Fprintf(c.out, "  %s\n", strings.Join(strings.Fields(n), " "))
		}
	}
	fmt.Fprintf(c.out, "\n%d passed, %d failed, %d skipped\n", c.passed, c.failed, len(c.notRun))
	return c.failed == 0
}

func command(ctx context.Context, dir string, env []string, name string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(cmd.Environ(), env...)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

// quiet runs a command that has nothing to say when all is well. One that could not reach the network is not run.
func quiet(ctx context.Context, dir, name string, args ...string) error {
	stdout, stderr, err := command(ctx, dir, nil, name, args...)
	if err == nil {
		return nil
	}
	if m := unreachable.FindString(stderr); m != "" && strings.TrimSpace(stdout) == "" {
		return fmt.Errorf("%w: the network was needed: %s", errNotRun, m)
	}
	return fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, stdout, stderr)
}

// unreachable is how Go's tools say that they had no network: govulncheck for its database, go mod tidy for modules that
// only other modules' tests need.
var unreachable = regexp.MustCompile(`(?m)^.*(fetching vulnerabilities: |dial tcp|module lookup disabled by GOPROXY=off|proxyconnect|i/o timeout|no such host).*$`)

func formatted(ctx context.Context, root, gofmt string) error {
	stdout, stderr, err := command(ctx, root, nil, gofmt, "-l", ".")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, stderr)
	}
	if stdout != "" {
		return fmt.Errorf("these files are not formatted; run gofmt -w on them:\n%s", stdout)
	}
	return nil
}

// noRace says why the race detector cannot be used; empty when it can. It wants cgo and, on most systems, a C compiler.
func noRace(ctx context.Context, dir string) string {
	if _, stderr, err := command(ctx, dir, nil, "go", "list", "-race", "runtime/race"); err != nil {
		return strings.TrimSpace(strings.TrimPrefix(cmp.Or(stderr, err.Error()), "go: "))
	}
	out, _, err := command(ctx, dir, nil, "go", "env", "CC")
	if cc := strings.Fields(out); err == nil && len(cc) > 0 {
		if _, err := exec.LookPath(cc[0]); err != nil {
			return "no C compiler: " + err.Error()
		}
	}
	return ""
}

// event is a line of go test -json (go doc test2json, go help buildjson).
type event struct {
	Action, Package, Test, Output string
	ImportPath, FailedBuild       string
}

// results are what a run of go test came to.
type results struct {
	passed, failed, packages int
	skips                    []skip
	failures                 []string // what failed said
}

type skip struct{ pkg, test, why string }

func (s skip) String() string { return fmt.Sprintf("%s %s: %s", s.pkg, s.test, s.why) }

// outcome is what is known of one test, or of a package where the test's name is empty.
type outcome struct {
	pkg, test string
	action    string // the last one that ends it; empty while it runs
	output    strings.Builder
	build     string // package whose build failed
	children  bool
	broken    bool // something below it failed
}

// readTests reads the stream to its end.
func readTests(in io.Reader) results {
	var order []*outcome
	byName := map[string]*outcome{}
	get := func(pkg, test string) *outcome {
		o, ok := byName[pkg+" "+test]
		if !ok {
			o = &outcome{pkg: pkg, test: test}
			byName[pkg+" "+test] = o
			order = append(order, o)
		}
		return o
	}
	builds := map[string]*strings.Builder{}
	var stray strings.Builder
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(bytes.TrimSpace(line)) == 0:
		case json.Unmarshal(line, &e) != nil:
			stray.Write(line)
		case e.Action == "build-output":
			if builds[e.ImportPath] == nil {
				builds[e.ImportPath] = &strings.Builder{}
			}
			builds[e.ImportPath].WriteString(e.Output)
		case e.Package != "":
			o := get(e.Package, e.Test)
			switch e.Action {
			case "output":
				o.output.WriteString(e.Output)
			case "pass", "fail", "skip":
				o.action, o.build = e.Action, e.FailedBuild
			}
		}
		if err != nil {
			break
		}
	}
	return tally(order, byName, builds, stray.String())
}

func tally(order []*outcome, byName map[string]*outcome, builds map[string]*strings.Builder, stray string) results {
	var r results
	for _, o := range order {
		if o.test != "" && o.action == "" {
			o.action = "fail" // its process ended first
		}
		for name := o.test; name != ""; {
			i := strings.LastIndexByte(name, '/')
			name = name[:max(i, 0)]
			if above, ok := byName[o.pkg+" "+name]; ok {
				above.children = above.children || name != ""
				above.broken = above.broken || o.action == "fail"
			}
		}
	}
	built := map[string]bool{}
	for _, o := range order {
		pkg := strings.TrimPrefix(strings.TrimPrefix(o.pkg, "github.com/nightlatch/nightlatch"), "/")
		switch {
		case o.test == "" && o.action == "pass":
			r.packages++
		case o.test == "" && o.action == "skip": // it has no tests
		case o.test == "":
			r.packages++
			if o.broken {
				// Its tests say what failed; what they do not say is the order they ran in.
				if m := shuffled.FindStringSubmatch(o.output.String()); m != nil {
					r.failures = append(r.failures, fmt.Sprintf("package %s ran in the order of -shuffle=%s", cmp.Or(pkg, "."), m[1]))
				}
				continue
			}
			r.failed++
			text := fmt.Sprintf("package %s\n%s", cmp.Or(pkg, "."), o.output.String())
			if b := builds[o.build]; b != nil && !built[o.build] {
				built[o.build] = true // several packages fail because of one
				text += b.String()
			}
			r.failures = append(r.failures, text)
		case o.action == "skip":
			r.skips = append(r.skips, skip{cmp.Or(pkg, "."), o.test, reason(o.output.String())})
		case o.action == "fail":
			if !o.broken {
				r.failed++
			}
			r.failures = append(r.failures, fmt.Sprintf("%s %s\n%s", cmp.Or(pkg, "."), o.test, said(o.output.String())))
		case !o.children:
			r.passed++
		}
	}
	if stray != "" && r.failed > 0 {
		r.failures = append(r.failures, stray)
	}
	return r
}

var shuffled = regexp.MustCompile(`(?m)^-test\.shuffle (\d+)`)

// said leaves out the lines with which the test runner frames a test's own.
func said(output string) string {
	var b strings.Builder
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "=== ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

var position = regexp.MustCompile(`^\s*\S+\.go:\d+: `)

// reason is what a skipped test said last.
func reason(output string) string {
	why := "it gives no reason"
	for line := range strings.Lines(said(output)) {
		if text := strings.TrimSpace(position.ReplaceAllString(line, "")); text != "" && !strings.HasPrefix(text, "--- ") {
			why = text
		}
	}
	return why
}

// compareSkips holds the skipped tests against the list: a name a line, "#" begins a comment.
func compareSkips(skips []skip, list string) error {
	want := map[string]bool{}
	for line := range strings.Lines(list) {
		line, _, _ = strings.Cut(line, "#")
		if name := strings.TrimSpace(line); name != "" {
			want[name] = true
		}
	}
	var faults []error
	for _, s := range skips {
		if !want[s.test] {
			faults = append(faults, fmt.Errorf("skipped, and not in skips.txt: %s", s))
		}
		delete(want, s.test)
	}
	for name := range want {
		faults = append(faults, fmt.Errorf("in skips.txt, and not skipped: %s", name))
	}
	return errors.Join(faults...)
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}
