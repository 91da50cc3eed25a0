package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/access/accesstest"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
)

const lee latch.Subject = "8d6c7b5a-lee"

// The adapter and the real SDK against the stand-in's wire, under the same suite as the fake.
func TestPeopleOverTheWire(t *testing.T) {
	accesstest.TestStore(t, func(t *testing.T) access.Store { return created(t, wire(t)) })
}

// TestPeopleWhoMeet: DynamoDB turns a write away that met another, and the adapter tries it again.
func TestPeopleWhoMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynamo(t)
		s := created(t, latchtest.InProcess{Handler: d.Handler()})
		for _, f := range d.Faults() {
			f.Set(true)
		}
		for i := range 10 {
			id := fmt.Sprint(i)
			wait, err := s.Spend(t.Context(), lee, time.Now(), time.Minute, 100)
			if err = errors.Join(err, s.SaveSession(t.Context(), access.Session{ID: id, Subject: lee, Until: time.Now().Add(time.Hour)}),
				s.EndSession(t.Context(), id),
				s.SaveBlock(t.Context(), access.Block{Subject: lee, Since: time.Now()}),
				s.Unblock(t.Context(), lee),
				s.SaveRefusal(t.Context(), access.Refusal{Subject: lee, Action: access.Open, At: time.Now()})); err != nil || wait != 0 {
				t.Fatalf("round %d: %v, told to wait %v", i, err, wait)
			}
		}
	})
}

// The answer to a write is lost on the way; the SDK repeats it and finds its own work done.
func TestAnAnswerAboutPeopleIsLost(t *testing.T) {
	for name, write := range map[string]func(context.Context, *Store) error{
		"save session": func(ctx context.Context, s *Store) error {
			return s.SaveSession(ctx, access.Session{ID: "0b", Subject: lee, Until: time.Now().Add(time.Hour)})
		},
		"end session": func(ctx context.Context, s *Store) error { return s.EndSession(ctx, "0a") },
		"block": func(ctx context.Context, s *Store) error {
			return s.SaveBlock(ctx, access.Block{Subject: "kim", Since: time.Now()})
		},
		"unblock": func(ctx context.Context, s *Store) error { return s.Unblock(ctx, lee) },
		"save refusal": func(ctx context.Context, s *Store) error {
			return s.SaveRefusal(ctx, access.Refusal{Subject: lee, Action: access.Open, At: time.Now()})
		},
		"spend": func(ctx context.Context, s *Store) error {
			// Of two changes the first is lost on the way, and is one change and not two.
			for i := range 3 {
				wait, err := s.Spend(ctx, lee, time.Now(), time.Minute, 2)
				if err != nil || (wait > 0) != (i == 2) {
					return fmt.Errorf("change %d: told to wait %v: %v", i+1, wait, err)
				}
			}
			return nil
		},
		"append": func(ctx context.Context, s *Store) error {
			return s.Append(ctx, latch.Entry{ID: "e1", At: time.Now(), Action: "access.block"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dynamo := wire(t)
				s := created(t, dynamo)
				if err := errors.Join(s.SaveSession(t.Context(), access.Session{ID: "0a", Subject: lee, Until: time.Now().Add(time.Hour)}),
					s.SaveBlock(t.Context(), access.Block{Subject: lee, Since: time.Now()})); err != nil {
					t.Fatal(err)
				}
				lost := 0
				s = over(t, doer(func(r *http.Request) (*http.Response, error) {
					response, err := dynamo.Do(r)
					if target := r.Header.Get("X-Amz-Target"); lost == 0 && (strings.HasSuffix(target, ".PutItem") || strings.HasSuffix(target, ".DeleteItem")) {
						lost++
						return nil, io.ErrUnexpectedEOF
					}
					return response, err
				}))
				if err := write(t.Context(), s); err != nil || lost != 1 {
					t.Errorf("got %v, %d answers lost, want success: it was our own write", err, lost)
				}
			})
		})
	}
}

// Two operators at once: the block that comes in between is not the one that was read.
func TestUnblockTakesBackWhatItRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dynamo := wire(t)
		s := created(t, dynamo)
		first := access.Block{Subject: lee, By: "op", Why: "first", Since: time.Now()}
		second := access.Block{Subject: lee, By: "op", Why: "second", Since: time.Now().Add(time.Second)}
		if err := s.SaveBlock(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		between := over(t, doer(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DeleteItem") {
				if err := s.SaveBlock(t.Context(), second); err != nil {
					t.Error(err)
				}
			}
			return dynamo.Do(r)
		}))
		if err := between.Unblock(t.Context(), lee); !errors.Is(err, latch.ErrConflict) {
			t.Errorf("got %v, want %v", err, latch.ErrConflict)
		}
		if b, err := s.Blocked(t.Context(), lee); err != nil || b == nil || b.Why != "second" {
			t.Errorf("got %+v, %v, want the second block in force", b, err)
		}
	})
}

func TestANewerLayoutOfPeopleIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := created(t, wire(t))
		keys := []map[string]types.AttributeValue{key("session", "0a"), key("block", string(lee)), key("refusal", string(lee)+"##open"), key("rate", string(lee))}
		for _, k := range keys {
			item, err := newItem("", "", map[string]string{"unheard": "of"})
			if err != nil {
				t.Fatal(err)
			}
			// Every condition but the layout's would be met.
			item["pk"], item["sk"], item["v"], item["at"] = k["pk"], k["sk"], number(layout+1), number(0)
			if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(table), Item: item}); err != nil {
				t.Fatal(err)
			}
		}
		for name, call := range map[string]func() error{
			"save session": func() error {
				return s.SaveSession(t.Context(), access.Session{ID: "0a", Subject: lee, Until: time.Now().Add(time.Hour)})
			},
			"session":     func() error { _, err := s.Session(t.Context(), "0a"); return err },
			"end session": func() error { return s.EndSession(t.Context(), "0a") },
			"sessions":    func() error { _, err := s.Sessions(t.Context()); return err },
			"blocked":     func() error { _, err := s.Blocked(t.Context(), lee); return err },
			"block": func() error {
				return s.SaveBlock(t.Context(), access.Block{Subject: lee, Since: time.Now()})
			},
			"unblock": func() error { return s.Unblock(t.Context(), lee) },
			"blocks":  func() error { _, err := s.Blocks(t.Context()); return err },
			"save refusal": func() error {
				return s.SaveRefusal(t.Context(), access.Refusal{Subject: lee, Action: access.Open, At: time.Now()})
			},
			"refusals": func() error { _, err := s.Refusals(t.Context(), 1); return err },
			"spend":    func() error { _, err := s.Spend(t.Context(), lee, time.Now(), time.Minute, 1); return err },
		} {
			if err := call(); !errors.Is(err, latch.ErrRefused) || !strings.Contains(err.Error(), "Update this one") {
				t.Errorf("%s: got %v, want %v and what to do", name, err, latch.ErrRefused)
			}
		}
		for _, k := range keys {
			got, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(table), Key: k})
			if err != nil || textOf(got.Item["body"]) != `{"unheard":"of"}` {
				t.Errorf("%s: got %v, %v, want it untouched", textOf(k["pk"]), got, err)
			}
		}
	})
}

// DynamoDB deletes what "expires" says has passed, so it must never say so too early, and of a block without end nothing.
func TestWhatExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := created(t, wire(t))
		now := time.Now()
		until := now.Add(time.Hour + time.Nanosecond)
		if _, err := s.Spend(t.Context(), lee, now, time.Minute, 1); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(
			s.SaveSession(t.Context(), access.Session{ID: "0a", Subject: lee, Until: until}),
			s.SaveBlock(t.Context(), access.Block{Subject: lee, Since: now, Until: until}),
			s.SaveBlock(t.Context(), access.Block{Subject: "kim", Since: now}),
			s.SaveRefusal(t.Context(), access.Refusal{Subject: lee, Action: access.Open, At: now}),
			s.Append(t.Context(), latch.Entry{ID: "e1", At: now, Action: "access.block"}),
		); err != nil {
			t.Fatal(err)
		}
		for sk, want := range map[[2]string]string{
			{"session", "0a"}:                   fmt.Sprint(now.Unix() + 3601),
			{"block", string(lee)}:              fmt.Sprint(now.Unix() + 3601),
			{"block", "kim"}:                    "",
			{"refusal", string(lee) + "##open"}: fmt.Sprint(now.Unix() + 30*24*3600),
			{"rate", string(lee)}:               fmt.Sprint(now.Unix() + 60),
			{"nightlatch", "audit#" + now.UTC().Format(auditTime) + "#e1"}: "",
		} {
			got, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(table), Key: map[string]types.AttributeValue{"pk": text(sk[0]), "sk": text(sk[1])}})
			if err != nil || got.Item == nil || numberOf(got.Item["expires"]) != want {
				t.Errorf("%v: got %v, %v, want expires %q", sk, got, err, want)
			}
		}
	})
}

// A page of a query ends at one megabyte ("Paginating table query results", Developer Guide).
func TestSessionsReadEveryPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := created(t, wire(t))
		const n = 25
		for i := range n {
			x := access.Session{ID: fmt.Sprintf("%02d", i), Subject: lee, Until: time.Now().Add(time.Hour), Groups: []string{strings.Repeat("x", 60_000)}} // not packed
			if err := s.SaveSession(t.Context(), x); err != nil {
				t.Fatal(err)
			}
		}
		if all, err := s.Sessions(t.Context()); err != nil || len(all) != n {
			t.Errorf("got %d sessions, %v, want %d", len(all), err, n)
		}
	})
}
