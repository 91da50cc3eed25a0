// Package metrics writes Nightlatch's metrics into the function's log, from which CloudWatch takes them: lines in the
// embedded metric format, one JSON object each. It sends nothing and asks nobody, so a metric costs no call, no permission
// and no time.
//
// A line has the numbers, and beside them the names of the endpoints that they are about, for a query in CloudWatch Logs
// Insights. CloudWatch itself counts by stack alone: ten metrics are free of charge, and each endpoint of its own would
// be ten more.
package metrics

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// Namespace and Dimension are under what CloudWatch has the metrics.
const (
	Namespace = "Nightlatch"
	Dimension = "Stack"
)

// The metrics. Each is a count. All but the last come once per beat, also when they are zero.
const (
	Beats             = "Beats"             // 1 for each beat that came to its end; where they are missing, nobody keeps the endpoints
	BeatErrors        = "BeatErrors"        // 1 for a beat that could not keep one of them, or more
	Open              = "Open"              // endpoints with an association that is there or on its way
	AssociatedSubnets = "AssociatedSubnets" // such associations: what AWS charges for by the hour
	Leases            = "Leases"            // that live
	Connections       = "Connections"       // of clients, active
	Stuck             = "Stuck"             // endpoints where a phase takes longer than it ever did
	OpenPastMaximum   = "OpenPastMaximum"   // endpoints that should have closed minutes ago by their absolute maximum
	NoticesDropped    = "NoticesDropped"    // messages that went to the dead letters
	SignInErrors      = "SignInErrors"      // 1 for each sign-in that failed, and not because of the person
)

// Names are all metrics.
var Names = []string{Beats, BeatErrors, Open, AssociatedSubnets, Leases, Connections, Stuck, OpenPastMaximum, NoticesDropped, SignInErrors}

// Config is what New needs.
type Config struct {
	// Stack is the dimension's value, the deployment's name. Empty: nothing is written, because nobody has asked for metrics
	// that are charged for.
	Stack string
	// Endpoints are the names that people know; one that is not among them is called by its id.
	Endpoints map[latch.EndpointID]string
	// Out is the function's standard output, which must be the log itself: before and behind the line nothing may stand
	// ("Specification: Embedded metric format", CloudWatch User Guide).
	Out io.Writer
}

// Writer writes the lines. It may be used by several goroutines.
type Writer struct {
	c  Config
	mu sync.Mutex // guards c.Out: whole lines
}

// New returns a Writer, which has written nothing.
func New(c Config) *Writer { return &Writer{c: c} }

// Beat tells of one beat, which ended with err. When the beat came to know nothing of an endpoint, that one is named and
// in no sum, and a sum that is nought without it is left out.
func (w *Writer) Beat(tallies []latch.Tally, err error) error {
	sum := map[string]int{Beats: 1}
	which := func(is func(latch.Tally) bool) (names []string) {
		for _, y := range tallies {
			if is(y) {
				names = append(names, cmp.Or(w.c.Endpoints[y.Endpoint], string(y.Endpoint)))
			}
		}
		return names
	}
	open := which(func(y latch.Tally) bool { return y.Held > 0 })
	stuck := which(func(y latch.Tally) bool { return y.Stuck != "" })
	late := which(func(y latch.Tally) bool { return y.Overdue })
	sum[Open], sum[Stuck], sum[OpenPastMaximum] = len(open), len(stuck), len(late)
	for _, y := range tallies {
		sum[AssociatedSubnets] += y.Held
		sum[Leases] += y.Leases
		sum[Connections] += y.Connections
		sum[NoticesDropped] += y.Lost
	}
	if err != nil {
		sum[BeatErrors] = 1
	}
	names := Names[:len(Names)-1]
	if slices.ContainsFunc(tallies, func(y latch.Tally) bool { return y.Unknown }) {
		// A nought that leaves one out would take back an alarm, and say that nothing is billed, while nobody knows.
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			return sum[name] == 0 && !slices.Contains([]string{Beats, BeatErrors, NoticesDropped}, name)
		})
	}
	return w.write(names, sum, []member{
		{"OpenEndpoints", open}, {"StuckEndpoints", stuck}, {"OpenPastMaximumEndpoints", late},
		{"FailedEndpoints", which(func(y latch.Tally) bool { return y.Err != nil })},
		{"UnknownEndpoints", which(func(y latch.Tally) bool { return y.Unknown })},
	})
}

// SignInError tells of one sign-in that failed for a reason that is not the person's.
func (w *Writer) SignInError() error {
	return w.write([]string{SignInErrors}, map[string]int{SignInErrors: 1}, nil)
}

// member is one property beside the metrics: names, in one text, which a query can filter and show. An empty one is left out.
type member struct {
	name  string
	value []string
}

// metadata is the format's own part of a line.
type metadata struct {
	Timestamp         int64 // milliseconds since 1970
	CloudWatchMetrics []directive
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []metric
}

type metric struct{ Name, Unit string }

// write puts out one line. Level and timestamp stand in it because Lambda's JSON log format adds what it misses of them
// and drops what is below the function's log level ("Log-level filtering", Lambda Developer Guide); an object that is JSON
// already it leaves as it is. In the text format they are two properties more.
func (w *Writer) write(names []string, values map[string]int, beside []member) error {
	if w.c.Stack == "" {
		return nil
	}
	now := time.Now().UTC()
	d := directive{Namespace: Namespace, Dimensions: [][]string{{Dimension}}}
	for _, name := range names {
		d.Metrics = append(d.Metrics, metric{name, "Count"})
	}
	line := &object{}
	line.add("_aws", metadata{now.UnixMilli(), []directive{d}})
	line.add("timestamp", now.Format("2006-01-02T15:04:05.000Z"))
	line.add("level", "INFO")
	line.add(Dimension, w.c.Stack)
	for _, name := range names {
		line.add(name, values[name])
	}
	for _, m := range beside {
		if len(m.value) > 0 {
			line.add(m.name, strings.Join(m.value, " "))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.c.Out.Write(line.bytes()) // in one piece: Lambda makes a log event of each line
	return err
}

// object is a JSON object whose members stand in the order in which they were added.
type object struct{ buf bytes.Buffer }

func (o *object) add(name string, value any) {
	if o.buf.Len() > 0 {
		o.buf.WriteByte(',')
	}
	for i, v := range []any{name, value} {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // none of the types above can fail
		}
		if i == 1 {
			o.buf.WriteByte(':')
		}
		o.buf.Write(text)
	}
}

func (o *object) bytes() []byte { return []byte("{" + o.buf.String() + "}\n") }
