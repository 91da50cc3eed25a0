// Package iam is a stand-in for the decisions of AWS Identity and Access Management: it reads policies as AWS writes them
// and says whether a principal may do something to a resource. It speaks no protocol. The stand-ins of the services ask it
// through a function of their own configuration, so that none of them knows it.
//
//	a deny anywhere ──▶ denied
//	 │ none
//	 ▼
//	the resource's own policy names the caller ──▶ allowed      (who is in the resource's account; a service)
//	 │ no
//	 ▼
//	a policy of the caller allows ──▶ allowed
//	 │ no     (in another account the resource's policy must let the caller's account in as well)
//	 ▼
//	denied
//
// Resources with a policy of their own are roles, by their trust policy, and Lambda functions, by AddPermission. Session
// policies, permissions boundaries, service control policies, groups, managed policies by name and policy variables are not
// played. What a policy
// document holds beyond what is played is an error when it is read, never ignored: here a policy either means what it says,
// or nothing starts.
//
// Sources: "Policy evaluation logic", "IAM JSON policy elements reference" and "Condition operators", IAM User Guide; the
// sentences of a refusal from "Troubleshoot access denied error messages" there; "AddPermission", Lambda API Reference.
package iam

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Config is who there is. ARNs are of users and roles.
type Config struct {
	// Administrators may do everything, as far as the policies of resources let them.
	Administrators []string
	Roles          []Role
}

// Role is an IAM role. Its documents are JSON, as IAM takes them.
type Role struct {
	ARN      string
	Trust    string            // who may assume it
	Policies map[string]string // what it may do, by the policies' names
}

// Permission is what Lambda's AddPermission adds to the policy of a function. SourceARN may hold * and ?, and it and
// SourceAccount may be empty.
type Permission struct {
	Function, Action, Principal string
	SourceARN, SourceAccount    string
}

// Request is what somebody wants to do. Context holds the condition keys that the service provides, by their names in any
// case; those about the principal and the account of the resource are added.
type Request struct {
	// Principal is the ARN of a user or a role, or the name of a service, like scheduler.amazonaws.com.
	Principal string
	Session   string // of a role: its session's name
	Action    string // "ec2:DescribeClientVpnRoutes"
	Resource  string // an ARN, or "*" for an action that has no resource
	Context   map[string]string
}

// Denied is a refusal. Its text is the sentence that AWS answers with.
type Denied struct {
	Who, Action, Resource string
	Why                   string // "because no identity-based policy allows the ec2:… action"
}

func (d *Denied) Error() string {
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", d.Who, d.Action, d.Resource, d.Why)
}

// Account holds the principals and policies of one account or several. Its methods may be called from several goroutines.
type Account struct {
	principals map[string]principal // by ARN

	mu        sync.Mutex // guards functions
	functions map[string]policy
}

type principal struct {
	identity, trust policy
}

var (
	principalForm = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:(user|role)/[\w+=,.@/-]+$`)
	serviceForm   = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?$`)
	functionForm  = regexp.MustCompile(`^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9-_]{1,64}(:[a-zA-Z0-9-_$]+)?$`)
	accountForm   = regexp.MustCompile(`^\d{12}$`)
)

