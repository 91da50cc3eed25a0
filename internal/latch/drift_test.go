package latch_test

import (
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// drift writes a list for people: "route.missing 10.9.0.0/16 subnet-a".
func drift(list []latch.Difference) string {
	var all []string
	for _, d := range list {
		words := []string{string(d.Code), string(d.Association), string(d.Subnet), d.Destination, string(d.Group), string(d.Status), d.Message}
		all = append(all, strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	}
	return strings.Join(all, ", ")
}

func TestDrift(t *testing.T) {
	told := map[latch.DifferenceCode]bool{}
	for name, tt := range map[string]struct {
		scene  func() *scene
		change func(*scene)
		want   string
	}{
		"off: nothing":               {off, nil, ""},
		"open as it should be":       {open, nil, ""},
		"closing: nothing is wanted": {open, func(s *scene) { s.r.Opening.ClosingFor = latch.ClosingDone; s.without("10.9.0.0/16") }, ""},
		"opened by hand and left so: nobody's wish": {off, func(s *scene) {
			s.p.ByHand = latch.Warn
			s.associate(assocA, subnetA, latch.Associated)
		}, "association.extra cvpn-assoc-a subnet-a"},
		"asked for, and not associated yet": {wished, nil, "association.missing subnet-a"},
		"associating: routes come with what is associated": {wished, func(s *scene) { s.associate(assocA, subnetA, latch.Associating) },
			""},
		"one of all subnets is missing": {open, func(s *scene) { s.p.All = true }, "association.missing subnet-b"},
		"one would be enough": {open, func(s *scene) { s.associate(assocB, subnetB, latch.Associated) },
			"association.extra cvpn-assoc-b subnet-b"},
		"a subnet that policy does not name": {open, func(s *scene) { s.associate("cvpn-assoc-x", "subnet-x", latch.Associated) },
			"association.extra cvpn-assoc-x subnet-x"},
		"a declared route is missing":            {open, func(s *scene) { s.without("10.9.0.0/16") }, "route.missing subnet-a 10.9.0.0/16"},
		"one that is written differently is not": {open, func(s *scene) { s.p.Routes[0].Destination = "10.9.7.0/16" }, ""},
		"a learned route is missing": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: "192.168.7.0/24", Subnet: subnetA}}
		}, "route.lost subnet-a 192.168.7.0/24"},
		"a declared route that failed": {open, func(s *scene) {
			s.without("10.9.0.0/16")
			s.o.Routes = append(s.o.Routes, latch.Route{Destination: "10.9.0.0/16", Subnet: subnetA, Origin: latch.OriginAddRoute, Status: latch.Failed, Message: "no way"})
		}, "route.broken subnet-a 10.9.0.0/16 failed no way"},
		"a route that nobody declared, once it is ready": {open, func(s *scene) { s.byHand("192.168.7.0/24", subnetA) },
			"route.extra subnet-a 192.168.7.0/24"},
		"before it is ready it may be about to be learned": {open, func(s *scene) {
			s.r.Opening.ReadyAt = s.r.Opening.LeaseEnded
			s.byHand("192.168.7.0/24", subnetA)
		}, ""},
		"a local route counts once": {open, func(s *scene) {
			s.p.All = true
			s.associate(assocB, subnetB, latch.Associated)
			s.p.Routes = append(s.p.Routes, latch.Route{Destination: "172.16.0.0/22", Subnet: latch.Local})
		}, "route.missing local 172.16.0.0/22"},
		"other security groups than the declared ones": {open, func(s *scene) {
			s.p.Groups, s.o.Groups = []latch.GroupID{"sg-1", "sg-2"}, []latch.GroupID{"sg-3", "sg-2"}
		}, "group.missing sg-1, group.extra sg-3"},
		"undeclared security groups that somebody changed are theirs to change": {open, func(s *scene) {
			s.o.Groups, s.r.Groups, s.r.Opening.Grouped = []latch.GroupID{"sg-3"}, []latch.GroupID{"sg-1"}, true
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.scene()
			if tt.change != nil {
				tt.change(s)
			}
			list := latch.Drift(s.o, s.r, s.p)
			if got := drift(list); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			for _, d := range list {
				told[d.Code] = true
			}
		})
	}
	for _, c := range latch.DifferenceCodes {
		if !told[c] {
			t.Errorf("no case has the code %s", c)
		}
	}
}
