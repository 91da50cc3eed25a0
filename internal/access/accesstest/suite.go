package accesstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// TestStore is what every access.Store keeps. Each case runs in a bubble of its own, in which newStore makes an empty
// store; an adapter's HTTP therefore has to stay inside the process, or keep no connection.
func TestStore(t *testing.T, newStore func(t *testing.T) access.Store) {
	const lee, kim latch.Subject = "8d6c7b5a-lee", "1f2e3d4c-kim"
	for name, test := range map[string]func(*testing.T, access.Store){
		"an empty store knows nobody": func(t *testing.T, s access.Store) {
			if _, err := s.Session(t.Context(), "0a"); !errors.Is(err, latch.ErrNotFound) {
				t.Errorf("session: got %v, want %v", err, latch.ErrNotFound)
			}
			if b, err := s.Blocked(t.Context(), lee); b != nil || err != nil {
				t.Errorf("blocked: got %v, %v, want nobody", b, err)
			}
			same(t, "sessions", sessions(t, s), nil)
			same(t, "blocks", blocks(t, s), nil)
			same(t, "refusals", refusals(t, s, 10), nil)
		},
		"a session is found whole, until it ends": func(t *testing.T, s access.Store) {
			want := wholeSession("0a", lee)
			must(t, "save", s.SaveSession(t.Context(), want))
			got, err := s.Session(t.Context(), "0a")
			must(t, "session", err)
			same(t, "session", got, want)
			got.Groups[0] = "S-1-5-mallory"
			again, err := s.Session(t.Context(), "0a")
			must(t, "session", err)
			same(t, "what is handed out is not what is kept", again, want)
			if _, err := s.Session(t.Context(), "0A"); !errors.Is(err, latch.ErrNotFound) {
				t.Errorf("another id: got %v, want %v", err, latch.ErrNotFound)
			}

			time.Sleep(time.Until(want.Until) - time.Nanosecond)
			if _, err := s.Session(t.Context(), "0a"); err != nil {
				t.Errorf("a nanosecond before its end: got %v", err)
			}
			time.Sleep(time.Nanosecond)
			if _, err := s.Session(t.Context(), "0a"); !errors.Is(err, latch.ErrNotFound) {
				t.Errorf("at its end: got %v, want %v, whether it has been dropped or not", err, latch.ErrNotFound)
			}
			same(t, "sessions after its end", sessions(t, s), nil)
		},
		"a session that was ended is gone at once": func(t *testing.T, s access.Store) {
			must(t, "save", s.SaveSession(t.Context(), wholeSession("0a", lee)))
			other := wholeSession("0b", lee)
			must(t, "save", s.SaveSession(t.Context(), other))
			for range 2 { // the second time there is none, which is not an error
				must(t, "end", s.EndSession(t.Context(), "0a"))
			}
			if _, err := s.Session(t.Context(), "0a"); !errors.Is(err, latch.ErrNotFound) {
				t.Errorf("got %v, want %v", err, latch.ErrNotFound)
			}
			same(t, "sessions", sessions(t, s), []access.Session{other})
		},
		"an id is nobody else's": func(t *testing.T, s access.Store) {
			first := wholeSession("0a", lee)
			must(t, "save", s.SaveSession(t.Context(), first))
			must(t, "a repetition, as after a lost answer", s.SaveSession(t.Context(), first))
			second := first
			second.Subject = kim
			if err := s.SaveSession(t.Context(), second); !errors.Is(err, latch.ErrConflict) {
				t.Errorf("got %v, want %v", err, latch.ErrConflict)
			}
			got, err := s.Session(t.Context(), "0a")
			must(t, "session", err)
			same(t, "session", got, first)
		},
		"the newest session comes first": func(t *testing.T, s access.Store) {
			var want []access.Session
			for i := range 12 {
				x := wholeSession(fmt.Sprintf("%02d", i), lee)
				x.Since = x.Since.Add(-time.Duration(i) * time.Minute)
				want = append(want, x)
			}
			for _, i := range rand.Perm(len(want)) {
				must(t, "save", s.SaveSession(t.Context(), want[i]))
			}
			same(t, "sessions", sessions(t, s), want)
		},
		"what is no session is not kept": func(t *testing.T, s access.Store) {
			for _, x := range []access.Session{{Subject: lee, Until: time.Now()}, {ID: "0a", Until: time.Now()}, {ID: "0a", Subject: lee}} {
				if err := s.SaveSession(t.Context(), x); !errors.Is(err, latch.ErrBadRequest) {
					t.Errorf("%+v: got %v, want %v", x, err, latch.ErrBadRequest)
				}
			}
		},
		"a block is in force until its end, or for ever": func(t *testing.T, s access.Store) {
			hour := access.Block{Subject: lee, By: "arn:aws:iam::111122223333:user/op", Why: "김하나 <\"&>", Since: time.Now().UTC(), Until: time.Now().Add(time.Hour).UTC()}
			ever := access.Block{Subject: kim, By: "op", Since: time.Now().Add(time.Second).UTC()}
			must(t, "save", s.SaveBlock(t.Context(), hour))
			must(t, "save", s.SaveBlock(t.Context(), ever))
			same(t, "blocked", blocked(t, s, lee), &hour)
			same(t, "blocked", blocked(t, s, kim), &ever)
			same(t, "somebody else", blocked(t, s, "8D6C7B5A-LEE"), nil)
			same(t, "blocks", blocks(t, s), []access.Block{ever, hour})
			time.Sleep(time.Hour - time.Nanosecond)
			same(t, "a nanosecond before its end", blocked(t, s, lee), &hour)
			time.Sleep(time.Nanosecond)
			same(t, "at its end", blocked(t, s, lee), nil)
			if err := s.Unblock(t.Context(), lee); !errors.Is(err, latch.ErrNotFound) {
				t.Errorf("unblock after its end: got %v, want %v", err, latch.ErrNotFound)
			}
			time.Sleep(10 * 365 * 24 * time.Hour)
			same(t, "ten years later", blocks(t, s), []access.Block{ever})
		},
		"a block is replaced, and taken back": func(t *testing.T, s access.Store) {
			first := access.Block{Subject: lee, By: "op", Why: "first", Since: time.Now().UTC(), Until: time.Now().Add(time.Hour).UTC()}
			second := access.Block{Subject: lee, By: "op", Why: "second", Since: time.Now().UTC()}
			must(t, "save", s.SaveBlock(t.Context(), first))
			must(t, "replace", s.SaveBlock(t.Context(), second))
			same(t, "blocks", blocks(t, s), []access.Block{second})
			must(t, "unblock", s.Unblock(t.Context(), lee))
			same(t, "blocked", blocked(t, s, lee), nil)
			same(t, "blocks", blocks(t, s), nil)
			if err := s.Unblock(t.Context(), lee); !errors.Is(err, latch.ErrNotFound) {
				t.Errorf("unblock twice: got %v, want %v", err, latch.ErrNotFound)
			}
			must(t, "block again", s.SaveBlock(t.Context(), first))
			same(t, "blocked again", blocked(t, s, lee), &first)
		},
		"what is no block is not kept": func(t *testing.T, s access.Store) {
			for _, b := range []access.Block{{Since: time.Now()}, {Subject: lee}} {
				if err := s.SaveBlock(t.Context(), b); !errors.Is(err, latch.ErrBadRequest) {
					t.Errorf("%+v: got %v, want %v", b, err, latch.ErrBadRequest)
				}
			}
		},
		"of refusals the latest is kept, of each subject, endpoint and action": func(t *testing.T, s access.Store) {
			now := time.Now().UTC()
			r := access.Refusal{Subject: lee, Name: "Lee", Endpoint: "cvpn-endpoint-0a", Action: access.Open, Code: "denied.by-rule", Rule: "contractors", At: now, Source: "192.0.2.1", Request: "r-1"}
			late, early := r, r
			late.At, late.Rule = now.Add(time.Nanosecond), "later"
			early.At, early.Rule = now.Add(-time.Nanosecond), "earlier"
			for _, x := range []access.Refusal{r, late, early} {
				must(t, "save", s.SaveRefusal(t.Context(), x))
			}
			same(t, "refusals", refusals(t, s, 10), []access.Refusal{late})
			want := []access.Refusal{late}
			for i, change := range []func(*access.Refusal){
				func(x *access.Refusal) { x.Subject = kim }, func(x *access.Refusal) { x.Endpoint = "cvpn-endpoint-0b" },
				func(x *access.Refusal) { x.Endpoint = "" }, func(x *access.Refusal) { x.Action = access.Extend },
			} {
				x := r
				change(&x)
				x.At = now.Add(-time.Duration(i+1) * time.Minute)
				must(t, "save", s.SaveRefusal(t.Context(), x))
				want = append(want, x)
			}
			same(t, "all", refusals(t, s, 10), want)
			same(t, "two", refusals(t, s, 2), want[:2])
			same(t, "none", refusals(t, s, 0), nil)
			time.Sleep(RefusalsKept - 2*time.Minute)
			same(t, "a month later", refusals(t, s, 10), want[:2])
			time.Sleep(time.Hour)
			same(t, "after that", refusals(t, s, 10), nil)
		},
		"what is no refusal is not kept": func(t *testing.T, s access.Store) {
			for _, r := range []access.Refusal{{Action: access.Open, At: time.Now()}, {Subject: lee, At: time.Now()}, {Subject: lee, Action: access.Open}} {
				if err := s.SaveRefusal(t.Context(), r); !errors.Is(err, latch.ErrBadRequest) {
					t.Errorf("%+v: got %v, want %v", r, err, latch.ErrBadRequest)
				}
			}
		},
		"so many changes at once, and one more in each turn": func(t *testing.T, s access.Store) {
			const every, burst = 10 * time.Second, 3
			spend := func(who latch.Subject) time.Duration {
				t.Helper()
				wait, err := s.Spend(t.Context(), who, time.Now(), every, burst)
				must(t, "spend", err)
				return wait
			}
			for range 3 { // after a rest everything is as at first
				for i := range burst {
					if wait := spend(lee); wait != 0 {
						t.Errorf("change %d of %d: told to wait %v", i+1, burst, wait)
					}
				}
				if wait := spend(lee); wait != every {
					t.Errorf("one too many: told to wait %v, want %v", wait, every)
				}
				if wait := spend(lee); wait != every {
					t.Errorf("asking costs nothing: told to wait %v, want %v still", wait, every)
				}
				time.Sleep(every - time.Nanosecond)
				if wait := spend(lee); wait != time.Nanosecond {
					t.Errorf("a nanosecond too early: told to wait %v", wait)
				}
				time.Sleep(time.Nanosecond)
				if wait := spend(lee); wait != 0 {
					t.Errorf("a turn later: told to wait %v", wait)
				}
				if wait := spend(lee); wait != every {
					t.Errorf("a second one in the same turn: told to wait %v, want %v", wait, every)
				}
				time.Sleep(burst * every)
			}
			if wait := spend(kim); wait != 0 {
				t.Errorf("somebody else: told to wait %v", wait)
			}
		},
		"so many changes, whoever asks at once": func(t *testing.T, s access.Store) {
			const burst = 4
			var wg sync.WaitGroup
			var mu sync.Mutex
			let := 0
			for range 12 {
				wg.Go(func() {
					wait, err := s.Spend(t.Context(), lee, time.Now(), time.Minute, burst)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case errors.Is(err, latch.ErrConflict): // turned away: it may ask again
					case err != nil:
						t.Errorf("spend: %v", err)
					case wait == 0:
						let++
					}
				})
			}
			wg.Wait()
			for range burst { // what was turned away above
				wait, err := s.Spend(t.Context(), lee, time.Now(), time.Minute, burst)
				must(t, "spend", err)
				if wait == 0 {
					let++
				}
			}
			if let > burst || let < burst {
				t.Errorf("%d changes were let through, want %d", let, burst)
			}
		},
		"what is no rate is refused": func(t *testing.T, s access.Store) {
			for _, x := range []struct {
				who   latch.Subject
				every time.Duration
				burst int
			}{{"", time.Second, 1}, {lee, 0, 1}, {lee, time.Second, 0}} {
				if _, err := s.Spend(t.Context(), x.who, time.Now(), x.every, x.burst); !errors.Is(err, latch.ErrBadRequest) {
					t.Errorf("%+v: got %v, want %v", x, err, latch.ErrBadRequest)
				}
			}
		},
		"sessions, blocks, refusals and rates do not disturb each other": func(t *testing.T, s access.Store) {
			x := wholeSession(string(lee), lee)
			b := access.Block{Subject: lee, By: "op", Since: time.Now().UTC()}
			r := access.Refusal{Subject: lee, Action: access.See, At: time.Now().UTC()}
			must(t, "session", s.SaveSession(t.Context(), x))
			must(t, "block", s.SaveBlock(t.Context(), b))
			must(t, "refusal", s.SaveRefusal(t.Context(), r))
			if wait, err := s.Spend(t.Context(), lee, time.Now(), time.Minute, 1); wait != 0 || err != nil {
				t.Errorf("spend: got %v, %v", wait, err)
			}
			must(t, "unblock", s.Unblock(t.Context(), lee))
			same(t, "sessions", sessions(t, s), []access.Session{x})
			same(t, "refusals", refusals(t, s, 10), []access.Refusal{r})
			must(t, "end", s.EndSession(t.Context(), x.ID))
			if wait, err := s.Spend(t.Context(), lee, time.Now(), time.Minute, 1); wait != time.Minute || err != nil {
				t.Errorf("spend: got %v, %v, want to wait a minute", wait, err)
			}
		},
		"a caller who gave up gets no answer": func(t *testing.T, s access.Store) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			for name, call := range map[string]func() error{
				"save session": func() error { return s.SaveSession(ctx, wholeSession("0a", lee)) },
				"session":      func() error { _, err := s.Session(ctx, "0a"); return err },
				"end session":  func() error { return s.EndSession(ctx, "0a") },
				"sessions":     func() error { _, err := s.Sessions(ctx); return err },
				"blocked":      func() error { _, err := s.Blocked(ctx, lee); return err },
				"save block":   func() error { return s.SaveBlock(ctx, access.Block{Subject: lee, Since: time.Now()}) },
				"unblock":      func() error { return s.Unblock(ctx, lee) },
				"blocks":       func() error { _, err := s.Blocks(ctx); return err },
				"save refusal": func() error {
					return s.SaveRefusal(ctx, access.Refusal{Subject: lee, Action: access.Open, At: time.Now()})
				},
				"refusals": func() error { _, err := s.Refusals(ctx, 1); return err },
				"spend":    func() error { _, err := s.Spend(ctx, lee, time.Now(), time.Minute, 1); return err },
			} {
				if err := call(); !errors.Is(err, latch.ErrUnavailable) || !errors.Is(err, context.Canceled) {
					t.Errorf("%s: got %v, want %v and %v", name, err, latch.ErrUnavailable, context.Canceled)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newStore(t)) })
		})
	}
}

