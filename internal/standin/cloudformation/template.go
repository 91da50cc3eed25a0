package cloudformation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The quotas of a template ("Understand CloudFormation quotas", User Guide); sizes in bytes.
const (
	maxInline     = 51_200    // of a template in a request
	maxTemplate   = 1_000_000 // of one at a URL: "1 MB", read as the smaller megabyte
	maxResources  = 500
	maxParameters = 200
	maxOutputs    = 200
	maxMappings   = 200
	maxParameter  = 4_096 // of a parameter's value
)

// Template is a template that has been read and checked, without parameters.
type Template struct {
	description string
	metadata    any
	parameters  map[string]*parameter
	mappings    map[string]map[string]map[string]any
	conditions  map[string]any
	resources   map[string]*resource
	outputs     map[string]*output
	order       []string // of resources: each after those that it needs, and otherwise as they are written
}

type parameter struct {
	kind, fallback       string
	hasDefault, noEcho   bool
	allowed              []string
	pattern              *regexp.Regexp
	constraint           string
	minLength, maxLength *int
	minValue, maxValue   *float64
}

type resource struct {
	kind, condition               string
	deletionPolicy, replacePolicy string
	properties                    map[string]any
	metadata                      any
	dependsOn, needs              []string // needs: all that it refers to, dependsOn included
}

type output struct {
	value                  any
	description, condition string
}

// invalidTemplate is a template that AWS would refuse, with its words where they are known.
func invalidTemplate(format string, args ...any) error { return fmt.Errorf(format, args...) }

// Parse reads a template in YAML or JSON and refuses what CloudFormation refuses and what this stand-in does not know:
// transforms, rules, exports and imports, macros, nested stacks and other types than those in its table of schemas. It is
// stricter than AWS where a YAML 1.1 reader and a YAML 1.2 reader see different values: those have to be quoted. An error
// is one fault, the first found.
func Parse(raw []byte) (*Template, error) {
	if len(raw) > maxTemplate {
		return nil, invalidTemplate("Template may not exceed %d bytes in size.", maxTemplate)
	}
	if first := bytes.TrimSpace(raw); len(first) > 0 && first[0] == '{' && !json.Valid(raw) {
		return nil, invalidTemplate("Template format error: JSON not well-formed.")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, invalidTemplate("Template format error: YAML not well-formed. (%s)", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, invalidTemplate("Template format error: unsupported structure.")
	}
	// The order in which resources are written is read before maps lose it.
	var written []string
	top := doc.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value == "Resources" && top.Content[i+1].Kind == yaml.MappingNode {
			for j := 0; j < len(top.Content[i+1].Content); j += 2 {
				written = append(written, top.Content[i+1].Content[j].Value)
			}
		}
	}
	v, err := value(top, "")
	if err != nil {
		return nil, err
	}
	return build(v.(map[string]any), written)
}

// tags are YAML's short forms of functions.
var tags = map[string]string{"!Ref": "Ref", "!Condition": "Condition", "!GetAtt": "Fn::GetAtt", "!Sub": "Fn::Sub", "!Join": "Fn::Join",
	"!If": "Fn::If", "!Equals": "Fn::Equals", "!Not": "Fn::Not", "!And": "Fn::And", "!Or": "Fn::Or", "!Select": "Fn::Select", "!Split": "Fn::Split",
	"!FindInMap": "Fn::FindInMap", "!Base64": "Fn::Base64", "!ImportValue": "Fn::ImportValue"}

