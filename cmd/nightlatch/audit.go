//go:build !lambda

package main

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/store"
)

const auditExportLong = `Write the audit to stdout, the oldest entry first: who wished what and when, and what Nightlatch did about it. Without
--endpoint it is that of every endpoint in the configuration, and of what concerns none, as blocks and sessions do. An
endpoint that is not in the configuration any more is named by its id.

The CSV has a header. A cell that a spreadsheet would run as a formula begins with an apostrophe. The JSON is one array: an
export that broke off is no JSON. Both have the same keys; nightlatch help json says what they are.

With --pseudonymise, nobody is named: a subject becomes a pseudonym, which is the same all through one export; names, reasons
and whatever else people have written are left out, and so is what an entry holds that is not plainly a time, a number or
AWS's; a source address keeps its first 24 bits, or 48 of IPv6. The key of the pseudonyms is random and forgotten, so that two
exports cannot be compared; with --key-file it is the bytes of that file, and whoever has them can find a person they know.`

// exportFlags is what the command line said of an export.
type exportFlags struct {
	path         string // --config
	endpoints    []string
	from, to     string
	format       string
	json         bool
	pseudonymise bool
	keyFile      string
}

func auditCommand(env func(string) string, stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{Use: "audit", Short: "Read what was wished, decided and done", GroupID: groupEndpoints, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	var f exportFlags
	export := &cobra.Command{
		Use:   "export [--endpoint NAME] [--from TIME] [--to TIME] [--format csv|json] [--pseudonymise]",
		Short: "Write the audit to stdout, as CSV or JSON", Long: auditExportLong,
		Example: "  nightlatch audit export --from 2026-03-01 --to 2026-04-01 > march.csv\n" +
			"  nightlatch audit export --endpoint office --format json | jq '.[] | select(.action == \"break-glass\")'\n" +
			"  nightlatch audit export --pseudonymise --key-file pseudonyms.key > study.csv",
		Args: cobra.NoArgs, DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, _ []string) error { return f.export(c.Context(), env, stdout, stderr) },
	}
	flags := export.Flags()
	flags.StringVar(&f.path, "config", "", "configuration `file`, as the function has it (default: NIGHTLATCH_CONFIG, else nightlatch.yaml)")
	flags.StringArrayVar(&f.endpoints, "endpoint", nil, "`name` or id of an endpoint; may be given again for another")
	flags.StringVar(&f.from, "from", "", "`time` to begin with, as 2026-03-01 (in UTC) or 2026-03-01T09:30:00+09:00")
	flags.StringVar(&f.to, "to", "", "`time` to end before")
	flags.StringVar(&f.format, "format", "csv", "`csv or json`")
	flags.BoolVar(&f.json, "json", false, "the same as --format json")
	flags.BoolVar(&f.pseudonymise, "pseudonymise", false, "name nobody")
	flags.StringVar(&f.keyFile, "key-file", "", "`file` with the key of the pseudonyms, at least 16 bytes (default: a random key)")
	c.AddCommand(export)
	return c
}

func (f exportFlags) export(ctx context.Context, env func(string) string, stdout, stderr io.Writer) error {
	from, err := exportTime("from", f.from)
	if err != nil {
		return err
	}
	to, err := exportTime("to", f.to)
	if err != nil {
		return err
	}
	switch {
	case f.json:
		f.format = "json"
	case f.format != "csv" && f.format != "json":
		return usagef("--format %q is neither csv nor json", f.format)
	}
	if !to.IsZero() && !from.Before(to) {
		return usagef("--to %s is not after --from", f.to)
	}
	var hide *pseudonyms
	if f.pseudonymise {
		if hide, err = newPseudonyms(f.keyFile); err != nil {
			return err
		}
	} else if f.keyFile != "" {
		return usagef("--key-file is for --pseudonymise")
	}
	c, err := readConfig(f.path, env)
	if err != nil {
		return err
	}
	ids, err := exported(c, f.endpoints)
	if err != nil {
		return err
	}
	o, err := newOperator(ctx, c, stderr)
	if err != nil {
		return err
	}
	s, err := store.New(store.Config{AWS: o.aws, Table: o.config.Table})
	if err != nil {
		return err
	}
	var all []iter.Seq2[latch.Entry, error]
	for _, id := range ids {
		all = append(all, s.Audit(ctx, id, from, to))
	}
	out := newExport(stdout, f.format)
	for e, err := range inOrder(all) {
		if err != nil {
			return err
		}
		x := exportedEntry{Entry: e}
		if i := slices.IndexFunc(c.Endpoints, func(x config.Endpoint) bool { return x.ID == e.Endpoint }); i >= 0 {
			x.EndpointName = c.Endpoints[i].Name
		}
		if hide != nil {
			x.Entry = hide.entry(e)
		}
		if err := out.write(x); err != nil {
			return err
		}
	}
	return out.end()
}

