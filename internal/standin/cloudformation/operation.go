package cloudformation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// phase is what an operation is at. A phase's tasks are all there from its beginning.
type phase int

const (
	creating phase = iota
	rollingBack
	updating
	cleaning
	restoring // an update's rollback
	cleaningNew
	deleting
)

// operation is what goes on at a stack.
type operation struct {
	phase    phase
	at       time.Time // how far it has been worked out
	tasks    []*task
	target   *revision
	set      *changeSet
	resolver *resolver
	before   map[string]row // as it was; only of an update
	touched  []string       // resources that an update has begun to change, in that order
	replaced []row          // physical resources that a replacement left
	failed   []failure
	why      string   // of a failure that is no resource's
	retain   []string // logical ids that a deletion leaves
}

// failure is a resource at which something failed; what counts for the reason is what was to become of the resource.
type failure struct{ logical, verb string }

type state int

const (
	waiting state = iota
	running
	over
)

// task is one thing to do at one resource.
type task struct {
	logical string
	verb    string // what the resource's owner is asked to do; empty until it has begun
	after   []*task
	state   state
	due     time.Time
	gone    *row // what to delete
	own     bool // gone is a row of the stack's, and not a physical resource that was replaced
	bad     bool // it failed, or had to be left
	replace bool
	old     row
}

// begin starts an operation's phase, whose tasks the caller has set.
func (s *Server) begin(st *stack, op *operation, p phase, status, why string) {
	op.phase = p
	st.op = op
	s.is(st, op.at, status, why)
}

// carryOn works the operation out up to now.
func (s *Server) carryOn(ctx context.Context, st *stack, now time.Time) {
	for st.op != nil {
		op := st.op
		forward := op.phase == creating || op.phase == updating
		if !forward || len(op.failed) == 0 {
			s.start(ctx, st)
		}
		var next *task
		for _, t := range op.tasks {
			if t.state == running && (next == nil || t.due.Before(next.due)) {
				next = t
			}
		}
		switch {
		case next == nil || forward && len(op.failed) > 0:
			s.phaseOver(st)
		case next.due.After(now):
			return
		default:
			op.at = next.due
			next.state = over
			s.finish(ctx, st, next)
		}
	}
}

// start begins every task that waits for nothing any more. One that has nothing to do is over at once, and lets others
// begin.
func (s *Server) start(ctx context.Context, st *stack) {
	op := st.op
	for again := true; again; {
		again = false
		for _, t := range op.tasks {
			if t.state != waiting || slices.ContainsFunc(t.after, func(a *task) bool { return a.state != over }) {
				continue
			}
			t.state = running
			// What something still needs that could not be deleted is left as well.
			if t.bad = t.gone != nil && slices.ContainsFunc(t.after, func(a *task) bool { return a.bad }); t.bad || !s.startOne(st, t) {
				t.state, again = over, true
			} else {
				t.due = op.at.Add(s.cfg.Takes(t.logical, t.verb))
			}
			if len(op.failed) > 0 && (op.phase == creating || op.phase == updating) {
				return
			}
		}
	}
}

// startOne reports whether there is anything to do.
func (s *Server) startOne(st *stack, t *task) bool {
	op := st.op
	if t.gone != nil {
		policy := t.gone.deletionPolicy
		undoing := op.phase == rollingBack || op.phase == cleaningNew
		if !t.own {
			policy = t.gone.replacePolicy
			if undoing { // the one that is there stays; this was to replace it
				policy = ""
			}
		}
		keep := policy == "Retain" || policy == "RetainExceptOnCreate" && !undoing || slices.Contains(op.retain, t.logical)
		if keep {
			s.goneIs(st, t, "DELETE_SKIPPED", "")
			t.gone.exists = false
			return false
		}
		t.verb = Delete
		s.goneIs(st, t, "DELETE_IN_PROGRESS", "")
		return true
	}
	if op.phase == restoring {
		t.verb = Update
		s.rowIs(st, st.row(t.logical), op.at, "UPDATE_IN_PROGRESS", "")
		return true
	}
	res := op.target.template.resources[t.logical]
	r := st.live(t.logical)
	t.verb = Create
	if r != nil {
		t.verb = Update
	}
	values, err := op.resolver.properties(t.logical)
	fail := func(err error) bool {
		s.failed(st, r, t, err)
		return false
	}
	if r == nil {
		if r = st.row(t.logical); r == nil {
			r = &row{}
			st.rows = append(st.rows, r)
		}
		s.serial++
		*r = row{logical: t.logical, kind: res.kind, token: fmt.Sprint(st.id, "/", t.logical, "/", s.serial)}
		if op.phase == updating {
			op.touched = append(op.touched, t.logical)
		}
		s.rowIs(st, r, op.at, "CREATE_IN_PROGRESS", "")
		if err != nil {
			return fail(err)
		}
		r.set(res, values, op.target.tags)
		return true
	}
	t.old = *r
	changed := differing(r.values, values)
	same := len(changed) == 0 && err == nil && maps.Equal(r.tags, op.target.tags)
	if same {
		r.set(res, values, op.target.tags)
		return false
	}
	known := schemas[r.kind]
	why := ""
	for _, p := range changed {
		if slices.Contains(strings.Fields(known.recreate+" "+known.perhaps), p) {
			t.replace, t.verb = true, Create
			why = "Requested update requires the creation of a new physical resource; hence creating one."
		}
	}
	op.touched = append(op.touched, t.logical)
	s.rowIs(st, r, op.at, "UPDATE_IN_PROGRESS", why)
	if err != nil {
		return fail(err)
	}
	if name := values[known.primary]; t.replace && name != nil && reflect.DeepEqual(name, r.values[known.primary]) {
		return fail(invalidTemplate("CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename %s and update the stack again.", scalar(name)))
	}
	r.set(res, values, op.target.tags)
	return true
}

