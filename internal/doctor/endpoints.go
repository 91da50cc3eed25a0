package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/survey"
)

// there is the account that an endpoint is in.
func (x *examination) there(e config.Endpoint) (Account, error) {
	if x.Elsewhere == nil {
		return x.Account, nil
	}
	return x.Elsewhere(e)
}

func (x *examination) endpoint(ctx context.Context, e config.Endpoint) []Check {
	name, subnets, authorization := "endpoint "+e.Name, "subnets "+e.Name, "authorization "+e.Name
	if out := x.needs(false, name, subnets, authorization); out != nil {
		return out
	}
	account, err := x.there(e)
	if err != nil {
		why := fmt.Sprintf("its account cannot be looked at: %v", err)
		return []Check{notChecked(name, "%s", why), notChecked(subnets, "%s", why), notChecked(authorization, "%s", why)}
	}
	found, err := account.Endpoints(ctx, string(e.ID))
	i := slices.IndexFunc(found, func(s survey.Endpoint) bool { return s.ID == string(e.ID) })
	if err == nil && i < 0 {
		err = latch.ErrNotFound
	}
	if err != nil {
		c := unread(name, fmt.Sprintf("%s in %s", e.ID, e.Region), err, "correct id or region in nightlatch.yaml; nightlatch init lists the endpoints")
		why := "the endpoint could not be read"
		return []Check{c, notChecked(subnets, "%s", why), notChecked(authorization, "%s", why)}
	}
	s := found[i]
	var out []Check
	switch {
	case s.TransitGateway != "" || s.Status == "pending":
		return []Check{check(name, Failure, "take it out of nightlatch.yaml", "%s is attached to a transit gateway and has no subnets to associate: Nightlatch keeps endpoints of subnets", s.ID),
			notChecked(subnets, "the endpoint has none"), notChecked(authorization, "the endpoint is of a kind that Nightlatch does not keep")}
	case s.Status == "deleting" || s.Status == "deleted":
		out = append(out, check(name, Failure, "take it out of nightlatch.yaml, or name the one that has taken its place", "%s is %s", s.ID, s.Status))
	case s.Status == "available":
		out = append(out, ok(name, "%s is available: something is associated", s.ID))
	case s.Status == "pending-associate":
		out = append(out, ok(name, "%s is off: nothing is associated", s.ID))
	default:
		out = append(out, check(name, Warning, "look at it in the VPC console", "%s is %q, which Nightlatch does not know", s.ID, s.Status))
	}
	return append(out, x.subnets(ctx, account, e, s, subnets), authorized(ctx, account, s.ID, authorization))
}

func (x *examination) subnets(ctx context.Context, account Account, e config.Endpoint, s survey.Endpoint, name string) Check {
	var ids []string
	for _, id := range e.Policy.Subnets {
		ids = append(ids, string(id))
	}
	all, err := account.Subnets(ctx, "", ids...)
	if err != nil {
		return unread(name, "one of "+strings.Join(ids, ", "), err, "correct subnets in nightlatch.yaml; nightlatch init lists those that would do")
	}
	var faults, warnings []string
	zones := map[string]string{}
	for _, n := range all {
		switch other := zones[n.Zone]; {
		case other != "":
			faults = append(faults, fmt.Sprintf("%s and %s are both in %s, and an endpoint takes one a zone", other, n.ID, n.Zone))
		case s.VPC != "" && n.VPC != s.VPC:
			faults = append(faults, fmt.Sprintf("%s is in %s, and the endpoint in %s", n.ID, n.VPC, s.VPC))
		case n.VPC != all[0].VPC:
			faults = append(faults, fmt.Sprintf("%s and %s are in different VPCs", all[0].ID, n.ID))
		case !n.Wide():
			faults = append(faults, fmt.Sprintf("%s has the block %s, and Client VPN asks for /27 or larger", n.ID, n.CIDR))
		case n.Overlaps(s.ClientCIDR):
			faults = append(faults, fmt.Sprintf("%s has the block %s, which overlaps the clients' %s", n.ID, n.CIDR, s.ClientCIDR))
		case n.Free < survey.FreeForVPN:
			warnings = append(warnings, fmt.Sprintf("%s has %d free addresses, and Client VPN asks for %d at all times", n.ID, n.Free, survey.FreeForVPN))
		}
		zones[n.Zone] = n.ID
	}
	fix := "name other subnets in nightlatch.yaml; nightlatch init lists those that would do"
	switch {
	case len(faults) > 0:
		return check(name, Failure, fix, "%s", strings.Join(append(faults, warnings...), "; "))
	case len(warnings) > 0:
		return check(name, Warning, "free addresses, or "+fix, "%s", strings.Join(warnings, "; "))
	case len(all) == 1 && !e.Policy.All:
		return ok(name, "%s, with addresses left; a second one, in another zone, would stand in when its zone fails", ids[0])
	}
	return ok(name, "%s, each in a zone of its own, with addresses left", strings.Join(ids, ", "))
}

