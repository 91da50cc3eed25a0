// Command bench measures what a Lambda function costs before and while it answers: ours, an empty one in Go, and one of the
// founding shape in Python with boto3, all under one Lambda Runtime API and against one EC2.
//
//	go run ./bench            print the figures, and the bounds that they are held to
//	go run ./bench -json      the same for programs
//
// It exits with 1 when a bound is not met, and with 2 when it could not measure. bench/README.md says what is measured, how
// and why so.
package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
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
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	met, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case !met:
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	starts, events int
	python         string
	json           bool
}

// run measures and prints. It reports whether every bound is met.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (met bool, err error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.starts, "starts", 20, "cold starts of each function, beside a first one that does not count")
	flags.IntVar(&o.events, "events", 10, "events that each start answers after its first")
	flags.StringVar(&o.python, "python", "", "the Python that has boto3 (default: python3, or else /usr/bin/python3)")
	flags.BoolVar(&o.json, "json", false, "print the figures as JSON")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if flags.NArg() > 0 || o.starts < 1 || o.events < 1 {
		return false, errors.New("usage: bench [-starts N] [-events N] [-python PATH] [-json], with one start and one event at least")
	}
	root, err := command(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/nightlatch/nightlatch")
	if err != nil {
		return false, fmt.Errorf("run it in nightlatch's folder: %w", err)
	}
	dir, err := os.MkdirTemp("", "nightlatch-bench-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)

	fmt.Fprintln(stderr, "bench: building (the first time this compiles the AWS SDK, for two architectures)")
	built, err := buildAll(ctx, strings.TrimSpace(root), dir)
	if err != nil {
		return false, err
	}
	w, err := newWorld(dir)
	if err != nil {
		return false, err
	}
	defer w.close()
	if err := w.config(); err != nil {
		return false, err
	}
	zipped, err := pack(built.arm64, filepath.Join(dir, "nightlatch.yaml"))
	if err != nil {
		return false, err
	}
	interpreter, version, err := python(ctx, o.python)
	switch {
	case err != nil && o.python != "":
		return false, err
	case err != nil:
		version = "no Python with boto3 here, so the founding function is left out"
	}

	// A copy, because Python writes what it has compiled beside its sources.
	for _, name := range []string{"bench/founding/loop.py", "e2e/python/founding.py"} {
		raw, err := os.ReadFile(filepath.Join(strings.TrimSpace(root), filepath.FromSlash(name)))
		if err != nil {
			return false, err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), raw, 0o600); err != nil {
			return false, err
		}
	}
	all := variants(w, built, interpreter, dir)
	fmt.Fprintf(stderr, "bench: measuring %d functions in %d rounds\n", len(all), o.starts+1)
	if err := measure(ctx, w, all, o); err != nil {
		return false, err
	}
	r := newReport(all, version, w.roots, zipped, o)
	if o.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = r.print(stdout)
	}
	return r.met(), err
}

// binaries are what is built: for this machine, and for the zip.
type binaries struct{ ours, plain, empty, arm64 string }

func buildAll(ctx context.Context, root, dir string) (b binaries, err error) {
	b = binaries{filepath.Join(dir, "bootstrap"), filepath.Join(dir, "plain"), filepath.Join(dir, "empty"), filepath.Join(dir, "arm64")}
	overlay, err := overlayFile(root, dir)
	if err != nil {
		return b, err
	}
	for _, what := range []struct{ out, arch, from, overlay string }{
		{b.ours, runtime.GOARCH, "./cmd/nightlatch", ""},
		{b.plain, runtime.GOARCH, "./cmd/nightlatch", overlay},
		{b.empty, runtime.GOARCH, "./bench/empty", ""},
		{b.arm64, "arm64", "./cmd/nightlatch", ""},
	} {
		c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda,lambda.norpc", "-ldflags", "-s -w", "-overlay", what.overlay, "-o", what.out, what.from)
		c.Dir = root
		c.Env = append(c.Environ(), "CGO_ENABLED=0", "GOARCH="+what.arch)
		if what.out == b.arm64 {
			c.Env = append(c.Env, "GOOS=linux")
		}
		if out, err := c.CombinedOutput(); err != nil {
			return b, fmt.Errorf("go build %s: %w\n%s", what.from, err, out)
		}
	}
	return b, nil
}

// overlayFile writes what "go build -overlay" takes to build our functions with a connection to AWS that has no TLS.
func overlayFile(root, dir string) (string, error) {
	raw, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(root, "cmd", "nightlatch", "transport.go"): filepath.Join(root, "bench", "testdata", "plain", "transport.go"),
	}})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, raw, 0o600)
}

// pack is the size of the deployment zip, in bytes.
func pack(bootstrap, config string) (int, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	for name, file := range map[string]string{"bootstrap": bootstrap, "nightlatch.yaml": config} {
		raw, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		w, err := z.Create(name)
		if err != nil {
			return 0, err
		}
		if _, err := w.Write(raw); err != nil {
			return 0, err
		}
	}
	err := z.Close()
	return out.Len(), err
}

// command runs a program and returns its output.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	out, err := c.Output()
	if bad, ok := errors.AsType[*exec.ExitError](err); ok {
		lines := strings.Split(strings.TrimSpace(string(bad.Stderr)), "\n")
		err = fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(out), nil
}

