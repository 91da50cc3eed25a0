package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/survey"
)

func (x *examination) front(ctx context.Context) []Check {
	if x.File != nil && x.deploy() != nil && x.deploy().Front == config.FrontHTTPAPI {
		return x.httpAPI(ctx)
	}
	const listener, group, balancer, signer = "listener", "target group", "load balancer", "signer"
	if out := x.needs(true, listener, group, balancer, signer); out != nil {
		return out
	}
	return []Check{x.listener(ctx, listener), x.targetGroup(ctx, group), x.balancer(ctx, balancer), x.signer(ctx, signer)}
}

func (x *examination) httpAPI(ctx context.Context) []Check {
	const api, signer = "http api", "signer"
	if out := x.needs(true, api, signer); out != nil {
		return out
	}
	file := map[string]string{}
	if o := x.File.OIDC; o != nil {
		file["signin.oidc.client_id"], file["signin.oidc.issuer"], file["signin.oidc.redirect_url"] = o.ClientID, o.Issuer, o.RedirectURL
	}
	return []Check{x.api(ctx, api), x.told(ctx, signer, file, [][2]string{{"signin.oidc.redirect_url", "https://" + x.deploy().Domain + "/oauth2/callback"},
		{"signin.oidc.client_id", x.output("UserPoolClientId")}, {"signin.oidc.issuer", x.output("Issuer")}}, "the front believes the issuer at which people sign in, and no other")}
}

func (x *examination) api(ctx context.Context, name string) Check {
	d, err := x.Account.APIDomain(ctx, x.deploy().Domain)
	if err != nil && d.Status == "" {
		return unread(name, "domain name "+x.deploy().Domain+" of API Gateway", err, again)
	}
	if err != nil {
		return unread(name, "what "+x.deploy().Domain+" leads to", err, again)
	}
	switch api := x.resource("Api"); {
	case d.Status != "AVAILABLE":
		return check(name, Warning, "wait some minutes", "its domain name is %s", d.Status)
	case !slices.Contains(d.APIs, api):
		return check(name, Failure, again, "%s does not lead to Nightlatch's API %s", x.deploy().Domain, api)
	}
	return ok(name, "%s leads to %s", x.deploy().Domain, x.resource("Api"))
}

// listenerARN is the stack's, or the existing one that the configuration names.
func (x *examination) listenerARN() string {
	if l := x.deploy().LoadBalancer.Listener; l != "" {
		return l
	}
	return x.resource("HttpsListener")
}

// balancerARN is the listener's load balancer, which signs for it.
func (x *examination) balancerARN() string {
	head, rest, ok := strings.Cut(x.listenerARN(), ":listener/")
	if i := strings.LastIndex(rest, "/"); ok && i > 0 {
		return head + ":loadbalancer/" + rest[:i]
	}
	return ""
}

func (x *examination) listener(ctx context.Context, name string) Check {
	arn, front, group := x.listenerARN(), x.resource("FrontRule"), x.resource("TargetGroup")
	if arn == "" || front == "" {
		return notChecked(name, "the stack does not say which it is")
	}
	rules, err := x.Account.ListenerRules(ctx, arn)
	if err != nil {
		return unread(name, "the rules of "+arn, err, again)
	}
	at := slices.IndexFunc(rules, func(r survey.ListenerRule) bool { return r.ARN == front })
	if at < 0 {
		return check(name, Failure, again, "the rule that leads to Nightlatch is gone")
	}
	domain := x.deploy().Domain
	for i, r := range rules {
		for _, a := range r.Actions {
			if i != at && a.Type == "forward" && slices.Contains(a.TargetGroups, group) {
				return check(name, Failure, "delete that rule", "%s forwards to Nightlatch too: whoever comes by it has not signed in", describe(r))
			}
		}
	}
	rule := rules[at]
	if len(rule.Hosts) > 0 && !slices.ContainsFunc(rule.Hosts, func(h string) bool { return matches(h, domain) }) {
		return check(name, Failure, again, "the rule is for %s, and the page is at %s", strings.Join(rule.Hosts, ", "), domain)
	}
	if x.pending() {
		if len(rule.Actions) == 1 && rule.Actions[0].Type == "fixed-response" {
			return ok(name, "answers %s until people can sign in", rule.Actions[0].Status)
		}
		return check(name, Failure, again, "it should answer 503 until people can sign in, and does not")
	}
	if f := x.signsIn(rule.Actions, group); f != "" {
		return check(name, Failure, again, "%s", f)
	}
	out := x.resource("SignedOutRule")
	var warnings []string
	if i := slices.IndexFunc(rules, func(r survey.ListenerRule) bool { return r.ARN == out }); out != "" && (i < 0 || i > at) {
		warnings = append(warnings, "/signed-out is behind the sign-in: whoever signs out is signed in again")
	}
	for _, r := range rules[:at] {
		if r.ARN != out && len(r.Paths) == 0 && (len(r.Hosts) == 0 || slices.ContainsFunc(r.Hosts, func(h string) bool { return matches(h, domain) })) {
			warnings = append(warnings, describe(r)+" comes first, and may take what is for "+domain)
		}
	}
	if len(warnings) > 0 {
		return check(name, Warning, "give Nightlatch's rules a higher place: deploy.load_balancer.priority, then "+again, "%s", strings.Join(warnings, "; "))
	}
	return ok(name, "people sign in before a request is forwarded, and no other rule of this listener forwards to Nightlatch")
}