func authorized(ctx context.Context, account Account, endpoint, name string) Check {
	rules, err := account.Rules(ctx, endpoint)
	if err != nil {
		return unread(name, "the authorization rules of "+endpoint, err, "")
	}
	good := 0
	var bad []string
	for _, r := range rules {
		switch r.Status {
		case "active":
			good++
		case "failed":
			bad = append(bad, r.Destination)
		}
	}
	switch {
	case len(bad) > 0:
		return check(name, Warning, "make them anew in the VPC console", "the rules for %s have failed", strings.Join(bad, ", "))
	case good == 0:
		return check(name, Warning, "add one: aws ec2 authorize-client-vpn-ingress", "%s has no active rule: people connect and reach nothing", endpoint)
	}
	return ok(name, "%s", count(good, "active rule"))
}

// place is where dead-man's switches are.
type place struct{ group, region, role string }

func (x *examination) switches(ctx context.Context) (out []Check) {
	if out := x.needs(false, "dead-man's switches"); out != nil {
		return out
	}
	groups := map[place][]config.Endpoint{}
	var order []place
	for _, e := range x.File.Endpoints {
		p := place{e.Deadman.Group, e.Region, e.RoleARN}
		if p.group == "" {
			p.group = x.output("DeadmanGroup")
		}
		if groups[p] == nil {
			order = append(order, p)
		}
		groups[p] = append(groups[p], e)
	}
	for _, p := range order {
		name := "dead-man's switches"
		if len(order) > 1 {
			name += " " + p.group + " in " + p.region
		}
		out = append(out, x.switchesAt(ctx, p, groups[p], name))
	}
	return out
}

func (x *examination) switchesAt(ctx context.Context, p place, endpoints []config.Endpoint, name string) Check {
	if p.group == "" {
		return notChecked(name, "%s", x.unknown())
	}
	account, err := x.there(endpoints[0])
	if err != nil {
		return notChecked(name, "their account cannot be looked at: %v", err)
	}
	have, err := account.Schedules(ctx, p.group)
	if err != nil {
		return unread(name, "schedule group "+p.group, err, "nightlatch deploy apply makes it; without it nothing is opened")
	}
	wanted := map[string]string{} // endpoint's name by schedule
	for _, e := range endpoints {
		associations, err := account.Associations(ctx, string(e.ID))
		if errors.Is(err, latch.ErrNotFound) {
			continue // told by the endpoint's own check
		}
		if err != nil {
			return unread(name, "the associations of "+e.Name, err, "")
		}
		for _, a := range associations {
			if a.Status != "disassociated" && a.Status != "association-failed" {
				wanted["nightlatch-"+a.ID] = e.Name
			}
		}
	}
	var orphans, lacking []string
	for _, s := range have {
		if strings.HasPrefix(s, "nightlatch-cvpn-assoc-") && wanted[s] == "" {
			orphans = append(orphans, s)
		}
	}
	for _, s := range sorted(wanted) {
		if !slices.Contains(have, s) {
			lacking = append(lacking, wanted[s])
		}
	}
	switch {
	case len(lacking) > 0:
		return check(name, Warning, "the beat makes it within minutes; where the endpoint is in mode: observe, or was opened by hand, it is not Nightlatch's to stop",
			"%s is associated and nothing would stop it if Nightlatch were gone", strings.Join(slices.Compact(lacking), ", "))
	case len(orphans) > 0:
		// Never a word of deleting them: one may be the only thing that stops an endpoint that somebody else's file is about.
		return check(name, Warning, "look first with aws ec2 describe-client-vpn-target-networks at the endpoints of this account that the file does not have; a switch whose association is gone ends by itself at its time",
			"%s: belongs to no association of the configured endpoints: one that is not in this file may be open", strings.Join(orphans, ", "))
	}
	return ok(name, "group %s is there; %s, each with its switch", p.group, count(len(wanted), "association"))
}
