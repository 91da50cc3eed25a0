package scheduler

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // ScheduleExpressionTimezone must work on machines without a zone database

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

const (
	disassociateARN = "arn:aws:scheduler:::aws-sdk:ec2:disassociateClientVpnTargetNetwork"
	attemptTakes    = 30 * time.Second // how long a target may take to answer
	answerBytes     = 64 << 10         // as much of its answer as is read
)

// timing is a schedule expression, parsed: a time, or a number of minutes.
type timing struct {
	at    time.Time
	every int
}

var rates = regexp.MustCompile(`^rate\(([1-9]\d{0,5}) (minute|minutes|hour|hours|day|days)\)$`)

// timing parses ScheduleExpression. One of a unit is singular and more are plural, as "Schedule types" wants it.
func (in scheduleInput) timing() (timing, error) {
	zone, err := time.LoadLocation(in.ScheduleExpressionTimezone)
	if err != nil || in.ScheduleExpressionTimezone == "" || in.ScheduleExpressionTimezone == "Local" {
		return timing{}, invalid("Invalid ScheduleExpressionTimezone %s.", in.ScheduleExpressionTimezone)
	}
	wrong := invalid("Invalid Schedule Expression %s.", in.ScheduleExpression)
	if m := rates.FindStringSubmatch(in.ScheduleExpression); m != nil {
		n, _ := strconv.Atoi(m[1]) // at most six digits
		unit, plural := strings.CutSuffix(m[2], "s")
		if plural != (n > 1) {
			return timing{}, wrong
		}
		return timing{every: n * map[string]int{"minute": 1, "hour": 60, "day": 24 * 60}[unit]}, nil
	}
	text, ok := strings.CutPrefix(in.ScheduleExpression, "at(")
	text, closed := strings.CutSuffix(text, ")")
	const layout = "2006-01-02T15:04:05"
	at, err := time.ParseInLocation(layout, text, zone)
	if !ok || !closed || err != nil || len(text) != len(layout) {
		return timing{}, wrong
	}
	return timing{at: at.UTC()}, nil
}

// grid is the first beat of the minute grid that is not before t.
func (s *Server) grid(t time.Time) time.Time {
	beat := t.UTC().Truncate(s.cfg.Minute)
	if beat.Before(t) {
		beat = beat.Add(s.cfg.Minute)
	}
	return beat
}

func (s *Server) period(sc *schedule) time.Duration {
	return time.Duration(sc.timing.every) * s.cfg.Minute
}

// first is when a new schedule is due: an at() on the first beat not before its time, or now if that has passed; a
// rate() at StartDate, and on without one.
func (s *Server) first(sc *schedule, now time.Time) time.Time {
	if sc.timing.every == 0 {
		if !sc.timing.at.After(now) {
			return now.UTC()
		}
		return s.grid(sc.timing.at)
	}
	start := instant(sc.Wish.StartDate)
	if start.IsZero() {
		return s.grid(now)
	}
	if late := now.Sub(start); late > 0 {
		period := s.period(sc)
		start = start.Add((late + period - 1) / period * period)
	}
	return s.grid(start)
}

// Run fires schedules until ctx ends, and returns when the last delivery has ended. It returns nil: ending is what it
// was asked for. An at() that came due while nothing ran fires at once; a rate() takes up its rhythm again and does
// not make up for what it missed.
func (s *Server) Run(ctx context.Context) error {
	var deliveries sync.WaitGroup
	defer deliveries.Wait()
	s.resume(time.Now())
	for {
		now := time.Now()
		next := s.fire(ctx, &deliveries, now)
		timer := time.NewTimer(next.Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-s.wake:
			timer.Stop()
		}
	}
}

// resume brings rate() schedules back onto the grid, which may be another one than when they were saved.
func (s *Server) resume(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sc := range s.schedules {
		if sc.timing.every == 0 || !instant(sc.Wish.StartDate).Before(now) {
			continue
		}
		if latest := s.grid(now.Add(s.period(sc))); sc.Next.After(latest) {
			sc.Next = latest
		}
		if sc.Next.Before(now) {
			sc.Next = s.grid(now)
		}
	}
}

