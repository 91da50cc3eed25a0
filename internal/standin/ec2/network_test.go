package ec2_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/nightlatch/nightlatch/internal/standin/ec2"
)

func filters(pairs ...string) []types.Filter {
	var out []types.Filter
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, types.Filter{Name: &pairs[i], Values: []string{pairs[i+1]}})
	}
	return out
}

// What a person who sets the product up looks for: subnets and groups, by id, VPC, zone, name and tag.
func TestSubnetsAndGroups(t *testing.T) {
	c := config()
	withGroups(&c)
	c.Endpoints[0].Subnets[0].AvailabilityZoneID = "use1-az1"
	c.Endpoints[0].Subnets[0].Tags = map[string]string{"Name": "private-a"}
	c.Endpoints[0].SecurityGroups[0].Tags = map[string]string{"Name": "clients"}
	c.AssociateTakes = 0
	g := newRig(t, c)
	g.associate(subnetA)
	for name, w := range map[string]struct {
		in   awsec2.DescribeSubnetsInput
		want string
	}{
		"all, each once":        {awsec2.DescribeSubnetsInput{}, "subnet-0a subnet-0b subnet-0a2 subnet-0far subnet-0overlap"},
		"by id":                 {awsec2.DescribeSubnetsInput{SubnetIds: []string{subnetB, subnetA}}, "subnet-0a subnet-0b"},
		"one that is not there": {awsec2.DescribeSubnetsInput{SubnetIds: []string{subnetA, "subnet-9"}}, "InvalidSubnetID.NotFound"},
		"by VPC":                {awsec2.DescribeSubnetsInput{Filters: filters("vpc-id", "vpc-2")}, "subnet-0far"},
		"by VPC and zone":       {awsec2.DescribeSubnetsInput{Filters: filters("vpc-id", "vpc-1", "availability-zone", "us-east-1a")}, "subnet-0a subnet-0a2"},
		"by the other spelling": {awsec2.DescribeSubnetsInput{Filters: filters("availabilityZoneId", "use1-az1")}, "subnet-0a"},
		"by CIDR":               {awsec2.DescribeSubnetsInput{Filters: filters("cidr", "10.0.2.0/24")}, "subnet-0b"},
		"by tag":                {awsec2.DescribeSubnetsInput{Filters: filters("tag:Name", "private-*")}, "subnet-0a"},
		"by tag key":            {awsec2.DescribeSubnetsInput{Filters: filters("tag-key", "Name")}, "subnet-0a"},
		"by free addresses":     {awsec2.DescribeSubnetsInput{Filters: filters("available-ip-address-count", "250", "state", "available")}, "subnet-0a"},
		"by what none has":      {awsec2.DescribeSubnetsInput{Filters: filters("outpost-arn", "*")}, ""},
		"by what is no filter":  {awsec2.DescribeSubnetsInput{Filters: filters("name", "x")}, "InvalidParameterValue"},
		"a dry run":             {awsec2.DescribeSubnetsInput{DryRun: new(true)}, "DryRunOperation"},
	} {
		t.Run("subnets "+name, func(t *testing.T) {
			out, err := g.aws.DescribeSubnets(t.Context(), &w.in)
			got := code(err)
			if err == nil {
				var ids []string
				for _, s := range out.Subnets {
					ids = append(ids, *s.SubnetId)
				}
				got = strings.Join(ids, " ")
			}
			if got != w.want {
				t.Errorf("got %s, want %s", got, w.want)
			}
		})
	}
	out, err := g.aws.DescribeSubnets(t.Context(), &awsec2.DescribeSubnetsInput{SubnetIds: []string{subnetA}})
	if err != nil {
		t.Fatal(err)
	}
	s := out.Subnets[0]
	if got, want := fmt.Sprint(*s.SubnetArn, " ", s.State, " ", *s.VpcId, " ", *s.CidrBlock, " ", *s.AvailableIpAddressCount, " ", *s.OwnerId, " ", *s.Tags[0].Value),
		"arn:aws:ec2:us-east-1:111122223333:subnet/subnet-0a available vpc-1 10.0.1.0/24 250 111122223333 private-a"; got != want {
		t.Errorf("the subnet is %s\nwant %s: 256 addresses less AWS's five and one association's", got, want)
	}
	for name, w := range map[string]struct {
		in   awsec2.DescribeSecurityGroupsInput
		want string
	}{
		"of a VPC":              {awsec2.DescribeSecurityGroupsInput{Filters: filters("vpc-id", "vpc-2")}, "far default"},
		"by id":                 {awsec2.DescribeSecurityGroupsInput{GroupIds: []string{"sg-2", "sg-1"}}, "clients-1 clients-2"},
		"one that is not there": {awsec2.DescribeSecurityGroupsInput{GroupIds: []string{"sg-9"}}, "InvalidGroup.NotFound"},
		"by name":               {awsec2.DescribeSecurityGroupsInput{Filters: filters("group-name", "clients-3")}, "clients-3"},
		"by tag":                {awsec2.DescribeSecurityGroupsInput{Filters: filters("tag:Name", "clients")}, "clients-1"},
		"by what may leave":     {awsec2.DescribeSecurityGroupsInput{Filters: filters("egress.ip-permission.cidr", "0.0.0.0/0", "group-id", "sg-far")}, "far"},
		"by what may enter":     {awsec2.DescribeSecurityGroupsInput{Filters: filters("ip-permission.cidr", "*")}, ""},
		"by the parameter":      {awsec2.DescribeSecurityGroupsInput{GroupNames: []string{"clients-1"}}, "VPCIdNotSpecified"},
		"by what is no filter":  {awsec2.DescribeSecurityGroupsInput{Filters: filters("egress.vpc-id", "x")}, "InvalidParameterValue"},
	} {
		t.Run("groups "+name, func(t *testing.T) {
			out, err := g.aws.DescribeSecurityGroups(t.Context(), &w.in)
			got := code(err)
			if err == nil {
				var names []string
				for _, s := range out.SecurityGroups {
					names = append(names, *s.GroupName)
				}
				got = strings.Join(names, " ")
			}
			if got != w.want {
				t.Errorf("got %s, want %s", got, w.want)
			}
		})
	}
	groups, err := g.aws.DescribeSecurityGroups(t.Context(), &awsec2.DescribeSecurityGroupsInput{GroupIds: []string{"sg-1"}})
	if err != nil {
		t.Fatal(err)
	}
	if x := groups.SecurityGroups[0]; *x.IpPermissionsEgress[0].IpRanges[0].CidrIp != "0.0.0.0/0" || *x.OwnerId != "111122223333" || *x.VpcId != "vpc-1" {
		t.Errorf("the group is %s", asJSON(t, x))
	}
	var sizes []int
	pages := awsec2.NewDescribeSecurityGroupsPaginator(g.aws, &awsec2.DescribeSecurityGroupsInput{MaxResults: new(int32(5))})
	for pages.HasMorePages() {
		p, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(p.SecurityGroups))
	}
	if fmt.Sprint(sizes) != "[5 4]" {
		t.Errorf("pages of %v groups, want 5 and 4", sizes)
	}
}