func (r *row) set(res *resource, values map[string]any, tags map[string]string) {
	r.values, r.tags, r.needs, r.metadata = values, tags, res.needs, res.metadata
	r.deletionPolicy, r.replacePolicy = res.deletionPolicy, res.replacePolicy
}

// differing are the names of properties that are not the same.
func differing(a, b map[string]any) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if !reflect.DeepEqual(a[name], b[name]) {
			out = append(out, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[name]; !ok {
			out = append(out, name)
		}
	}
	return out
}

func (s *Server) goneIs(st *stack, t *task, status, why string) {
	if t.own {
		s.rowIs(st, t.gone, st.op.at, status, why)
		return
	}
	s.event(st, st.op.at, t.logical, t.gone.physical.Ref, t.gone.kind, status, why)
}

func (s *Server) failed(st *stack, r *row, t *task, err error) {
	op := st.op
	verb := Create
	switch {
	case t.gone != nil:
		verb = Delete
	case t.verb == Update || t.replace:
		verb = Update
	}
	t.bad = true
	op.failed = append(op.failed, failure{t.logical, verb})
	if t.gone != nil {
		s.goneIs(st, t, "DELETE_FAILED", err.Error())
		return
	}
	if r == nil {
		r = st.row(t.logical)
	}
	status := "CREATE_FAILED"
	if strings.HasPrefix(r.status, "UPDATE") {
		status = "UPDATE_FAILED"
	}
	s.rowIs(st, r, op.at, status, err.Error())
}

// finish does what a task is about, when its time is over.
func (s *Server) finish(ctx context.Context, st *stack, t *task) {
	op := st.op
	var err error
	if s.cfg.Fail != nil {
		err = s.cfg.Fail(t.logical, t.verb)
	}
	if t.gone != nil {
		if err == nil {
			err = s.cfg.Provisioner.Delete(ctx, t.gone.physical, t.gone.resource(st))
		}
		if err != nil {
			s.failed(st, nil, t, err)
			return
		}
		t.gone.exists = false
		s.goneIs(st, t, "DELETE_COMPLETE", "")
		return
	}
	r := st.row(t.logical)
	if op.phase == restoring {
		before := op.before[t.logical]
		made := before.physical
		// A replacement is taken back by going back to what was there; the new one is deleted later.
		if r.physical.Ref == before.physical.Ref {
			if err == nil {
				made, err = s.cfg.Provisioner.Update(ctx, r.physical, before.resource(st))
			}
			if err != nil {
				s.failed(st, r, t, err)
				return
			}
		} else {
			op.replaced = append(op.replaced, *r)
		}
		*r = before
		r.physical = made
		s.rowIs(st, r, op.at, "UPDATE_COMPLETE", "")
		return
	}
	var made Physical
	switch {
	case err != nil:
	case t.verb == Create:
		if t.replace {
			s.serial++
			r.token = fmt.Sprint(st.id, "/", t.logical, "/", s.serial)
		}
		if made, err = s.cfg.Provisioner.Create(ctx, r.resource(st)); err == nil && made.Ref == "" {
			err = errors.New("the provisioner gave the resource no physical id")
		}
	default:
		if made, err = s.cfg.Provisioner.Update(ctx, r.physical, r.resource(st)); err == nil && made.Ref != r.physical.Ref {
			err = fmt.Errorf("the provisioner turned %s into %s, and only a replacement may", r.physical.Ref, made.Ref)
		}
	}
	if err != nil {
		s.failed(st, r, t, err)
		return
	}
	if t.replace {
		t.old.replacePolicy = r.replacePolicy // AWS does not say whether the old template's policy decides, or the new one's
		op.replaced = append(op.replaced, t.old)
	}
	fresh := !r.exists
	r.physical, r.exists = made, true
	switch {
	case fresh:
		s.rowIs(st, r, op.at, "CREATE_IN_PROGRESS", "Resource creation Initiated")
		s.rowIs(st, r, op.at, "CREATE_COMPLETE", "")
	default:
		s.rowIs(st, r, op.at, "UPDATE_COMPLETE", "")
	}
}

