package cloudformation

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

const noChanges = "The submitted information didn't contain changes. Submit different information to create a change set."

// changeSet is a change set. What it would do is worked out when it is made, and told when it is ready.
type changeSet struct {
	name, id, description             string
	create                            bool
	target                            *revision
	made, begins, ready               time.Time
	status, reason, execution         string
	changes                           []change
	finalStatus, finalWhy, finalState string // once it is ready
	onFailure                         string
}

func (c *changeSet) settle(now time.Time) {
	switch {
	case c.status != "CREATE_PENDING" && c.status != "CREATE_IN_PROGRESS":
	case !now.Before(c.ready):
		c.status, c.reason, c.execution = c.finalStatus, c.finalWhy, c.finalState
	case !now.Before(c.begins):
		c.status = "CREATE_IN_PROGRESS"
	}
}

// change is what would become of one resource. Replacement is True, False, Conditional or, for what is no Modify, empty.
type change struct {
	action, logical, physical, kind, replacement, policy string
	scope                                                []string
	details                                              []detail
}

// detail is one cause of a change.
type detail struct {
	attribute, name, recreation string // the target; name is of a property
	evaluation, source, entity  string
}

// plan works out what executing the revision would change ("Example change sets" in the User Guide). The error is AWS's.
func (s *Server) plan(st *stack, target *revision) (changes []change, other bool, err error) {
	replaced, changing := map[string]bool{}, map[string]bool{}
	r, err := newResolver(target.template, s.environment(st), target.parameters, func(name string) (Physical, bool) {
		if replaced[name] {
			return Physical{}, false
		}
		return st.physical(name)
	})
	if err != nil {
		return nil, false, err
	}
	r.planning = true
	if !s.cfg.Unconfirmed.QuietAttributes {
		r.changing = changing
	}
	before := &revision{template: &Template{resources: map[string]*resource{}}}
	if st.current != nil {
		before = st.current
	}
	var changedParameters []string
	for name, v := range target.parameters {
		if old, ok := before.parameters[name]; !ok || old != v {
			changedParameters = append(changedParameters, name)
		}
	}
	var retyped []string
	for _, name := range target.template.order {
		res := target.template.resources[name]
		if !r.exists(name) {
			continue
		}
		values, err := r.properties(name)
		if err != nil {
			return nil, false, err
		}
		live := st.live(name)
		if live == nil {
			changes = append(changes, change{action: "Add", logical: name, kind: res.kind})
			continue
		}
		if live.kind != res.kind {
			retyped = append(retyped, name)
			continue
		}
		c := change{action: "Modify", logical: name, kind: res.kind, physical: live.physical.Ref, replacement: "False"}
		var old map[string]any
		if was := before.template.resources[name]; was != nil {
			old = was.properties
		}
		known := schemas[res.kind]
		for _, p := range union(live.values, values) {
			causes := unknowns(values[p])
			if causes == nil && reflect.DeepEqual(live.values[p], values[p]) {
				continue
			}
			d := detail{attribute: "Properties", name: p, recreation: "Never"}
			switch {
			case p == "Tags":
				d.attribute, d.name = "Tags", ""
			case slices.Contains(strings.Fields(known.recreate), p):
				d.recreation = "Always"
			case slices.Contains(strings.Fields(known.perhaps), p):
				d.recreation = "Conditionally"
			}
			c.add(d, causes, reflect.DeepEqual(old[p], res.properties[p]), target.template.used(res.properties[p], changedParameters))
		}
		if !maps.Equal(live.tags, target.tags) && slices.Contains(strings.Fields(known.properties), "Tags") {
			c.add(detail{attribute: "Tags", recreation: "Never"}, nil, false, nil)
		}
		for _, x := range []struct {
			name     string
			old, now any
		}{{"Metadata", live.metadata, res.metadata}, {"DeletionPolicy", live.deletionPolicy, res.deletionPolicy}, {"UpdateReplacePolicy", live.replacePolicy, res.replacePolicy}} {
			if !reflect.DeepEqual(x.old, x.now) {
				c.add(detail{attribute: x.name, recreation: "Never"}, nil, false, nil)
			}
		}
		if len(c.details) == 0 {
			continue
		}
		changing[name] = true
		if c.replacement != "False" {
			replaced[name] = true
			c.policy = "ReplaceAndDelete"
			if res.replacePolicy == "Retain" {
				c.policy = "ReplaceAndRetain"
			}
		}
		changes = append(changes, c)
	}
	if len(retyped) > 0 {
		return nil, false, invalidTemplate("Update of resource type is not permitted. The new template modifies resource type of the following resources: [%s]", distinct(retyped))
	}
	for _, row := range st.rows {
		if res := target.template.resources[row.logical]; row.exists && (res == nil || !r.exists(row.logical)) {
			c := change{action: "Remove", logical: row.logical, kind: row.kind, physical: row.physical.Ref, policy: "Delete"}
			if strings.HasPrefix(row.deletionPolicy, "Retain") {
				c.policy = "Retain"
			}
			changes = append(changes, c)
		}
	}
	if s.cfg.Unconfirmed.UnusedParameters && len(changedParameters) > 0 {
		other = true
	}
	if s.cfg.Unconfirmed.OutputsAlone && st.current != nil && len(changes) == 0 {
		outputs, err := r.outputs()
		if err != nil {
			return nil, false, err
		}
		other = other || !slices.Equal(outputs, st.outputs)
	}
	return changes, other || !maps.Equal(before.tags, target.tags) && st.current != nil, nil
}

// add notes a cause. Same says that the template's words are the same, parameters which of them have other values now.
func (c *change) add(d detail, causes []string, same bool, parameters []string) {
	if !slices.Contains(c.scope, d.attribute) {
		c.scope = append(c.scope, d.attribute)
	}
	grade := "False"
	switch {
	case d.recreation == "Conditionally", d.recreation == "Always" && causes != nil && same:
		grade = "Conditional"
	case d.recreation == "Always":
		grade = "True"
	}
	if grade == "True" || c.replacement == "False" {
		c.replacement = grade
	}
	d.evaluation = "Dynamic"
	for _, by := range causes {
		x := d
		x.source, x.entity = "ResourceReference", by
		if strings.Contains(by, ".") {
			x.source = "ResourceAttribute"
		}
		c.details = append(c.details, x)
	}
	d.source = "DirectModification"
	for _, p := range parameters {
		x := d
		x.evaluation, x.source, x.entity = "Static", "ParameterReference", p
		c.details = append(c.details, x)
	}
	switch {
	case !same:
		d.evaluation = "Static"
		c.details = append(c.details, d)
	case len(parameters) > 0: // AWS says both
		c.details = append(c.details, d)
	case causes == nil: // a condition or a mapping
		d.evaluation = "Static"
		c.details = append(c.details, d)
	}
}

// used are those of the parameters that the value refers to.
func (t *Template) used(v any, parameters []string) []string {
	w := &walker{t: t}
	if w.walk(v) != nil {
		return nil
	}
	var out []string
	for _, p := range w.params {
		if slices.Contains(parameters, p) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func union(a, b map[string]any) []string {
	out := slices.Concat(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	slices.Sort(out)
	return slices.Compact(out)
}

// unknowns are the resources on which a value depends that nobody knows yet.
func unknowns(v any) []string {
	var out []string
	switch v := v.(type) {
	case unknown:
		out = append(out, v.by...)
	case []any:
		for _, x := range v {
			out = append(out, unknowns(x)...)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out = append(out, unknowns(v[k])...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