func TestTags(t *testing.T) {
	g := newRig(t, config())
	create := func(id string, pairs ...string) error {
		in := &awsec2.CreateTagsInput{Resources: []string{id}}
		for i := 0; i < len(pairs); i += 2 {
			in.Tags = append(in.Tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
		}
		_, err := g.aws.CreateTags(t.Context(), in)
		return err
	}
	remove := func(tags ...types.Tag) {
		t.Helper()
		if _, err := g.aws.DeleteTags(t.Context(), &awsec2.DeleteTagsInput{Resources: []string{id}, Tags: tags}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when, want string) {
		t.Helper()
		var got []string
		for _, x := range g.described().Tags {
			got = append(got, *x.Key+"="+*x.Value)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", when, got, want)
		}
	}
	g.refused("two tags", create(id, "Name", "office", "team", "it"), "<nil>")
	g.refused("one again, and one without a value", create(id, "team", "net", "empty", ""), "<nil>")
	want("a tag is overwritten", "Name=office empty= team=net")
	g.refused("a reserved key", create(id, "aws:x", "1"), "InvalidParameterValue")
	g.refused("no key", create(id, "", "1"), "InvalidTagKey.Malformed")
	g.refused("a long key", create(id, strings.Repeat("k", 129), "1"), "InvalidParameterValue")
	g.refused("a long value", create(id, "k", strings.Repeat("v", 257)), "InvalidParameterValue")
	g.refused("a key twice", create(id, "k", "1", "k", "2"), "InvalidParameterValue")
	g.refused("another endpoint", create("cvpn-endpoint-9", "k", "1"), "InvalidClientVpnEndpointId.NotFound")
	g.refused("no such subnet", create("subnet-9", "k", "1"), "InvalidSubnetID.NotFound")
	g.refused("what is no id", create("office", "k", "1"), "InvalidID")
	var many []string
	for i := range 48 {
		many = append(many, fmt.Sprint("k", i), "v")
	}
	g.refused("fifty-one", create(id, many...), "TagLimitExceeded")
	_, err := g.aws.CreateTags(t.Context(), &awsec2.CreateTagsInput{Resources: []string{id, "cvpn-endpoint-9"}, Tags: []types.Tag{{Key: new("k"), Value: new("1")}}})
	g.refused("one of two that is not there", err, "InvalidClientVpnEndpointId.NotFound")
	want("refused calls change nothing", "Name=office empty= team=net")
	g.refused("another endpoint", create("cvpn-endpoint-0b", "Name", "lab"), "<nil>")
	g.refused("a subnet", create(subnetA, "Name", "private-a"), "<nil>")

	for name, w := range map[string]struct {
		filters []types.Filter
		want    string
	}{
		"all":         {nil, id + " client-vpn-endpoint Name=office, " + id + " client-vpn-endpoint empty=, " + id + " client-vpn-endpoint team=net, cvpn-endpoint-0b client-vpn-endpoint Name=lab, subnet-0a subnet Name=private-a"},
		"by resource": {filters("resource-id", "cvpn-endpoint-0b"), "cvpn-endpoint-0b client-vpn-endpoint Name=lab"},
		"by type":     {filters("resource-type", "subnet"), "subnet-0a subnet Name=private-a"},
		"by key":      {filters("key", "team"), id + " client-vpn-endpoint team=net"},
		"by value":    {filters("value", "l*"), "cvpn-endpoint-0b client-vpn-endpoint Name=lab"},
		"by both":     {filters("tag:Name", "lab"), "cvpn-endpoint-0b client-vpn-endpoint Name=lab"},
		"by tag-key":  {filters("tag-key", "Name"), "InvalidParameterValue"},
	} {
		out, err := g.aws.DescribeTags(t.Context(), &awsec2.DescribeTagsInput{Filters: w.filters})
		got := code(err)
		if err == nil {
			var lines []string
			for _, x := range out.Tags {
				lines = append(lines, fmt.Sprintf("%s %s %s=%s", *x.ResourceId, x.ResourceType, *x.Key, *x.Value))
			}
			got = strings.Join(lines, ", ")
		}
		if got != w.want {
			t.Errorf("tags %s:\n got %s\nwant %s", name, got, w.want)
		}
	}

	remove(types.Tag{Key: new("team"), Value: new("it")}, types.Tag{Key: new("Name"), Value: new("")}, types.Tag{Key: new("none")})
	want("another value is another tag", "Name=office empty= team=net")
	remove(types.Tag{Key: new("team"), Value: new("net")}, types.Tag{Key: new("empty"), Value: new("")})
	want("by key and value", "Name=office")
	remove(types.Tag{Key: new("Name")})
	want("by key", "")
	g.refused("again", create(id, "a", "1", "b", "2"), "<nil>")
	remove()
	want("all", "")
}

func TestEndpointsByTag(t *testing.T) {
	for on, want := range map[bool]string{false: "InvalidParameterValue", true: "<nil> 1"} {
		c := config()
		c.Endpoints[1].Tags = map[string]string{"nightlatch": "yes"}
		c.Unconfirmed.EndpointsByTag = on
		g := newRig(t, c)
		out, err := g.aws.DescribeClientVpnEndpoints(t.Context(), &awsec2.DescribeClientVpnEndpointsInput{Filters: filters("tag:nightlatch", "yes", "transport-protocol", "udp")})
		got := code(err)
		if err == nil {
			got += fmt.Sprint(" ", len(out.ClientVpnEndpoints))
		}
		if got != want {
			t.Errorf("by tag, switch %v: %s, want %s", on, got, want)
		}
	}
	g := newRig(t, config())
	out, err := g.aws.DescribeClientVpnEndpoints(t.Context(), &awsec2.DescribeClientVpnEndpointsInput{Filters: filters("endpoint-id", "*0b")})
	if err != nil || len(out.ClientVpnEndpoints) != 1 || aws.ToString(out.ClientVpnEndpoints[0].ClientVpnEndpointId) != "cvpn-endpoint-0b" {
		t.Errorf("by id: %v, %v", out, err)
	}
	for what, form := range map[string]url.Values{"values": {}, "filters": {}} {
		form.Set("Action", "DescribeSubnets")
		form.Set("Version", "2016-11-15")
		if what == "values" {
			form.Set("Filter.1.Name", "subnet-id")
			for i := range 201 {
				form.Set(fmt.Sprint("Filter.1.Value.", i+1), "x")
			}
		} else {
			for i := range 51 {
				form.Set(fmt.Sprint("Filter.", i+1, ".Name"), "subnet-id")
				form.Set(fmt.Sprint("Filter.", i+1, ".Value.1"), "x")
			}
		}
		if got := g.post(form); got.code != "FilterLimitExceeded" {
			t.Errorf("too many %s: %s", what, got.body)
		}
	}
	if _, err := ec2.New(ec2.Config{}); err == nil {
		t.Error("an empty configuration was accepted")
	}
}