// wholeSession has every field set, to values that a careless encoding loses.
func wholeSession(id string, who latch.Subject) access.Session {
	return access.Session{ID: id, Subject: who, Issuer: "https://issuer.example/pool", Name: "김하나 <\"&>", Email: "lee@corp.example",
		Groups: []string{"S-1-5-21-1-2-3-512", "vpn users"}, GroupsCut: true, Since: time.Now().UTC(), Until: time.Now().Add(10*time.Hour + time.Nanosecond).UTC(), Source: "2001:db8::1"}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func sessions(t *testing.T, s access.Store) []access.Session {
	t.Helper()
	all, err := s.Sessions(t.Context())
	must(t, "sessions", err)
	return all
}

func blocked(t *testing.T, s access.Store, who latch.Subject) *access.Block {
	t.Helper()
	b, err := s.Blocked(t.Context(), who)
	must(t, "blocked", err)
	return b
}

func blocks(t *testing.T, s access.Store) []access.Block {
	t.Helper()
	all, err := s.Blocks(t.Context())
	must(t, "blocks", err)
	return all
}

func refusals(t *testing.T, s access.Store, limit int) []access.Refusal {
	t.Helper()
	all, err := s.Refusals(t.Context(), limit)
	must(t, "refusals", err)
	return slices.Clip(all)
}

// same compares as JSON: what a store keeps of a time is its instant, and nil and empty are one.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	g, err := json.Marshal(got)
	must(t, what, err)
	w, err := json.Marshal(want)
	must(t, what, err)
	if a, b := string(g), string(w); a != b && (a != "[]" || b != "null") {
		t.Errorf("%s:\n got %s\nwant %s", what, a, b)
	}
}
