package survey

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/template"
	"time"
	"unicode"
)

// Lookups is what a draft is made of; Account has it.
type Lookups interface {
	Identity(context.Context) (Identity, error)
	Endpoints(context.Context, ...string) ([]Endpoint, error)
	Associations(context.Context, string) ([]Association, error)
	Routes(context.Context, string) ([]Route, error)
	Subnets(context.Context, string, ...string) ([]Subnet, error)
	Public(context.Context, string, []Subnet) error
	Zones(context.Context) ([]Zone, error)
	Certificates(context.Context) ([]Certificate, error)
}

// Choice is what somebody has decided before the draft; what is empty is for the draft to find.
type Choice struct {
	Region    string
	Front     string   // alb or httpapi
	Domain    string   // of the page
	Endpoints []string // ids; none: all
}

// Draft is a first configuration of what an account holds.
type Draft struct {
	YAML []byte
	// Found and Open are sentences: what was found and decided, and what somebody has to decide still.
	Found, Open []string
}

//go:embed draft.yaml
var draftText string

// lookFor bounds all lookups of a draft together.
const lookFor = time.Minute

// MakeDraft looks and writes. What cannot be read, for want of a permission or otherwise, is left open in the draft and
// said; an error is only what leaves nothing to write about: endpoints that cannot be listed, or none that can be kept.
func MakeDraft(ctx context.Context, l Lookups, choice Choice) (*Draft, error) {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	d := &drafting{Choice: choice, l: l, draft: &Draft{}}
	var endpoints []Endpoint
	var listed error
	var zones []Zone
	var zonesFailed, certificatesFailed, identityFailed error
	var certificates []Certificate
	var all sync.WaitGroup
	all.Go(func() { endpoints, listed = l.Endpoints(ctx, choice.Endpoints...) })
	all.Go(func() { zones, zonesFailed = l.Zones(ctx) })
	all.Go(func() { certificates, certificatesFailed = l.Certificates(ctx) })
	var identity Identity
	all.Go(func() { identity, identityFailed = l.Identity(ctx) })
	all.Wait()
	if listed != nil {
		return nil, fmt.Errorf("the Client VPN endpoints of %s: %w", choice.Region, listed)
	}
	if d.Account = identity.Account; identityFailed != nil {
		d.unread("the account's number", identityFailed)
	}
	if err := d.endpoints(ctx, endpoints); err != nil {
		return nil, err
	}
	d.domain(zones, zonesFailed)
	d.certificates(certificates, certificatesFailed)
	if choice.Front == "alb" {
		d.balancer()
	}
	text := template.Must(template.New("draft").Funcs(template.FuncMap{"quote": quote, "plain": plain, "join": strings.Join}).Parse(draftText))
	var b strings.Builder
	if err := text.Execute(&b, d); err != nil {
		return nil, fmt.Errorf("the draft: %w", err)
	}
	d.draft.YAML = []byte(b.String())
	return d.draft, nil
}

// drafting is what the template reads.
type drafting struct {
	Choice
	Account      string
	Seen         []seen
	Zone         *Zone
	Zones        []Zone // to choose from, where none is chosen
	Guessed      bool   // the domain is the draft's own idea
	Prefix       string // of the user pool's domain
	Certificates []Certificate
	VPC          string // the load balancer's
	Public       []Subnet
	Unread       []string

	l       Lookups
	draft   *Draft
	subnets map[string][]Subnet // by VPC
}

// seen is one endpoint.
type seen struct {
	Endpoint
	Key, Title string
	Associated []string // ids of its subnets now
	Subnets    []Subnet // chosen
	Others     []Subnet // that would do too
	Unfit      string   // why none is chosen
	Routes     []Route
	Groups     []string
	Open       bool // it is associated now
}

// Stands reports whether a chosen subnet is in the zone already.
func (s seen) Stands(zone string) bool {
	return slices.ContainsFunc(s.Subnets, func(n Subnet) bool { return n.Zone == zone })
}

func (d *drafting) found(format string, args ...any) {
	d.draft.Found = append(d.draft.Found, fmt.Sprintf(format, args...))
}

func (d *drafting) open(format string, args ...any) {
	d.draft.Open = append(d.draft.Open, fmt.Sprintf(format, args...))
}

// unread says what could not be looked up, in the draft too.
func (d *drafting) unread(what string, err error) {
	why := err.Error()
	if Denied(err) {
		why = "your credentials may not: " + why
	}
	d.Unread = append(d.Unread, what+": "+why)
	d.open("%s could not be read: %s", what, why)
}

