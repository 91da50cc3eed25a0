// Package accesstest has an access.Store in memory, and the suite that every access.Store passes.
package accesstest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// RefusalsKept is how long refusals are kept.
const RefusalsKept = 30 * 24 * time.Hour

// Store is an access.Store in memory. What it keeps is what JSON leaves of it, as with the real one, and it hands out
// copies. The zero value is empty and ready.
type Store struct {
	// Fail is asked before a call has any effect, Lose after it had: an error that Lose returns is an answer lost on
	// the way. Both get the method's name, "SaveSession", and may sleep; no lock is held. Set them before the first call.
	Fail, Lose func(call string) error

	mu       sync.Mutex // guards what follows
	calls    map[string]int
	sessions map[string]access.Session
	blocks   map[latch.Subject]access.Block
	refusals map[refusalKey]access.Refusal
	paid     map[latch.Subject]time.Time
}

type refusalKey struct {
	subject  latch.Subject
	endpoint latch.EndpointID
	action   access.Action
}

// SaveSession implements access.Store.
func (s *Store) SaveSession(ctx context.Context, session access.Session) error {
	return s.call(ctx, "SaveSession", func() error {
		if session.ID == "" || session.Subject == "" || session.Until.IsZero() {
			return fmt.Errorf("%w: a session needs an id, a subject and an end", latch.ErrBadRequest)
		}
		session = kept(session)
		if there, taken := s.sessions[session.ID]; taken && !reflect.DeepEqual(there, session) {
			return fmt.Errorf("%w: the session's id is taken", latch.ErrConflict)
		}
		keep(&s.sessions, session.ID, session)
		return nil
	})
}

// Session implements access.Store.
func (s *Store) Session(ctx context.Context, id string) (found access.Session, err error) {
	err = s.call(ctx, "Session", func() error {
		there, ok := s.sessions[id]
		if !ok || !time.Now().Before(there.Until) {
			return fmt.Errorf("session: %w", latch.ErrNotFound)
		}
		found = kept(there)
		return nil
	})
	return found, err
}

// EndSession implements access.Store.
func (s *Store) EndSession(ctx context.Context, id string) error {
	return s.call(ctx, "EndSession", func() error {
		delete(s.sessions, id)
		return nil
	})
}

// Sessions implements access.Store.
func (s *Store) Sessions(ctx context.Context) (all []access.Session, err error) {
	err = s.call(ctx, "Sessions", func() error {
		for _, x := range s.sessions {
			if time.Now().Before(x.Until) {
				all = append(all, kept(x))
			}
		}
		slices.SortFunc(all, func(a, b access.Session) int { return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.ID, b.ID)) })
		return nil
	})
	return all, err
}

func inForce(b access.Block) bool { return b.Until.IsZero() || time.Now().Before(b.Until) }

// Blocked implements access.Store.
func (s *Store) Blocked(ctx context.Context, who latch.Subject) (block *access.Block, err error) {
	err = s.call(ctx, "Blocked", func() error {
		if b, ok := s.blocks[who]; ok && inForce(b) {
			block = &b
		}
		return nil
	})
	return block, err
}

// SaveBlock implements access.Store.
func (s *Store) SaveBlock(ctx context.Context, b access.Block) error {
	return s.call(ctx, "SaveBlock", func() error {
		if b.Subject == "" || b.Since.IsZero() {
			return fmt.Errorf("%w: a block needs a subject and a beginning", latch.ErrBadRequest)
		}
		keep(&s.blocks, b.Subject, kept(b))
		return nil
	})
}

// Unblock implements access.Store.
func (s *Store) Unblock(ctx context.Context, who latch.Subject) error {
	return s.call(ctx, "Unblock", func() error {
		b, ok := s.blocks[who]
		delete(s.blocks, who)
		if !ok || !inForce(b) {
			return fmt.Errorf("block of %s: %w", who, latch.ErrNotFound)
		}
		return nil
	})
}

// Blocks implements access.Store.
func (s *Store) Blocks(ctx context.Context) (all []access.Block, err error) {
	err = s.call(ctx, "Blocks", func() error {
		all = slices.DeleteFunc(slices.Collect(maps.Values(s.blocks)), func(b access.Block) bool { return !inForce(b) })
		slices.SortFunc(all, func(a, b access.Block) int {
			return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.Subject, b.Subject))
		})
		return nil
	})
	return all, err
}

// SaveRefusal implements access.Store.
func (s *Store) SaveRefusal(ctx context.Context, r access.Refusal) error {
	return s.call(ctx, "SaveRefusal", func() error {
		if r.Subject == "" || r.Action == "" || r.At.IsZero() {
			return fmt.Errorf("%w: a refusal needs a subject, an action and a time", latch.ErrBadRequest)
		}
		if k := (refusalKey{r.Subject, r.Endpoint, r.Action}); r.At.After(s.refusals[k].At) {
			keep(&s.refusals, k, kept(r))
		}
		return nil
	})
}

// Refusals implements access.Store.
func (s *Store) Refusals(ctx context.Context, limit int) (newest []access.Refusal, err error) {
	err = s.call(ctx, "Refusals", func() error {
		for _, r := range s.refusals {
			if time.Now().Before(r.At.Add(RefusalsKept)) {
				newest = append(newest, r)
			}
		}
		slices.SortFunc(newest, func(a, b access.Refusal) int {
			return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Action, b.Action))
		})
		newest = newest[:min(max(limit, 0), len(newest))]
		return nil
	})
	return newest, err
}

// Spend implements access.Store.
func (s *Store) Spend(ctx context.Context, who latch.Subject, now time.Time, every time.Duration, burst int) (wait time.Duration, err error) {
	err = s.call(ctx, "Spend", func() error {
		if who == "" || every <= 0 || burst < 1 {
			return fmt.Errorf("%w: a rate needs a subject, a time and a number", latch.ErrBadRequest)
		}
		var paid time.Time
		if paid, wait = access.Take(s.paid[who], now, every, burst); wait == 0 {
			keep(&s.paid, who, paid)
		}
		return nil
	})
	return wait, err
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
	if s.Fail != nil {
		if err := s.Fail(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w: %w", name, latch.ErrUnavailable, context.Cause(ctx))
	}
	s.mu.Lock()
	err := do()
	s.mu.Unlock()
	if err == nil && s.Lose != nil {
		err = s.Lose(name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// kept is what JSON leaves of a value, and shares nothing with it.
func kept[T any](v T) (out T) {
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		panic(err) // our own types
	}
	return out
}

// keep sets a key of a map that may not be made yet.
func keep[K comparable, V any](m *map[K]V, k K, v V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
}
