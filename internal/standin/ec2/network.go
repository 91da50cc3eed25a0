package ec2

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// subnets are all that the endpoints' fixtures name, each once.
func (s *state) subnets() []Subnet {
	var out []Subnet
	for _, e := range s.Endpoints {
		for _, sub := range e.Subnets {
			if !slices.ContainsFunc(out, func(o Subnet) bool { return o.ID == sub.ID }) {
				out = append(out, sub)
			}
		}
	}
	return out
}

// groups are all that the endpoints' fixtures name, each once, and the default groups.
func (s *state) groups() []SecurityGroup {
	var out []SecurityGroup
	add := func(g SecurityGroup) {
		if !slices.ContainsFunc(out, func(o SecurityGroup) bool { return o.ID == g.ID }) {
			out = append(out, g)
		}
	}
	for _, e := range s.Endpoints {
		for _, g := range e.SecurityGroups {
			add(g)
		}
	}
	for _, g := range s.DefaultGroups {
		add(g)
	}
	return out
}

func (s *state) group(id string) (SecurityGroup, bool) {
	all := s.groups()
	i := slices.IndexFunc(all, func(g SecurityGroup) bool { return g.ID == id })
	if i < 0 {
		return SecurityGroup{}, false
	}
	return all[i], true
}

// defaultGroup is the group that every VPC has; it is made up where the fixtures name none.
func (s *state) defaultGroup(vpc string) string {
	for _, g := range s.groups() {
		if g.VpcID == vpc && g.Name == "default" {
			return g.ID
		}
	}
	g := SecurityGroup{ID: newID("sg"), Name: "default", Description: "default VPC security group", VpcID: vpc}
	s.DefaultGroups = append(s.DefaultGroups, g)
	return g.ID
}

func (s *state) hasVpc(id string) bool {
	return slices.ContainsFunc(s.subnets(), func(sub Subnet) bool { return sub.VpcID == id })
}

type subnetXML struct {
	ID           string        `xml:"subnetId"`
	ARN          string        `xml:"subnetArn"`
	State        string        `xml:"state"`
	OwnerID      string        `xml:"ownerId"`
	VpcID        string        `xml:"vpcId"`
	CIDR         string        `xml:"cidrBlock"`
	IPv6         set[struct{}] `xml:"ipv6CidrBlockAssociationSet"`
	IPv6OnCreate bool          `xml:"assignIpv6AddressOnCreation"`
	IPv6Native   bool          `xml:"ipv6Native"`
	DNS64        bool          `xml:"enableDns64"`
	Available    int           `xml:"availableIpAddressCount"`
	Zone         string        `xml:"availabilityZone"`
	ZoneID       string        `xml:"availabilityZoneId"`
	DefaultForAZ bool          `xml:"defaultForAz"`
	MapPublicIP  bool          `xml:"mapPublicIpOnLaunch"`
	MapOwnIP     bool          `xml:"mapCustomerOwnedIpOnLaunch"`
	Tags         set[tagXML]   `xml:"tagSet"`
}

// field has every filter of the API Reference; those about what no subnet here has match nothing.
func (v subnetXML) field(name string) []string {
	switch name {
	case "availability-zone", "availabilityZone":
		return []string{v.Zone}
	case "availability-zone-id", "availabilityZoneId":
		return []string{v.ZoneID}
	case "available-ip-address-count":
		return []string{strconv.Itoa(v.Available)}
	case "cidr-block", "cidr", "cidrBlock":
		return []string{v.CIDR}
	case "default-for-az", "defaultForAz", "enable-dns64", "ipv6-native", "map-customer-owned-ip-on-launch", "map-public-ip-on-launch":
		return []string{"false"}
	case "owner-id":
		return []string{v.OwnerID}
	case "state":
		return []string{v.State}
	case "subnet-arn":
		return []string{v.ARN}
	case "subnet-id":
		return []string{v.ID}
	case "vpc-id":
		return []string{v.VpcID}
	case "customer-owned-ipv4-pool", "enable-lni-at-device-index", "ipv6-cidr-block-association.ipv6-cidr-block",
		"ipv6-cidr-block-association.association-id", "ipv6-cidr-block-association.state", "outpost-arn",
		"private-dns-name-options-on-launch.hostname-type", "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
		"private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record":
		return []string{}
	}
	return byTag(v.Tags.Items, name)
}

