package cloudformation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Provisioner makes what a template describes. CloudFormation calls it for one resource at a time. An error's text is the
// reason that the events show.
type Provisioner interface {
	// Create makes the resource. What it returns has a Ref, and every attribute that a template may ask for.
	Create(ctx context.Context, r Resource) (Physical, error)
	// Update changes what is there to what r says, and returns it as it is then. The Ref must stay: what needs another
	// one has a create-only property, and is created and deleted instead. It is also called to take a change back,
	// whether or not the change had been carried out.
	Update(ctx context.Context, old Physical, r Resource) (Physical, error)
	// Delete takes the resource away, and is content when it is gone already. r is as it was last made or changed.
	Delete(ctx context.Context, old Physical, r Resource) error
}

// Resource is a resource with all its functions resolved.
type Resource struct {
	LogicalID, Type string
	Properties      *Properties
	StackName       string
	Tags            map[string]string // the stack's
	token           string
}

// Physical is what became of a resource: what Ref gives, which is also its physical id, and what Fn::GetAtt gives.
type Physical struct {
	Ref        string
	Attributes map[string]string
}

// GeneratedName is the name that CloudFormation gives to a resource whose template gives none: the stack's, the logical
// id and random characters, at most longest in all. It is the same for the same resource of the same stack.
func (r Resource) GeneratedName(longest int) string {
	sum := sha256.Sum256([]byte(r.token))
	random := base32.StdEncoding.EncodeToString(sum[:])[:12]
	stack, logical := r.StackName, r.LogicalID
	for len(stack)+len(logical)+len(random)+2 > longest && (len(stack) > 1 || len(logical) > 1) {
		if len(stack) > len(logical) {
			stack = stack[:len(stack)-1]
		} else {
			logical = logical[:len(logical)-1]
		}
	}
	return stack + "-" + logical + "-" + random
}

// Properties are read by name, each with the kind that it must have, and know afterwards what was never asked for: Err
// says so, for them and for all objects in them, so that a property that nobody implements is a failure instead of being
// lost. CloudFormation turns texts into numbers and truth values and back where a type needs it, and so do these.
// They are used by one goroutine.
type Properties struct {
	path   string
	values map[string]any
	read   map[string]bool
	inner  []*Properties
	faults *[]error // shared by all of a resource
}

func newProperties(path string, values map[string]any) *Properties {
	return &Properties{path: path, values: values, read: map[string]bool{}, faults: new([]error)}
}

func (p *Properties) within(path string, values map[string]any) *Properties {
	in := newProperties(path, values)
	in.faults = p.faults
	p.inner = append(p.inner, in)
	return in
}

func (p *Properties) fault(name, want string, got any) {
	*p.faults = append(*p.faults, fmt.Errorf("%s/%s: got %s, want %s", p.path, name, asJSON(got), want))
}

// Has reports whether the template gives the property, and does not count as reading it.
func (p *Properties) Has(name string) bool { _, ok := p.values[name]; return ok }

// Names are those that the template gives, sorted.
func (p *Properties) Names() []string { return slices.Sorted(maps.Keys(p.values)) }

// Any reads a property and all in it, as map[string]any, []any, string, bool, int64 or float64; nil when it is absent.
func (p *Properties) Any(name string) any {
	p.read[name] = true
	return p.values[name]
}

// String reads a text; a number or truth value is written as one. It is empty when the property is absent.
func (p *Properties) String(name string) string {
	switch v := p.Any(name).(type) {
	case nil:
		return ""
	case string, bool, int64, float64:
		return scalar(v)
	default:
		p.fault(name, "a text", v)
		return ""
	}
}

// Int reads a whole number, or fallback when the property is absent.
func (p *Properties) Int(name string, fallback int) int {
	v := p.Any(name)
	if v == nil {
		return fallback
	}
	n, err := strconv.Atoi(scalar(v))
	if f, ok := v.(float64); ok && f == math.Trunc(f) {
		n, err = int(f), nil
	}
	if _, b := v.(bool); err != nil || b {
		p.fault(name, "a whole number", v)
		return fallback
	}
	return n
}

// Bool reads a truth value, or fallback when the property is absent.
func (p *Properties) Bool(name string, fallback bool) bool {
	v := p.Any(name)
	if v == nil {
		return fallback
	}
	switch scalar(v) {
	case "true":
		return true
	case "false":
		return false
	}
	p.fault(name, "true or false", v)
	return fallback
}

// Strings reads a list of texts, nil when the property is absent.
func (p *Properties) Strings(name string) []string {
	v := p.Any(name)
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		p.fault(name, "a list", v)
		return nil
	}
	out := []string{}
	for _, x := range list {
		switch x.(type) {
		case string, bool, int64, float64:
			out = append(out, scalar(x))
		default:
			p.fault(name, "a list of texts", v)
			return nil
		}
	}
	return out
}

// Object reads an object; an absent one is empty and never nil.
func (p *Properties) Object(name string) *Properties {
	v := p.Any(name)
	m, ok := v.(map[string]any)
	if v != nil && !ok {
		p.fault(name, "an object", v)
	}
	return p.within(p.path+"/"+name, m)
}