// signsIn says what is wrong with the actions of the rule that leads here.
func (x *examination) signsIn(actions []survey.Action, group string) string {
	if len(actions) != 2 || actions[0].Type != "authenticate-cognito" || actions[1].Type != "forward" {
		var types []string
		for _, a := range actions {
			types = append(types, a.Type)
		}
		return "the rule does " + strings.Join(types, ", then ") + ", and authenticate-cognito, then forward is wanted"
	}
	sign := actions[0]
	switch {
	case sign.Unauthenticated == "allow":
		return "the rule lets people by who have not signed in"
	case !slices.Contains(actions[1].TargetGroups, group):
		return "the rule forwards to " + strings.Join(actions[1].TargetGroups, ", ") + ", and the target group is " + group
	case x.output("UserPoolClientId") != "" && sign.ClientID != x.output("UserPoolClientId"):
		return "people sign in at app client " + sign.ClientID + ", and Nightlatch takes tokens of " + x.output("UserPoolClientId")
	case x.output("UserPoolId") != "" && !strings.HasSuffix(sign.PoolARN, "/"+x.output("UserPoolId")):
		return "people sign in at " + sign.PoolARN + ", and the user pool is " + x.output("UserPoolId")
	}
	return ""
}

func describe(r survey.ListenerRule) string {
	if r.Priority == 0 {
		return "the default rule"
	}
	return fmt.Sprintf("rule %d", r.Priority)
}

// matches reports whether a host-header pattern is for a domain; * stands for any text, ? for one letter, and letters are
// alike in either case ("Listener rules", User Guide for Application Load Balancers).
func matches(pattern, domain string) bool {
	pattern, domain = strings.ToLower(pattern), strings.ToLower(domain)
	if pattern == "" {
		return domain == ""
	}
	if pattern[0] == '*' {
		return matches(pattern[1:], domain) || domain != "" && matches(pattern, domain[1:])
	}
	return domain != "" && (pattern[0] == '?' || pattern[0] == domain[0]) && matches(pattern[1:], domain[1:])
}

func (x *examination) targetGroup(ctx context.Context, name string) Check {
	arn := x.resource("TargetGroup")
	if arn == "" {
		return notChecked(name, "the stack does not say which it is")
	}
	g, err := x.Account.TargetGroup(ctx, arn)
	if err != nil {
		return unread(name, arn, err, again)
	}
	function := x.arn("lambda", "function:"+x.output("FrontFunctionName"))
	switch {
	case g.Attributes["lambda.multi_value_headers.enabled"] != "true":
		return check(name, Failure, again, "lambda.multi_value_headers.enabled is off: of a header that comes twice the front would see one, and it cannot set several cookies")
	case !slices.ContainsFunc(g.Targets, func(t string) bool { return t == function || strings.HasPrefix(t, function+":") }):
		return check(name, Failure, again, "it does not lead to the front function but to %s", strings.Join(append(g.Targets, "nothing")[:max(len(g.Targets), 1)], ", "))
	}
	return ok(name, "leads to the front function, with multi-value headers")
}

func (x *examination) balancer(ctx context.Context, name string) Check {
	arn := x.balancerARN()
	if arn == "" {
		return notChecked(name, "the stack does not say which it is")
	}
	b, err := x.Account.Balancer(ctx, arn)
	if err != nil && b.State == "" {
		return unread(name, arn, err, again)
	}
	if err != nil {
		return unread(name, "the attributes of "+arn, err, again)
	}
	if b.State != "active" {
		return check(name, Warning, "look at it in the EC2 console", "it is %s", b.State)
	}
	var warnings []string
	if b.Attributes["routing.http.drop_invalid_header_fields.enabled"] != "true" {
		warnings = append(warnings, "it lets headers by whose names are not valid (routing.http.drop_invalid_header_fields.enabled)")
	}
	if mode := b.Attributes["routing.http.desync_mitigation_mode"]; mode == "monitor" {
		warnings = append(warnings, "it lets requests by that two servers read differently (routing.http.desync_mitigation_mode is monitor)")
	}
	if len(warnings) > 0 {
		fix := again
		if x.deploy().LoadBalancer.Listener != "" {
			fix = "set them: the load balancer is yours"
		}
		return check(name, Warning, fix, "%s", strings.Join(warnings, "; "))
	}
	return ok(name, "active in %d zones, and hardened", b.Zones)
}

