package accesstest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/access/accesstest"
	"github.com/nightlatch/nightlatch/internal/latch"
)

func TestStore(t *testing.T) {
	accesstest.TestStore(t, func(t *testing.T) access.Store { return new(accesstest.Store) })
}

// The parts of the fake that no real store has.
func TestHands(t *testing.T) {
	boom := errors.New("boom")
	session := access.Session{ID: "0a", Subject: "lee", Until: time.Now().Add(time.Hour)}
	only := func(name string) func(string) error {
		return func(call string) error {
			if call == name {
				return boom
			}
			return nil
		}
	}
	s := &accesstest.Store{Fail: only("SaveSession")}
	if err := s.SaveSession(t.Context(), session); !errors.Is(err, boom) {
		t.Errorf("got %v, want %v", err, boom)
	}
	if _, err := s.Session(t.Context(), "0a"); !errors.Is(err, latch.ErrNotFound) || s.Calls("SaveSession") != 1 {
		t.Errorf("got %v and %d calls: a call that fails has no effect and is counted", err, s.Calls("SaveSession"))
	}
	s = &accesstest.Store{Lose: only("SaveSession")}
	if err := s.SaveSession(t.Context(), session); !errors.Is(err, boom) {
		t.Errorf("got %v, want %v", err, boom)
	}
	if _, err := s.Session(t.Context(), "0a"); err != nil {
		t.Errorf("got %v: a call whose answer is lost had its effect", err)
	}
}
