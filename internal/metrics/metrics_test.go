package metrics_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/metrics"
)

var update = flag.Bool("update", false, "write the golden files anew")

var names = map[latch.EndpointID]string{"cvpn-endpoint-0a": "office", "cvpn-endpoint-0b": "lab"}

func TestLines(t *testing.T) {
	for name, write := range map[string]func(*metrics.Writer) error{
		"nothing is open": func(w *metrics.Writer) error {
			return w.Beat([]latch.Tally{{Endpoint: "cvpn-endpoint-0a"}, {Endpoint: "cvpn-endpoint-0b"}}, nil)
		},
		"all at once": func(w *metrics.Writer) error {
			return w.Beat([]latch.Tally{
				{Endpoint: "cvpn-endpoint-0a", Held: 2, Leases: 3, Connections: 5, Stuck: latch.PhaseClose, Overdue: true, Lost: 1},
				{Endpoint: "cvpn-endpoint-0b", Held: 1, Leases: 1, Lost: 2, Err: errors.New("throttled")},
				{Endpoint: "cvpn-endpoint-0c", Err: errors.New("no answer"), Unknown: true},
			}, errors.New("throttled; no answer"))
		},
		"nothing is known": func(w *metrics.Writer) error {
			return w.Beat([]latch.Tally{{Endpoint: "cvpn-endpoint-0a"}, {Endpoint: "cvpn-endpoint-0b", Err: errors.New("no answer"), Unknown: true}}, errors.New("no answer"))
		},
		"a sign-in error": (*metrics.Writer).SignInError,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // for the time
				var out bytes.Buffer
				if err := write(metrics.New(metrics.Config{Stack: "nightlatch", Endpoints: names, Out: &out})); err != nil {
					t.Fatal(err)
				}
				check(t, out.Bytes())
				golden(t, name, out.Bytes())
			})
		})
	}
}

// check holds a line to the specification's rules ("Specification: Embedded metric format", CloudWatch User Guide).
func check(t *testing.T, line []byte) {
	t.Helper()
	if !bytes.HasSuffix(line, []byte("}\n")) || bytes.Count(line, []byte("\n")) != 1 {
		t.Fatalf("not one line that is one object: %q", line)
	}
	var root map[string]json.RawMessage
	var meta struct {
		Timestamp         int64
		CloudWatchMetrics []map[string]json.RawMessage
	}
	strict := func(raw []byte, into any) {
		t.Helper()
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	strict(line, &root)
	strict(root["_aws"], &meta)
	if meta.Timestamp != 946684800000 { // when a bubble begins
		t.Errorf("Timestamp is %d, want milliseconds since 1970", meta.Timestamp)
	}
	if len(meta.CloudWatchMetrics) != 1 {
		t.Fatalf("%d directives, want one", len(meta.CloudWatchMetrics))
	}
	d := meta.CloudWatchMetrics[0]
	if got := slices.Sorted(maps.Keys(d)); !slices.Equal(got, []string{"Dimensions", "Metrics", "Namespace"}) {
		t.Errorf("the directive has %v: want the three members that it must have, and no other", got)
	}
	var namespace string
	var sets [][]string
	var defined []struct{ Name, Unit string }
	strict(d["Namespace"], &namespace)
	strict(d["Dimensions"], &sets)
	strict(d["Metrics"], &defined)
	if namespace != "Nightlatch" || len(sets) != 1 || !slices.Equal(sets[0], []string{"Stack"}) {
		t.Errorf("namespace %q, dimensions %v", namespace, sets)
	}
	var stack string
	strict(root["Stack"], &stack)
	if stack == "" || len(stack) > 1024 {
		t.Errorf("the dimension's value is %q", stack)
	}
	if len(defined) == 0 || len(defined) > 100 {
		t.Errorf("%d metrics", len(defined))
	}
	for _, m := range defined {
		if m.Unit != "Count" || !slices.Contains(metrics.Names, m.Name) {
			t.Errorf("metric %+v", m)
		}
		var value float64
		strict(root[m.Name], &value) // the target member: without it the line is refused
	}
	if !regexp.MustCompile(`^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"$`).Match(root["timestamp"]) || string(root["level"]) != `"INFO"` {
		t.Errorf("timestamp %s, level %s: Lambda's JSON log format would add its own", root["timestamp"], root["level"])
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the line is\n%swant\n%s(-update writes it anew)", got, want)
	}
}

// Ten metrics are free of charge; the eleventh is not.
func TestTenMetrics(t *testing.T) {
	if n := len(metrics.Names); n != 10 {
		t.Errorf("%d metrics, want ten", n)
	}
}

func TestWithoutAStackNothingIsWritten(t *testing.T) {
	var out bytes.Buffer
	w := metrics.New(metrics.Config{Endpoints: names, Out: &out})
	if err := errors.Join(w.Beat([]latch.Tally{{Endpoint: "cvpn-endpoint-0a", Held: 1}}, nil), w.SignInError()); err != nil || out.Len() > 0 {
		t.Errorf("%v, and %q: want nothing", err, out.String())
	}
}