// signer: whose tokens the front believes. What the functions are told stands in their environment, else in the file.
func (x *examination) signer(ctx context.Context, name string) Check {
	file := map[string]string{}
	if a := x.File.ALB; a != nil {
		file["signin.alb.arn"], file["signin.alb.client_id"], file["signin.alb.issuer"] = a.ARN, a.ClientID, a.Issuer
	}
	return x.told(ctx, name, file, [][2]string{{"signin.alb.arn", x.balancerARN()}, {"signin.alb.client_id", x.output("UserPoolClientId")}, {"signin.alb.issuer", x.output("Issuer")}},
		"the front believes the load balancer that people come by, and no other")
}

// told compares what the front is told with what is there; what is not known to be there is not compared.
func (x *examination) told(ctx context.Context, name string, file map[string]string, want [][2]string, good string) Check {
	function := x.output("FrontFunctionName")
	if x.pending() {
		return notChecked(name, "the front has none until people can sign in")
	}
	if function == "" || want[0][1] == "" {
		return notChecked(name, "the stack does not say which it is")
	}
	f, err := x.Account.Function(ctx, function)
	if err != nil {
		return unread(name, function, err, again)
	}
	for _, w := range want {
		have := f.Variables[config.Variable(w[0])]
		if have == "" {
			have = file[w[0]]
		}
		if w[1] != "" && have != w[1] {
			return check(name, Failure, again, "the front believes %s, and people come by %s: it refuses everybody (%s)", orNothing(have), w[1], w[0])
		}
	}
	return ok(name, "%s", good)
}

func orNothing(s string) string {
	if s == "" {
		return "nobody"
	}
	return s
}

func (x *examination) zone(ctx context.Context) []Check {
	const name = "zone"
	if out := x.needs(false, name); out != nil {
		return out
	}
	d := x.deploy()
	if d == nil {
		return []Check{notChecked(name, "%s", x.noStack)}
	}
	z, err := x.Account.Zone(ctx, d.Zone)
	if err != nil {
		return []Check{unread(name, "hosted zone "+d.Zone, err, "correct deploy.hosted_zone; nightlatch init lists the zones")}
	}
	set := "at the registrar, or in the parent zone, set the name servers of " + z.Name + " to " + strings.Join(z.NameServers, ", ")
	switch {
	case z.Private:
		return []Check{check(name, Failure, "name a public hosted zone", "%s is private: nobody outside finds what is in it", z.Name)}
	case d.Domain != z.Name && !strings.HasSuffix(d.Domain, "."+z.Name):
		return []Check{check(name, Failure, "correct deploy.hosted_zone or deploy.domain", "%s is not in %s", d.Domain, z.Name)}
	}
	found, err := x.Resolver.LookupNS(ctx, z.Name)
	if err != nil || len(found) == 0 {
		return []Check{check(name, Failure, set, "the world does not find %s: %v", z.Name, err)}
	}
	var others []string
	same := 0
	for _, ns := range found {
		host := strings.ToLower(strings.TrimSuffix(ns.Host, "."))
		if slices.ContainsFunc(z.NameServers, func(n string) bool { return strings.EqualFold(strings.TrimSuffix(n, "."), host) }) {
			same++
		} else {
			others = append(others, host)
		}
	}
	switch {
	case same == 0:
		return []Check{check(name, Failure, set, "the world asks %s about %s, and not AWS's name servers of the zone", strings.Join(others, ", "), z.Name)}
	case len(others) > 0:
		return []Check{check(name, Warning, set, "the world asks %s about %s too, which do not know it as AWS does", strings.Join(others, ", "), z.Name)}
	}
	return []Check{ok(name, "%s is delegated to AWS's name servers", z.Name)}
}

func (x *examination) address(ctx context.Context) []Check {
	const name = "dns"
	if x.File == nil {
		return x.needs(false, name)
	}
	d := x.deploy()
	if d == nil {
		return []Check{notChecked(name, "%s", x.noStack)}
	}
	have, err := x.Resolver.LookupHost(ctx, d.Domain)
	if err != nil || len(have) == 0 {
		return []Check{check(name, Failure, again+"; a name that was looked up too early may take minutes", "%s has no address: %v", d.Domain, err)}
	}
	if out := x.needs(true, name); out != nil {
		return []Check{notChecked(name, "%s has addresses; whether they are the front's is not known: %s", d.Domain, out[0].Detail)}
	}
	front := ""
	if d.Front == config.FrontHTTPAPI {
		a, _ := x.Account.APIDomain(ctx, d.Domain) // what is wrong with it, its own check says
		front = a.Target
	} else {
		b, _ := x.Account.Balancer(ctx, x.balancerARN())
		front = b.DNSName
	}
	want, err := x.Resolver.LookupHost(ctx, front)
	if front == "" || err != nil {
		return []Check{notChecked(name, "%s has addresses; those of the front are not known", d.Domain)}
	}
	if !slices.ContainsFunc(have, func(a string) bool { return slices.Contains(want, a) }) {
		return []Check{check(name, Warning, again+", unless something of yours stands before the front", "%s leads to %s, and the front is at %s", d.Domain, strings.Join(have, ", "), strings.Join(want, ", "))}
	}
	return []Check{ok(name, "%s leads to the front", d.Domain)}
}

