package ec2

import (
	"maps"
	"time"
)

// action is one call: the parameters it knows, by their shape, those it needs, and what it does while s.mu is held.
type action struct {
	run      func(*Server, params, time.Time) (result, *fault)
	changes  bool // the state is to be saved
	params   map[string]kind
	required []string // lists by the name before the index
}

// kind is what a parameter's text has to be.
type kind int

const (
	text        kind = iota
	boolean          // true or false
	integer          // 32 bits
	pageSize         // 5 to 1000
	clientToken      // at most 64 ASCII characters
)

// actions are all that the stand-in knows, with the request parameters of the service model of API version 2016-11-15,
// spelled as on the wire. To add one, add it here. A test holds them against the SDK's own model.
var actions = map[string]action{
	"DescribeClientVpnEndpoints":          {(*Server).describeEndpoints, false, paged(map[string]kind{"ClientVpnEndpointId.#": text}), nil},
	"DescribeClientVpnTargetNetworks":     {(*Server).describeTargetNetworks, false, paged(map[string]kind{"ClientVpnEndpointId": text, "AssociationIds.#": text}), endpointID},
	"DescribeClientVpnRoutes":             {(*Server).describeRoutes, false, paged(map[string]kind{"ClientVpnEndpointId": text}), endpointID},
	"DescribeClientVpnConnections":        {(*Server).describeConnections, false, paged(map[string]kind{"ClientVpnEndpointId": text}), endpointID},
	"DescribeClientVpnAuthorizationRules": {(*Server).describeRules, false, paged(map[string]kind{"ClientVpnEndpointId": text}), endpointID},
	"DescribeSubnets":                     {(*Server).describeSubnets, false, paged(map[string]kind{"SubnetId.#": text}), nil},
	"DescribeSecurityGroups":              {(*Server).describeGroups, false, paged(map[string]kind{"GroupId.#": text, "GroupName.#": text}), nil},
	"DescribeTags":                        {(*Server).describeTags, false, paged(nil), nil},

	"ExportClientVpnClientConfiguration": {(*Server).export, false, with(map[string]kind{"ClientVpnEndpointId": text}), endpointID},

	"AssociateClientVpnTargetNetwork": {(*Server).associate, true, with(map[string]kind{"ClientVpnEndpointId": text, "SubnetId": text,
		"AvailabilityZone": text, "AvailabilityZoneId": text, "ClientToken": clientToken}), endpointID},
	"DisassociateClientVpnTargetNetwork": {(*Server).disassociate, true, with(map[string]kind{"ClientVpnEndpointId": text, "AssociationId": text}),
		[]string{"AssociationId", "ClientVpnEndpointId"}},
	"ApplySecurityGroupsToClientVpnTargetNetwork": {(*Server).applyGroups, true, with(map[string]kind{"ClientVpnEndpointId": text, "VpcId": text,
		"SecurityGroupId.#": text}), []string{"ClientVpnEndpointId", "SecurityGroupId", "VpcId"}},
	"CreateClientVpnRoute": {(*Server).createRoute, true, with(map[string]kind{"ClientVpnEndpointId": text, "DestinationCidrBlock": text,
		"TargetVpcSubnetId": text, "Description": text, "ClientToken": clientToken}), []string{"ClientVpnEndpointId", "DestinationCidrBlock"}},
	"DeleteClientVpnRoute": {(*Server).deleteRoute, true, with(map[string]kind{"ClientVpnEndpointId": text, "DestinationCidrBlock": text,
		"TargetVpcSubnetId": text}), []string{"ClientVpnEndpointId", "DestinationCidrBlock"}},
	"TerminateClientVpnConnections": {(*Server).terminate, true, with(map[string]kind{"ClientVpnEndpointId": text, "ConnectionId": text,
		"Username": text}), endpointID},
	"ModifyClientVpnEndpoint": {(*Server).modifyEndpoint, true, with(map[string]kind{"ClientVpnEndpointId": text, "ServerCertificateArn": text,
		"ConnectionLogOptions.Enabled": boolean, "ConnectionLogOptions.CloudwatchLogGroup": text, "ConnectionLogOptions.CloudwatchLogStream": text,
		"DnsServers.CustomDnsServers.#": text, "DnsServers.Enabled": boolean, "VpnPort": integer, "Description": text, "SplitTunnel": boolean,
		"SecurityGroupId.#": text, "VpcId": text, "SelfServicePortal": text,
		"ClientConnectOptions.Enabled": boolean, "ClientConnectOptions.LambdaFunctionArn": text, "SessionTimeoutHours": integer,
		"ClientLoginBannerOptions.Enabled": boolean, "ClientLoginBannerOptions.BannerText": text,
		"ClientRouteEnforcementOptions.Enforced": boolean, "DisconnectOnSessionTimeout": boolean,
		"TransitGatewayConfiguration.TransitGatewayId": text, "TransitGatewayConfiguration.AvailabilityZone.#": text,
		"TransitGatewayConfiguration.AvailabilityZoneId.#":       text,
		"ConnectionLogOptions.IncludeAuthorizationPolicyContext": boolean, "DevicePostureOptions.Enabled": boolean,
		"DevicePostureOptions.TrustProvider.#.PublicSigningKeyUrl": text, "DevicePostureOptions.TrustProvider.#.TenantId": text,
		"DevicePostureOptions.TrustProvider.#.TrustProviderType": text}), endpointID},

	"CreateTags": {(*Server).createTags, true, with(map[string]kind{"ResourceId.#": text, "Tag.#.Key": text, "Tag.#.Value": text}),
		[]string{"ResourceId", "Tag"}},
	"DeleteTags": {(*Server).deleteTags, true, with(map[string]kind{"ResourceId.#": text, "Tag.#.Key": text, "Tag.#.Value": text}),
		[]string{"ResourceId"}},
}

var endpointID = []string{"ClientVpnEndpointId"}

// with adds what every action has.
func with(own map[string]kind) map[string]kind {
	out := map[string]kind{"DryRun": boolean}
	maps.Copy(out, own)
	return out
}

// paged adds what every describe has.
func paged(own map[string]kind) map[string]kind {
	out := with(own)
	maps.Copy(out, map[string]kind{"Filter.#.Name": text, "Filter.#.Value.#": text, "MaxResults": pageSize, "NextToken": text})
	return out
}
