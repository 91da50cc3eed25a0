package console

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	ringSize = 500
	// clipAt bounds one attribute: a stand-in may quote what a stranger sent it.
	clipAt = 1100
)

// Hop is one message that a stand-in answered, or its refusal of one: what the page and GET /api/hops show.
type Hop struct {
	Seq     uint64    `json:"seq"` // counts from 1
	At      time.Time `json:"at"`
	Refused bool      `json:"refused,omitzero"` // "refused" rather than "hop"
	To      string    `json:"to"`
	What    string    `json:"what,omitempty"`
	Status  *int64    `json:"status,omitempty"` // HTTP's, or LDAP's result code where To is the directory
	TookMS  float64   `json:"tookMs,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Why     string    `json:"why,omitempty"`
}

// Ring is a slog.Handler that remembers the last 500 records whose message is "hop" or "refused", and of each only the
// attributes that Hop has: whatever else a record carries never reaches a browser. It is made before the console,
// because the other stand-ins are given their loggers first.
type Ring struct {
	kept   *kept
	attrs  []slog.Attr
	inside bool // within a group, whose attributes are none of Hop's
}

type kept struct {
	mu    sync.Mutex // guards the rest
	hops  []Hop      // oldest first
	last  uint64
	tally map[string]tally // by Hop.To
}

// tally counts since the start, beyond what the ring still holds.
type tally struct {
	hops, refusals uint64
	hop, refusal   Hop // the last of each
}

// NewRing makes an empty ring.
func NewRing() *Ring { return &Ring{kept: &kept{tally: map[string]tally{}}} }

// Enabled leaves debugging out.
func (r *Ring) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// WithAttrs implements slog.Handler.
func (r *Ring) WithAttrs(attrs []slog.Attr) slog.Handler {
	if r.inside {
		return r
	}
	return &Ring{kept: r.kept, attrs: slices.Concat(r.attrs, attrs)}
}

// WithGroup implements slog.Handler.
func (r *Ring) WithGroup(name string) slog.Handler {
	if name == "" {
		return r
	}
	return &Ring{kept: r.kept, attrs: r.attrs, inside: true}
}

// Handle keeps the record if it is one of ours. It never fails: a full ring forgets its oldest.
func (r *Ring) Handle(_ context.Context, rec slog.Record) error {
	if rec.Message != "hop" && rec.Message != "refused" {
		return nil
	}
	h := Hop{At: rec.Time.UTC(), Refused: rec.Message == "refused"}
	for _, a := range r.attrs {
		h.take(a)
	}
	if !r.inside {
		rec.Attrs(func(a slog.Attr) bool { h.take(a); return true })
	}
	k := r.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last++
	h.Seq = k.last
	if len(k.hops) == ringSize {
		k.hops = slices.Delete(k.hops, 0, 1)
	}
	k.hops = append(k.hops, h)
	t := k.tally[h.To]
	if h.Refused {
		t.refusals, t.refusal = t.refusals+1, h
	} else {
		t.hops, t.hop = t.hops+1, h
	}
	k.tally[h.To] = t
	return nil
}

func (h *Hop) take(a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		return // of attributes that are none of Hop's
	}
	switch a.Key {
	case "to":
		h.To = clip(v.String())
	case "what":
		h.What = clip(v.String())
	case "detail":
		h.Detail = clip(v.String())
	case "why":
		h.Why = clip(v.String())
	case "status":
		switch v.Kind() {
		case slog.KindInt64:
			h.Status = new(v.Int64())
		case slog.KindUint64:
			h.Status = new(int64(v.Uint64()))
		}
	case "took":
		if v.Kind() == slog.KindDuration {
			h.TookMS = float64(v.Duration().Microseconds()) / 1000
		}
	}
}

// failed tells a refused or failed message from one that went well.
func (h Hop) failed() bool {
	switch {
	case h.Refused:
		return true
	case h.Status == nil:
		return false
	case h.To == "directory":
		return *h.Status != 0 // RFC 4511, appendix A: success
	}
	return *h.Status >= 400
}

// after returns what the ring holds beyond seq, oldest first, and the number of the newest.
func (r *Ring) after(seq uint64) ([]Hop, uint64) {
	k := r.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	i, _ := slices.BinarySearchFunc(k.hops, seq, func(h Hop, seq uint64) int {
		if h.Seq <= seq {
			return -1
		}
		return 1
	})
	return append([]Hop{}, k.hops[i:]...), k.last
}

func (r *Ring) tallies() map[string]tally {
	r.kept.mu.Lock()
	defer r.kept.mu.Unlock()
	return maps.Clone(r.kept.tally)
}

func clip(s string) string {
	if r := []rune(s); len(r) > clipAt {
		return string(r[:clipAt]) + "…"
	}
	return s
}
