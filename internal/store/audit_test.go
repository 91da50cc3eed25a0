package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// ids lists what Audit reads.
func ids(t *testing.T, s *Store, id latch.EndpointID, from, to time.Time) (all []string) {
	t.Helper()
	for e, err := range s.Audit(t.Context(), id, from, to) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.ID)
	}
	return all
}

// TestAudit reads all pages of a span of time, the oldest first, and neither another endpoint's entries nor what else is
// in the partition.
func TestAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := created(t, wire(t))
		start := time.Now().UTC()
		var want []string
		for i := range 40 {
			e := latch.Entry{Endpoint: endpoint, ID: fmt.Sprintf("e%02d", i), At: start.Add(time.Duration(i) * 500 * time.Millisecond), Why: strings.Repeat("x", 60_000)} // a page holds 1 MB
			if err := s.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			want = append(want, e.ID)
		}
		if err := s.Append(t.Context(), latch.Entry{Endpoint: "cvpn-endpoint-0b", ID: "other", At: start}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Save(t.Context(), endpoint, latch.Record{}); err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct {
			from, to time.Time
			want     []string
		}{
			"all":                                  {time.Time{}, time.Time{}, want},
			"from a time on, which belongs to it":  {start.Add(10 * time.Second), time.Time{}, want[20:]},
			"before a time, which does not":        {time.Time{}, start.Add(10 * time.Second), want[:20]},
			"between two":                          {start.Add(time.Second), start.Add(2 * time.Second), want[2:4]},
			"in another zone":                      {start.Add(time.Second).In(time.FixedZone("", 9*3600)), start.Add(2 * time.Second), want[2:4]},
			"of a time that ends before it begins": {start.Add(2 * time.Second), start.Add(time.Second), nil},
			"of no time":                           {start, start, nil},
			"of a time in which nothing was":       {start.Add(time.Hour), start.Add(2 * time.Hour), nil},
		} {
			if got := ids(t, s, endpoint, tt.from, tt.to); !slices.Equal(got, tt.want) {
				t.Errorf("%s: got %v, want %v", name, got, tt.want)
			}
		}
		for range s.Audit(t.Context(), endpoint, time.Time{}, time.Time{}) {
			break // who has enough is not given more
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		faults := 0
		for _, err := range s.Audit(ctx, endpoint, time.Time{}, time.Time{}) {
			if err != nil {
				faults++
			}
		}
		if faults != 1 {
			t.Errorf("who gave up hears of it %d times, want once", faults)
		}
	})
}

// TestAuditOfNoEndpoint: what is about none is in a partition of its own.
func TestAuditOfNoEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := created(t, wire(t))
		at := time.Now()
		item, err := newItem("nightlatch", auditPrefix+at.UTC().Format(auditTime)+"#e1", latch.Entry{At: at, ID: "e1", Action: "block"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(table), Item: item}); err != nil {
			t.Fatal(err)
		}
		if got := ids(t, s, "", time.Time{}, time.Time{}); !slices.Equal(got, []string{"e1"}) {
			t.Errorf("got %v, want the one entry", got)
		}
	})
}

// TestAnEntryThatWasWrittenBefore it had an issuer and a code is read.
func TestAnEntryThatWasWrittenBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := created(t, wire(t))
		at := time.Now().UTC()
		item := key(endpoint, auditPrefix+at.Format(auditTime)+"#e1")
		item["v"], item["body"] = number(layout), text(`{"at":"`+at.Format(time.RFC3339Nano)+`","id":"e1","endpoint":"`+string(endpoint)+`","subject":"kim","name":"Kim","action":"open","after":"2h0m0s"}`)
		if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(table), Item: item}); err != nil {
			t.Fatal(err)
		}
		es, err := s.Entries(t.Context(), endpoint, 10)
		want := latch.Entry{At: at, ID: "e1", Endpoint: endpoint, Subject: "kim", Name: "Kim", Action: "open", After: "2h0m0s"}
		if err != nil || len(es) != 1 || es[0] != want {
			t.Errorf("got %+v, %v, want %+v", es, err, want)
		}
	})
}

// TestRetention: an entry says when it may be deleted, and is not read from then on, deleted or not.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dynamo := wire(t)
		forever := created(t, dynamo)
		s, err := New(Config{AWS: config(dynamo), Table: table, KeepAudit: 48 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		short, long := latch.Entry{Endpoint: endpoint, ID: "short", At: at}, latch.Entry{Endpoint: endpoint, ID: "long", At: at}
		for _, err := range []error{s.Append(t.Context(), short), forever.Append(t.Context(), long), forever.Append(t.Context(), short)} {
			if err != nil {
				t.Fatal(err) // the last is the first's repetition, by a process that keeps entries for ever
			}
		}
		item, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(table), Key: key(endpoint, auditPrefix+at.UTC().Format(auditTime)+"#short")})
		if err != nil || numberOf(item.Item["expires"]) != fmt.Sprint(at.Unix()+48*3600) {
			t.Errorf("it expires at %s, %v, want two days on in seconds since 1970", numberOf(item.Item["expires"]), err)
		}
		for _, tt := range []struct {
			after time.Duration
			want  int
		}{{48*time.Hour - time.Second, 2}, {48 * time.Hour, 1}} {
			time.Sleep(time.Until(at.Add(tt.after)))
			es, err := s.Entries(t.Context(), endpoint, 10)
			if err != nil || len(es) != tt.want || len(ids(t, s, endpoint, time.Time{}, time.Time{})) != tt.want {
				t.Errorf("after %v: %d entries, %v, want %d", tt.after, len(es), err, tt.want)
			}
		}
		if _, err := New(Config{AWS: config(dynamo), Table: table, KeepAudit: -time.Hour}); err == nil {
			t.Error("kept for less than nothing")
		}
	})
}
