package latchtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// TestStore is what every latch.Store keeps. Each case runs in a bubble of its own, in which newStore makes an empty
// store; an adapter's HTTP therefore has to stay inside the process.
func TestStore(t *testing.T, newStore func(t *testing.T) latch.Store) {
	const id, other latch.EndpointID = "cvpn-endpoint-0a", "cvpn-endpoint-0b"
	for name, test := range map[string]func(*testing.T, latch.Store){
		"an empty store holds zero values": func(t *testing.T, s latch.Store) {
			same(t, "record", load(t, s, id), latch.Record{})
			o, err := s.Look(t.Context(), id)
			if err != nil {
				t.Fatalf("look: %v", err)
			}
			same(t, "look", o, latch.Observation{})
			same(t, "entries", entries(t, s, id, 10), nil)
		},
		"what was saved is loaded, whole": func(t *testing.T, s latch.Store) {
			r := wholeRecord()
			saved := save(t, s, id, r)
			if saved.Version != 1 || saved.WriteID == "" {
				t.Errorf("got version %d, write %q, want version 1 and a write of its own", saved.Version, saved.WriteID)
			}
			same(t, "record", load(t, s, id), saved)
			r.Version, r.WriteID = saved.Version, saved.WriteID
			same(t, "saved", saved, r)
			same(t, "the other endpoint", load(t, s, other), latch.Record{})
			again := save(t, s, id, saved)
			if again.Version != 2 || again.WriteID == saved.WriteID {
				t.Errorf("got version %d, write %q after %q, want version 2 and another write", again.Version, again.WriteID, saved.WriteID)
			}
		},
		"what is handed out is not what is kept": func(t *testing.T, s latch.Store) {
			saved := save(t, s, id, wholeRecord())
			want := load(t, s, id)
			clear(saved.Opening.Marks)
			saved.Leases[0].Name = "mallory"
			same(t, "record", load(t, s, id), want)
		},
		"who saves what was read before somebody else's save comes second": func(t *testing.T, s latch.Store) {
			first := save(t, s, id, latch.Record{})
			won := save(t, s, id, first)
			for _, late := range []latch.Record{{}, first, {Version: won.Version + 1}} {
				if _, err := s.Save(t.Context(), id, late); !errors.Is(err, latch.ErrConflict) {
					t.Errorf("version %d over %d: got %v, want %v", late.Version, won.Version, err, latch.ErrConflict)
				}
			}
			same(t, "record", load(t, s, id), won)
		},
		"a version that was never stored is not saved": func(t *testing.T, s latch.Store) {
			if _, err := s.Save(t.Context(), id, latch.Record{Version: 7}); !errors.Is(err, latch.ErrConflict) {
				t.Errorf("got %v, want %v", err, latch.ErrConflict)
			}
		},
		"of writers at once none is lost": func(t *testing.T, s latch.Store) {
			const writers, each = 8, 5
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						for done := false; !done; {
							r, err := s.Load(t.Context(), id)
							if err != nil {
								t.Errorf("load: %v", err)
								return
							}
							r.Leases = append(r.Leases, latch.Lease{Subject: latch.Subject(fmt.Sprint(w, "/", i))})
							_, err = s.Save(t.Context(), id, r)
							if done = err == nil; !done && !errors.Is(err, latch.ErrConflict) {
								t.Errorf("save: %v", err)
								return
							}
						}
					}
				})
			}
			wg.Wait()
			if r := load(t, s, id); r.Version != writers*each || len(r.Leases) != writers*each {
				t.Errorf("got version %d with %d leases, want %d of both", r.Version, len(r.Leases), writers*each)
			}
		},
		"the last look is the newest, whoever saves last": func(t *testing.T, s latch.Store) {
			newer := wholeObservation(id)
			older := newer
			older.At, older.Status = newer.At.Add(-time.Nanosecond), latch.PendingAssociate
			saveLook(t, s, newer)
			saveLook(t, s, older)
			saveLook(t, s, wholeObservation(other))
			o, err := s.Look(t.Context(), id)
			if err != nil {
				t.Fatalf("look: %v", err)
			}
			same(t, "look", o, newer)
			newest := older
			newest.At = newer.At.Add(time.Nanosecond)
			saveLook(t, s, newest)
			if o, err = s.Look(t.Context(), id); err != nil {
				t.Fatalf("look: %v", err)
			}
			same(t, "look", o, newest)
		},
		"one caller at a time claims the look": func(t *testing.T, s latch.Store) {
			const every = 5 * time.Second
			now := time.Now()
			for round := range 3 {
				var (
					wg  sync.WaitGroup
					mu  sync.Mutex
					won int
				)
				at := now.Add(time.Duration(round) * every)
				for range 10 {
					wg.Go(func() {
						ok, err := s.ClaimLook(t.Context(), id, at, every)
						mu.Lock()
						defer mu.Unlock()
						if err != nil {
							t.Errorf("claim: %v", err)
						}
						if ok {
							won++
						}
					})
				}
				wg.Wait()
				if won != 1 {
					t.Errorf("round %d: %d of 10 callers won, want 1: each costs EC2 calls", round, won)
				}
				if ok, err := s.ClaimLook(t.Context(), id, at.Add(every-time.Nanosecond), every); ok || err != nil {
					t.Errorf("round %d: got %v, %v before the time was over, want false", round, ok, err)
				}
			}
			if ok, err := s.ClaimLook(t.Context(), other, now, every); !ok || err != nil {
				t.Errorf("the other endpoint: got %v, %v, want true", ok, err)
			}
		},
		"claims, looks and records do not disturb each other": func(t *testing.T, s latch.Store) {
			saved, o := save(t, s, id, wholeRecord()), wholeObservation(id)
			if ok, err := s.ClaimLook(t.Context(), id, time.Now(), time.Second); !ok || err != nil {
				t.Fatalf("claim: got %v, %v, want true", ok, err)
			}
			saveLook(t, s, o)
			same(t, "record", load(t, s, id), saved)
			if ok, err := s.ClaimLook(t.Context(), id, time.Now(), time.Second); ok || err != nil {
				t.Errorf("a saved look gave the claim away: got %v, %v", ok, err)
			}
		},
		"the newest entries come first, at most as many as asked for": func(t *testing.T, s latch.Store) {
			start := time.Now().UTC()
			var want []latch.Entry
			for i := range 30 {
				// Three of an instant, and instants with and without a fraction: order is time's, not the text's.
				at := start.Add(time.Duration(i/3) * 300 * time.Millisecond)
				want = append(want, latch.Entry{At: at, ID: fmt.Sprintf("e%02d", i), Endpoint: id, Subject: "s-1", Name: "김하나", Action: "open", Why: "because"})
			}
			for _, i := range rand.Perm(len(want)) {
				add(t, s, want[i])
			}
			add(t, s, latch.Entry{At: start, ID: "e99", Endpoint: other, Action: "open"})
			slices.SortFunc(want, func(a, b latch.Entry) int { return cmp.Compare(b.ID, a.ID) })
			same(t, "all", entries(t, s, id, 1000), want)
			same(t, "seven", entries(t, s, id, 7), want[:7])
			same(t, "none", entries(t, s, id, 0), nil)
		},
		"an entry is never overwritten, and its repetition is one entry": func(t *testing.T, s latch.Store) {
			e := latch.Entry{At: time.Now().UTC(), ID: "e1", Endpoint: id, Subject: "s-1", Action: "open", Why: "work"}
			add(t, s, e)
			add(t, s, e)
			forged := e
			forged.Subject = "s-2"
			if err := s.Append(t.Context(), forged); !errors.Is(err, latch.ErrConflict) {
				t.Errorf("got %v, want %v", err, latch.ErrConflict)
			}
			same(t, "entries", entries(t, s, id, 10), []latch.Entry{e})
		},
		"entries about no endpoint are among themselves": func(t *testing.T, s latch.Store) {
			nobodys := latch.Entry{At: time.Now().UTC(), ID: "e1", Subject: "s-1", Action: "access.block", Why: "left"}
			mine := latch.Entry{At: time.Now().UTC(), ID: "e1", Endpoint: id, Subject: "s-1", Action: "open"}
			add(t, s, nobodys)
			add(t, s, mine)
			same(t, "of none", entries(t, s, "", 10), []latch.Entry{nobodys})
			same(t, "of one", entries(t, s, id, 10), []latch.Entry{mine})
		},
		"an entry without id or time is none": func(t *testing.T, s latch.Store) {
			for _, e := range []latch.Entry{{Endpoint: id, At: time.Now()}, {Endpoint: id, ID: "e1"}} {
				if err := s.Append(t.Context(), e); !errors.Is(err, latch.ErrBadRequest) {
					t.Errorf("%+v: got %v, want %v", e, err, latch.ErrBadRequest)
				}
			}
		},
		"a caller who gave up gets no answer": func(t *testing.T, s latch.Store) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := s.Load(ctx, id)
			wantGivenUp(t, "load", err)
			_, err = s.Save(ctx, id, latch.Record{})
			wantGivenUp(t, "save", err)
			_, err = s.Look(ctx, id)
			wantGivenUp(t, "look", err)
			wantGivenUp(t, "save look", s.SaveLook(ctx, wholeObservation(id)))
			_, err = s.ClaimLook(ctx, id, time.Now(), time.Second)
			wantGivenUp(t, "claim look", err)
			wantGivenUp(t, "append", s.Append(ctx, latch.Entry{At: time.Now(), ID: "e1", Endpoint: id}))
			_, err = s.Entries(ctx, id, 10)
			wantGivenUp(t, "entries", err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newStore(t)) })
		})
	}
}