// fire starts the deliveries that are due and says when to look again: at most a minute later, so that a machine that
// slept is noticed.
func (s *Server) fire(ctx context.Context, deliveries *sync.WaitGroup, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := now.Add(s.cfg.Minute)
	changed := s.sweep(now)
	late := time.Duration(0)
	if s.cfg.Unconfirmed.FiresLate {
		late = s.cfg.Minute - s.cfg.Minute/60
	}
	for _, g := range s.groups {
		again = sooner(again, g.Gone)
	}
	for _, sc := range s.sorted() {
		again = sooner(again, sc.Gone)
		// One delivery at a time: a rate() whose last event is still on its way waits for that to end.
		if sc.Ended || sc.Wish.State != "ENABLED" || sc.stop != nil {
			continue
		}
		if end := instant(sc.Wish.EndDate); sc.timing.every > 0 && !end.IsZero() && sc.Next.After(end) {
			s.end(sc)
			changed = true
			continue
		}
		if due := sc.Next; !due.Add(late).After(now) {
			if period := s.period(sc); period > 0 {
				sc.Next = s.grid(due.Add((now.Sub(due)/period + 1) * period))
			}
			changed = true
			mine, stop := context.WithCancel(ctx)
			sc.stop = stop
			deliveries.Go(func() {
				defer stop()
				s.deliver(mine, sc, due)
			})
			continue
		}
		again = sooner(again, sc.Next.Add(late))
	}
	if changed {
		_ = s.save(func() {}) // logged; firing goes on without a file
	}
	return again
}

// sooner is the earlier of two times; a zero one is never.
func sooner(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// end is what happens to a schedule that fires no more; the caller holds mu and saves.
func (s *Server) end(sc *schedule) {
	sc.Ended = true
	if sc.Wish.ActionAfterCompletion != "DELETE" || s.schedules[sc.path()] != sc {
		return
	}
	if s.cfg.Unconfirmed.Lingers {
		sc.Gone = now().Add(s.cfg.Minute)
		return
	}
	delete(s.schedules, sc.path())
}

// sweep takes away what has lingered long enough; the caller holds mu, and saves if it was anything.
func (s *Server) sweep(now time.Time) (any bool) {
	before := maps.Clone(s.schedules)
	for name, g := range s.groups {
		if !g.Gone.IsZero() && !g.Gone.After(now) {
			s.dropGroup(name)
			any = true
		}
	}
	maps.DeleteFunc(s.schedules, func(_ string, sc *schedule) bool { return !sc.Gone.IsZero() && !sc.Gone.After(now) })
	s.stopDropped(before)
	return any || len(s.schedules) < len(before)
}

// deliver tries until the target takes the event, refuses it, or the retry policy ends. A delivery cut short by ctx
// leaves the schedule as it was: an at() is due again at the next start.
func (s *Server) deliver(ctx context.Context, sc *schedule, due time.Time) {
	// What a second of the retry policy lasts. Waits double from one of them to sixty.
	second := s.cfg.Minute / 60
	policy := sc.Wish.Target.RetryPolicy
	deadline := time.Now().Add(time.Duration(*policy.MaximumEventAgeInSeconds) * second)
	log := s.cfg.Log.With("from", "scheduler", "schedule", sc.path(), "target", sc.Wish.Target.Arn)
	out := &Outcome{Due: due}
	var err error
	var attempt execution
	for wait := second; ; wait = min(2*wait, s.cfg.Minute) {
		out.Attempts++
		began := time.Now()
		attempt = s.execution(sc, due, out.Attempts)
		out.Status, err = s.invoke(ctx, sc, attempt.input)
		out.At = now()
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			log.Info("fired", "attempt", out.Attempts, "status", out.Status, "took", time.Since(began))
			if s.twice() {
				status, err := s.invoke(ctx, sc, attempt.input) // whatever comes of it, one delivery has succeeded
				log.Info("fired twice", "status", status, "err", err)
			}
			break
		}
		out.Error = err.Error()
		f, known := errors.AsType[*failure](err)
		final := known && !f.again && !(f.refused && s.retriesRefusals())
		if worn := out.Attempts > *policy.MaximumRetryAttempts; final || worn || time.Now().Add(wait).After(deadline) {
			log.Error("delivery given up", "attempt", out.Attempts, "status", out.Status, "why", err)
			exhausted := "MaximumEventAgeInSeconds"
			switch {
			case final:
				exhausted = ""
			case worn:
				exhausted = "MaximumRetryAttempts"
			}
			s.bury(ctx, sc, attempt, out, err, exhausted)
			break
		}
		log.Warn("delivery failed", "attempt", out.Attempts, "status", out.Status, "why", err, "again_in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
			continue
		}
		break
	}
	if err == nil {
		out.Error = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sc.stop = nil
	if ctx.Err() != nil && err != nil {
		return
	}
	sc.Last = out
	if sc.timing.every == 0 {
		s.end(sc)
	}
	_ = s.save(func() {}) // logged; the delivery is done all the same
	s.poke()
}

func (s *Server) twice() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Unconfirmed.FiresTwice
}

func (s *Server) retriesRefusals() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Unconfirmed.RefusalsRetried
}

// failure is a target's answer that is not the one hoped for.
type failure struct {
	service, code, message string
	again                  bool // worth another try
	refused                bool // for lack of a permission
}