var (
	oldBool   = regexp.MustCompile(`^(?i:y|yes|n|no|on|off)$`)
	oldNumber = regexp.MustCompile(`^[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+)(\.[0-9_]*)?$|^[-+]?[0-9]+_[0-9_]*$`)
	number    = regexp.MustCompile(`^[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
)

// value turns a YAML node into map[string]any, []any, string, bool, int64 or float64. A function becomes a map of its long
// form with that one key.
func value(n *yaml.Node, path string) (any, error) {
	at := func(format string, args ...any) error {
		return invalidTemplate("Template format error: [%s] line %d: %s", cmp.Or(path, "/"), n.Line, fmt.Sprintf(format, args...))
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return nil, invalidTemplate("Template error: YAML aliases are not allowed in CloudFormation templates")
	}
	custom := strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!")
	if custom {
		name, ok := tags[n.Tag]
		if !ok {
			return nil, at("unknown tag %s", n.Tag)
		}
		plain := *n
		plain.Tag = ""
		var inner any
		if n.Kind == yaml.ScalarNode {
			inner = n.Value
			if name == "Fn::GetAtt" {
				resource, attribute, _ := strings.Cut(n.Value, ".")
				inner = []any{resource, attribute}
			}
		} else {
			var err error
			if inner, err = value(&plain, path); err != nil {
				return nil, err
			}
		}
		return map[string]any{name: inner}, nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" || k.Anchor != "" {
				return nil, at("a key must be a plain text")
			}
			if _, twice := out[k.Value]; twice {
				return nil, at("duplicate key %q", k.Value)
			}
			v, err := value(n.Content[i+1], path+"/"+k.Value)
			if err != nil {
				return nil, err
			}
			out[k.Value] = v
		}
		return out, nil
	case yaml.SequenceNode:
		out := []any{}
		for i, c := range n.Content {
			v, err := value(c, path+"/"+strconv.Itoa(i))
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
	plain := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	if plain && (oldBool.MatchString(n.Value) || oldNumber.MatchString(n.Value)) {
		return nil, at("%s is no text in YAML 1.1, which CloudFormation reads: put it in quotation marks", n.Value)
	}
	switch n.ShortTag() {
	case "!!str", "!!timestamp": // a date without quotation marks is a text to CloudFormation
		return n.Value, nil
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err
	case "!!null":
		return nil, invalidTemplate("[%s] 'null' values are not allowed in templates", path)
	case "!!int", "!!float":
		if !number.MatchString(n.Value) {
			return nil, at("the number %s is written in a way that not every reader knows", n.Value)
		}
		if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			return i, nil
		}
		f, err := strconv.ParseFloat(n.Value, 64)
		return f, err
	}
	return nil, at("unknown tag %s", n.Tag)
}

var alphanumeric = regexp.MustCompile(`^[a-zA-Z0-9]+$`)

// object reads a section or member that must be a map.
func object(v any, path string) (map[string]any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalidTemplate("Template format error: [%s] must be an object", path)
	}
	return m, nil
}

func text(v any, what string) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", invalidTemplate("Template format error: Every %s member must be a string.", what)
	}
	return s, nil
}

func build(top map[string]any, written []string) (*Template, error) {
	t := &Template{parameters: map[string]*parameter{}, mappings: map[string]map[string]map[string]any{}, conditions: map[string]any{},
		resources: map[string]*resource{}, outputs: map[string]*output{}}
	var unknown []string
	for name := range top {
		switch name {
		case "AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Conditions", "Resources", "Outputs":
		case "Transform", "Rules", "Hooks":
			return nil, invalidTemplate("this stand-in does not support the section %s", name)
		default:
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, invalidTemplate("Invalid template property or properties [%s]", strings.Join(unknown, ", "))
	}
	if v, ok := top["AWSTemplateFormatVersion"]; ok && v != "2010-09-09" {
		return nil, invalidTemplate("Template format error: Template format version %v is not supported", v)
	}
	if v, ok := top["Description"]; ok {
		s, ok := v.(string)
		if !ok || len(s) > 1024 {
			return nil, invalidTemplate("Template format error: Description must be a string of at most 1024 bytes")
		}
		t.description = s
	}
	t.metadata = top["Metadata"]
	for _, section := range []struct {
		name string
		most int
		read func(name string, v any) error
	}{{"Parameters", maxParameters, t.readParameter}, {"Mappings", maxMappings, t.readMapping}, {"Conditions", 0, t.readCondition},
		{"Resources", maxResources, t.readResource}, {"Outputs", maxOutputs, t.readOutput}} {
		v, ok := top[section.name]
		if !ok {
			continue
		}
		members, err := object(v, "/"+section.name)
		if err != nil {
			return nil, err
		}
		if section.most > 0 && len(members) > section.most {
			return nil, invalidTemplate("Template format error: Number of %s, %d, is greater than maximum allowed, %d", strings.ToLower(section.name), len(members), section.most)
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if !alphanumeric.MatchString(name) && section.name != "Mappings" {
				return nil, invalidTemplate("Template format error: %s name %s is non alphanumeric.", strings.TrimSuffix(section.name, "s"), name)
			}
			if err := section.read(name, members[name]); err != nil {
				return nil, err
			}
		}
	}
	if len(t.resources) == 0 {
		return nil, invalidTemplate("Template format error: At least one Resources member must be defined.")
	}
	for name := range t.resources {
		if t.parameters[name] != nil {
			return nil, invalidTemplate("Template format error: %s is the name of a parameter and of a resource", name)
		}
	}
	return t, t.check(written)
}

// parameterTypes are those of AWS's resources that have values of their own ("Supplied parameter types", User Guide).
var parameterTypes = []string{"AWS::EC2::AvailabilityZone::Name", "AWS::EC2::Image::Id", "AWS::EC2::Instance::Id", "AWS::EC2::KeyPair::KeyName",
	"AWS::EC2::SecurityGroup::GroupName", "AWS::EC2::SecurityGroup::Id", "AWS::EC2::Subnet::Id", "AWS::EC2::Volume::Id", "AWS::EC2::VPC::Id", "AWS::Route53::HostedZone::Id"}

func (p *parameter) list() bool {
	return p.kind == "CommaDelimitedList" || strings.HasPrefix(p.kind, "List<")
}

// supplied reports whether AWS looks the value up.
func (p *parameter) supplied() bool {
	return slices.Contains(parameterTypes, strings.TrimSuffix(strings.TrimPrefix(p.kind, "List<"), ">"))
}

func (t *Template) readParameter(name string, v any) error {
	m, err := object(v, "/Parameters/"+name)
	if err != nil {
		return err
	}
	p := &parameter{}
	whole := func(v any) (*int, error) {
		n, err := strconv.Atoi(scalar(v))
		if err != nil || n < 0 {
			return nil, invalidTemplate("Template format error: [/Parameters/%s] lengths are whole numbers", name)
		}
		return &n, nil
	}
	float := func(v any) (*float64, error) {
		f, err := strconv.ParseFloat(scalar(v), 64)
		if err != nil {
			return nil, invalidTemplate("Template format error: [/Parameters/%s] MinValue and MaxValue are numbers", name)
		}
		return &f, nil
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		var err error
		switch v := m[key]; key {
		case "Type":
			p.kind, err = text(v, "Parameters "+name+" Type")
		case "Default":
			if _, bad := v.(map[string]any); bad {
				err = invalidTemplate("Template format error: Every Default member must be a string.")
			} else if _, bad := v.([]any); bad {
				err = invalidTemplate("Template format error: Every Default member must be a string.")
			}
			p.fallback, p.hasDefault = scalar(v), true
		case "AllowedValues":
			list, ok := v.([]any)
			if !ok || len(list) == 0 {
				return invalidTemplate("Template format error: [/Parameters/%s] AllowedValues must be a list", name)
			}
			for _, x := range list {
				p.allowed = append(p.allowed, scalar(x))
			}
		case "AllowedPattern":
			var s string
			if s, err = text(v, "AllowedPattern"); err == nil {
				// Java's patterns and Go's agree in what a template needs; what only Java knows is refused here.
				if p.pattern, err = regexp.Compile(`^(?:` + s + `)$`); err != nil {
					err = invalidTemplate("Template format error: [/Parameters/%s] the stand-in does not understand the pattern %s", name, s)
				}
			}
		case "ConstraintDescription":
			p.constraint, err = text(v, key)
		case "Description":
			_, err = text(v, key)
		case "NoEcho":
			p.noEcho = scalar(v) == "true"
		case "MinLength":
			p.minLength, err = whole(v)
		case "MaxLength":
			p.maxLength, err = whole(v)
		case "MinValue":
			p.minValue, err = float(v)
		case "MaxValue":
			p.maxValue, err = float(v)
		default:
			err = invalidTemplate("Invalid template parameter property '%s'", key)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case p.kind == "":
		return invalidTemplate("Template format error: Every Parameters object must contain a Type member.")
	case p.kind != "String" && p.kind != "Number" && p.kind != "CommaDelimitedList" && p.kind != "List<Number>" && !p.supplied():
		return invalidTemplate("Template format error: Unrecognized parameter type: %s", p.kind)
	}
	if p.hasDefault && p.fallback != "" { // an empty default of a type that AWS looks up fails when it is used
		if why := p.refuses(name, p.fallback); why != "" {
			return invalidTemplate("Template format error: [/Parameters/%s/Default] %s", name, why)
		}
	}
	t.parameters[name] = p
	return nil
}

func (t *Template) readMapping(name string, v any) error {
	m, err := object(v, "/Mappings/"+name)
	if err != nil {
		return err
	}
	t.mappings[name] = map[string]map[string]any{}
	for key, v := range m {
		second, err := object(v, "/Mappings/"+name+"/"+key)
		if err != nil {
			return err
		}
		for k, v := range second {
			if _, bad := v.(map[string]any); bad {
				return invalidTemplate("Template format error: Every Mappings attribute must be a String or a List. [/Mappings/%s/%s/%s]", name, key, k)
			}
		}
		t.mappings[name][key] = second
	}
	return nil
}

func (t *Template) readCondition(name string, v any) error {
	t.conditions[name] = v
	return nil
}

func (t *Template) readResource(name string, v any) error {
	m, err := object(v, "/Resources/"+name)
	if err != nil {
		return err
	}
	r := &resource{properties: map[string]any{}}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		var err error
		switch v := m[key]; key {
		case "Type":
			r.kind, err = text(v, "Resources "+name+" Type")
		case "Properties":
			r.properties, err = object(v, "/Resources/"+name+"/Properties")
		case "Metadata":
			r.metadata = v
		case "Condition":
			r.condition, err = text(v, "Condition")
		case "DeletionPolicy", "UpdateReplacePolicy":
			var s string
			if s, err = text(v, key); err == nil && s != "Delete" && s != "Retain" && (s != "RetainExceptOnCreate" || key != "DeletionPolicy") {
				err = invalidTemplate("Template error: Unrecognized %s %s for resource %s", key, s, name) // Snapshot is for types that are not known here
			}
			if key == "DeletionPolicy" {
				r.deletionPolicy = s
			} else {
				r.replacePolicy = s
			}
		case "DependsOn":
			list, ok := v.([]any)
			if !ok {
				list = []any{v}
			}
			for _, x := range list {
				s, err := text(x, "DependsOn")
				if err != nil {
					return err
				}
				r.dependsOn = append(r.dependsOn, s)
			}
		case "CreationPolicy", "UpdatePolicy":
			err = invalidTemplate("this stand-in does not support %s, at resource %s", key, name)
		default:
			err = invalidTemplate("Invalid template resource property '%s'", key)
		}
		if err != nil {
			return err
		}
	}
	if r.kind == "" {
		return invalidTemplate("Template format error: [/Resources/%s] Every Resources object must contain a Type member.", name)
	}
	known, ok := schemas[r.kind]
	if !ok {
		return invalidTemplate("Template format error: Unrecognized resource types: [%s]", r.kind)
	}
	// AWS says so later: of the change set, or when the resource's turn has come.
	for _, p := range slices.Sorted(maps.Keys(r.properties)) {
		if !slices.Contains(strings.Fields(known.properties), p) {
			return invalidTemplate("Properties validation failed for resource %s: Encountered unsupported property %s", name, p)
		}
	}
	for p := range strings.FieldsSeq(known.required) {
		if _, ok := r.properties[p]; !ok {
			return invalidTemplate("Properties validation failed for resource %s: Property %s cannot be empty.", name, p)
		}
	}
	t.resources[name] = r
	return nil
}

func (t *Template) readOutput(name string, v any) error {
	m, err := object(v, "/Outputs/"+name)
	if err != nil {
		return err
	}
	o := &output{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		var err error
		switch v := m[key]; key {
		case "Value":
			o.value = v
		case "Description":
			o.description, err = text(v, key)
		case "Condition":
			o.condition, err = text(v, key)
		case "Export":
			err = invalidTemplate("this stand-in does not support Export, at output %s", name)
		default:
			err = invalidTemplate("Invalid template output property '%s'", key)
		}
		if err != nil {
			return err
		}
	}
	if o.value == nil {
		return invalidTemplate("Template format error: Every Outputs member must contain a Value object")
	}
	t.outputs[name] = o
	return nil
}

// pseudo are the parameters that every template has.
var pseudo = []string{"AWS::AccountId", "AWS::NoValue", "AWS::Partition", "AWS::Region", "AWS::StackId", "AWS::StackName", "AWS::URLSuffix"}

// function is the one key of a map that is a function's call. A map with such a key and another is a mistake.
func function(v any) (name string, arg any, err error) {
	m, ok := v.(map[string]any)
	if !ok {
		return "", nil, nil
	}
	for k := range m {
		if k == "Ref" || strings.HasPrefix(k, "Fn::") {
			if len(m) != 1 {
				return "", nil, invalidTemplate("Template format error: the object of the function %s must have no other key", k)
			}
			return k, m[k], nil
		}
	}
	return "", nil, nil
}

// walker goes through values and collects what they refer to. It knows what each function takes.
type walker struct {
	t          *Template
	conditions bool // inside Conditions, where resources are unknown
	needs      []string
	params     []string
	unresolved []string
}

func (w *walker) ref(name string) {
	switch {
	case slices.Contains(pseudo, name):
	case w.t.parameters[name] != nil:
		w.params = append(w.params, name)
	case w.t.resources[name] != nil && !w.conditions:
		w.needs = append(w.needs, name)
	default:
		w.unresolved = append(w.unresolved, name)
	}
}

func (w *walker) attribute(resource, name string) error {
	r := w.t.resources[resource]
	if r == nil || w.conditions {
		return invalidTemplate("Template error: instance of Fn::GetAtt references undefined resource %s", resource)
	}
	if !slices.Contains(strings.Fields(schemas[r.kind].attributes), name) {
		return invalidTemplate("Template error: resource %s does not support attribute type %s in Fn::GetAtt", resource, name)
	}
	w.needs = append(w.needs, resource)
	return nil
}

func (w *walker) condition(name any) error {
	s, ok := name.(string)
	if _, known := w.t.conditions[s]; !ok || !known {
		return invalidTemplate("Template error: unresolved condition dependency %v", name)
	}
	return nil
}

func (w *walker) list(fn string, arg any, least, most int) ([]any, error) {
	l, ok := arg.([]any)
	if !ok || len(l) < least || len(l) > most {
		return nil, invalidTemplate("Template error: every %s object requires a list of %d to %d members", fn, least, most)
	}
	return l, nil
}

func (w *walker) walk(v any) error {
	name, arg, err := function(v)
	if err != nil {
		return err
	}
	switch name {
	case "":
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				if err := w.walk(v[k]); err != nil {
					return err
				}
			}
		case []any:
			for _, x := range v {
				if err := w.walk(x); err != nil {
					return err
				}
			}
		}
		return nil
	case "Ref":
		s, ok := arg.(string)
		if !ok {
			return invalidTemplate("Template error: every Ref object must have a single String value.")
		}
		w.ref(s)
		return nil
	case "Fn::GetAtt":
		if s, ok := arg.(string); ok { // YAML's long form may be one text
			r, a, _ := strings.Cut(s, ".")
			arg = []any{r, a}
		}
		l, ok := arg.([]any)
		if !ok || len(l) != 2 {
			return invalidTemplate("Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute")
		}
		r, ok1 := l[0].(string)
		a, ok2 := l[1].(string)
		if !ok1 || !ok2 || r == "" || a == "" {
			return invalidTemplate("Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute")
		}
		return w.attribute(r, a)
	case "Fn::Sub":
		format, own, err := subParts(arg)
		if err != nil {
			return err
		}
		for _, k := range slices.Sorted(maps.Keys(own)) {
			if err := w.walk(own[k]); err != nil {
				return err
			}
		}
		return eachVariable(format, func(name string) error {
			if _, ok := own[name]; ok {
				return nil
			}
			if slices.Contains(pseudo, name) && name != "AWS::NoValue" {
				return nil
			}
			if r, a, ok := strings.Cut(name, "."); ok {
				return w.attribute(r, a)
			}
			w.ref(name)
			return nil
		})
	case "Fn::If":
		l, err := w.list(name, arg, 3, 3)
		if err != nil {
			return err
		}
		if err := w.condition(l[0]); err != nil {
			return err
		}
		return w.walk(l[1:])
	case "Fn::Join":
		l, err := w.list(name, arg, 2, 2)
		if err != nil {
			return err
		}
		if _, ok := l[0].(string); !ok {
			return invalidTemplate("Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined.")
		}
		if err := mustBeList(name, l[1]); err != nil {
			return err
		}
		return w.walk(l[1])
	case "Fn::Select":
		l, err := w.list(name, arg, 2, 2)
		if err != nil {
			return err
		}
		if err := mustBeList(name, l[1]); err != nil {
			return err
		}
		return w.walk(l)
	case "Fn::Split":
		l, err := w.list(name, arg, 2, 2)
		if err != nil {
			return err
		}
		if s, ok := l[0].(string); !ok || s == "" {
			return invalidTemplate("Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string to be split or a function that returns a string to be split.")
		}
		return w.walk(l[1])
	case "Fn::FindInMap":
		l, err := w.list(name, arg, 3, 3)
		if err != nil {
			return err
		}
		if s, ok := l[0].(string); ok && w.t.mappings[s] == nil {
			return invalidTemplate("Template error: Mapping named '%s' is not present in the 'Mappings' section of template.", s)
		}
		return w.walk(l)
	case "Fn::Base64":
		return w.walk(arg)
	case "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or":
		return invalidTemplate("Template error: %s is for the Conditions block of the template", name)
	}
	return invalidTemplate("this stand-in does not support the function %s", name)
}

func mustBeList(fn string, v any) error {
	name, _, err := function(v)
	if _, ok := v.([]any); ok || err != nil || slices.Contains([]string{"Ref", "Fn::Split", "Fn::If", "Fn::FindInMap", "Fn::GetAtt"}, name) {
		return err
	}
	return invalidTemplate("Template error: every %s object requires a list of strings or a function that returns one", fn)
}

// test goes through a condition.
func (w *walker) test(v any) error {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return invalidTemplate("Template format error: Every Conditions member must be a condition function.")
	}
	for name, arg := range m {
		switch name {
		case "Condition":
			return w.condition(arg)
		case "Fn::Equals":
			l, err := w.list(name, arg, 2, 2)
			if err != nil {
				return err
			}
			return w.walk(l)
		case "Fn::Not", "Fn::And", "Fn::Or":
			least, most := 2, 10
			if name == "Fn::Not" {
				least, most = 1, 1
			}
			l, err := w.list(name, arg, least, most)
			if err != nil {
				return err
			}
			for _, x := range l {
				if err := w.test(x); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return invalidTemplate("Template format error: Every Conditions member must be a condition function.")
}

// subParts splits the argument of Fn::Sub.
func subParts(arg any) (format string, own map[string]any, err error) {
	switch a := arg.(type) {
	case string:
		return a, nil, nil
	case []any:
		if len(a) == 2 {
			f, ok1 := a[0].(string)
			m, ok2 := a[1].(map[string]any)
			if ok1 && ok2 {
				return f, m, nil
			}
		}
	}
	return "", nil, invalidTemplate("Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as first argument, and an optional second argument to specify a mapping of values to replace in the string")
}

var variable = regexp.MustCompile(`\$\{([^}]*)\}`)
var variableName = regexp.MustCompile(`^\s*([a-zA-Z0-9:.]+)\s*$`)

func eachVariable(format string, do func(name string) error) error {
	for _, m := range variable.FindAllStringSubmatch(format, -1) {
		if strings.HasPrefix(m[1], "!") {
			continue
		}
		n := variableName.FindStringSubmatch(m[1])
		if n == nil {
			return invalidTemplate("Template error: variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, and colons")
		}
		if err := do(n[1]); err != nil {
			return err
		}
	}
	return nil
}

// check resolves every reference as far as it goes without parameters, and finds the order of resources.
func (t *Template) check(written []string) error {
	for _, name := range slices.Sorted(maps.Keys(t.conditions)) {
		w := &walker{t: t, conditions: true}
		if err := w.test(t.conditions[name]); err != nil {
			return err
		}
		if len(w.unresolved) > 0 {
			return invalidTemplate("Template format error: Unresolved dependencies [%s]. Cannot reference resources in the Conditions block of the template", distinct(w.unresolved))
		}
	}
	if err := t.conditionCycles(); err != nil {
		return err
	}
	var unresolved []string
	for _, name := range written {
		r := t.resources[name]
		w := &walker{t: t}
		if err := errors.Join(w.walk(r.properties), w.walk(r.metadata)); err != nil {
			return err
		}
		unresolved = append(unresolved, w.unresolved...)
		for _, d := range r.dependsOn {
			if t.resources[d] == nil {
				unresolved = append(unresolved, d)
			}
		}
		r.needs = slices.Concat(w.needs, r.dependsOn)
		slices.Sort(r.needs)
		r.needs = slices.Compact(r.needs)
		if r.condition != "" {
			if err := w.condition(r.condition); err != nil {
				return err
			}
		}
	}
	if len(unresolved) > 0 {
		return invalidTemplate("Template format error: Unresolved resource dependencies [%s] in the Resources block of the template", distinct(unresolved))
	}
	for _, name := range slices.Sorted(maps.Keys(t.outputs)) {
		o, w := t.outputs[name], &walker{t: t}
		if err := w.walk(o.value); err != nil {
			return err
		}
		if len(w.unresolved) > 0 {
			return invalidTemplate("Template format error: Unresolved resource dependencies [%s] in the Outputs block of the template", distinct(w.unresolved))
		}
		if o.condition != "" {
			if err := w.condition(o.condition); err != nil {
				return err
			}
		}
	}
	if c := t.cycle(); len(c) > 0 {
		return invalidTemplate("Circular dependency between resources: [%s]", strings.Join(c, ", "))
	}
	done := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if done[name] {
			return
		}
		done[name] = true
		for _, n := range t.resources[name].needs {
			visit(n)
		}
		t.order = append(t.order, name)
	}
	for _, name := range written {
		visit(name)
	}
	return nil
}

func distinct(names []string) string {
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// cycle is every resource from which one can get back to it.
func (t *Template) cycle() []string {
	reach := func(from string) map[string]bool {
		seen := map[string]bool{}
		var follow func(string)
		follow = func(n string) {
			for _, next := range t.resources[n].needs {
				if !seen[next] {
					seen[next] = true
					follow(next)
				}
			}
		}
		follow(from)
		return seen
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(t.resources)) {
		if reach(name)[name] {
			out = append(out, name)
		}
	}
	return out
}

func (t *Template) conditionCycles() error {
	state := map[string]int{} // 1 on the way, 2 done
	var visit func(name string) error
	var inside func(v any) error
	inside = func(v any) error {
		switch v := v.(type) {
		case map[string]any:
			if c, ok := v["Condition"].(string); ok && len(v) == 1 {
				return visit(c)
			}
			for _, x := range v {
				if err := inside(x); err != nil {
					return err
				}
			}
		case []any:
			for _, x := range v {
				if err := inside(x); err != nil {
					return err
				}
			}
		}
		return nil
	}
	visit = func(name string) error {
		switch state[name] {
		case 1:
			return invalidTemplate("Template format error: Circular dependency in the Conditions block of the template: [%s]", name)
		case 2:
			return nil
		}
		state[name] = 1
		err := inside(t.conditions[name])
		state[name] = 2
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(t.conditions)) {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}

// capabilities that a caller has to acknowledge ("Acknowledging IAM resources in CloudFormation templates").
func (t *Template) capability() string {
	needed := ""
	for _, r := range t.resources {
		if strings.HasPrefix(r.kind, "AWS::IAM::") {
			needed = cmp.Or(needed, "CAPABILITY_IAM")
			if _, named := r.properties["RoleName"]; named {
				needed = "CAPABILITY_NAMED_IAM"
			}
		}
	}
	return needed
}