// wholeRecord has every field set, Version and WriteID excepted: what one is forgotten in an encoding is missed here.
func wholeRecord() latch.Record {
	var r latch.Record
	fill(reflect.ValueOf(&r).Elem(), new(int))
	r.Version, r.WriteID = 0, ""
	return r
}

func wholeObservation(id latch.EndpointID) latch.Observation {
	var o latch.Observation
	fill(reflect.ValueOf(&o).Elem(), new(int))
	o.Endpoint = id
	return o
}

// fill sets every field to a value of its own that a careless encoding loses: text beyond ASCII and with quotes,
// instants with nanoseconds, integers that no float64 holds.
func fill(v reflect.Value, n *int) {
	*n++
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 9, 30, *n, 123456789, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(fmt.Sprintf("김하나 <\"&>\n%d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1<<62 + int64(*n))
	case reflect.Uint64:
		v.SetUint(1<<63 + uint64(*n))
	default:
		panic("latchtest: no value for a " + v.Type().String())
	}
}

func load(t *testing.T, s latch.Store, id latch.EndpointID) latch.Record {
	t.Helper()
	r, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatalf("load %s: %v", id, err)
	}
	return r
}

func save(t *testing.T, s latch.Store, id latch.EndpointID, r latch.Record) latch.Record {
	t.Helper()
	saved, err := s.Save(t.Context(), id, r)
	if err != nil {
		t.Fatalf("save %s: %v", id, err)
	}
	return saved
}

func saveLook(t *testing.T, s latch.Store, o latch.Observation) {
	t.Helper()
	if err := s.SaveLook(t.Context(), o); err != nil {
		t.Fatalf("save look: %v", err)
	}
}

func add(t *testing.T, s latch.Store, e latch.Entry) {
	t.Helper()
	if err := s.Append(t.Context(), e); err != nil {
		t.Fatalf("append %s: %v", e.ID, err)
	}
}

func entries(t *testing.T, s latch.Store, id latch.EndpointID, limit int) []latch.Entry {
	t.Helper()
	es, err := s.Entries(t.Context(), id, limit)
	if err != nil {
		t.Fatalf("entries %s: %v", id, err)
	}
	return es
}

// same compares as JSON: what a store keeps of a time is its instant, and nil and empty are one.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	g, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := string(g), string(w); a != b && (a != "[]" || b != "null") {
		t.Errorf("%s:\n got %s\nwant %s", what, a, b)
	}
}