// phaseOver goes on to the next phase, or ends the operation.
func (s *Server) phaseOver(st *stack) {
	op := st.op
	reason := func(tail string) string {
		var out strings.Builder
		out.WriteString(op.why)
		for _, verb := range []string{Create, Update, Delete} {
			var names []string
			for _, f := range op.failed {
				if f.verb == verb {
					names = append(names, f.logical)
				}
			}
			if names != nil {
				fmt.Fprintf(&out, "The following resource(s) failed to %s: [%s]. ", verb, strings.Join(names, ", "))
			}
		}
		return out.String() + tail
	}
	if op.phase == creating || op.phase == updating {
		if len(op.failed) == 0 && op.why == "" {
			outputs, err := op.resolver.outputs()
			if err != nil {
				op.why = err.Error() + " "
			} else {
				st.outputs = outputs
			}
		}
		for _, t := range op.tasks {
			if t.state == running && (len(op.failed) > 0 || op.why != "") {
				t.state = over
				what := "creation"
				if r := st.row(t.logical); strings.HasPrefix(r.status, "UPDATE") {
					what = "update"
				}
				s.failed(st, nil, t, fmt.Errorf("Resource %s cancelled", what))
			}
		}
	}
	bad := len(op.failed) > 0 || op.why != ""
	end := func(status, why string) {
		st.op = nil
		s.is(st, op.at, status, why)
		if op.set != nil {
			op.set.execution = "EXECUTE_COMPLETE"
			if bad || op.phase == rollingBack || op.phase == restoring || op.phase == cleaningNew {
				op.set.execution = "EXECUTE_FAILED"
			}
		}
	}
	switch op.phase {
	case creating:
		switch {
		case !bad:
			end("CREATE_COMPLETE", "")
		case st.onFailure == "DO_NOTHING":
			end("CREATE_FAILED", reason(""))
		case st.onFailure == "DELETE":
			why := reason("Delete requested by user.")
			op.failed, op.why = nil, ""
			op.tasks = st.deletions(func(*row) bool { return true })
			s.begin(st, op, deleting, "DELETE_IN_PROGRESS", why)
		default:
			why := reason("Rollback requested by user.")
			op.failed, op.why = nil, ""
			op.tasks = st.deletions(func(*row) bool { return true })
			s.begin(st, op, rollingBack, "ROLLBACK_IN_PROGRESS", why)
		}
	case rollingBack:
		if bad {
			end("ROLLBACK_FAILED", reason(""))
			return
		}
		end("ROLLBACK_COMPLETE", "")
	case updating:
		if bad {
			s.restore(st, reason(""))
			return
		}
		st.current, st.updated = op.target, op.at
		op.tasks = st.leftovers(op.replaced, st.deletions(func(r *row) bool {
			return op.target.template.resources[r.logical] == nil || !op.resolver.exists(r.logical)
		}))
		s.begin(st, op, cleaning, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "")
	case cleaning:
		// What could not be deleted is left, and said in the events.
		op.failed, op.why, bad = nil, "", false
		st.forget(op.target.template)
		end("UPDATE_COMPLETE", "")
	case restoring:
		if bad {
			end("UPDATE_ROLLBACK_FAILED", reason(""))
			return
		}
		op.tasks = st.leftovers(op.replaced, st.deletions(func(r *row) bool { _, was := op.before[r.logical]; return !was }))
		s.begin(st, op, cleaningNew, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "")
	case cleaningNew:
		st.forget(st.current.template)
		end("UPDATE_ROLLBACK_COMPLETE", "")
	case deleting:
		if bad {
			end("DELETE_FAILED", reason(""))
			return
		}
		st.deleted = op.at
		end("DELETE_COMPLETE", "")
		st.sets = nil
	}
}

