package latch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Notice is a message for people who have no page open. It is saved with the change that it tells of, sent by the beat,
// and tried again until it is sent or no longer true; what cannot be sent ends among the record's DeadLetters and in the
// audit.
type Notice struct {
	ID       string     `json:"id"` // the same in every try, for receivers that want to see each message once
	Kind     NoticeKind `json:"kind"`
	Endpoint EndpointID `json:"endpoint"`
	At       time.Time  `json:"at"`              // when what it tells of was found
	Until    time.Time  `json:"until,omitzero"`  // NoticeSoon, NoticeOvertime: when it closes; NoticeBreakGlass: the lease's end
	Reason   Code       `json:"reason,omitzero"` // NoticeClosed: why
	Words    string     `json:"words,omitempty"` // NoticeFailed: AWS's own; NoticeBreakGlass: the reason that Who gave
	Who      string     `json:"who,omitempty"`   // NoticeBreakGlass
	Phase    Phase      `json:"phase,omitempty"` // NoticeStuck

	Tries int       `json:"tries,omitempty"`
	Next  time.Time `json:"next,omitzero"`  // not tried before
	Last  string    `json:"last,omitempty"` // why the last try failed
}

// NoticeKind names what a notice tells of. The list is closed.
type NoticeKind string

// The notices, at most one of each for one event.
const (
	NoticeReady    NoticeKind = "ready"    // it can be used
	NoticeSoon     NoticeKind = "soon"     // it closes at Until unless somebody extends or uses it
	NoticeOvertime NoticeKind = "overtime" // the last lease ended, and traffic keeps it open until Until at most
	NoticeClosed   NoticeKind = "closed"   // it is off, for Reason
	NoticeFailed   NoticeKind = "failed"   // AWS could not open it: Words
	NoticeStuck    NoticeKind = "stuck"    // Phase takes longer than it ever did

	NoticeBreakGlass NoticeKind = "break-glass" // Who opened it outside hours, orders and rules
)

// NoticeKinds is the list of kinds.
var NoticeKinds = []NoticeKind{NoticeReady, NoticeSoon, NoticeOvertime, NoticeClosed, NoticeFailed, NoticeStuck, NoticeBreakGlass}

var errNever = errors.New("no later try will succeed")

// Never marks a fault of Notify as one that no later try will mend.
func Never(err error) error { return fmt.Errorf("%w: %w", errNever, err) }

// IsNever says whether Never marked err.
func IsNever(err error) bool { return errors.Is(err, errNever) }

const (
	// outboxMax bounds what waits to be sent while the channel is away; the oldest go first.
	outboxMax = 50
	// deadMax is how many messages that were never sent are kept for people to see.
	deadMax = 20
	// noticeTries and noticeAge are when a message is given up.
	noticeTries = 10
	noticeAge   = time.Hour
	// noticeRest is how long after a failed try the next comes, doubled each time up to noticeRestMax.
	noticeRest    = 15 * time.Second
	noticeRestMax = 10 * time.Minute
	// sendWithin bounds one try; while it lasts nobody else tries.
	sendWithin = 5 * time.Second
)

// tell puts a notice into the outbox.
func (m *memory) tell(n Notice) {
	n.Endpoint, n.At = m.o.Endpoint, m.now
	m.r.tell(n)
}

func (r *Record) tell(n Notice) {
	r.Outbox = append(r.Outbox, n)
	if over := len(r.Outbox) - outboxMax; over > 0 {
		r.Outbox = slices.Delete(r.Outbox, 0, over)
	}
}

// warnings tells, once for each end and distance, that the endpoint closes soon; and once that a lease ended and traffic
// goes on. An end that was already near when it was set is not announced at that distance.
func (m *memory) warnings() {
	o := m.r.Opening
	want, why := wanted(m.o, m.r, m.p, m.now)
	if !want || why.Until.IsZero() || o.ReadyAt.IsZero() || o.ClosingFor != "" || m.p.Observe {
		return
	}
	if why.Code == OpenTraffic && !o.Overtime {
		end := earlier(o.end(m.p), o.LeaseEnded.Add(m.p.TrafficMax))
		if at := m.p.Hours.end(m.now); !at.IsZero() {
			end = earlier(end, at)
		}
		m.tell(Notice{Kind: NoticeOvertime, Until: end})
	}
	o.Overtime = why.Code == OpenTraffic
	left := why.Until.Sub(m.now)
	if !o.EndsAt.Equal(why.Until) {
		o.EndsAt, o.Warned = why.Until, 0
		for _, w := range m.p.Warn {
			if left <= w && (o.Warned == 0 || w < o.Warned) {
				o.Warned = w
			}
		}
		return
	}
	due := time.Duration(0)
	for _, w := range m.p.Warn {
		if left <= w && (o.Warned == 0 || w < o.Warned) && (due == 0 || w < due) {
			due = w
		}
	}
	if due > 0 {
		o.Warned = due
		m.tell(Notice{Kind: NoticeSoon, Until: why.Until})
	}
}

