package store

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"testing"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/access/accesstest"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
)

// emulatorVariable is the address of a DynamoDB that nobody here wrote, on this machine.
const emulatorVariable = "NIGHTLATCH_DYNAMODB_URL"

// toEmulator sends what was meant for AWS to the emulator.
type toEmulator struct {
	*http.Client
	at *url.URL
}

func (e toEmulator) Do(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = e.at.Scheme, e.at.Host // the signature names the host that it was made for
	return e.Client.Do(r)
}

// The adapter under the same suites as the fakes and the stand-in, over somebody else's DynamoDB.
func TestStoreOverAnEmulator(t *testing.T) {
	empty := emulator(t)
	latchtest.TestStore(t, func(t *testing.T) latch.Store { return empty(t) })
}

func TestPeopleOverAnEmulator(t *testing.T) {
	empty := emulator(t)
	accesstest.TestStore(t, func(t *testing.T) access.Store { return empty(t) })
}

var made atomic.Int64

// emulator makes stores over empty tables of the emulator, or skips the test.
func emulator(t *testing.T) func(t *testing.T) *Store {
	address := os.Getenv(emulatorVariable)
	if address == "" {
		t.Skipf("no %s: the e2e suite starts an emulator (dynalite, from npm) and runs this test", emulatorVariable)
	}
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) *Store {
		// A connection that is kept would outlive the bubble.
		transport := &http.Transport{DisableKeepAlives: true}
		cfg, table := config(toEmulator{&http.Client{Transport: transport}, at}), fmt.Sprintf("nightlatch-%d", made.Add(1))
		s, err := New(Config{AWS: cfg, Table: table})
		if err != nil {
			t.Fatal(err)
		}
		if err := create(t.Context(), cfg, table); err != nil {
			t.Fatal(err)
		}
		return s
	}
}