// restore takes an update back.
func (s *Server) restore(st *stack, why string) {
	op := st.op
	op.failed, op.why, op.tasks = nil, "", nil
	op.replaced = nil // what replacements left is what stays; restoring finds what they made
	byName := map[string]*task{}
	for _, name := range st.current.template.order {
		if _, was := op.before[name]; !was || !slices.Contains(op.touched, name) {
			continue
		}
		t := &task{logical: name}
		for _, n := range st.current.template.resources[name].needs {
			if a := byName[n]; a != nil {
				t.after = append(t.after, a)
			}
		}
		byName[name] = t
		op.tasks = append(op.tasks, t)
	}
	s.begin(st, op, restoring, "UPDATE_ROLLBACK_IN_PROGRESS", why)
}

// deletions are tasks for those that exist and that which picks, each after all that need it.
func (st *stack) deletions(which func(*row) bool) []*task {
	byName := map[string]*task{}
	var out []*task
	for _, r := range slices.Backward(st.rows) {
		if r.exists && which(r) {
			t := &task{logical: r.logical, gone: r, own: true}
			byName[r.logical] = t
			out = append(out, t)
		}
	}
	for _, t := range out {
		for _, n := range t.gone.needs {
			if needed := byName[n]; needed != nil {
				needed.after = append(needed.after, t)
			}
		}
	}
	return out
}

// leftovers are tasks for physical resources that others have replaced, the last one's first, after the given tasks.
func (st *stack) leftovers(rows []row, after []*task) []*task {
	out := after
	for _, r := range slices.Backward(rows) {
		t := &task{logical: r.logical, gone: &r}
		for _, before := range out {
			if slices.Contains(before.gone.needs, r.logical) {
				t.after = append(t.after, before)
			}
		}
		out = append(out, t)
	}
	return out
}

// forget drops the rows of what the template does not have, also of what could not be deleted: CloudFormation has no more
// to do with it.
func (st *stack) forget(t *Template) {
	st.rows = slices.DeleteFunc(st.rows, func(r *row) bool { return !r.exists || t.resources[r.logical] == nil })
}

// execute begins what a change set is about.
func (s *Server) execute(st *stack, c *changeSet, now time.Time) error {
	op := &operation{at: now, target: c.target, set: c}
	resolver, err := newResolver(c.target.template, s.environment(st), c.target.parameters, st.physical)
	if err != nil {
		return err
	}
	op.resolver = resolver
	byName := map[string]*task{}
	for _, name := range c.target.template.order {
		if !resolver.exists(name) {
			continue
		}
		t := &task{logical: name}
		for _, n := range c.target.template.resources[name].needs {
			if a := byName[n]; a != nil {
				t.after = append(t.after, a)
			}
		}
		byName[name] = t
		op.tasks = append(op.tasks, t)
	}
	if c.create {
		st.current = c.target
		s.begin(st, op, creating, "CREATE_IN_PROGRESS", "User Initiated")
		return nil
	}
	op.before = map[string]row{}
	for _, r := range st.rows {
		if r.exists {
			op.before[r.logical] = *r
		}
	}
	st.updated = now
	s.begin(st, op, updating, "UPDATE_IN_PROGRESS", "User Initiated")
	return nil
}

// remove begins a stack's deletion. What was going on is broken off.
func (s *Server) remove(st *stack, now time.Time, retain []string) {
	if op := st.op; op != nil {
		for _, t := range op.tasks {
			if t.state == running && t.gone == nil {
				s.failed(st, nil, t, errors.New("Resource creation cancelled"))
			}
		}
		if op.set != nil {
			op.set.execution = "EXECUTE_FAILED"
		}
	}
	op := &operation{at: now, retain: retain, tasks: st.deletions(func(*row) bool { return true })}
	s.begin(st, op, deleting, "DELETE_IN_PROGRESS", "User Initiated")
}

// cancel takes an update back while it is in progress.
func (s *Server) cancel(st *stack) {
	op := st.op
	for _, t := range op.tasks {
		if t.state == running {
			t.state = over
			what := "update"
			if r := st.row(t.logical); strings.HasPrefix(r.status, "CREATE") {
				what = "creation"
			}
			s.failed(st, nil, t, fmt.Errorf("Resource %s cancelled", what))
		}
	}
	s.restore(st, "User Initiated")
}