// Objects reads a list of objects, nil when the property is absent.
func (p *Properties) Objects(name string) []*Properties {
	v := p.Any(name)
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		p.fault(name, "a list", v)
		return nil
	}
	var out []*Properties
	for i, x := range list {
		m, ok := x.(map[string]any)
		if !ok {
			p.fault(name, "a list of objects", v)
			return nil
		}
		out = append(out, p.within(p.path+"/"+name+"/"+strconv.Itoa(i), m))
	}
	return out
}

// Texts reads an object whose members are texts, such as a function's environment.
func (p *Properties) Texts(name string) map[string]string {
	o, out := p.Object(name), map[string]string{}
	for _, k := range o.Names() {
		out[k] = o.String(k)
	}
	return out
}

// Err is every property of the wrong kind, and every one that nobody has read; nil when there is none.
func (p *Properties) Err() error {
	errs := slices.Clone(*p.faults)
	return errors.Join(append(errs, p.unread()...)...)
}

func (p *Properties) unread() (errs []error) {
	for _, name := range p.Names() {
		if !p.read[name] {
			errs = append(errs, fmt.Errorf("%s/%s: Encountered unsupported property %s", p.path, name, name))
		}
	}
	for _, in := range p.inner {
		errs = append(errs, in.unread()...)
	}
	return errs
}

// Deployment is what Deploy made.
type Deployment struct {
	Resources map[string]Physical // by logical id
	Outputs   map[string]string
	order     []Resource
	with      Provisioner
}

// Deploy makes all resources of the template at once, in the order in which CloudFormation may: each after those that it
// refers to or depends on. When one fails, those that exist are deleted in the opposite order, and the error names it.
func (t *Template) Deploy(ctx context.Context, env Environment, parameters map[string]string, tags map[string]string, with Provisioner) (*Deployment, error) {
	if env.Region == "" || env.AccountID == "" || env.StackName == "" || env.StackID == "" || with == nil {
		return nil, errors.New("cloudformation: Region, AccountID, StackName, StackID and a provisioner are required")
	}
	args, err := t.arguments(parameters)
	if err != nil {
		return nil, err
	}
	d := &Deployment{Resources: map[string]Physical{}, Outputs: map[string]string{}, with: with}
	r, err := newResolver(t, env, args, func(name string) (Physical, bool) { p, ok := d.Resources[name]; return p, ok })
	if err != nil {
		return nil, err
	}
	undo := func(err error) (*Deployment, error) { return nil, errors.Join(err, d.Delete(ctx)) }
	for _, name := range t.order {
		if !r.exists(name) {
			continue
		}
		values, err := r.properties(name)
		if err != nil {
			return undo(fmt.Errorf("%s: %w", name, err))
		}
		made := Resource{name, t.resources[name].kind, newProperties("/Resources/"+name+"/Properties", values), env.StackName, tags, env.StackID + "/" + name}
		p, err := with.Create(ctx, made)
		if err != nil {
			return undo(fmt.Errorf("%s (%s): %w", name, made.Type, err))
		}
		d.Resources[name] = p
		d.order = append(d.order, made)
	}
	outputs, err := r.outputs()
	if err != nil {
		return undo(err)
	}
	for _, o := range outputs {
		d.Outputs[o.Key] = o.Value
	}
	return d, nil
}

// Delete takes away what was made, the last first, and goes on after an error.
func (d *Deployment) Delete(ctx context.Context) error {
	var errs []error
	for _, r := range slices.Backward(d.order) {
		if err := d.with.Delete(ctx, d.Resources[r.LogicalID], r); err != nil {
			errs = append(errs, fmt.Errorf("%s (%s): %w", r.LogicalID, r.Type, err))
		}
	}
	d.order = nil
	return errors.Join(errs...)
}

// plain makes nothing: it invents what Ref and Fn::GetAtt give, in the form that AWS has for most types.
type plain struct{ region, account string }

func (p plain) Create(_ context.Context, r Resource) (Physical, error) {
	ref := ""
	if name := schemas[r.Type].primary; name != "" {
		ref = r.Properties.String(name)
	}
	return p.describe(cmp.Or(ref, r.GeneratedName(64)), r), nil
}

func (p plain) Update(_ context.Context, old Physical, r Resource) (Physical, error) {
	return p.describe(old.Ref, r), nil
}

func (plain) Delete(context.Context, Physical, Resource) error { return nil }

func (p plain) describe(ref string, r Resource) Physical {
	out := Physical{ref, map[string]string{}}
	service := strings.ToLower(strings.Split(r.Type, "::")[1])
	for a := range strings.FieldsSeq(schemas[r.Type].attributes) {
		switch {
		case slices.Contains(strings.Fields(schemas[r.Type].properties), a):
			out.Attributes[a] = cmp.Or(r.Properties.String(a), ref)
		case strings.HasSuffix(a, "Arn"):
			out.Attributes[a] = "arn:aws:" + service + ":" + p.region + ":" + p.account + ":" + ref
		default:
			out.Attributes[a] = ref + "." + a
		}
	}
	return out
}