func (x *examination) certificate(ctx context.Context) []Check {
	const name = "certificate"
	if out := x.needs(false, name); out != nil {
		return out
	}
	d := x.deploy()
	if d == nil {
		return []Check{notChecked(name, "%s", x.noStack)}
	}
	arn := d.Certificate
	if arn == "" {
		arn = x.resource("Certificate")
	}
	if arn == "" {
		return []Check{notChecked(name, "the stack does not say which it is")}
	}
	c, err := x.Account.Certificate(ctx, arn)
	if err != nil {
		return []Check{unread(name, arn, err, "name another in deploy.certificate, or leave it out to have one made")}
	}
	left := time.Until(c.Until)
	soon := left < endsSoon
	switch {
	case c.Status == "PENDING_VALIDATION":
		return []Check{check(name, Failure, "it is issued once the zone is delegated to AWS: see the check of the zone", "it waits for the proof by DNS that the domain is yours")}
	case c.Status != "ISSUED":
		return []Check{check(name, Failure, "name another in deploy.certificate, or leave it out to have one made", "it is %s %s", c.Status, c.Failure)}
	case !c.Covers(d.Domain):
		return []Check{check(name, Failure, "name another in deploy.certificate, or leave it out to have one made", "it is for %s, and the page is at %s", strings.Join(c.Names, ", "), d.Domain)}
	case left <= 0:
		return []Check{check(name, Failure, "renew it", "it ended on %s", day(c.Until))}
	case c.RenewalFail != "":
		return []Check{check(name, Warning, "leave the record in place by which AWS proves that the domain is yours", "AWS could not renew it (%s); it ends on %s", c.RenewalFail, day(c.Until))}
	case soon && (c.Imported || !c.Renewable):
		return []Check{check(name, Warning, "import its successor, or leave deploy.certificate out to have one made", "it ends on %s and does not renew itself", day(c.Until))}
	case soon:
		return []Check{check(name, Warning, "see that the record is there by which AWS proves that the domain is yours", "it ends on %s, and AWS should have renewed it by now", day(c.Until))}
	case c.Imported:
		return []Check{ok(name, "good until %s; it is imported, and nobody renews it by itself", day(c.Until))}
	}
	return []Check{ok(name, "good until %s, and renews itself", day(c.Until))}
}

func (x *examination) page(ctx context.Context) []Check {
	const name = "page"
	if x.File == nil {
		return x.needs(false, name)
	}
	d := x.deploy()
	if d == nil {
		return []Check{notChecked(name, "%s", x.noStack)}
	}
	address := "https://" + d.Domain + "/"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return []Check{notChecked(name, "%v", err)}
	}
	r.Header.Set("Accept", "text/html")
	answer, err := x.Page.Do(r)
	if err != nil {
		allow := ""
		if len(d.LoadBalancer.Allow) > 0 {
			allow = "; deploy.load_balancer.allow lets in who may reach it, which need not be you"
		}
		return []Check{check(name, Failure, "see the checks of zone, dns and certificate"+allow, "%v", err)}
	}
	defer answer.Body.Close()
	pending := x.pending()
	to, _ := url.Parse(answer.Header.Get("Location"))
	switch code := answer.StatusCode; {
	case pending && code == http.StatusServiceUnavailable:
		return []Check{ok(name, "%s says that nobody can sign in yet", address)}
	case code == http.StatusFound || code == http.StatusSeeOther:
		want := x.output("UserPoolDomain")
		if d.Front == config.FrontALB && to != nil && want != "" && !strings.EqualFold(to.Host, want) {
			return []Check{check(name, Failure, again, "%s leads to %s, and people sign in at %s", address, to.Host, want)}
		}
		return []Check{ok(name, "%s leads to the sign-in", address)}
	case code == http.StatusOK:
		return []Check{check(name, Failure, again+"; until then take it off the network", "%s shows itself to people who have not signed in", address)}
	case code >= http.StatusInternalServerError:
		return []Check{check(name, Failure, "see the checks of listener, target group and functions", "%s answers %s", address, answer.Status)}
	default:
		return []Check{check(name, Warning, "", "%s answers %s, and a way to the sign-in is wanted", address, answer.Status)}
	}
}
