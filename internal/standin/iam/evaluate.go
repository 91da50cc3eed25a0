package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// request is a Request ready to be compared: the action and the context's names in lower case.
type request struct {
	action, resource string
	context          map[string]string
}

// decision is what a policy says. Of a resource's policy, direct is an allow that names the caller, and delegated one that
// lets the caller's account say who.
type decision struct{ denied, allowed, direct, delegated bool }

// decide goes through the statements. Who is nil for policies without principals.
func (p policy) decide(r request, who *caller) (d decision) {
	for _, s := range p {
		if !s.applies(r) {
			continue
		}
		var direct, delegated bool
		if who != nil {
			direct, delegated = s.principals.include(*who)
			if !direct && !delegated {
				continue
			}
		}
		if !s.allow {
			return decision{denied: true}
		}
		d.allowed = true
		d.direct, d.delegated = d.direct || direct, d.delegated || delegated
	}
	return d
}

func (s statement) applies(r request) bool {
	// Actions compare in any case ("IAM JSON policy elements: Action").
	if slices.ContainsFunc(s.actions, func(p string) bool { return glob(strings.ToLower(p), r.action) }) == s.not {
		return false
	}
	if len(s.resources) > 0 && slices.ContainsFunc(s.resources, func(p string) bool { return matchResource(p, r.resource) }) == s.elsewhere {
		return false
	}
	return !slices.ContainsFunc(s.conditions, func(c condition) bool { return !c.holds(r.context) })
}

// include says whether the caller is among the principals: by name, or by the account ("AWS JSON policy elements:
// Principal").
func (p principals) include(who caller) (direct, delegated bool) {
	if who.service != "" {
		return p.everybody || slices.Contains(p.services, who.service), false
	}
	if p.everybody {
		return true, false
	}
	for _, arn := range p.aws {
		switch {
		case arn == "*", arn == who.arn, who.session != "" && arn == who.reported():
			direct = true
		case arn == who.account, field(arn, 5) == "root" && field(arn, 4) == who.account:
			delegated = true
		}
	}
	return direct, delegated
}

// matchResource compares an ARN with a pattern, part by part: a wildcard does not reach beyond a colon, but for those in
// the last part.
func matchResource(pattern, resource string) bool {
	if pattern == "*" {
		return true
	}
	return matchARN(pattern, resource)
}

func matchARN(pattern, arn string) bool {
	p, a := strings.SplitN(pattern, ":", 6), strings.SplitN(arn, ":", 6)
	if len(p) != 6 || len(a) != 6 {
		return false
	}
	for i := range p {
		if !glob(p[i], a[i]) {
			return false
		}
	}
	return true
}

// glob matches * with any number of characters and ? with one.
func glob(pattern, s string) bool {
	star, mark := -1, 0 // where the last * stands, and up to where it reaches in s
	p := 0
	for i := 0; i < len(s); {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0: // it takes one more
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// condition is one key of a Condition with one operator. Its values are alternatives.
type condition struct {
	operator string
	ifExists bool
	key      string // in lower case
	values   []string
}

// operators compare a value of the request with one of the policy's.
var operators = map[string]func(policy, request string) bool{
	"StringEquals":    func(p, r string) bool { return p == r },
	"StringNotEquals": func(p, r string) bool { return p == r }, // and then the other way round
	"StringLike":      glob,
	"ArnEquals":       matchARN, // which takes wildcards as well ("ArnEquals and ArnLike behave identically")
	"ArnLike":         matchARN,
	"Bool":            strings.EqualFold,
}

// keys are the condition keys that the stand-ins provide, in lower case; a / at the end stands for any tag's key. A
// condition on another key could never hold, or always, and a policy with it would mean something else than at AWS.
var keys = []string{
	"aws:principalaccount", "aws:principalarn", "aws:requestedregion", "aws:resourceaccount", "aws:resourcetag/", "aws:securetransport",
	"aws:sourceaccount", "aws:sourcearn",
	"ec2:availabilityzone", "ec2:availabilityzoneid", "ec2:region", "ec2:resourcetag/", "ec2:samlproviderarn", "ec2:securitygroupid",
	"ec2:servercertificatearn", "ec2:subnetid", "ec2:vpc", "ec2:vpcid",
	"iam:passedtoservice",
	"sts:externalid", "sts:rolesessionname",
}

func knownKey(key string) bool {
	return slices.ContainsFunc(keys, func(k string) bool {
		tag, ok := strings.CutPrefix(key, k)
		return key == k && !strings.HasSuffix(k, "/") || strings.HasSuffix(k, "/") && ok && tag != ""
	})
}

func parseConditions(raw json.RawMessage) ([]condition, error) {
	all, err := object(raw)
	if err != nil {
		return nil, fmt.Errorf("in Condition: %w", err)
	}
	var out []condition
	for _, name := range slices.Sorted(maps.Keys(all)) {
		operator, ifExists := strings.CutSuffix(name, "IfExists")
		if operators[operator] == nil {
			return nil, fmt.Errorf("in Condition: the operator %s is not played", name)
		}
		each, err := object(all[name])
		if err != nil || len(each) == 0 {
			return nil, errors.Join(fmt.Errorf("in Condition: %s wants keys with values", name), err)
		}
		for _, key := range slices.Sorted(maps.Keys(each)) {
			if !knownKey(strings.ToLower(key)) {
				return nil, fmt.Errorf("in Condition: the key %s is not provided by any stand-in", key)
			}
			value := each[key]
			if operator == "Bool" && (string(value) == "true" || string(value) == "false") { // IAM takes them without quotes too
				value = json.RawMessage(`"` + string(value) + `"`)
			}
			values, err := texts(value)
			if err != nil {
				return nil, fmt.Errorf("in Condition: %s, %s: %w", name, key, err)
			}
			for _, v := range values {
				bad := variables(v)
				if operator == "Bool" && !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
					bad = errors.New("want true or false")
				}
				if strings.HasPrefix(operator, "Arn") && len(strings.SplitN(v, ":", 6)) != 6 {
					bad = fmt.Errorf("%q is not an ARN", v)
				}
				if bad != nil {
					return nil, fmt.Errorf("in Condition: %s, %s: %w", name, key, bad)
				}
			}
			out = append(out, condition{operator, ifExists, strings.ToLower(key), values})
		}
	}
	return out, nil
}

// holds says whether the condition is met. A key that the request does not have meets none but negated ones and those
// with IfExists ("Condition operators").
func (c condition) holds(context map[string]string) bool {
	negated := strings.Contains(c.operator, "Not")
	value, there := context[c.key]
	if !there {
		return negated || c.ifExists
	}
	return slices.ContainsFunc(c.values, func(v string) bool { return operators[c.operator](v, value) }) != negated
}
