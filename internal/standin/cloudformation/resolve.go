package cloudformation

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Environment is what the pseudo parameters say. All fields but Partition and URLSuffix are required; those are "aws" and
// "amazonaws.com" when they are empty.
type Environment struct {
	Region, AccountID, StackName, StackID string
	Partition, URLSuffix                  string
}

// noValue is what Ref AWS::NoValue becomes until the member that has it is taken away.
type noValue struct{}

// unknown is a value that nobody knows before a resource has been made or changed; by names that resource, "A" for its
// physical id and "A.Arn" for an attribute.
type unknown struct{ by []string }

// scalar is a value as CloudFormation writes it into a text.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// refuses says why a value is none of the parameter's, or nothing.
func (p *parameter) refuses(name, v string) string {
	why := func(format string, args ...any) string {
		if p.constraint != "" {
			return fmt.Sprintf("Parameter '%s' failed to satisfy constraint: %s", name, p.constraint)
		}
		return fmt.Sprintf("Parameter '%s' ", name) + fmt.Sprintf(format, args...)
	}
	if len(v) > maxParameter {
		return fmt.Sprintf("Parameter '%s' must not be longer than %d bytes", name, maxParameter)
	}
	values := []string{v}
	if p.list() {
		values = nil
		for x := range strings.SplitSeq(v, ",") {
			values = append(values, strings.TrimSpace(x))
		}
	}
	for _, v := range values {
		switch {
		case p.supplied() && v == "":
			return fmt.Sprintf("Parameter validation failed: parameter value %s for parameter name %s does not exist", v, name)
		case p.allowed != nil && !slices.Contains(p.allowed, v):
			return why("must be one of AllowedValues")
		case p.pattern != nil && !p.pattern.MatchString(v):
			return why("must match pattern %s", strings.TrimSuffix(strings.TrimPrefix(p.pattern.String(), "^(?:"), ")$"))
		case p.minLength != nil && len(v) < *p.minLength:
			return why("must contain at least %d characters", *p.minLength)
		case p.maxLength != nil && len(v) > *p.maxLength:
			return why("must contain at most %d characters", *p.maxLength)
		}
		if p.kind == "Number" || p.kind == "List<Number>" {
			n, err := strconv.ParseFloat(v, 64)
			switch {
			case err != nil:
				return why("must be a number")
			case p.minValue != nil && n < *p.minValue:
				return why("must be a number not less than %v", *p.minValue)
			case p.maxValue != nil && n > *p.maxValue:
				return why("must be a number not greater than %v", *p.maxValue)
			}
		}
	}
	return ""
}

// arguments completes parameters with their defaults and checks them.
func (t *Template) arguments(given map[string]string) (map[string]string, error) {
	var strange, missing []string
	for name := range given {
		if t.parameters[name] == nil {
			strange = append(strange, name)
		}
	}
	if len(strange) > 0 {
		return nil, invalidTemplate("Parameters: [%s] do not exist in the template", distinct(strange))
	}
	out := map[string]string{}
	for name, p := range t.parameters {
		v, ok := given[name]
		if !ok && !p.hasDefault {
			missing = append(missing, name)
			continue
		}
		if !ok {
			v = p.fallback
		}
		out[name] = v
	}
	if len(missing) > 0 {
		return nil, invalidTemplate("Parameters: [%s] must have values", distinct(missing))
	}
	for _, name := range slices.Sorted(maps.Keys(out)) {
		if why := t.parameters[name].refuses(name, out[name]); why != "" {
			return nil, invalidTemplate("%s", why)
		}
	}
	return out, nil
}

// resolver gives values to one template's functions.
type resolver struct {
	t          *Template
	env        Environment
	parameters map[string]string
	conditions map[string]bool
	// physical is what exists of a resource. A resource that is not there yet, or will have changed, is unknown where
	// what is planned is asked about, and a mistake where it is carried out.
	physical func(name string) (p Physical, ok bool)
	planning bool
	// changing are the resources whose attributes may have changed when it is carried out.
	changing map[string]bool
}

