package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// modeVariable makes the test binary a function instead of a test.
const modeVariable = "BENCH_TEST_MODE"

func TestMain(m *testing.M) {
	mode := os.Getenv(modeVariable)
	if mode == "" {
		os.Exit(m.Run())
	}
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/"
	if mode == "unable" {
		http.Post(base+"init/error", "application/json", strings.NewReader(`{"errorMessage":"no configuration"}`))
		os.Exit(1)
	}
	for {
		resp, err := http.Get(base + "invocation/next")
		if err != nil {
			os.Exit(1)
		}
		event, _ := io.ReadAll(resp.Body)
		at := base + "invocation/" + resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
		switch mode {
		case "echo":
			http.Post(at+"/response", "application/json", bytes.NewReader(event))
		case "refuse":
			http.Post(at+"/error", "application/json", strings.NewReader(`{"errorMessage":"not like this"}`))
		case "leave":
			fmt.Fprintln(os.Stderr, "famous last words")
			os.Exit(3)
		}
	}
}

func function(t *testing.T, mode string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(t.Context(), program{path: self, env: []string{modeVariable + "=" + mode}}, "handler")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

func TestHarness(t *testing.T) {
	t.Parallel()
	p := function(t, "echo")
	ready, err := p.ready(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := ready
	for i := range 3 {
		if i > 0 {
			if _, err := p.ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		event := fmt.Sprintf(`{"event": %d}`, i)
		body, from, to, err := p.invoke(t.Context(), []byte(event))
		if err != nil || string(body) != event {
			t.Fatalf("got %s (%v), want %s", body, err, event)
		}
		if !from.After(last) || !to.After(from) || !ready.After(p.began) {
			t.Errorf("began %v, ready %v, handed out %v, answered %v: want them in this order", p.began, ready, from, to)
		}
		last = to
	}
	if runtime.GOOS == "linux" && (p.peakMiB() < 1 || p.peakMiB() > 500 || p.cpu() <= 0 || p.cpu() > time.Minute) {
		t.Errorf("a peak of %v MiB and %v of processor time", p.peakMiB(), p.cpu())
	}
}

// A function that does not do what it is measured for is told, with what it said itself.
func TestFailuresAreNotMeasured(t *testing.T) {
	t.Parallel()
	t.Run("it cannot start", func(t *testing.T) {
		t.Parallel()
		if _, err := function(t, "unable").ready(t.Context()); err == nil || !strings.Contains(err.Error(), "no configuration") {
			t.Errorf("got %v, want its init error", err)
		}
	})
	for mode, want := range map[string]string{"refuse": "not like this", "leave": "famous last words"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := function(t, mode)
			if _, err := p.ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := p.invoke(t.Context(), []byte("{}")); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
		})
	}
	for answer, want := range map[string]string{`{"statusCode":500,"body":"oh"}`: "500", `{"statusCode":200,"body":"another page"}`: "another page", "x": "x"} {
		if err := answeredBy([]byte(answer), 200, "VPN is off"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", answer, err, want)
		}
	}
	if err := answeredBy([]byte(`{"statusCode":200,"body":"VPN is off"}`), 200, "VPN is off"); err != nil {
		t.Error(err)
	}
}

func TestQuantile(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{[]float64{7}, 0.9, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100}, 0.9, 90},
		{[]float64{1, 2}, 0.1, 1.1},
		{[]float64{1, 2}, 1, 2},
	} {
		if got := quantile(tt.values, tt.q); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("quantile %v of %v is %v, want %v", tt.q, tt.values, got, tt.want)
		}
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %v", got)
	}
}

// measured makes variants as if they had been measured: cold starts in ms, in the order of their names.
func measured(cold map[string]float64) (all []*variant) {
	for _, tls := range []bool{false, true} {
		for _, name := range []string{nameEmpty, namePage, nameOpen, nameBeat, nameImport, nameHandler} {
			if c, ok := cold[name]; ok {
				all = append(all, &variant{name: name, title: name, tls: tls, starting: []float64{c / 2}, first: []float64{c / 2}, cold: []float64{c}, warm: []float64{c / 10},
					memory: []float64{c / 4}, cpu: []float64{c}, calls: []float64{3}})
			}
		}
	}
	return all
}