// exportTime reads a time, or a day, which begins in UTC. Nothing is the zero time.
func exportTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--%s %q is not a time: write 2026-03-01, or 2026-03-01T09:30:00+09:00", flag, s)
}

var endpointID = regexp.MustCompile(`^cvpn-endpoint-[0-9a-f]+$`)

// exported are the endpoints of those names, each once; of no names, all that are configured and none.
func exported(c *config.Config, names []string) ([]latch.EndpointID, error) {
	var ids []latch.EndpointID
	for _, name := range names {
		e, err := c.Endpoint(name)
		if err != nil && !endpointID.MatchString(name) {
			return nil, usagef("%w", err)
		}
		if id := cmp.Or(e.ID, latch.EndpointID(name)); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(names) > 0 {
		return ids, nil
	}
	for _, e := range c.Endpoints {
		ids = append(ids, e.ID)
	}
	return append(ids, ""), nil
}

// inOrder joins what is in order of time by itself, the oldest first. It ends with the first error.
func inOrder(all []iter.Seq2[latch.Entry, error]) iter.Seq2[latch.Entry, error] {
	type source struct {
		next func() (latch.Entry, error, bool)
		head latch.Entry
	}
	return func(yield func(latch.Entry, error) bool) {
		var sources []*source
		for _, one := range all {
			next, stop := iter.Pull2(one)
			defer stop()
			s := &source{next: next}
			head, err, ok := next()
			if err != nil {
				yield(latch.Entry{}, err)
				return
			}
			if s.head = head; ok {
				sources = append(sources, s)
			}
		}
		for len(sources) > 0 {
			oldest := slices.MinFunc(sources, func(a, b *source) int { return cmp.Or(a.head.At.Compare(b.head.At), cmp.Compare(a.head.ID, b.head.ID)) })
			if !yield(oldest.head, nil) {
				return
			}
			head, err, ok := oldest.next()
			if err != nil {
				yield(latch.Entry{}, err)
				return
			}
			if oldest.head = head; !ok {
				sources = slices.DeleteFunc(sources, func(s *source) bool { return s == oldest })
			}
		}
	}
}

// exportedEntry is one of an export, with the name that the configuration gives its endpoint.
type exportedEntry struct {
	latch.Entry
	EndpointName string `json:"endpointName,omitempty"`
}

var exportHeader = []string{"at", "id", "endpoint", "endpointName", "subject", "issuer", "name", "action", "whose", "code", "why", "before", "after", "source", "requestId"}

func (e exportedEntry) cells() []string {
	return []string{e.At.UTC().Format(time.RFC3339Nano), e.ID, string(e.Endpoint), e.EndpointName, string(e.Subject), e.Issuer, e.Name, e.Action,
		string(e.Whose), string(e.Code), e.Why, e.Before, e.After, e.Source, e.Request}
}

// export writes entries as they come.
type export struct {
	csv  *csv.Writer // nil: JSON
	json io.Writer
	n    int
}

func newExport(w io.Writer, format string) *export {
	if format == "json" {
		return &export{json: w}
	}
	return &export{csv: csv.NewWriter(w)}
}

func (x *export) write(e exportedEntry) error {
	x.n++
	if x.csv != nil {
		if x.n == 1 {
			if err := x.csv.Write(exportHeader); err != nil {
				return err
			}
		}
		cells := e.cells()
		for i := range cells {
			cells[i] = defused(cells[i])
		}
		return x.csv.Write(cells)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	before := ",\n"
	if x.n == 1 {
		before = "[\n"
	}
	_, err = fmt.Fprintf(x.json, "%s%s", before, raw)
	return err
}

func (x *export) end() error {
	if x.csv == nil {
		end := "\n]\n"
		if x.n == 0 {
			end = "[]\n"
		}
		_, err := io.WriteString(x.json, end)
		return err
	}
	if x.n == 0 {
		if err := x.csv.Write(exportHeader); err != nil {
			return err
		}
	}
	x.csv.Flush()
	return x.csv.Error()
}

// divided is where a spreadsheet that divides cells by other signs would see a formula begin.
var divided = regexp.MustCompile(`([^;\t|][;\t|]\s*)([=+\-@＝＋－＠])`)

// defused keeps a spreadsheet from running a cell that somebody wrote ("CSV Injection", OWASP).
func defused(cell string) string {
	cell = divided.ReplaceAllString(cell, "$1'$2")
	if cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
		return "'" + cell
	}
	return cell
}

// pseudonyms take people out of entries.
type pseudonyms struct{ key []byte }

// keyLeast is the shortest key in bytes: a shorter one could be guessed, and with it the subjects.
const keyLeast = 16

func newPseudonyms(file string) (*pseudonyms, error) {
	if file == "" {
		key := make([]byte, sha256.Size)
		rand.Read(key)
		return &pseudonyms{key}, nil
	}
	key, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("--key-file: %w", err)
	}
	if len(key) < keyLeast {
		return nil, usagef("--key-file: %s holds %d bytes, and a key has at least %d: head -c 32 /dev/urandom makes one", file, len(key), keyLeast)
	}
	return &pseudonyms{key}, nil
}