func newResolver(t *Template, env Environment, parameters map[string]string, physical func(string) (Physical, bool)) (*resolver, error) {
	env.Partition, env.URLSuffix = cmp.Or(env.Partition, "aws"), cmp.Or(env.URLSuffix, "amazonaws.com")
	r := &resolver{t: t, env: env, parameters: parameters, conditions: map[string]bool{}, physical: physical}
	for name := range t.conditions {
		if _, err := r.condition(name); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *resolver) condition(name string) (bool, error) {
	if v, ok := r.conditions[name]; ok {
		return v, nil
	}
	v, err := r.test(r.t.conditions[name])
	if err != nil {
		return false, fmt.Errorf("condition %s: %w", name, err)
	}
	r.conditions[name] = v
	return v, nil
}

func (r *resolver) test(v any) (bool, error) {
	for name, arg := range v.(map[string]any) { // one key, as Parse has checked
		switch name {
		case "Condition":
			return r.condition(arg.(string))
		case "Fn::Equals":
			l := arg.([]any)
			a, err := r.value(l[0])
			if err != nil {
				return false, err
			}
			b, err := r.value(l[1])
			if err != nil {
				return false, err
			}
			_, listA := a.([]any)
			_, listB := b.([]any)
			if listA || listB {
				return reflect.DeepEqual(a, b), nil
			}
			return scalar(a) == scalar(b), nil
		case "Fn::Not":
			ok, err := r.test(arg.([]any)[0])
			return !ok, err
		case "Fn::And", "Fn::Or":
			for _, x := range arg.([]any) {
				ok, err := r.test(x)
				if err != nil {
					return false, err
				}
				if ok == (name == "Fn::Or") {
					return ok, nil
				}
			}
			return name == "Fn::And", nil
		}
	}
	return false, nil
}

// exists reports whether the conditions let a resource be.
func (r *resolver) exists(name string) bool {
	c := r.t.resources[name].condition
	return c == "" || r.conditions[c]
}

func (r *resolver) ref(name string) (any, error) {
	switch name {
	case "AWS::AccountId":
		return r.env.AccountID, nil
	case "AWS::NoValue":
		return noValue{}, nil
	case "AWS::Partition":
		return r.env.Partition, nil
	case "AWS::Region":
		return r.env.Region, nil
	case "AWS::StackId":
		return r.env.StackID, nil
	case "AWS::StackName":
		return r.env.StackName, nil
	case "AWS::URLSuffix":
		return r.env.URLSuffix, nil
	}
	if p := r.t.parameters[name]; p != nil {
		v := r.parameters[name]
		if !p.list() {
			return v, nil
		}
		out := []any{}
		for x := range strings.SplitSeq(v, ",") {
			out = append(out, strings.TrimSpace(x))
		}
		return out, nil
	}
	if !r.exists(name) {
		return nil, invalidTemplate("Template format error: Unresolved resource dependencies [%s] in the Resources block of the template", name)
	}
	p, ok := r.physical(name)
	switch {
	case ok:
		return p.Ref, nil
	case r.planning:
		return unknown{[]string{name}}, nil
	}
	return nil, fmt.Errorf("resource %s has not been made yet", name)
}

func (r *resolver) attribute(name, attribute string) (any, error) {
	if !r.exists(name) {
		return nil, invalidTemplate("Template format error: Unresolved resource dependencies [%s] in the Resources block of the template", name)
	}
	p, ok := r.physical(name)
	if r.planning && (!ok || r.changing[name]) {
		return unknown{[]string{name + "." + attribute}}, nil
	}
	if !ok {
		return nil, fmt.Errorf("resource %s has not been made yet", name)
	}
	v, ok := p.Attributes[attribute]
	if !ok {
		return nil, fmt.Errorf("resource %s was made without its attribute %s: whoever makes it has to give it", name, attribute)
	}
	return v, nil
}

// joined makes one text of several values, or an unknown of all that is unknown.
func joined(values []any, with string) (any, error) {
	var by []string
	var texts []string
	for _, v := range values {
		switch v := v.(type) {
		case unknown:
			by = append(by, v.by...)
		case noValue:
		case string, bool, int64, float64:
			texts = append(texts, scalar(v))
		default:
			return nil, invalidTemplate("Template error: a list or an object stands where a string is needed")
		}
	}
	if by != nil {
		return unknown{by}, nil
	}
	return strings.Join(texts, with), nil
}

// value is v with every function replaced by what it gives.
func (r *resolver) value(v any) (any, error) {
	name, arg, err := function(v)
	if err != nil {
		return nil, err
	}
	args := func() ([]any, error) {
		in := arg.([]any)
		out := make([]any, len(in))
		for i, x := range in {
			var err error
			if out[i], err = r.value(x); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	switch name {
	case "":
		return r.plain(v)
	case "Ref":
		return r.ref(arg.(string))
	case "Fn::GetAtt":
		if s, ok := arg.(string); ok {
			resource, attribute, _ := strings.Cut(s, ".")
			return r.attribute(resource, attribute)
		}
		l := arg.([]any)
		return r.attribute(l[0].(string), l[1].(string))
	case "Fn::Sub":
		return r.sub(arg)
	case "Fn::If":
		l := arg.([]any)
		if r.conditions[l[0].(string)] {
			return r.value(l[1])
		}
		return r.value(l[2])
	case "Fn::Join":
		l, err := args()
		if err != nil {
			return nil, err
		}
		switch list := l[1].(type) {
		case []any:
			return joined(list, scalar(l[0]))
		case unknown:
			return list, nil
		}
		return nil, invalidTemplate("Template error: Fn::Join needs a list of strings")
	case "Fn::Select":
		l, err := args()
		if err != nil {
			return nil, err
		}
		if u, ok := l[1].(unknown); ok {
			return u, nil
		}
		list, _ := l[1].([]any)
		i, err := strconv.Atoi(scalar(l[0]))
		if err != nil || i < 0 || i >= len(list) {
			return nil, invalidTemplate("Template error: Fn::Select cannot select nonexistent value at index %s", scalar(l[0]))
		}
		return list[i], nil
	case "Fn::Split":
		l, err := args()
		if err != nil {
			return nil, err
		}
		switch s := l[1].(type) {
		case unknown:
			return s, nil
		case string:
			out := []any{}
			for x := range strings.SplitSeq(s, scalar(l[0])) {
				out = append(out, x)
			}
			return out, nil
		}
		return nil, invalidTemplate("Template error: Fn::Split needs a string to be split")
	case "Fn::FindInMap":
		l, err := args()
		if err != nil {
			return nil, err
		}
		v, ok := r.t.mappings[scalar(l[0])][scalar(l[1])][scalar(l[2])]
		if !ok {
			return nil, invalidTemplate("Template error: Unable to get mapping for %s::%s::%s", scalar(l[0]), scalar(l[1]), scalar(l[2]))
		}
		return v, nil
	case "Fn::Base64":
		v, err := r.value(arg)
		if err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case unknown:
			return v, nil
		case string:
			return base64.StdEncoding.EncodeToString([]byte(v)), nil
		}
		return nil, invalidTemplate("Template error: every Fn::Base64 object must have a String value.")
	}
	return nil, invalidTemplate("this stand-in does not support the function %s", name)
}

// plain resolves what stands in a value that is no function itself. Members without a value go.
func (r *resolver) plain(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			y, err := r.value(x)
			if err != nil {
				return nil, err
			}
			if _, none := y.(noValue); !none {
				out[k] = y
			}
		}
		return out, nil
	case []any:
		out := []any{}
		for _, x := range v {
			y, err := r.value(x)
			if err != nil {
				return nil, err
			}
			if _, none := y.(noValue); !none {
				out = append(out, y)
			}
		}
		return out, nil
	}
	return v, nil
}

