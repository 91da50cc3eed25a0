package ec2

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// need is a resource that an action needs a permission for, with the condition keys about it.
type need struct {
	resource string
	context  map[string]string
}

// unauthorized asks IAM about everything that the action touches. Whether that exists is not looked at: who may not is
// told nothing of it. The caller holds s.mu.
//
// AWS adds an encoded message to the sentence, which only sts:DecodeAuthorizationMessage reads; there is none here.
func (s *Server) unauthorized(key, action string, p params) *fault {
	if s.cfg.Authorize == nil {
		return nil
	}
	for _, n := range s.needs(action, p) {
		n.context["ec2:Region"], n.context["aws:RequestedRegion"] = s.cfg.Region, s.cfg.Region
		if err := s.cfg.Authorize(key, "ec2:"+action, n.resource, n.context); err != nil {
			return &fault{http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation. " + err.Error()}
		}
	}
	return nil
}

// needs are an action's resources ("Actions, resources, and condition keys for Amazon EC2", Service Authorization
// Reference). Those that it marks as optional are needed where the request names them.
func (s *Server) needs(action string, p params) []need {
	if strings.HasPrefix(action, "DescribeClientVpn") && action != "DescribeClientVpnEndpoints" || p["ClientVpnEndpointId"] != "" {
		out := []need{s.need("client-vpn-endpoint", p["ClientVpnEndpointId"])}
		// Of an endpoint at a transit gateway, which has no subnets, it is not documented what takes their place.
		for _, name := range []string{"SubnetId", "TargetVpcSubnetId"} {
			if id := p[name]; id != "" && id != local {
				out = append(out, s.need("subnet", id))
			}
		}
		for _, id := range p.list("SecurityGroupId") {
			out = append(out, s.need("security-group", id))
		}
		if id := p["VpcId"]; id != "" {
			out = append(out, s.need("vpc", id))
		}
		return out
	}
	if strings.HasSuffix(action, "Tags") && action != "DescribeTags" {
		var out []need
		for _, id := range p.list("ResourceId") {
			out = append(out, s.need(resourceType(id), id))
		}
		return out
	}
	return []need{{"*", map[string]string{}}} // a describe without resource-level permissions
}

// need is one resource by its kind and id, of another account where that owns it.
func (s *Server) need(kind, id string) need {
	owner, context := s.cfg.AccountID, map[string]string{}
	for key, value := range s.state.Tags[id] {
		context["aws:ResourceTag/"+key], context["ec2:ResourceTag/"+key] = value, value
	}
	vpc := func(id string) string { return fmt.Sprintf("arn:aws:ec2:%s:%s:vpc/%s", s.cfg.Region, owner, id) }
	switch kind {
	case "client-vpn-endpoint":
		if e, f := s.endpoint(id); f == nil {
			context["ec2:SamlProviderArn"], context["ec2:ServerCertificateArn"] = e.SAMLProviderARN, e.Settings.CertificateARN
		}
	case "subnet":
		context["ec2:SubnetID"] = id
		all := s.state.subnets()
		if i := slices.IndexFunc(all, func(sub Subnet) bool { return sub.ID == id }); i >= 0 {
			sub := all[i]
			owner = sub.OwnerID
			context["ec2:AvailabilityZone"], context["ec2:AvailabilityZoneId"], context["ec2:Vpc"] = sub.AvailabilityZone, sub.AvailabilityZoneID, vpc(sub.VpcID)
		}
	case "security-group":
		context["ec2:SecurityGroupID"] = id
		if g, ok := s.state.group(id); ok {
			context["ec2:Vpc"] = vpc(g.VpcID)
		}
	case "vpc":
		context["ec2:VpcID"] = id
	}
	return need{fmt.Sprintf("arn:aws:ec2:%s:%s:%s/%s", s.cfg.Region, owner, kind, id), context}
}