// stands says whether a notice is still true. What happened stays so; what is going to happen may not come.
func (n Notice) stands(o Observation, r Record, p Policy, now time.Time) bool {
	switch n.Kind {
	case NoticeSoon:
		want, why := wanted(o, r, p, now)
		return want && r.Opening != nil && why.Until.Equal(n.Until) && now.Before(n.Until)
	case NoticeOvertime:
		want, why := wanted(o, r, p, now)
		return want && why.Code == OpenTraffic
	case NoticeReady, NoticeStuck:
		return r.Opening != nil && r.Opening.ClosingFor == "" || n.Phase == PhaseClose && r.Opening != nil
	}
	return true
}

// deliver sends what is due in the outbox. Each try is claimed by a conditional write before it is made, so that of two
// processes one sends; only a process that dies between sending and saying so makes a message come twice.
func (t *turn) deliver(ctx context.Context) {
	if t.k.c.Notify == nil {
		return
	}
	for _, n := range slices.Clone(t.record.Outbox) {
		now := time.Now()
		if now.Before(n.Next) {
			continue
		}
		if now.Sub(n.At) > noticeAge || n.Tries >= noticeTries {
			t.bury(ctx, n)
			continue
		}
		if !n.stands(t.look, t.record, t.policy, now) {
			t.settle(ctx, n, func(*Record) {})
			continue
		}
		mine := false
		err := t.amend(ctx, func(r *Record) {
			mine = false
			if i := slices.IndexFunc(r.Outbox, func(x Notice) bool { return x.ID == n.ID && x.Tries == n.Tries }); i >= 0 {
				mine = true
				r.Outbox[i].Tries++
				r.Outbox[i].Next = now.Add(sendWithin + min(noticeRest<<n.Tries, noticeRestMax))
			}
		})
		if err != nil || !mine {
			continue
		}
		try, cancel := context.WithTimeout(ctx, sendWithin)
		err = t.k.c.Notify(try, n)
		cancel()
		switch {
		case err == nil:
			t.settle(ctx, n, func(*Record) {})
		case IsNever(err):
			n.Last = err.Error()
			t.bury(ctx, n)
		default:
			t.k.c.Log.Warn("message not sent yet", "endpoint_id", t.id, "kind", n.Kind, "tries", n.Tries+1, "err", err)
			if err := t.amend(ctx, func(r *Record) {
				for i := range r.Outbox {
					if r.Outbox[i].ID == n.ID {
						r.Outbox[i].Last = err.Error()
					}
				}
			}); err != nil {
				t.k.c.Log.Warn("outbox not kept", "endpoint_id", t.id, "err", err)
			}
		}
	}
}

// settle takes a notice out of the outbox, and says whether it was this pass that did.
func (t *turn) settle(ctx context.Context, n Notice, also func(*Record)) (mine bool) {
	err := t.amend(ctx, func(r *Record) {
		i := slices.IndexFunc(r.Outbox, func(x Notice) bool { return x.ID == n.ID })
		if mine = i >= 0; mine {
			r.Outbox = slices.Delete(r.Outbox, i, i+1)
			also(r)
		}
	})
	if err != nil {
		t.k.c.Log.Warn("outbox not cleared", "endpoint_id", t.id, "err", err)
	}
	return mine && err == nil
}

// bury gives a notice up, visibly.
func (t *turn) bury(ctx context.Context, n Notice) {
	t.k.c.Log.Error("message given up", "endpoint_id", t.id, "kind", n.Kind, "tries", n.Tries, "err", n.Last)
	entry := Entry{At: time.Now(), ID: rand.Text(), Endpoint: t.id, Action: "notice.lost", Code: n.Reason, Why: n.Last, Before: string(n.Kind)}
	t.k.copy(ctx, entry)
	if t.settle(ctx, n, func(r *Record) {
		r.note(entry)
		r.DeadLetters = append(r.DeadLetters, n)
		r.DeadLetters = r.DeadLetters[max(0, len(r.DeadLetters)-deadMax):]
	}) {
		t.lost++
	}
	t.write(ctx)
}
