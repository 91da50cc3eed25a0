package ec2_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/nightlatch/nightlatch/internal/standin/ec2"
)

func (g rig) deleteRoute(destination string, subnet *string) error {
	_, err := g.aws.DeleteClientVpnRoute(g.Context(), &awsec2.DeleteClientVpnRouteInput{
		ClientVpnEndpointId: new(id), DestinationCidrBlock: &destination, TargetVpcSubnetId: subnet})
	return err
}

func TestDeleteRoute(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g rig) {
		g.associate(subnetA)
		g.associate(subnetB)
		time.Sleep(6 * minute)
		for _, s := range []string{subnetA, subnetB} {
			g.refused("create", g.createRoute("0.0.0.0/0", s), "<nil>")
		}
		g.refused("create", g.createRoute("192.168.0.0/16", subnetA), "<nil>")
		time.Sleep(minute)
		g.refused("an automatic route", g.deleteRoute("10.0.0.0/16", new(subnetA)), "OperationNotPermitted")
		g.refused("a destination that is not there", g.deleteRoute("10.9.0.0/16", new(subnetA)), "InvalidClientVpnRouteNotFound")
		g.refused("through a subnet where it is not", g.deleteRoute("192.168.0.0/16", new(subnetB)), "InvalidClientVpnRouteNotFound")
		g.refused("no network", g.deleteRoute("192.168.0.1/16", new(subnetA)), "InvalidParameterValue")
		g.refused("two routes without saying which", g.deleteRoute("0.0.0.0/0", nil), "MissingParameter")
		g.refused("one without saying which", g.deleteRoute("192.168.0.0/16", nil), "<nil>")
		g.refused("one of two", g.deleteRoute("0.0.0.0/0", new(subnetA)), "<nil>")
		time.Sleep(30 * time.Second)
		g.refused("the same again while it is going", g.deleteRoute("0.0.0.0/0", new(subnetA)), "<nil>")
		g.refused("made again while it is going", g.createRoute("0.0.0.0/0", subnetA), "InvalidClientVpnDuplicateRoute")
		const auto = "available; subnet-0a associated subnet-0b associated; 10.0.0.0/16>subnet-0a associate active 10.0.0.0/16>subnet-0b associate active"
		g.want("deleting takes its time", auto+" 0.0.0.0/0>subnet-0a add-route deleting 0.0.0.0/0>subnet-0b add-route active 192.168.0.0/16>subnet-0a add-route deleting;")
		time.Sleep(30 * time.Second)
		g.want("then it is gone, a second call or not", auto+" 0.0.0.0/0>subnet-0b add-route active;")
		g.refused("gone", g.deleteRoute("0.0.0.0/0", new(subnetA)), "InvalidClientVpnRouteNotFound")
		g.refused("made again", g.createRoute("0.0.0.0/0", subnetA), "<nil>")
	})
	bubble(t, func(c *ec2.Config) { c.Unconfirmed.DefaultRouteNotFound = true }, func(t *testing.T, g rig) {
		g.associate(subnetA)
		time.Sleep(5 * minute)
		g.refused("an automatic route, the other way", g.deleteRoute("10.0.0.0/16", new(subnetA)), "InvalidClientVpnRouteNotFound")
	})
}

func TestAuthorizationRules(t *testing.T) {
	c := config()
	c.Endpoints[0].AuthorizationRules = []ec2.AuthorizationRule{{DestinationCIDR: "10.0.0.0/16", Description: "office"},
		{DestinationCIDR: "0.0.0.0/0", GroupID: "internet"}, {DestinationCIDR: "10.0.0.0/16", GroupID: "vpn"}}
	g := newRig(t, c)
	for name, w := range map[string]struct {
		filters []types.Filter
		want    string
	}{
		"all":            {nil, "10.0.0.0/16  true office active; 0.0.0.0/0 internet false - active; 10.0.0.0/16 vpn false - active"},
		"by destination": {[]types.Filter{{Name: new("destination-cidr"), Values: []string{"0.0.0.0/0"}}}, "0.0.0.0/0 internet false - active"},
		"by group":       {[]types.Filter{{Name: new("group-id"), Values: []string{"vpn"}}}, "10.0.0.0/16 vpn false - active"},
		"by description": {[]types.Filter{{Name: new("description"), Values: []string{"off*"}}}, "10.0.0.0/16  true office active"},
		"by status":      {[]types.Filter{{Name: new("status"), Values: []string{"active"}}}, "InvalidParameterValue"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := g.aws.DescribeClientVpnAuthorizationRules(t.Context(), &awsec2.DescribeClientVpnAuthorizationRulesInput{ClientVpnEndpointId: new(id), Filters: w.filters})
			got := code(err)
			if err == nil {
				var lines []string
				for _, r := range out.AuthorizationRules {
					description := "-"
					if r.Description != nil {
						description = *r.Description
					}
					lines = append(lines, fmt.Sprint(*r.DestinationCidr, " ", *r.GroupId, " ", *r.AccessAll, " ", description, " ", r.Status.Code))
				}
				got = strings.Join(lines, "; ")
			}
			if got != w.want {
				t.Errorf("got %s\nwant %s", got, w.want)
			}
		})
	}
}
