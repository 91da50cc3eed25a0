package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"
)

// The bounds of the design, in its order.
const (
	mostOfPythonCold   = 1.0 / 20
	mostAboveEmpty     = 12.0 // ms
	mostOfPythonMemory = 1.0 / 3
	mostWarmPage       = 3.0 // ms
	mostZip            = 8.0 // MB
)

// report is what one run has found. Times are in milliseconds, memory in MiB.
type report struct {
	Machine string   `json:"machine"`
	Python  string   `json:"python"`
	Starts  int      `json:"starts"`
	Events  int      `json:"events"`
	Roots   int      `json:"roots"`
	ZipSize int      `json:"zip_bytes"`
	Figures []figure `json:"figures"`
	Ratios  []ratio  `json:"ratios"`
	Bounds  []bound  `json:"bounds"`
}

// figure is one function's. Start is from its execution to its request for an event, First from there to the answer, and
// Cold the whole way; Warm is an answer after the first. CPU is what all threads had used at the first answer.
type figure struct {
	Name   string  `json:"name"`
	Title  string  `json:"title"`
	TLS    bool    `json:"tls"`
	Start  spread  `json:"start"`
	First  spread  `json:"first"`
	Cold   spread  `json:"cold"`
	Warm   spread  `json:"warm"`
	Memory spread  `json:"memory"`
	CPU    spread  `json:"cpu"`
	Calls  float64 `json:"calls"` // to AWS, for the first answer
}

// ratio is of two medians: how many times as much the other takes.
type ratio struct {
	Of   string  `json:"of"`
	To   string  `json:"to"`
	TLS  bool    `json:"tls"`
	Cold float64 `json:"cold"`
	Warm float64 `json:"warm"`
	Peak float64 `json:"memory"`
	CPU  float64 `json:"cpu"`
}

// times is 0 where a system does not tell what was to be measured.
func times(other, ours spread) float64 {
	if ours.Median == 0 {
		return 0
	}
	return other.Median / ours.Median
}

func newReport(all []*variant, python string, roots, zipped int, o options) report {
	r := report{Machine: fmt.Sprintf("%s/%s, %d processors, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
		Python: python, Starts: o.starts, Events: o.events, Roots: roots, ZipSize: zipped}
	type key struct {
		name string
		tls  bool
	}
	found := map[key]figure{}
	for _, v := range all {
		f := figure{v.name, v.title, v.tls, spreadOf(v.starting), spreadOf(v.first), spreadOf(v.cold), spreadOf(v.warm), spreadOf(v.memory), spreadOf(v.cpu), spreadOf(v.calls).Median}
		found[key{v.name, v.tls}] = f
		r.Figures = append(r.Figures, f)
	}
	for _, tls := range []bool{false, true} {
		for _, ours := range []string{namePage, nameBeat, nameOpen} {
			for _, other := range []string{nameImport, nameHandler, nameEmpty} {
				a, b := found[key{ours, tls}], found[key{other, tls}]
				if b.Name != "" {
					r.Ratios = append(r.Ratios, ratio{ours, other, tls, times(b.Cold, a.Cold), times(b.Warm, a.Warm), times(b.Memory, a.Memory), times(b.CPU, a.CPU)})
				}
			}
		}
	}

	_, hasPython := found[key{nameImport, false}]
	// What a bound holds is the first answer that somebody gets from a function that has just started: a page, and EC2 is
	// asked for it. Who opens has seen that page; the opening makes ten times the founding function's calls, the audit and
	// the dead-man's switch among them, and is shown beside.
	for _, ours := range []string{namePage, nameBeat} {
		if hasPython {
			r.Bounds = append(r.Bounds, hold("cold start of "+ours+", of the founding function's, without TLS",
				found[key{ours, false}].Cold.Median/found[key{nameImport, false}].Cold.Median, mostOfPythonCold, ""))
		}
	}
	for _, ours := range []string{namePage, nameBeat} {
		r.Bounds = append(r.Bounds, hold("cold start of "+ours+", above an empty handler's, without TLS",
			found[key{ours, false}].Cold.Median-found[key{nameEmpty, false}].Cold.Median, mostAboveEmpty, "ms"))
	}
	if most := found[key{namePage, true}].Memory.Median; hasPython && most > 0 {
		r.Bounds = append(r.Bounds, hold("peak memory of page, of the founding function's, over TLS", most/found[key{nameImport, true}].Memory.Median, mostOfPythonMemory, ""))
	}
	r.Bounds = append(r.Bounds,
		hold("warm signed-in page, the last look fresh in the store, over TLS", found[key{namePage, true}].Warm.Median, mostWarmPage, "ms"),
		hold("deployment zip, arm64", float64(zipped)/1e6, mostZip, "MB"))
	return r
}

func (r report) met() bool {
	for _, b := range r.Bounds {
		if !b.Met {
			return false
		}
	}
	return true
}

func (r report) print(out io.Writer) error {
	fmt.Fprintf(out, "%s; %s\n%d starts of each function, %d events after each first one; median (10th to 90th percentile)\n", r.Machine, r.Python, r.Starts, r.Events)
	for _, tls := range []bool{false, true} {
		if tls {
			fmt.Fprintf(out, "\nAWS over TLS, through a proxy, by a file of %d roots: the functions as they are deployed\n", r.Roots)
		} else {
			fmt.Fprint(out, "\nAWS without TLS\n")
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "\texec to ready\tfirst answer\texec to first answer, ms\twarm, ms\tpeak, MiB\tCPU, ms\tcalls\t")
		for _, f := range r.Figures {
			if f.TLS == tls {
				fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%s\t%s\t%.1f\t%.0f\t%.0f\t\n", f.Title, f.Start.Median, f.First.Median, f.Cold, f.Warm, f.Memory.Median, f.CPU.Median, f.Calls)
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if len(r.Ratios) > 0 {
		fmt.Fprint(out, "\nHow many times as much the other takes\n")
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "\tcold\twarm\tpeak\tCPU\t")
		for _, q := range r.Ratios {
			if q.To == nameEmpty {
				continue
			}
			how := "plain"
			if q.TLS {
				how = "TLS"
			}
			fmt.Fprintf(w, "%s : %s, %s\t%.1f\t%.1f\t%.1f\t%.1f\t\n", q.To, q.Of, how, q.Cold, q.Warm, q.Peak, q.CPU)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprint(out, "\nBounds\n")
	for _, b := range r.Bounds {
		verdict := "met"
		if !b.Met {
			verdict = "NOT MET"
		}
		fmt.Fprintf(out, "  %-8s %s: %s, at most %s\n", verdict, b.What, b.show(b.Value), b.show(b.Most))
	}
	return nil
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.P10, s.P90) }

// show writes a figure of the bound's unit; one without a unit is a fraction.
func (b bound) show(v float64) string {
	if b.Unit == "" {
		return fmt.Sprintf("1/%.1f", 1/v)
	}
	return strings.TrimSpace(fmt.Sprintf("%.1f %s", v, b.Unit))
}