func (f *failure) Error() string {
	return strings.TrimPrefix(f.service+": ", ": ") + f.code + ": " + f.message
}

// invoke makes one attempt and returns the HTTP status, 0 if there was none. An error that is no *failure is worth
// another try: nobody answered.
func (s *Server) invoke(ctx context.Context, sc *schedule, input string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTakes)
	defer cancel()
	as, err := s.assume(sc.Wish.Target.RoleArn, sc.Group)
	if err != nil {
		return 0, &failure{service: "sts", code: "AccessDenied", message: err.Error(), refused: true}
	}
	if sc.Wish.Target.Arn == disassociateARN {
		in, err := disassociateInput(input)
		if err != nil {
			return 0, &failure{code: "ValidationException", message: err.Error()}
		}
		form := url.Values{"Action": {"DisassociateClientVpnTargetNetwork"}, "Version": {"2016-11-15"},
			"ClientVpnEndpointId": {in.ClientVpnEndpointID}, "AssociationId": {in.AssociationID}}
		return s.post(ctx, as, "ec2", s.cfg.EC2URL+"/", "application/x-www-form-urlencoded; charset=utf-8", form.Encode())
	}
	return s.post(ctx, as, "lambda", s.cfg.LambdaURL+"/2015-03-31/functions/"+url.QueryEscape(sc.Wish.Target.Arn)+"/invocations", "application/json", input)
}

func (s *Server) post(ctx context.Context, as sigv4.Credentials, service, to, contentType, body string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", contentType)
	if service == "lambda" {
		r.Header.Set("X-Amz-Invocation-Type", "Event")
	}
	sigv4.Sign(r, []byte(body), as, service, s.cfg.Region, time.Now())
	res, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, answerBytes))
	if err != nil {
		return res.StatusCode, fmt.Errorf("%s: answer cut short: %w", service, err)
	}
	if res.StatusCode/100 == 2 {
		return res.StatusCode, nil
	}
	f := failed(res, answer)
	f.service = service
	return res.StatusCode, f
}

// failed reads the error code and message of an EC2 (XML) or Lambda (JSON) answer.
func failed(res *http.Response, answer []byte) *failure {
	var ec2 struct {
		Code    string `xml:"Errors>Error>Code"`
		Message string `xml:"Errors>Error>Message"`
	}
	var lambda struct{ Message string }
	f := &failure{code: res.Header.Get("X-Amzn-Errortype")}
	if xml.Unmarshal(answer, &ec2) == nil {
		f.code, f.message = ec2.Code, ec2.Message
	} else if json.Unmarshal(answer, &lambda) == nil {
		f.message = lambda.Message
	}
	f.code = cmp.Or(f.code, res.Status)
	f.again = res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests ||
		strings.Contains(f.code, "Throttl") || f.code == "RequestLimitExceeded"
	f.refused = f.code == "UnauthorizedOperation" || strings.HasPrefix(f.code, "AccessDenied")
	return f
}

// execution is one attempt: its id, when it was scheduled for, and its payload, the target's Input with its context
// attributes replaced, or the event that the service sends by default.
type execution struct{ id, when, input string }

func (s *Server) execution(sc *schedule, due time.Time, attempt int) execution {
	at := due
	if sc.timing.every == 0 {
		at = sc.timing.at // when it was asked for, however late it is
	}
	x := execution{id: id(), when: at.UTC().Format(time.RFC3339)}
	if sc.Wish.Target.Input == "" {
		event, _ := json.Marshal(map[string]any{"version": "0", "id": id(), "detail-type": "Scheduled Event", "source": "aws.scheduler",
			"account": s.cfg.AccountID, "time": x.when, "region": s.cfg.Region, "resources": []string{s.arn(sc)}, "detail": "{}"}) // strings only
		x.input = string(event)
		return x
	}
	x.input = strings.NewReplacer("<aws.scheduler.schedule-arn>", s.arn(sc), "<aws.scheduler.scheduled-time>", x.when,
		"<aws.scheduler.execution-id>", x.id, "<aws.scheduler.attempt-number>", strconv.Itoa(attempt)).Replace(sc.Wish.Target.Input)
	return x
}

type disassociate struct {
	ClientVpnEndpointID string `json:"ClientVpnEndpointId"`
	AssociationID       string `json:"AssociationId"`
}

// disassociateInput reads the universal target's Input: EC2's own parameters, both required, and no others.
func disassociateInput(text string) (disassociate, error) {
	var in disassociate
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil || dec.More() || in.ClientVpnEndpointID == "" || in.AssociationID == "" {
		return in, invalid(`Target.Input must be {"ClientVpnEndpointId": "…", "AssociationId": "…"}`)
	}
	return in, nil
}