func TestReport(t *testing.T) {
	good := map[string]float64{nameEmpty: 3, namePage: 11, nameOpen: 12, nameBeat: 10, nameImport: 250, nameHandler: 260}
	o := options{starts: 1, events: 1}
	for name, tt := range map[string]struct {
		change func(map[string]float64)
		zip    int
		broken []string // what each bound that is not met begins with
	}{
		"all is well":     {func(map[string]float64) {}, 5_000_000, nil},
		"too large a zip": {func(map[string]float64) {}, 8_000_001, []string{"deployment zip"}},
		"a slow page":     {func(m map[string]float64) { m[namePage] = 15.1 }, 1, []string{"cold start of page, of the founding", "cold start of page, above an empty"}},
		"a slow warm page, and memory": {func(m map[string]float64) { m[namePage] = 84 }, 1,
			[]string{"cold start of page, of the founding", "cold start of page, above an empty", "peak memory", "warm"}},
		"no Python":                       {func(m map[string]float64) { delete(m, nameImport); delete(m, nameHandler) }, 1, nil},
		"no Python, and one bound broken": {func(m map[string]float64) { delete(m, nameImport); delete(m, nameHandler); m[nameBeat] = 20 }, 1, []string{"cold start of beat, above"}},
	} {
		t.Run(name, func(t *testing.T) {
			cold := map[string]float64{}
			for k, v := range good {
				cold[k] = v
			}
			tt.change(cold)
			r := newReport(measured(cold), "Python 0", 145, tt.zip, o)
			var broken []string
			for _, b := range r.Bounds {
				if !b.Met {
					broken = append(broken, b.What)
				}
			}
			if len(broken) != len(tt.broken) || r.met() != (len(broken) == 0) {
				t.Fatalf("broken: %q, want %q; all met: %v", broken, tt.broken, r.met())
			}
			for i, want := range tt.broken {
				if !strings.HasPrefix(broken[i], want) {
					t.Errorf("broken: %q, want %q", broken[i], want)
				}
			}
			var out bytes.Buffer
			if err := r.print(&out); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out.String(), "NOT MET"); n != len(tt.broken) {
				t.Errorf("%d times NOT MET in\n%s", n, &out)
			}
			if strings.Contains(out.String(), "NaN") {
				t.Errorf("a figure that there is not:\n%s", &out)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Errorf("as JSON: %v", err)
			}
		})
	}
	if hold("nothing", math.NaN(), 1, "").Met {
		t.Error("what was not measured is met")
	}
}

// TestWorld: the events are a load balancer's, signed, and each start finds the account as new.
func TestWorld(t *testing.T) {
	w, err := newWorld(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	raw, err := w.request("POST", "/api/v1/endpoints/office/open", `{"for": "1h"}`)
	if err != nil {
		t.Fatal(err)
	}
	var event struct {
		Path              string
		MultiValueHeaders map[string][]string
		RequestContext    struct {
			ELB struct{ TargetGroupARN string }
		}
	}
	if err := json.Unmarshal(raw, &event); err != nil {
		t.Fatal(err)
	}
	if event.Path != "/api/v1/endpoints/office/open" || len(event.MultiValueHeaders["x-amzn-oidc-data"]) != 1 || event.RequestContext.ELB.TargetGroupARN == "" {
		t.Errorf("the event is %s", raw)
	}
	before := w.state.Load()
	if err := w.reset(); err != nil || w.state.Load() == before {
		t.Errorf("the account is not as new (%v)", err)
	}
	if err := w.config(); err != nil {
		t.Fatal(err)
	}
	if w.roots < 1 {
		t.Error("no root certificate")
	}
}

// TestPlainTransport: what takes the place of the functions' own connection still fits.
func TestPlainTransport(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := overlayFile(root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(overlay)
	if err != nil {
		t.Fatal(err)
	}
	var files struct{ Replace map[string]string }
	if err := json.Unmarshal(raw, &files); err != nil {
		t.Fatal(err)
	}
	for from, to := range files.Replace {
		for _, name := range []string{from, to} {
			if _, err := os.Stat(name); err != nil {
				t.Errorf("the overlay names a file that is not there: %v", err)
			}
		}
	}
	c := exec.CommandContext(t.Context(), "go", "vet", "-tags", "lambda,lambda.norpc", "-overlay", overlay, "./cmd/nightlatch")
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
