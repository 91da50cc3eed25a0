package latch

import "slices"

// DifferenceCode names how an endpoint differs from what policy and memory say it should be. The list is closed, and
// every code has its sentence in every language of the catalogue.
type DifferenceCode string

// The codes. Parameters that a sentence may use are those of Difference.
const (
	AssociationMissing DifferenceCode = "association.missing" // Subnet should be associated
	AssociationExtra   DifferenceCode = "association.extra"   // Subnet is, as Association, and policy does not want it
	RouteMissing       DifferenceCode = "route.missing"       // Destination via Subnet is declared
	RouteLost          DifferenceCode = "route.lost"          // Destination via Subnet was learned
	RouteBroken        DifferenceCode = "route.broken"        // Destination via Subnet is there, and does not work: Status, Message
	RouteExtra         DifferenceCode = "route.extra"         // Destination via Subnet is neither declared nor learned
	GroupMissing       DifferenceCode = "group.missing"       // Group should be on the target networks
	GroupExtra         DifferenceCode = "group.extra"         // Group is, and should not
)

// DifferenceCodes is the closed list, in the order above.
var DifferenceCodes = []DifferenceCode{AssociationMissing, AssociationExtra, RouteMissing, RouteLost, RouteBroken, RouteExtra, GroupMissing, GroupExtra}

// Difference is a code with its parameters; which are set depends on the code.
type Difference struct {
	Code        DifferenceCode `json:"code"`
	Association AssociationID  `json:"associationId,omitempty"`
	Subnet      SubnetID       `json:"subnetId,omitempty"`
	Destination string         `json:"destination,omitempty"`
	Group       GroupID        `json:"groupId,omitempty"`
	Status      Status         `json:"status,omitempty"`
	Message     string         `json:"message,omitempty"` // AWS's own words
}

// Drift lists how the endpoint differs from what it should be: its associations, routes and security groups. While it
// opens, what is still to come is a difference too. One that is off or closing should be nothing but free of
// associations. Drift is pure; it does not say what will be done about it, which is Plan's to decide.
func Drift(o Observation, r Record, p Policy) []Difference {
	o, _ = own(o, r)
	o = complete(o, r)
	var all []Difference
	add := func(d Difference) {
		if !slices.Contains(all, d) { // a local route belongs to every subnet
			all = append(all, d)
		}
	}
	held := holding(o)
	if r.Opening == nil || r.Opening.ClosingFor != "" {
		for _, a := range held {
			if r.Opening == nil {
				add(Difference{Code: AssociationExtra, Subnet: a.Subnet, Association: a.ID})
			}
		}
		return all
	}
	on := func(s SubnetID) bool {
		return slices.ContainsFunc(held, func(a Association) bool { return a.Subnet == s })
	}
	missing := p.Subnets
	if !p.All {
		missing = toAssociate(o, r, p)
	}
	for _, s := range missing {
		if !on(s) {
			add(Difference{Code: AssociationMissing, Subnet: s})
		}
	}
	preferred := slices.IndexFunc(p.Subnets, on)
	for _, a := range held {
		if i := slices.Index(p.Subnets, a.Subnet); i < 0 || !p.All && i != preferred {
			add(Difference{Code: AssociationExtra, Subnet: a.Subnet, Association: a.ID})
		}
	}
	for _, d := range routeDrift(o, r, p) {
		add(d)
	}
	if carries(o) && !grouped(o, r, p) {
		want := wantedGroups(r, p)
		for _, g := range want {
			if !slices.Contains(o.Groups, g) {
				add(Difference{Code: GroupMissing, Group: g})
			}
		}
		for _, g := range sorted(o.Groups) {
			if !slices.Contains(want, g) {
				add(Difference{Code: GroupExtra, Group: g})
			}
		}
	}
	return all
}

// routeDrift compares the routes of the associated subnets. A subnet that is still associating has none yet, and before
// the opening was ready somebody's route may be one that is about to be learned.
func routeDrift(o Observation, r Record, p Policy) []Difference {
	var all []Difference
	for _, a := range holding(o) {
		if a.Status != Associated {
			continue
		}
		wanted := wantedRoutes(o, r, p, a.Subnet)
		for _, w := range wanted {
			d := Difference{Code: RouteMissing, Destination: w.Destination, Subnet: w.Subnet}
			have, found := reported(o, w.Route)
			switch {
			case found && (have.Status == Active || have.Status == Creating):
				continue
			case found:
				d.Code, d.Status, d.Message = RouteBroken, have.Status, have.Message
			case w.learned >= 0:
				d.Code = RouteLost
			}
			all = append(all, d)
		}
		for _, x := range o.Routes {
			known := slices.ContainsFunc(wanted, func(w wantedRoute) bool { return sameRoute(w.Route, x) })
			if !r.Opening.ReadyAt.IsZero() && x.Origin == OriginAddRoute && belongs(x, a.Subnet) && (x.Status == Active || x.Status == Creating) && !known {
				all = append(all, Difference{Code: RouteExtra, Destination: x.Destination, Subnet: x.Subnet})
			}
		}
	}
	return all
}
