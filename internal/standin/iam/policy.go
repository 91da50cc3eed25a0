package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// policy is the statements of one document, or of several that count together.
type policy []statement

type statement struct {
	allow      bool
	principals principals // of a resource's policy
	actions    []string   // patterns
	not        bool       // the actions are those that are not meant
	resources  []string   // patterns; none in a trust policy: the role itself
	elsewhere  bool       // the resources are those that are not meant
	conditions []condition
}

type principals struct {
	everybody bool
	aws       []string // ARNs, or accounts
	services  []string
}

// kind is what a document is for, which decides what its statements must have and may not have.
type kind int

const (
	identityPolicy kind = iota
	trustPolicy
)

// version is that of the policy language. Without it, AWS reads a document by the rules of 2008, under which policy
// variables are text; nobody wants that.
const version = "2012-10-17"

var (
	actionForm = regexp.MustCompile(`^[a-z0-9-]+:[A-Za-z0-9*?]+$`)
	sidForm    = regexp.MustCompile(`^[A-Za-z0-9]*$`)
)

func parse(document string, k kind) (policy, error) {
	top, err := object([]byte(document))
	if err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	if err := only(top, "Version", "Id", "Statement"); err != nil {
		return nil, err
	}
	if v, err := text(top["Version"]); err != nil || v != version {
		return nil, fmt.Errorf("the Version must be %q", version)
	}
	raw := top["Statement"]
	if raw == nil {
		return nil, errors.New("the Statement is missing")
	}
	statements := []json.RawMessage{raw}
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &statements); err != nil {
			return nil, fmt.Errorf("the Statement: %w", err)
		}
	}
	if len(statements) == 0 {
		return nil, errors.New("the Statement is empty")
	}
	var out policy
	sids := map[string]bool{}
	for i, raw := range statements {
		s, sid, err := parseStatement(raw, k)
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		if sid != "" && sids[sid] {
			return nil, fmt.Errorf("statement %d: the Sid %s is used twice", i+1, sid)
		}
		sids[sid] = true
		out = append(out, s)
	}
	return out, nil
}

func parseStatement(raw json.RawMessage, k kind) (s statement, sid string, err error) {
	in, err := object(raw)
	if err != nil {
		return s, "", err
	}
	known := []string{"Sid", "Effect", "Action", "NotAction", "Condition"}
	if k == trustPolicy {
		known = append(known, "Principal")
	} else {
		known = append(known, "Resource", "NotResource")
	}
	if err := only(in, known...); err != nil {
		return s, "", err
	}
	if in["Sid"] != nil {
		if sid, err = text(in["Sid"]); err != nil || !sidForm.MatchString(sid) {
			return s, "", errors.New("a Sid must be letters and digits")
		}
	}
	switch effect, _ := text(in["Effect"]); effect {
	case "Allow":
		s.allow = true
	case "Deny":
	default:
		return s, "", errors.New("the Effect must be Allow or Deny")
	}
	if s.actions, s.not, err = either(in, "Action", "NotAction"); err != nil {
		return s, "", err
	}
	for _, a := range s.actions {
		if a != "*" && !actionForm.MatchString(a) {
			return s, "", fmt.Errorf("%q is not an action: want service:Name, in which * and ? may stand for letters of the name, or *", a)
		}
	}
	if k == identityPolicy {
		if s.resources, s.elsewhere, err = either(in, "Resource", "NotResource"); err != nil {
			return s, "", err
		}
		for _, r := range s.resources {
			if err := checkResource(r); err != nil {
				return s, "", err
			}
		}
	} else if s.principals, err = parsePrincipal(in["Principal"]); err != nil {
		return s, "", err
	}
	if in["Condition"] != nil {
		if s.conditions, err = parseConditions(in["Condition"]); err != nil {
			return s, "", err
		}
	}
	return s, sid, nil
}

