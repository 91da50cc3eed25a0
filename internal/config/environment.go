package config

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Variable is the environment variable that overrides a key of the file: NIGHTLATCH_SIGNIN_ALB_CLIENT_ID for
// signin.alb.client_id. Keys within endpoints and access have none.
func Variable(path string) string {
	return "NIGHTLATCH_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// override sets what variables say, over what the file says. Lists are separated by commas, and so are the pairs KEY=VALUE
// of what has keys of its own.
func (c *checker) override(f *file, variable func(string) string) {
	c.walk(reflect.ValueOf(f).Elem(), "", variable)
}

func (c *checker) walk(v reflect.Value, path string, variable func(string) string) (set bool) {
	for i := range v.NumField() {
		at := strings.TrimPrefix(path+"."+v.Type().Field(i).Tag.Get("yaml"), ".")
		field := v.Field(i)
		switch kind := field.Type(); {
		case kind == reflect.TypeFor[*accessRules]():
			// Who may do what is read in one place.
		case kind.Kind() == reflect.Struct:
			set = c.walk(field, at, variable) || set
		case kind.Kind() == reflect.Pointer && kind.Elem().Kind() == reflect.Struct:
			inner := reflect.New(kind.Elem())
			if !field.IsNil() {
				inner.Elem().Set(field.Elem())
			}
			if c.walk(inner.Elem(), at, variable) {
				field.Set(inner)
				set = true
			}
		default:
			set = c.assign(field, at, variable) || set
		}
	}
	return set
}

// assign reads a variable as YAML, so that it is understood as the file's own text would be.
func (c *checker) assign(field reflect.Value, path string, variable func(string) string) bool {
	name := Variable(path)
	text := variable(name)
	if text == "" {
		return false
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	switch kind := field.Type(); {
	case kind == reflect.TypeFor[[]string]():
		node = &yaml.Node{Kind: yaml.SequenceNode}
		for part := range strings.SplitSeq(text, ",") {
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.TrimSpace(part)})
		}
	case kind == reflect.TypeFor[map[string]string]():
		node = &yaml.Node{Kind: yaml.MappingNode}
		for part := range strings.SplitSeq(text, ",") {
			k, v, _ := strings.Cut(part, "=")
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.TrimSpace(k)}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.TrimSpace(v)})
		}
	case kind.Kind() == reflect.String:
		node.Tag = "!!str"
	case kind.Kind() == reflect.Slice:
		return false // endpoints
	}
	if err := node.Decode(field.Addr().Interface()); err != nil {
		c.faults = append(c.faults, fmt.Errorf("%s: %q is not what %s takes", name, text, path))
		return false
	}
	c.told[path] = true
	return true
}