func (d *drafting) endpoints(ctx context.Context, endpoints []Endpoint) error {
	slices.SortFunc(endpoints, func(x, y Endpoint) int { return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.ID, y.ID)) })
	taken := map[string]bool{}
	d.subnets = map[string][]Subnet{}
	for _, e := range endpoints {
		switch {
		case e.TransitGateway != "":
			d.found("endpoint %s is left out: it is attached to transit gateway %s and has no subnets; Nightlatch keeps endpoints of subnets", label(e), e.TransitGateway)
			continue
		case e.Status == "deleting" || e.Status == "deleted":
			d.found("endpoint %s is left out: it is %s", label(e), e.Status)
			continue
		}
		s := seen{Endpoint: e, Key: key(cmp.Or(e.Name, e.Description, "vpn"), taken), Title: e.Name, Groups: e.SecurityGroups}
		d.networks(ctx, &s)
		d.Seen = append(d.Seen, s)
	}
	if len(d.Seen) == 0 {
		return errors.New("there is no Client VPN endpoint to keep in " + d.Region + ": name another Region with --region, or make one first")
	}
	return nil
}

// networks finds an endpoint's subnets, routes and security groups.
func (d *drafting) networks(ctx context.Context, s *seen) {
	associations, err := d.l.Associations(ctx, s.ID)
	if err != nil {
		d.unread("the associations of "+s.ID, err)
	}
	for _, a := range associations {
		if a.Status == "disassociated" || a.Status == "disassociating" || a.Status == "association-failed" {
			continue
		}
		s.Open, s.VPC = true, cmp.Or(s.VPC, a.VPC)
		s.Associated = append(s.Associated, a.Subnet)
		if len(s.Groups) == 0 {
			s.Groups = a.SecurityGroups
		}
	}
	if s.Open {
		routes, err := d.l.Routes(ctx, s.ID)
		if err != nil {
			d.unread("the routes of "+s.ID, err)
		}
		s.Routes = declared(routes, s.Associated)
	}
	d.choose(ctx, s)
	state := "off"
	if s.Open {
		state = fmt.Sprintf("associated with %s, which stays on until Nightlatch is deployed and closes it", strings.Join(s.Associated, " and "))
		d.found("%s: if Terraform or CloudFormation made the association, take it out there first, or they will make it again (docs/migrate.md)", s.Key)
	} else {
		d.open("%s is off, and an endpoint that is off has no routes: what routes somebody adds beside the VPC's own, write under routes", s.Key)
	}
	d.found("endpoint %s is %s: %s", label(s.Endpoint), s.Key, state)
}

// choose picks subnets: those that are associated now, else one a zone, of those that Client VPN takes.
func (d *drafting) choose(ctx context.Context, s *seen) {
	if s.VPC == "" {
		s.Unfit = "AWS names no VPC for it while nothing is associated"
		d.open("%s: name the subnets to associate, one a zone: %s", s.Key, s.Unfit)
		return
	}
	all, ok := d.subnets[s.VPC]
	if !ok {
		var err error
		if all, err = d.l.Subnets(ctx, s.VPC); err != nil {
			d.unread("the subnets of "+s.VPC, err)
		} else if err := d.l.Public(ctx, s.VPC, all); err != nil {
			d.unread("the route tables of "+s.VPC, err)
		}
		d.subnets[s.VPC] = all
	}
	zones := map[string]bool{}
	for _, id := range s.Associated {
		n := Subnet{ID: id}
		if i := slices.IndexFunc(all, func(n Subnet) bool { return n.ID == id }); i >= 0 {
			n = all[i]
			zones[n.Zone] = true
		}
		s.Subnets = append(s.Subnets, n)
	}
	// Of two in a zone the private one is taken, which people mean who want into a network; the other may be right for who
	// wants out to the internet by it.
	fit := slices.DeleteFunc(slices.Clone(all), func(n Subnet) bool {
		return !n.Wide() || n.Free < FreeForVPN || n.Overlaps(s.ClientCIDR) || slices.Contains(s.Associated, n.ID)
	})
	slices.SortStableFunc(fit, func(x, y Subnet) int {
		switch {
		case x.Public == y.Public:
			return 0
		case y.Public:
			return -1
		}
		return 1
	})
	for _, n := range fit {
		if s.Open || zones[n.Zone] {
			s.Others = append(s.Others, n)
			continue
		}
		zones[n.Zone] = true
		s.Subnets = append(s.Subnets, n)
	}
	slices.SortStableFunc(s.Subnets, func(x, y Subnet) int { return strings.Compare(x.Zone, y.Zone) })
	switch {
	case len(s.Subnets) == 0:
		s.Unfit = fmt.Sprintf("no subnet of %s has a block of /%d or larger and %d free addresses that do not overlap %s", s.VPC, leastBits, FreeForVPN, s.ClientCIDR)
		if len(all) == 0 {
			s.Unfit = "the subnets of " + s.VPC + " could not be read"
		}
		d.open("%s: name the subnets to associate, one a zone: %s", s.Key, s.Unfit)
	case !s.Open:
		d.found("%s: subnets %s of %s: one a zone, those with the most free addresses", s.Key, strings.Join(ids(s.Subnets), ", "), s.VPC)
	}
}