// variant is one function in one world, and what was measured of it.
type variant struct {
	name, title string
	tls         bool
	program     program
	handler     string
	event       func() ([]byte, error)
	check       func([]byte) error
	fresh       bool // the world must be as new before each event, not only before a start

	starting, first, cold, warm, memory, cpu, calls []float64 // milliseconds, MiB, milliseconds, and requests
}

// The names of variants, by which the bounds find them.
const (
	nameEmpty   = "empty"
	namePage    = "page"
	nameOpen    = "open"
	nameBeat    = "beat"
	nameImport  = "founding"
	nameHandler = "founding-as-written"
)

func variants(w *world, b binaries, interpreter, dir string) (all []*variant) {
	fixed := func(event string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(event), nil } }
	for _, tls := range []bool{false, true} {
		env := []string{"HTTPS_PROXY=" + w.tunnel, "SSL_CERT_FILE=" + w.bundle, "AWS_CA_BUNDLE=" + w.bundle, "BENCH_AWS=" + w.plain}
		ours, ec2 := b.ours, []string(nil)
		if !tls {
			ours, ec2 = b.plain, []string{"http://" + w.plain}
		}
		add := func(v variant) {
			v.tls, v.program.env = tls, env
			all = append(all, &v)
		}
		add(variant{name: nameEmpty, title: "an empty Go handler", program: program{path: b.empty}, handler: "bootstrap", event: fixed("{}"),
			check: func(a []byte) error { return answeredBy(a, 200, "") }})
		add(variant{name: namePage, title: "Nightlatch: signed-in page", program: program{path: ours}, handler: "front",
			event: func() ([]byte, error) { return w.request("GET", "/endpoints/office", "") },
			check: func(a []byte) error { return answeredBy(a, 200, "VPN is off") }})
		add(variant{name: nameOpen, title: "Nightlatch: open", program: program{path: ours}, handler: "front", fresh: true,
			event: func() ([]byte, error) { return w.request("POST", "/api/v1/endpoints/office/open", `{"for": "1h"}`) },
			check: func(a []byte) error { return answeredBy(a, 202, `"opening"`) }})
		add(variant{name: nameBeat, title: "Nightlatch: beat", program: program{path: ours}, handler: "beat", event: fixed(`{"source":"nightlatch.beat"}`),
			check: func(a []byte) error {
				if string(bytes.TrimSpace(a)) != "null" {
					return fmt.Errorf("the beat answers %.200s", a)
				}
				return nil
			}})
		if interpreter == "" {
			continue
		}
		event := fixed(fmt.Sprintf(`{"endpoint": %q, "subnet": %q}`, endpointID, subnetID))
		check := func(a []byte) error { return answeredBy(a, 200, `"associating"`) }
		loop := []string{filepath.Join(dir, "loop.py"), dir}
		add(variant{name: nameImport, title: "founding, client at import", program: program{path: interpreter, args: append(append(loop[:2:2], "import"), ec2...)},
			handler: "founding.handler", event: event, check: check, fresh: true})
		add(variant{name: nameHandler, title: "founding, client in handler", program: program{path: interpreter, args: append(append(loop[:2:2], "handler"), ec2...)},
			handler: "founding.handler", event: event, check: check, fresh: true})
	}
	return all
}

// measure starts each function in turn, round after round, so that what else the machine does meets all of them alike.
// The first round fills the caches of the file system and does not count.
func measure(ctx context.Context, w *world, all []*variant, o options) error {
	for round := range o.starts + 1 {
		for _, v := range all {
			if round == 1 {
				v.starting, v.first, v.cold, v.warm, v.memory, v.cpu, v.calls = nil, nil, nil, nil, nil, nil, nil
			}
			if err := v.once(ctx, w, o.events); err != nil {
				return fmt.Errorf("%s: %w", v.title, err)
			}
		}
	}
	return nil
}

// once is one start, its first answer, and so many more.
func (v *variant) once(ctx context.Context, w *world, events int) error {
	if err := w.reset(); err != nil {
		return err
	}
	event, err := v.event()
	if err != nil {
		return err
	}
	calls := w.calls.Load()
	p, err := start(ctx, v.program, v.handler)
	if err != nil {
		return err
	}
	defer p.stop()
	ready, err := p.ready(ctx)
	if err != nil {
		return err
	}
	answer, from, to, err := p.invoke(ctx, event)
	if err != nil {
		return err
	}
	v.cpu = append(v.cpu, ms(p.cpu()))
	if err := v.check(answer); err != nil {
		return err
	}
	v.starting, v.first, v.cold = append(v.starting, ms(ready.Sub(p.began))), append(v.first, ms(to.Sub(from))), append(v.cold, ms(to.Sub(p.began)))
	v.calls = append(v.calls, float64(w.calls.Load()-calls))
	for range events {
		if v.fresh {
			if err := w.reset(); err != nil {
				return err
			}
		}
		if event, err = v.event(); err != nil {
			return err
		}
		if _, err := p.ready(ctx); err != nil {
			return err
		}
		answer, from, to, err := p.invoke(ctx, event)
		if err != nil {
			return err
		}
		if err := v.check(answer); err != nil {
			return err
		}
		v.warm = append(v.warm, ms(to.Sub(from)))
	}
	v.memory = append(v.memory, p.peakMiB())
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
