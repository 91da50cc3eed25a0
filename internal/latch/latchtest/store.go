package latchtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// Store is a latch.Store in memory. What it keeps is what JSON leaves of it, as with the real one, and it hands out
// copies. The zero value is empty and ready.
type Store struct {
	// Fail is asked before a call has any effect, Lose after it had: an error that Lose returns is an answer lost on
	// the way. Both get the method's name, "Save", and may sleep; no lock is held. Set them before the first call.
	Fail, Lose func(call string) error
	// Saved sees every save that had its effect, in their order, with the lock held: it must not call the store, nor
	// change or keep what it is given.
	Saved func(id latch.EndpointID, before, after latch.Record)

	mu      sync.Mutex
	calls   map[string]int
	records map[latch.EndpointID]latch.Record
	looks   map[latch.EndpointID]latch.Observation
	claims  map[latch.EndpointID]time.Time
	entries []latch.Entry
	writes  int
}

// Load implements latch.Store.
func (s *Store) Load(ctx context.Context, id latch.EndpointID) (r latch.Record, err error) {
	err = s.call(ctx, "Load", func() error { r = s.records[id].Clone(); return nil })
	return r, err
}

// Save implements latch.Store.
func (s *Store) Save(ctx context.Context, id latch.EndpointID, r latch.Record) (saved latch.Record, err error) {
	err = s.call(ctx, "Save", func() error {
		if stored := s.records[id].Version; stored != r.Version {
			return fmt.Errorf("%w: version %d is stored, %d was read", latch.ErrConflict, stored, r.Version)
		}
		s.writes++
		r.Version, r.WriteID = r.Version+1, fmt.Sprintf("write-%d", s.writes)
		before, after := s.records[id], replicate(r, 0)
		keep(&s.records, id, after)
		if s.Saved != nil {
			s.Saved(id, before, after)
		}
		saved = r.Clone()
		return nil
	})
	if err != nil {
		return latch.Record{}, err
	}
	return saved, nil
}

// Look implements latch.Store.
func (s *Store) Look(ctx context.Context, id latch.EndpointID) (o latch.Observation, err error) {
	err = s.call(ctx, "Look", func() error { o = replicate(s.looks[id], 0); return nil })
	return o, err
}

// SaveLook implements latch.Store.
func (s *Store) SaveLook(ctx context.Context, o latch.Observation) error {
	return s.call(ctx, "SaveLook", func() error {
		if o.At.After(s.looks[o.Endpoint].At) {
			keep(&s.looks, o.Endpoint, replicate(o, 0))
		}
		return nil
	})
}

// ClaimLook implements latch.Store.
func (s *Store) ClaimLook(ctx context.Context, id latch.EndpointID, now time.Time, every time.Duration) (won bool, err error) {
	err = s.call(ctx, "ClaimLook", func() error {
		last, claimed := s.claims[id]
		if won = !claimed || !now.Before(last.Add(every)); won {
			keep(&s.claims, id, now)
		}
		return nil
	})
	return won && err == nil, err
}

// Append implements latch.Store.
func (s *Store) Append(ctx context.Context, e latch.Entry) error {
	return s.call(ctx, "Append", func() error {
		if e.ID == "" || e.At.IsZero() {
			return fmt.Errorf("%w: an entry needs an id and a time", latch.ErrBadRequest)
		}
		for _, stored := range s.entries {
			if stored.Endpoint != e.Endpoint || stored.ID != e.ID || !stored.At.Equal(e.At) {
				continue
			}
			if !sameEntry(stored, e) {
				return fmt.Errorf("%w: entry %s is there with another content", latch.ErrConflict, e.ID)
			}
			return nil
		}
		e.At = e.At.UTC().Round(0)
		s.entries = append(s.entries, e)
		return nil
	})
}

func sameEntry(a, b latch.Entry) bool {
	a.At, b.At = a.At.UTC().Round(0), b.At.UTC().Round(0)
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// Entries implements latch.Store.
func (s *Store) Entries(ctx context.Context, id latch.EndpointID, limit int) (newest []latch.Entry, err error) {
	err = s.call(ctx, "Entries", func() error {
		for _, e := range s.entries {
			if e.Endpoint == id {
				newest = append(newest, e)
			}
		}
		slices.SortFunc(newest, func(a, b latch.Entry) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.ID, a.ID)) })
		newest = newest[:min(max(limit, 0), len(newest))]
		return nil
	})
	if err != nil {
		return nil, err
	}
	return newest, nil
}

// Now is the record, uncounted and unfailing: the truth, for a test's own eyes.
func (s *Store) Now(id latch.EndpointID) latch.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[id].Clone()
}

// Audit is every entry of the endpoint in the order in which they came, uncounted and unfailing.
func (s *Store) Audit(id latch.EndpointID) []latch.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.entries), func(e latch.Entry) bool { return e.Endpoint != id })
}

// Calls says how often a method was called, also when the call failed.
func (s *Store) Calls(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[name]
}

func (s *Store) call(ctx context.Context, name string, do func() error) error {
	s.mu.Lock()
	keep(&s.calls, name, s.calls[name]+1)
	s.mu.Unlock()
	return guard(ctx, name, s.Fail, s.Lose, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return do()
	})
}

// keep sets a key of a map that may not be made yet.
func keep[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}
