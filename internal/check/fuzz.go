package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// corpusMax is how many of the inputs that a fuzz target found are kept in the repository, where every test run tries them.
const corpusMax = 64

// fuzz runs every fuzz target of the product, which are those outside the stand-ins, for so long each, as many at a time as
// there are processors; only those of the names, if there are any. What they find is kept beside the seeds.
func (c *check) fuzz(ctx context.Context, root string, length time.Duration, names []string) error {
	targets, err := fuzzTargets(ctx, root)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		targets = slices.DeleteFunc(targets, func(t fuzzTarget) bool { return !slices.Contains(names, t.name) })
	}
	fmt.Fprintf(c.out, "%d fuzz targets, %v each, %d at a time\n", len(targets), length, runtime.NumCPU())
	var mu sync.Mutex // guards c
	var all sync.WaitGroup
	free := make(chan struct{}, runtime.NumCPU())
	for _, t := range targets {
		all.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			if ctx.Err() != nil {
				return
			}
			said, err := t.run(ctx, length)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				c.failed++
				fmt.Fprintf(c.out, "%-40s FAILED\n%s\n\n", t, indent(err.Error()))
				return
			}
			c.passed++
			fmt.Fprintf(c.out, "%-40s ok  %s\n", t, said)
		})
	}
	all.Wait()
	return ctx.Err()
}

// fuzzTarget is a fuzz function, and the folder of its package.
type fuzzTarget struct{ root, dir, name string }

func (t fuzzTarget) String() string { return t.dir + " " + t.name }

func fuzzTargets(ctx context.Context, root string) ([]fuzzTarget, error) {
	function := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	var targets []fuzzTarget
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "standin" || d.Name() == "testdata"):
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range function.FindAllSubmatch(raw, -1) {
			targets = append(targets, fuzzTarget{root, filepath.ToSlash(dir), string(m[1])})
		}
		return err
	})
	return targets, err
}

// progress is what the fuzzer says every three seconds.
var progress = regexp.MustCompile(`elapsed: \S+, execs: (\d+) .*new interesting: (\d+)`)

// run fuzzes in a process of its own, and returns how much it did.
func (t fuzzTarget) run(ctx context.Context, length time.Duration) (string, error) {
	work, err := os.MkdirTemp("", "nightlatch-fuzz-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	program, found := filepath.Join(work, "fuzz.test"), filepath.Join(work, "corpus")
	if _, stderr, err := command(ctx, t.root, nil, "go", "test", "-c", "-fuzz=^"+t.name+"$", "-o", program, "./"+t.dir); err != nil {
		return "", fmt.Errorf("%w\n%s", err, stderr)
	}
	cmd := exec.CommandContext(ctx, program, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+length.String(), "-test.parallel=1", "-test.fuzzminimizetime=2s", "-test.fuzzcachedir="+found)
	cmd.Dir = filepath.Join(t.root, t.dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return "", err
	}
	var last []string
	var failure strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := progress.FindStringSubmatch(lines.Text()); m != nil {
			last = m
		} else {
			fmt.Fprintln(&failure, lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil && !timeIsUp(failure.String()) {
		return "", fmt.Errorf("%w\n%s", err, failure.String())
	}
	if last == nil {
		return "", errors.New("it ended without a word: give it more than three seconds")
	}
	kept, err := keepCorpus(found, filepath.Join(cmd.Dir, "testdata", "fuzz", t.name))
	return fmt.Sprintf("%v, %s executions, %s inputs that reach something new, %d kept", length, last[1], last[2], kept), err
}

// timeIsUp is true where the fuzzer takes the end of its own time for a failure, as it does now and then (golang/go#75804).
// Whatever fails for an input leaves that input behind, and says so.
func timeIsUp(said string) bool {
	return strings.Contains(said, "context deadline exceeded") && !strings.Contains(said, "Failing input written to") && !strings.Contains(said, "panic")
}

// keepCorpus copies what a fuzzer found beside the seeds, the shortest first, up to corpusMax with those that are there.
func keepCorpus(from, to string) (int, error) {
	var found []string
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	size := func(path string) int64 {
		if s, err := os.Stat(path); err == nil {
			return s.Size()
		}
		return 0
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(cmp.Compare(size(a), size(b)), cmp.Compare(a, b)) })
	if err := os.MkdirAll(to, 0o755); err != nil {
		return 0, err
	}
	there, err := os.ReadDir(to)
	if err != nil {
		return 0, err
	}
	for _, path := range found[:min(len(found), max(0, corpusMax-len(there)))] {
		raw, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(path)), raw, 0o644)
		}
		if err != nil {
			return 0, err
		}
	}
	after, err := os.ReadDir(to)
	return len(after), err
}