// declared are the routes that somebody added. One that every associated subnet has is written without one. AWS makes the
// VPC's own with each association.
func declared(routes []Route, associated []string) []Route {
	var out []Route
	by := map[string][]Route{}
	for _, r := range routes {
		if !r.Added || r.Status == "deleting" {
			continue
		}
		if by[r.Destination] == nil {
			out = append(out, Route{Destination: r.Destination})
		}
		by[r.Destination] = append(by[r.Destination], r)
	}
	var made []Route
	for _, o := range out {
		of := by[o.Destination]
		whole := !slices.ContainsFunc(associated, func(s string) bool {
			return !slices.ContainsFunc(of, func(r Route) bool { return r.Subnet == s })
		})
		if whole && len(of) == len(associated) {
			o.Description = of[0].Description
			made = append(made, o)
			continue
		}
		made = append(made, of...)
	}
	return made
}

func (d *drafting) domain(zones []Zone, err error) {
	if err != nil {
		d.unread("the hosted zones", err)
	}
	d.Zones = zones
	if d.Domain != "" {
		for i, z := range zones { // the longest one decides
			if (d.Domain == z.Name || strings.HasSuffix(d.Domain, "."+z.Name)) && (d.Zone == nil || len(z.Name) > len(d.Zone.Name)) {
				d.Zone = &zones[i]
			}
		}
		switch {
		case d.Zone != nil:
			d.found("the page is at https://%s/, in hosted zone %s (%s)", d.Domain, d.Zone.ID, d.Zone.Name)
		case err == nil:
			d.open("hosted_zone: no public hosted zone of this account holds %s: make one and have its parent point to it, or choose another domain", d.Domain)
		}
	} else if len(zones) == 1 {
		d.Zone, d.Domain, d.Guessed = &zones[0], "vpn."+zones[0].Name, true
		d.found("the page is at https://%s/, in the account's one public hosted zone %s: change it as you like", d.Domain, d.Zone.ID)
	} else if err == nil {
		d.open("domain and hosted_zone: choose where the page is; the account has %s", count(len(zones), "public hosted zone"))
	}
	if d.Domain == "" && err != nil {
		d.open("domain and hosted_zone: choose where the page is")
	}
	if d.Domain != "" {
		d.Prefix = prefix(d.Domain)
	}
}

func (d *drafting) certificates(all []Certificate, err error) {
	if err != nil {
		d.unread("the certificates", err)
		return
	}
	for _, c := range all {
		if d.Domain != "" && c.Covers(d.Domain) {
			d.Certificates = append(d.Certificates, c)
		}
	}
	if len(d.Certificates) > 0 {
		d.found("%s would do for %s; the draft has a new one made, which renews itself", count(len(d.Certificates), "certificate"), d.Domain)
	}
}

// balancer finds public subnets in two zones or more of one VPC, of those that an endpoint is in.
func (d *drafting) balancer() {
	for _, s := range d.Seen {
		d.VPC = cmp.Or(d.VPC, s.VPC)
		zones := map[string]bool{}
		var public []Subnet
		for _, n := range d.subnets[s.VPC] {
			if n.Public && n.Wide() && n.Free >= freeForBalancer && !zones[n.Zone] {
				zones[n.Zone] = true
				public = append(public, n)
			}
		}
		if len(public) >= balancerSubnets {
			d.VPC, d.Public = s.VPC, public[:balancerSubnets] // each further one costs a public address
			d.found("the load balancer is in %s of %s, which lead to the internet", strings.Join(ids(d.Public), " and "), d.VPC)
			return
		}
	}
	d.open("load_balancer: name two public subnets in two zones: the endpoints' VPCs show none; or choose --front httpapi, which needs none and costs next to nothing")
}

func label(e Endpoint) string {
	if e.Name == "" {
		return e.ID
	}
	return e.ID + " (" + plain(e.Name) + ")"
}

func ids(subnets []Subnet) (out []string) {
	for _, n := range subnets {
		out = append(out, n.ID)
	}
	return out
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	if n == 0 {
		return "no " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

var notKey = regexp.MustCompile(`[^a-z0-9]+`)

// key makes a name for the configuration, of a-z, 0-9 and "-", that no other has.
func key(from string, taken map[string]bool) string {
	base := strings.Trim(notKey.ReplaceAllString(strings.ToLower(from), "-"), "-")
	base = strings.Trim(cmp.Or(base, "vpn")[:min(len(cmp.Or(base, "vpn")), 40)], "-")
	name := base
	for i := 2; taken[name]; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	taken[name] = true
	return name
}

// prefix of a user pool's domain, which is one for the whole Region: the page's name will hardly be somebody else's. AWS's
// own words may not be in it.
func prefix(domain string) string {
	p := strings.NewReplacer("amazon", "", "aws", "", "cognito", "").Replace(strings.ReplaceAll(domain, ".", "-"))
	p = strings.Trim(notKey.ReplaceAllString(p, "-"), "-")
	return strings.Trim(p[:min(len(p), 63)], "-")
}

// quote writes a text as YAML takes it: a JSON string is one, but for the control characters that JSON lets stand and YAML
// reads as ends of lines or not at all.
func quote(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	var b strings.Builder
	for _, r := range string(raw) {
		if unicode.IsControl(r) || r == '\ufeff' || r == '\ufffe' || r == '\uffff' {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plain is for a comment, in one line.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' {
			return ' '
		}
		return r
	}, s)
}