func (r *resolver) sub(arg any) (any, error) {
	format, own, err := subParts(arg)
	if err != nil {
		return nil, err
	}
	var parts []any
	last := 0
	for _, m := range variable.FindAllStringSubmatchIndex(format, -1) {
		parts = append(parts, format[last:m[0]])
		last = m[1]
		name := strings.TrimSpace(format[m[2]:m[3]])
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			parts = append(parts, "${"+literal+"}")
			continue
		}
		var v any
		var err error
		resource, attribute, dotted := strings.Cut(name, ".")
		if x, ok := own[name]; ok {
			v, err = r.value(x)
		} else if dotted {
			v, err = r.attribute(resource, attribute)
		} else {
			v, err = r.ref(name)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, v)
	}
	return joined(append(parts, format[last:]), "")
}

// properties resolves a resource's.
func (r *resolver) properties(name string) (map[string]any, error) {
	res := r.t.resources[name]
	v, err := r.value(res.properties)
	if err != nil {
		return nil, err
	}
	out, ok := v.(map[string]any)
	if !ok {
		return nil, invalidTemplate("Properties of resource %s must be an object", name)
	}
	for p := range strings.FieldsSeq(schemas[res.kind].required) {
		if _, ok := out[p]; !ok {
			return nil, invalidTemplate("Property %s cannot be empty.", p)
		}
	}
	return out, nil
}

// stackOutput is one of a stack's outputs.
type stackOutput struct{ Key, Value, Description string }

// outputs are in the order of their names.
func (r *resolver) outputs() ([]stackOutput, error) {
	var out []stackOutput
	for _, name := range slices.Sorted(maps.Keys(r.t.outputs)) {
		o := r.t.outputs[name]
		if o.condition != "" && !r.conditions[o.condition] {
			continue
		}
		v, err := r.value(o.value)
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", name, err)
		}
		switch v.(type) {
		case string, bool, int64, float64:
		default:
			return nil, invalidTemplate("Template format error: Output %s is malformed. The Value field of every Outputs member must evaluate to a String.", name)
		}
		out = append(out, stackOutput{name, scalar(v), o.description})
	}
	return out, nil
}

// asJSON is for texts that show a value.
func asJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(raw)
}
