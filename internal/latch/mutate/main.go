// Command mutate breaks the guards of the latch, one at a time, and shows which test notices: a guard that can go without
// a test failing is a guard that will go.
//
//	go run ./internal/latch/mutate                 all of them, in a few minutes
//	go run ./internal/latch/mutate -only switch    those whose names match
//
// Nothing in the tree is touched: each mutant is one file with one text replaced, which the compiler is shown in the
// place of the real one (go help build, -overlay). The text must be there exactly once; a guard that was rewritten takes
// its mutant with it. First the scenarios run, which take a second; what they do not notice is left to the crash points
// and to random histories. The exit code is 1 when a mutant survives or is none.
package main

import (
	"bytes"
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
	"strings"
	"syscall"
	"time"
)

const (
	// long are the tests that play many lives; they run for mutants that all others let pass.
	long = "^(TestHistories|TestCrashPoints)$"
	// histories is how many random ones a mutant must outlive.
	histories = 3000
	// patience bounds one build and one run of tests each. A mutant that makes a test hang is noticed too.
	patience = 2 * time.Minute
)

func main() {
	only := flag.String("only", "", "break only the guards whose names match this expression")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, only string) error {
	want, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env GOMOD: %w", err)
	}
	dir, err := os.MkdirTemp("", "nightlatch-mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{root: filepath.Dir(strings.TrimSpace(string(mod))), dir: dir}
	var chosen []mutant
	sound := map[string]bool{}
	for _, m := range mutants {
		if !want.MatchString(m.name) {
			continue
		}
		chosen = append(chosen, m)
		if pkg := m.pkg(); !sound[pkg] {
			sound[pkg] = true
			if v := l.judge(ctx, mutant{file: m.file}); v.err != nil || len(v.by) > 0 {
				return fmt.Errorf("the tests of %s fail before anything is broken: %w\n%s", pkg, errors.Join(v.err, errors.New(strings.Join(v.by, ", "))), v.output)
			}
		}
	}
	killed := 0
	for _, m := range chosen {
		began := time.Now()
		v := l.judge(ctx, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case v.err != nil:
			fmt.Fprintf(out, "NO MUTANT  %5.1fs  %s\n%v\n%s\n", time.Since(began).Seconds(), m.name, v.err, v.output)
		case len(v.by) == 0:
			fmt.Fprintf(out, "SURVIVED   %5.1fs  %s\n", time.Since(began).Seconds(), m.name)
		default:
			killed++
			fmt.Fprintf(out, "killed     %5.1fs  %s\n                   by %s\n", time.Since(began).Seconds(), m.name, some(v.by))
		}
	}
	fmt.Fprintf(out, "\n%d of %d mutants killed\n", killed, len(chosen))
	if killed < len(chosen) || killed == 0 {
		return errors.New("not every mutant was noticed: write the test that fails for it")
	}
	return nil
}

// some of the tests' names, and how many more there are.
func some(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// lab is where mutants are made.
type lab struct{ root, dir string }

// verdict is which tests notice a mutant. An err says that it is none: its text is not there, or it does not compile.
type verdict struct {
	by     []string
	output string
	err    error
}

// judge builds the package's tests around the mutant and runs them. One without a text is the code as it is.
func (l *lab) judge(ctx context.Context, m mutant) (v verdict) {
	pkg := filepath.Join(l.root, m.pkg())
	binary := filepath.Join(l.dir, "mutant.test")
	args := []string{"test", "-c", "-vet=off", "-o", binary}
	if m.old != "" {
		overlay, err := l.overlay(m)
		if err != nil {
			return verdict{err: err}
		}
		args = append(args, "-overlay", overlay)
	}
	output, err := command(ctx, pkg, "go", append(args, ".")...)
	if err != nil {
		return verdict{err: fmt.Errorf("it does not compile: %w", err), output: output}
	}
	if v = tests(ctx, pkg, binary, "-test.skip", long); len(v.by) > 0 || v.err != nil || m.old == "" || m.pkg() != "internal/latch" {
		return v
	}
	return tests(ctx, pkg, binary, "-test.run", long, "-histories", fmt.Sprint(histories))
}

// overlay writes the mutant and the file that shows it to the compiler.
func (l *lab) overlay(m mutant) (string, error) {
	real := filepath.Join(l.root, m.file)
	raw, err := os.ReadFile(real)
	if err != nil {
		return "", err
	}
	broken, err := m.apply(string(raw))
	if err != nil {
		return "", err
	}
	file := filepath.Join(l.dir, filepath.Base(m.file))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {real: file}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(l.dir, "overlay.json")
	return overlay, errors.Join(os.WriteFile(file, []byte(broken), 0o600), os.WriteFile(overlay, list, 0o600))
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// tests runs some of the tests and returns the innermost of those that fail.
func tests(ctx context.Context, pkg, binary string, args ...string) verdict {
	output, err := command(ctx, pkg, binary, append(args, "-test.timeout", (patience-10*time.Second).String())...)
	if err == nil {
		return verdict{}
	}
	v := verdict{output: output}
	for _, match := range failed.FindAllStringSubmatch(output, -1) {
		name := match[1]
		if i := len(v.by) - 1; i >= 0 && strings.HasPrefix(name, v.by[i]+"/") {
			v.by[i] = name
			continue
		}
		v.by = append(v.by, name)
	}
	if len(v.by) == 0 { // it panicked, or hung
		last := strings.TrimSpace(output)
		first, _, _ := strings.Cut(last, "\n")
		v.by = []string{fmt.Sprintf("%v: %s", err, first)}
	}
	return v
}

// command runs a program to its end, both of its outputs together.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	err := cmd.Run()
	return out.String(), err
}

// mutant is a guard that is gone.
type mutant struct {
	name     string // what the product does without it
	file     string // from the module's root
	old, new string
}

func (m mutant) pkg() string { return filepath.Dir(m.file) }

func (m mutant) apply(text string) (string, error) {
	if n := strings.Count(text, m.old); n != 1 {
		return "", fmt.Errorf("%s holds the text of this guard %d times, want once: where the guard went, the mutant must follow\n%s", m.file, n, m.old)
	}
	return strings.Replace(text, m.old, m.new, 1), nil
}