func (s *Server) describeSubnets(p params, now time.Time) (result, *fault) {
	all := s.state.subnets()
	ids := p.list("SubnetId")
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(sub Subnet) bool { return sub.ID == id }) {
			return nil, refuse("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
		}
	}
	var views []subnetXML
	for _, sub := range all {
		if len(ids) > 0 && !slices.Contains(ids, sub.ID) {
			continue
		}
		views = append(views, subnetXML{ID: sub.ID, ARN: fmt.Sprintf("arn:aws:ec2:%s:%s:subnet/%s", s.cfg.Region, sub.OwnerID, sub.ID),
			State: "available", OwnerID: sub.OwnerID, VpcID: sub.VpcID, CIDR: sub.CIDR, Available: s.free(sub, now),
			Zone: sub.AvailabilityZone, ZoneID: sub.AvailabilityZoneID, Tags: set[tagXML]{s.tags(sub.ID)}})
	}
	return describe(p, views, subnetXML.field, func(page []subnetXML, next string) result {
		return &struct {
			reply
			Items set[subnetXML] `xml:"subnetSet"`
			Next  string         `xml:"nextToken,omitempty"`
		}{Items: set[subnetXML]{page}, Next: next}
	})
}

// free is how many addresses a subnet has left: AWS keeps five of each, and an association's network interface takes one.
func (s *Server) free(sub Subnet, now time.Time) int {
	cidr, err := netip.ParsePrefix(sub.CIDR)
	if err != nil {
		return 0
	}
	n := 1<<min(bits.UintSize-2, cidr.Addr().BitLen()-cidr.Bits()) - 5
	for _, e := range s.state.Endpoints {
		for _, a := range e.reported(now) {
			if a.Subnet == sub.ID {
				n--
			}
		}
	}
	return max(0, n)
}

type groupXML struct {
	OwnerID     string         `xml:"ownerId"`
	ID          string         `xml:"groupId"`
	ARN         string         `xml:"securityGroupArn"`
	Name        string         `xml:"groupName"`
	Description string         `xml:"groupDescription"`
	VpcID       string         `xml:"vpcId"`
	Ingress     set[struct{}]  `xml:"ipPermissions"`
	Egress      set[egressXML] `xml:"ipPermissionsEgress"`
	Tags        set[tagXML]    `xml:"tagSet"`
}

type egressXML struct {
	Protocol string        `xml:"ipProtocol"`
	Groups   set[struct{}] `xml:"groups"`
	CIDRs    []string      `xml:"ipRanges>item>cidrIp"`
	IPv6     set[struct{}] `xml:"ipv6Ranges"`
	Lists    set[struct{}] `xml:"prefixListIds"`
}

// field has every filter of the API Reference. No group lets anything in, and every group lets everything out.
func (v groupXML) field(name string) []string {
	switch name {
	case "description":
		return []string{v.Description}
	case "group-id":
		return []string{v.ID}
	case "group-name":
		return []string{v.Name}
	case "owner-id":
		return []string{v.OwnerID}
	case "vpc-id":
		return []string{v.VpcID}
	case "egress.ip-permission.cidr":
		return []string{"0.0.0.0/0"}
	case "egress.ip-permission.protocol":
		return []string{"-1"}
	}
	switch strings.TrimPrefix(name, "egress.") {
	case "ip-permission.cidr", "ip-permission.from-port", "ip-permission.group-id", "ip-permission.group-name", "ip-permission.ipv6-cidr",
		"ip-permission.prefix-list-id", "ip-permission.protocol", "ip-permission.to-port", "ip-permission.user-id":
		return []string{}
	}
	return byTag(v.Tags.Items, name)
}

func (s *Server) describeGroups(p params, _ time.Time) (result, *fault) {
	if len(p.list("GroupName")) > 0 { // names are for the default VPC, and there is none here
		return nil, refuse("VPCIdNotSpecified", "No default VPC for this user")
	}
	all := s.state.groups()
	ids := p.list("GroupId")
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(g SecurityGroup) bool { return g.ID == id }) {
			return nil, refuse("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
	}
	var views []groupXML
	for _, g := range all {
		if len(ids) > 0 && !slices.Contains(ids, g.ID) {
			continue
		}
		views = append(views, groupXML{OwnerID: s.cfg.AccountID, ID: g.ID, ARN: fmt.Sprintf("arn:aws:ec2:%s:%s:security-group/%s", s.cfg.Region, s.cfg.AccountID, g.ID),
			Name: g.Name, Description: g.Description, VpcID: g.VpcID, Tags: set[tagXML]{s.tags(g.ID)},
			Egress: set[egressXML]{[]egressXML{{Protocol: "-1", CIDRs: []string{"0.0.0.0/0"}}}}})
	}
	return describe(p, views, groupXML.field, func(page []groupXML, next string) result {
		return &struct {
			reply
			Items set[groupXML] `xml:"securityGroupInfo"`
			Next  string        `xml:"nextToken,omitempty"`
		}{Items: set[groupXML]{page}, Next: next}
	})
}