// New reads all policies. Its errors name the role, the policy and what in it is wrong or not played, all of them.
func New(c Config) (*Account, error) {
	a := &Account{principals: map[string]principal{}, functions: map[string]policy{}}
	var faults []error
	add := func(arn string, p principal) {
		if _, twice := a.principals[arn]; twice || !principalForm.MatchString(arn) {
			faults = append(faults, fmt.Errorf("iam: %q is not the ARN of a user or a role, or is given twice", arn))
		}
		a.principals[arn] = p
	}
	everything := policy{{allow: true, actions: []string{"*"}, resources: []string{"*"}}}
	for _, arn := range c.Administrators {
		add(arn, principal{identity: everything})
	}
	for _, r := range c.Roles {
		read := func(what, document string, k kind) policy {
			p, err := parse(document, k)
			if err != nil {
				faults = append(faults, fmt.Errorf("iam: %s of %s: %w", what, r.ARN, err))
			}
			return p
		}
		p := principal{trust: read("trust policy", r.Trust, trustPolicy)}
		for _, name := range slices.Sorted(maps.Keys(r.Policies)) {
			p.identity = append(p.identity, read("policy "+name, r.Policies[name], identityPolicy)...)
		}
		if !strings.Contains(r.ARN, ":role/") {
			faults = append(faults, fmt.Errorf("iam: %q is not the ARN of a role", r.ARN))
		}
		add(r.ARN, p)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return a, nil
}

// AddPermission lets a service, or another account, act on a function, as Lambda's action of that name.
func (a *Account) AddPermission(p Permission) error {
	s := statement{allow: true, actions: []string{p.Action}, resources: []string{p.Function}}
	switch {
	case !functionForm.MatchString(p.Function):
		return fmt.Errorf("iam: %q is not the ARN of a function", p.Function)
	case !actionForm.MatchString(p.Action) || !strings.HasPrefix(p.Action, "lambda:"):
		return fmt.Errorf("iam: %q is not an action of Lambda's", p.Action)
	case serviceForm.MatchString(p.Principal):
		s.principals.services = []string{p.Principal}
	case accountForm.MatchString(p.Principal) || principalForm.MatchString(p.Principal):
		s.principals.aws = []string{p.Principal}
	default:
		return fmt.Errorf("iam: the principal %q is neither a service nor an account, a user or a role", p.Principal)
	}
	// "Note that Lambda configures the comparison using the StringLike operator" (SourceArn, AddPermission).
	if p.SourceARN != "" {
		s.conditions = append(s.conditions, condition{operator: "StringLike", key: "aws:sourcearn", values: []string{p.SourceARN}})
	}
	if p.SourceAccount != "" {
		if !accountForm.MatchString(p.SourceAccount) {
			return fmt.Errorf("iam: SourceAccount %q is not an account", p.SourceAccount)
		}
		s.conditions = append(s.conditions, condition{operator: "StringEquals", key: "aws:sourceaccount", values: []string{p.SourceAccount}})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.functions[p.Function] = append(slices.Clip(a.functions[p.Function]), s)
	return nil
}

// Authorize returns nil when r is allowed, and a *Denied with the reason when it is not.
func (a *Account) Authorize(r Request) error {
	service := serviceForm.MatchString(r.Principal)
	who := caller{arn: r.Principal, account: field(r.Principal, 4), session: r.Session}
	if service {
		who = caller{service: r.Principal}
	}
	deny := func(format string, args ...any) error {
		return &Denied{who.reported(), r.Action, r.Resource, fmt.Sprintf(format, args...)}
	}
	own, known := a.principals[r.Principal]
	if !service && !known {
		return deny("because no identity-based policy allows the %s action", r.Action)
	}
	asked := request{action: strings.ToLower(r.Action), resource: r.Resource, context: context(r, who)}

	resourcePolicy, hasPolicy := a.policyOf(r)
	byIdentity := own.identity.decide(asked, nil)
	byResource := resourcePolicy.decide(asked, &who)
	switch {
	case byIdentity.denied:
		return deny("with an explicit deny in an identity-based policy")
	case byResource.denied:
		return deny("with an explicit deny in a resource-based policy")
	}
	sameAccount := !hasPolicy || field(r.Resource, 4) == who.account
	switch {
	case service:
		if byResource.direct {
			return nil
		}
		return deny("because no resource-based policy allows the %s action", r.Action)
	case sameAccount && byResource.direct:
		return nil
	case !byIdentity.allowed:
		return deny("because no identity-based policy allows the %s action", r.Action)
	case !hasPolicy || byResource.direct || byResource.delegated:
		return nil
	case sameAccount && !isAssume(r.Action):
		return nil // who may by a policy of their own need not be named by the resource's
	}
	// A role's trust policy has to name whoever assumes it, in its own account too.
	return deny("because no resource-based policy allows the %s action", r.Action)
}

func isAssume(action string) bool { return strings.EqualFold(action, "sts:AssumeRole") }

// policyOf is the policy of the resource itself, and whether it is one that has some.
func (a *Account) policyOf(r Request) (policy, bool) {
	if isAssume(r.Action) {
		return a.principals[r.Resource].trust, true
	}
	if strings.HasPrefix(r.Action, "lambda:") && field(r.Resource, 2) == "lambda" {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.functions[r.Resource], true
	}
	return nil, false
}

// caller is who asks: a user or a role of an account, or a service.
type caller struct{ arn, account, session, service string }

// reported is the name by which policies and refusals know the caller. A role's session has an ARN of its own, without the
// role's path ("IAM identifiers").
func (c caller) reported() string {
	if c.service != "" {
		return c.service
	}
	if c.session == "" {
		return c.arn
	}
	return fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", field(c.arn, 1), c.account, c.arn[strings.LastIndex(c.arn, "/")+1:], c.session)
}

// context is what conditions are about: what the service says, under lower-case names, and what is known of every request.
func context(r Request, who caller) map[string]string {
	out := map[string]string{}
	if who.service == "" {
		out["aws:principalarn"], out["aws:principalaccount"] = who.arn, who.account
	}
	if account := field(r.Resource, 4); account != "" {
		out["aws:resourceaccount"] = account
	}
	for name, value := range r.Context {
		out[strings.ToLower(name)] = value
	}
	return out
}

// field is one of the parts of an ARN, of which the sixth holds all the rest; empty for what is none.
func field(arn string, i int) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[i]
	}
	return ""
}