// either reads the one of two elements that is there.
func either(in map[string]json.RawMessage, element, not string) ([]string, bool, error) {
	name := element
	switch {
	case in[element] != nil && in[not] != nil:
		return nil, false, fmt.Errorf("%s and %s exclude each other", element, not)
	case in[element] == nil && in[not] == nil:
		return nil, false, fmt.Errorf("%s is missing", element)
	case in[not] != nil:
		name = not
	}
	list, err := texts(in[name])
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	return list, name == not, nil
}

func checkResource(r string) error {
	if r == "*" {
		return nil
	}
	parts := strings.SplitN(r, ":", 6)
	switch {
	case len(parts) < 6 || parts[0] != "arn" || parts[1] == "" || parts[5] == "":
		return fmt.Errorf("%q is not an ARN, nor *", r)
	case parts[2] == "" || strings.ContainsAny(parts[2], "*?"):
		return fmt.Errorf("%q: an ARN names its service, without wildcards", r)
	}
	return variables(r)
}

// variables refuses ${…}, in which AWS would put something.
func variables(s string) error {
	if strings.Contains(s, "${") {
		return fmt.Errorf("%q: policy variables are not played", s)
	}
	return nil
}

func parsePrincipal(raw json.RawMessage) (p principals, err error) {
	if raw == nil {
		return p, errors.New("the Principal is missing")
	}
	if raw[0] == '"' {
		if all, err := text(raw); err != nil || all != "*" {
			return p, errors.New(`the Principal must be "*", or have AWS or Service`)
		}
		return principals{everybody: true}, nil
	}
	in, err := object(raw)
	if err != nil {
		return p, fmt.Errorf("the Principal: %w", err)
	}
	if err := only(in, "AWS", "Service"); err != nil {
		return p, fmt.Errorf("the Principal: %w", err)
	}
	if in["AWS"] != nil {
		if p.aws, err = texts(in["AWS"]); err != nil {
			return p, fmt.Errorf("the Principal.AWS: %w", err)
		}
	}
	for _, arn := range p.aws {
		root := strings.HasSuffix(arn, ":root") && accountForm.MatchString(field(arn, 4)) && field(arn, 2) == "iam"
		session := field(arn, 2) == "sts" && strings.HasPrefix(field(arn, 5), "assumed-role/") && strings.Count(arn, "/") == 2
		if arn != "*" && !accountForm.MatchString(arn) && !principalForm.MatchString(arn) && !root && !session {
			return p, fmt.Errorf("the Principal.AWS: %q is no account, user, role or role's session; there are no wildcards but * alone", arn)
		}
	}
	if in["Service"] != nil {
		if p.services, err = texts(in["Service"]); err != nil {
			return p, fmt.Errorf("the Principal.Service: %w", err)
		}
	}
	for _, s := range p.services {
		if !serviceForm.MatchString(s) {
			return p, fmt.Errorf("the Principal.Service: %q is not the name of a service, like scheduler.amazonaws.com", s)
		}
	}
	if len(p.aws)+len(p.services) == 0 {
		return p, errors.New("the Principal is empty")
	}
	return p, nil
}

// object reads a JSON object, each of whose names stands in it once.
func object(raw []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("want a JSON object")
	}
	out := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		n, _ := name.(string) // in an object, names are strings
		if _, twice := out[n]; twice {
			return nil, fmt.Errorf("%s stands there twice", n)
		}
		out[n] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	return out, nil
}

func only(in map[string]json.RawMessage, known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%s is not played here, or is not an element in this place", name)
		}
	}
	return nil
}

func text(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", errors.New("want a string")
	}
	var s string
	return s, json.Unmarshal(raw, &s)
}

// texts reads one string, or several in a list.
func texts(raw json.RawMessage) ([]string, error) {
	if len(raw) > 0 && raw[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, errors.New("the list is empty")
		}
		var out []string
		for _, one := range list {
			s, err := text(one)
			if err != nil {
				return nil, err
			}
			out = append(out, s)
		}
		return out, nil
	}
	s, err := text(raw)
	return []string{s}, err
}