// of is a text's pseudonym: it says nothing of the text to who does not have the key.
func (p *pseudonyms) of(s string) string {
	if s == "" {
		return ""
	}
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(s))
	return "p-" + hex.EncodeToString(mac.Sum(nil)[:12])
}

// emailLike is broader than an address: what has an @ between other characters may name a person.
var emailLike = regexp.MustCompile(`\S@\S`)

func (p *pseudonyms) entry(e latch.Entry) latch.Entry {
	e.Subject, e.Whose = latch.Subject(p.of(string(e.Subject))), latch.Subject(p.of(string(e.Whose)))
	e.Name, e.Why = "", ""
	if e.Endpoint == "" { // it is about people, and a subject may be a number of two digits
		e.Before, e.After = p.of(e.Before), p.of(e.After)
	} else {
		e.Before, e.After = p.value(e.Before), p.value(e.After)
	}
	e.Source = network(e.Source)
	for _, s := range []*string{&e.Issuer, &e.Request, &e.Action} {
		if emailLike.MatchString(*s) {
			*s = p.of(*s)
		}
	}
	return e
}

// value is what an entry says of before or after. What is not plainly harmless may name somebody, and has a pseudonym,
// which is the subject's own if it is a subject.
func (p *pseudonyms) value(s string) string {
	for word := range strings.FieldsSeq(s) {
		if !harmless(strings.TrimSuffix(word, ",")) {
			return p.of(s)
		}
	}
	return s
}

var (
	awsID = regexp.MustCompile(`^(cvpn-[a-z]+|subnet|vpc|sg)-[0-9a-f]+$`)
	// plainWords are those that the latch writes around times, numbers and ids.
	plainWords = []string{"via", "until", string(latch.Local), string(latch.StateOff)}
)

// harmless is true for a word that names nobody: a time, a number, a network, an id of AWS's, or one of the latch's words.
func harmless(word string) bool {
	if _, err := time.Parse(time.RFC3339, word); err == nil {
		return true
	}
	if _, err := time.ParseDuration(word); err == nil {
		return true
	}
	if _, err := strconv.Atoi(word); err == nil {
		return len(word) <= 4 // a longer one may be somebody's number
	}
	if _, err := netip.ParsePrefix(word); err == nil {
		return true
	}
	return awsID.MatchString(word) || slices.Contains(plainWords, word) || slices.Contains(latch.Codes, latch.Code(word)) || slices.Contains(latch.NoticeKinds, latch.NoticeKind(word))
}

// network is the part of a source that does not name one machine; what is no address but the command line's is left out.
func network(source string) string {
	if source == sourceCommandLine {
		return source
	}
	a, err := netip.ParseAddr(source)
	if err != nil {
		return ""
	}
	bits := 48
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(a, bits).Masked().String()
}
