package ec2_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/nightlatch/nightlatch/internal/standin/ec2"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

const (
	id      = "cvpn-endpoint-0123456789abcdef0"
	subnetA = "subnet-0a"
	subnetB = "subnet-0b"
	minute  = time.Minute
)

var role = sigv4.Credentials{AccessKeyID: "ASIAROLE", SecretAccessKey: "role-secret", SessionToken: "token"}

// config is an endpoint with two zones whose association takes five minutes, its end two and a route one.
func config() ec2.Config {
	return ec2.Config{
		Region: "us-east-1", AccountID: "111122223333",
		Credentials:    func(key string) (sigv4.Credentials, bool) { return role, key == role.AccessKeyID },
		AssociateTakes: 5 * minute, DisassociateTakes: 2 * minute, RouteTakes: minute,
		Endpoints: []ec2.Endpoint{{ID: id, Description: "office", VpcID: "vpc-1", ClientCIDR: "10.100.0.0/22", Subnets: []ec2.Subnet{
			{ID: subnetA, AvailabilityZone: "us-east-1a", CIDR: "10.0.1.0/24"},
			{ID: subnetB, AvailabilityZone: "us-east-1b", CIDR: "10.0.2.0/24"},
			{ID: "subnet-0a2", AvailabilityZone: "us-east-1a", CIDR: "10.0.3.0/24"},
			{ID: "subnet-0far", AvailabilityZone: "us-east-1c", CIDR: "10.0.4.0/24", VpcID: "vpc-2"},
			{ID: "subnet-0overlap", AvailabilityZone: "us-east-1d", CIDR: "10.100.1.0/24"},
		}}, {ID: "cvpn-endpoint-0b", VpcID: "vpc-1", ClientCIDR: "10.104.0.0/22", Subnets: []ec2.Subnet{{ID: subnetA, CIDR: "10.0.1.0/24"}}}},
		Log: slog.New(slog.DiscardHandler),
	}
}

// direct hands requests to a handler without a socket, so that tests can run in a bubble.
type direct struct{ http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// rig is a stand-in with AWS's own client in front of it.
type rig struct {
	*testing.T
	*ec2.Server
	aws *awsec2.Client
}

func newRig(t *testing.T, c ec2.Config) rig {
	t.Helper()
	s, err := ec2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return rig{t, s, client(direct{s.Handler()}, "https://ec2.us-east-1.amazonaws.com")}
}

func client(h awsec2.HTTPClient, url string) *awsec2.Client {
	return awsec2.New(awsec2.Options{Region: "us-east-1", BaseEndpoint: &url, HTTPClient: h, RetryMaxAttempts: 1,
		Credentials: awscredentials.NewStaticCredentialsProvider(role.AccessKeyID, role.SecretAccessKey, role.SessionToken)})
}

func (g rig) associate(subnet string) string {
	g.Helper()
	out, err := g.aws.AssociateClientVpnTargetNetwork(g.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{
		ClientVpnEndpointId: new(id), SubnetId: &subnet})
	if err != nil {
		g.Fatalf("associate %s: %v", subnet, err)
	}
	return *out.AssociationId
}

func (g rig) disassociate(association string) {
	g.Helper()
	_, err := g.aws.DisassociateClientVpnTargetNetwork(g.Context(), &awsec2.DisassociateClientVpnTargetNetworkInput{
		ClientVpnEndpointId: new(id), AssociationId: &association})
	if err != nil {
		g.Fatalf("disassociate %s: %v", association, err)
	}
}

func (g rig) createRoute(destination, subnet string) error {
	_, err := g.aws.CreateClientVpnRoute(g.Context(), &awsec2.CreateClientVpnRouteInput{
		ClientVpnEndpointId: new(id), DestinationCidrBlock: &destination, TargetVpcSubnetId: &subnet, Description: new("by hand")})
	return err
}

// says is the endpoint in one line, as EC2 reports it: status; associations; routes; connections.
func (g rig) says() string {
	g.Helper()
	ctx := g.Context()
	e, err := g.aws.DescribeClientVpnEndpoints(ctx, &awsec2.DescribeClientVpnEndpointsInput{ClientVpnEndpointIds: []string{id}})
	if err != nil {
		g.Fatal(err)
	}
	n, err := g.aws.DescribeClientVpnTargetNetworks(ctx, &awsec2.DescribeClientVpnTargetNetworksInput{ClientVpnEndpointId: new(id)})
	if err != nil {
		g.Fatal(err)
	}
	r, err := g.aws.DescribeClientVpnRoutes(ctx, &awsec2.DescribeClientVpnRoutesInput{ClientVpnEndpointId: new(id)})
	if err != nil {
		g.Fatal(err)
	}
	c, err := g.aws.DescribeClientVpnConnections(ctx, &awsec2.DescribeClientVpnConnectionsInput{ClientVpnEndpointId: new(id)})
	if err != nil {
		g.Fatal(err)
	}
	out := string(e.ClientVpnEndpoints[0].Status.Code) + ";"
	for _, x := range n.ClientVpnTargetNetworks {
		out += fmt.Sprintf(" %s %s", *x.TargetNetworkId, x.Status.Code)
	}
	out += ";"
	for _, x := range r.Routes {
		out += fmt.Sprintf(" %s>%s %s %s", *x.DestinationCidr, *x.TargetSubnet, *x.Origin, x.Status.Code)
	}
	out += ";"
	for _, x := range c.Connections {
		out += " " + string(x.Status.Code)
	}
	return out
}

func (g rig) want(when, want string) {
	g.Helper()
	if got := g.says(); got != want {
		g.Errorf("%s\n got %s\nwant %s", when, got, want)
	}
}

// A day in the life of an endpoint, seen through AWS's own client.
func TestLifecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, config())
		start := time.Now()
		at := func(d time.Duration) { time.Sleep(time.Until(start.Add(d))) }
		g.want("at first nothing is associated", "pending-associate;;;")
		a := g.associate(subnetA)
		g.want("an association takes its time", "pending-associate; subnet-0a associating;;")
		if _, err := g.Connect(id, "alice"); err == nil {
			t.Error("a client connected to an endpoint that accepts no connections")
		}
		at(5*minute - time.Second)
		g.want("it is not early", "pending-associate; subnet-0a associating;;")
		at(5 * minute)
		g.want("the VPC's route comes with it", "available; subnet-0a associated; 10.0.0.0/16>subnet-0a associate creating;")
		at(6 * minute)
		if err := errors.Join(g.createRoute("0.0.0.0/0", subnetA), g.createRoute("10.100.0.0/22", "local")); err != nil {
			t.Fatal(err)
		}
		g.want("a route takes its time as well", "available; subnet-0a associated; 10.0.0.0/16>subnet-0a associate active 0.0.0.0/0>subnet-0a add-route creating 10.100.0.0/22>local add-route creating;")
		b := g.associate(subnetB)
		at(11 * minute)
		if err := g.createRoute("0.0.0.0/0", subnetB); err != nil {
			t.Fatal(err)
		}
		conn, err := g.Connect(id, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Send(conn, 1500, 20); err != nil {
			t.Fatal(err)
		}
		at(12 * minute)
		g.disassociate(a)
		g.want("one of two networks goes: its routes with it, nobody is cut off",
			"available; subnet-0a disassociating subnet-0b associated; 10.0.0.0/16>subnet-0a associate deleting 10.0.0.0/16>subnet-0b associate active 0.0.0.0/0>subnet-0a add-route deleting 10.100.0.0/22>local add-route active 0.0.0.0/0>subnet-0b add-route active; active")
		at(14 * minute)
		g.want("the other stays", "available; subnet-0b associated; 10.0.0.0/16>subnet-0b associate active 10.100.0.0/22>local add-route active 0.0.0.0/0>subnet-0b add-route active; active")
		g.disassociate(b)
		g.want("with the last network everybody is cut off at once", "available; subnet-0b disassociating; 10.0.0.0/16>subnet-0b associate deleting 10.100.0.0/22>local add-route deleting 0.0.0.0/0>subnet-0b add-route deleting; terminated")
		if _, err := g.Connect(id, "alice"); err == nil {
			t.Error("a client connected while the last network was leaving")
		}
		if err := g.Send(conn, 1, 1); err == nil {
			t.Error("a terminated connection carried traffic")
		}
		at(16 * minute)
		g.want("and no route is left", "pending-associate;;; terminated")
		at(14*minute + time.Hour - time.Second)
		g.want("a connection is reported for an hour", "pending-associate;;; terminated")
		at(14*minute + time.Hour)
		g.want("and no longer", "pending-associate;;;")
		snap := g.Snapshot()
		if got, want := snap.AssociationSeconds, (12*minute + 8*minute).Seconds(); got != want {
			t.Errorf("billed %v association seconds, want %v: each from its call to the call that ended it", got, want)
		}
		if got, want := snap.ConnectionSeconds, (3 * minute).Seconds(); got != want {
			t.Errorf("billed %v connection seconds, want %v", got, want)
		}
	})
}

// The same over a real connection, with what the wire has in stock for clients: strings for times and counters.
func TestWire(t *testing.T) {
	c := config()
	c.AssociateTakes, c.RouteTakes = 0, 0
	g := newRig(t, c)
	srv := httptest.NewServer(g.Handler())
	defer srv.Close()
	g.aws = client(srv.Client(), srv.URL)
	g.associate(subnetA)
	conn, err := g.Connect(id, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(g.Send(conn, 1500, 20), g.Send(conn, 1, 2)); err != nil {
		t.Fatal(err)
	}
	out, err := g.aws.DescribeClientVpnConnections(t.Context(), &awsec2.DescribeClientVpnConnectionsInput{ClientVpnEndpointId: new(id)})
	if err != nil || len(out.Connections) != 1 {
		t.Fatalf("connections: %v, %v", out, err)
	}
	got := out.Connections[0]
	if *got.IngressBytes != "1501" || *got.EgressBytes != "22" || *got.IngressPackets != "2" || got.Username != nil ||
		!regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`).MatchString(*got.ConnectionEstablishedTime) || *got.ClientIp != "10.100.0.2" {
		t.Errorf("the connection is %+v", got)
	}
	// The document itself: the namespace, the request id, lists that are there even when empty.
	body := strings.TrimSpace(g.post(url.Values{"Action": {"DescribeClientVpnRoutes"}, "Version": {"2016-11-15"}, "ClientVpnEndpointId": {"cvpn-endpoint-0b"}}).body)
	want := `^<\?xml version="1.0" encoding="UTF-8"\?>\n<DescribeClientVpnRoutesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}</requestId><routes></routes></DescribeClientVpnRoutesResponse>$`
	if !regexp.MustCompile(want).MatchString(body) {
		t.Errorf("answer %s\nwant %s", body, want)
	}
}

type answer struct {
	status     int
	code, body string
}

// post sends raw parameters, signed with our own signer.
func (g rig) post(form url.Values) answer {
	return g.raw(func(r *http.Request, body []byte) { sigv4.Sign(r, body, role, "ec2", "us-east-1", time.Now()) }, "POST", "/", form.Encode())
}

func (g rig) raw(sign func(*http.Request, []byte), method, target, body string) answer {
	g.Helper()
	r := httptest.NewRequest(method, "https://ec2.us-east-1.amazonaws.com"+target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sign(r, []byte(body))
	resp, _ := direct{g.Handler()}.Do(r)
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	a := answer{status: resp.StatusCode, body: string(raw)}
	if m := regexp.MustCompile(`^<\?xml .*\?>\n<Response><Errors><Error><Code>(.*)</Code><Message>.+</Message></Error></Errors><RequestID>[0-9a-f-]{36}</RequestID></Response>$`).FindStringSubmatch(a.body); m != nil {
		a.code = m[1]
	} else if a.status != http.StatusOK {
		g.Errorf("status %d without EC2's error document: %s", a.status, a.body)
	}
	return a
}

// Everything that EC2 refuses, and how it spells it. The endpoint has subnet-0a associated, subnet-0b associating, and a
// route 0.0.0.0/0 through subnet-0a. "ASSOC" stands for the first association's id.
func TestRefusals(t *testing.T) {
	const associate, route, disassociate = "Action=AssociateClientVpnTargetNetwork&ClientVpnEndpointId=" + id,
		"Action=CreateClientVpnRoute&ClientVpnEndpointId=" + id, "Action=DisassociateClientVpnTargetNetwork&ClientVpnEndpointId=" + id
	const networks, endpoints = "Action=DescribeClientVpnTargetNetworks&ClientVpnEndpointId=" + id, "Action=DescribeClientVpnEndpoints"
	for name, c := range map[string]struct{ form, want string }{
		"an action of EC2 that is not here":         {"Action=DescribeInstances", "400 InvalidAction"},
		"no action":                                 {"Foo=1", "400 MissingAction"},
		"another version":                           {endpoints + "&Version=2014-01-01", "400 InvalidParameterValue"},
		"no version":                                {endpoints + "&Version=", "400 MissingParameter"},
		"an unknown parameter":                      {endpoints + "&Verbose=true", "400 UnknownParameter"},
		"a list given as text":                      {endpoints + "&ClientVpnEndpointId=" + id, "400 UnknownParameter"},
		"text given as a list":                      {networks + "&NextToken.1=x", "400 UnknownParameter"},
		"a list numbered from 0":                    {endpoints + "&ClientVpnEndpointId.0=" + id, "400 UnknownParameter"},
		"a filter without an index":                 {networks + "&Filter.Name=vpc-id", "400 UnknownParameter"},
		"a parameter of another action":             {networks + "&SubnetId=" + subnetA, "400 UnknownParameter"},
		"a parameter twice":                         {networks + "&NextToken=a&NextToken=b", "400 InvalidQueryParameter"},
		"a body that is no form":                    {"Action=%zz", "400 MalformedQueryString"},
		"no endpoint":                               {"Action=DescribeClientVpnRoutes", "400 MissingParameter"},
		"an endpoint that is not there":             {"Action=DescribeClientVpnRoutes&ClientVpnEndpointId=cvpn-endpoint-0", "400 InvalidClientVpnEndpointId.NotFound"},
		"one of two endpoints is not there":         {endpoints + "&ClientVpnEndpointId.1=" + id + "&ClientVpnEndpointId.2=cvpn-endpoint-0", "400 InvalidClientVpnEndpointId.NotFound"},
		"a page of four":                            {endpoints + "&MaxResults=4", "400 InvalidParameterValue"},
		"a page of 1001":                            {endpoints + "&MaxResults=1001", "400 InvalidParameterValue"},
		"a made-up page token":                      {endpoints + "&NextToken=AAAA", "400 InvalidPaginationToken"},
		"an unknown filter":                         {networks + "&Filter.1.Name=status&Filter.1.Value.1=x", "400 InvalidParameterValue"},
		"a filter without a value":                  {networks + "&Filter.1.Name=vpc-id", "400 InvalidParameterValue"},
		"a filter without a name":                   {networks + "&Filter.1.Value.1=vpc-1", "400 InvalidParameterValue"},
		"DryRun that is neither true nor false":     {networks + "&DryRun=yes", "400 InvalidParameterValue"},
		"DryRun of a describe":                      {networks + "&DryRun=true", "412 DryRunOperation"},
		"DryRun of a change":                        {disassociate + "&AssociationId=ASSOC&DryRun=true", "412 DryRunOperation"},
		"DryRun does not excuse a missing part":     {disassociate + "&DryRun=true", "400 MissingParameter"},
		"an association to look at that is not":     {networks + "&AssociationIds.1=cvpn-assoc-0", "400 InvalidClientVpnAssociationIdNotFound"},
		"associate no subnet":                       {associate, "400 MissingParameter"},
		"associate by zone at an endpoint in a VPC": {associate + "&AvailabilityZone=us-east-1a", "400 InvalidParameterCombination"},
		"associate an associated subnet":            {associate + "&SubnetId=" + subnetA, "400 InvalidClientVpnDuplicateAssociationException"},
		"associate an associating subnet":           {associate + "&SubnetId=" + subnetB, "400 InvalidClientVpnDuplicateAssociationException"},
		"associate a second subnet of a zone":       {associate + "&SubnetId=subnet-0a2", "400 InvalidClientVpnSubnetId.DuplicateAz"},
		"associate a subnet of another VPC":         {associate + "&SubnetId=subnet-0far", "400 InvalidClientVpnSubnetId.NotFound"},
		"associate a subnet that is not there":      {associate + "&SubnetId=subnet-0", "400 InvalidClientVpnSubnetId.NotFound"},
		"associate inside the clients' range":       {associate + "&SubnetId=subnet-0overlap", "400 InvalidClientVpnSubnetId.OverlappingCidr"},
		"a token longer than 64":                    {associate + "&SubnetId=" + subnetA + "&ClientToken=" + strings.Repeat("a", 65), "400 InvalidParameterValue"},
		"disassociate nothing":                      {disassociate, "400 MissingParameter"},
		"disassociate what is not there":            {disassociate + "&AssociationId=cvpn-assoc-0", "400 InvalidClientVpnAssociationIdNotFound"},
		"disassociate another endpoint's":           {"Action=DisassociateClientVpnTargetNetwork&ClientVpnEndpointId=cvpn-endpoint-0b&AssociationId=ASSOC", "400 InvalidClientVpnAssociationIdNotFound"},
		"a route that exists":                       {route + "&DestinationCidrBlock=0.0.0.0/0&TargetVpcSubnetId=" + subnetA, "400 InvalidClientVpnDuplicateRoute"},
		"a route that came with the association":    {route + "&DestinationCidrBlock=10.0.0.0/16&TargetVpcSubnetId=" + subnetA, "400 InvalidClientVpnDuplicateRoute"},
		"a route that will come with it":            {route + "&DestinationCidrBlock=10.0.0.0/16&TargetVpcSubnetId=" + subnetB, "400 InvalidClientVpnDuplicateRoute"},
		"a route to nowhere":                        {route + "&DestinationCidrBlock=0.0.0.0/0", "400 MissingParameter"},
		"a route through a subnet not associated":   {route + "&DestinationCidrBlock=0.0.0.0/0&TargetVpcSubnetId=subnet-0a2", "400 InvalidClientVpnSubnetId.NotFound"},
		"a route to no network":                     {route + "&DestinationCidrBlock=10.0.0.1/8&TargetVpcSubnetId=" + subnetA, "400 InvalidParameterValue"},
		"a route while nothing is associated":       {"Action=CreateClientVpnRoute&ClientVpnEndpointId=cvpn-endpoint-0b&DestinationCidrBlock=0.0.0.0/0&TargetVpcSubnetId=" + subnetA, "400 InvalidClientVpnActiveAssociationNotFound"},
		"what is right":                             {networks, "200 "},
		"a route through an associating subnet":     {route + "&DestinationCidrBlock=0.0.0.0/0&TargetVpcSubnetId=" + subnetB, "200 "},
		"the same destination to local":             {route + "&DestinationCidrBlock=0.0.0.0/0&TargetVpcSubnetId=local", "200 "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, config())
				a := g.associate(subnetA)
				time.Sleep(5 * minute)
				g.associate(subnetB)
				if err := g.createRoute("0.0.0.0/0", subnetA); err != nil {
					t.Fatal(err)
				}
				before := g.says()
				form := strings.ReplaceAll(c.form, "ASSOC", a)
				if !strings.Contains(form, "&Version=") {
					form += "&Version=2016-11-15"
				}
				got := g.raw(func(r *http.Request, body []byte) { sigv4.Sign(r, body, role, "ec2", "us-east-1", time.Now()) }, "POST", "/", form)
				if s := fmt.Sprint(got.status, " ", got.code); s != c.want {
					t.Fatalf("got %s, want %s\n%s", s, c.want, got.body)
				}
				if after := g.says(); got.status != 200 && after != before {
					t.Errorf("a refused call changed something:\nfrom %s\n  to %s", before, after)
				}
			})
		})
	}
}

func TestSignatures(t *testing.T) {
	const form = "Action=DescribeClientVpnEndpoints&Version=2016-11-15"
	sign := func(c sigv4.Credentials, service, region string, ago time.Duration) func(*http.Request, []byte) {
		return func(r *http.Request, body []byte) { sigv4.Sign(r, body, c, service, region, time.Now().Add(-ago)) }
	}
	with := func(change func(*sigv4.Credentials)) sigv4.Credentials { c := role; change(&c); return c }
	for name, c := range map[string]struct {
		sign                 func(*http.Request, []byte)
		method, target, body string
		want                 string
	}{
		"a good signature":            {sign(role, "ec2", "us-east-1", 0), "POST", "/", form, "200 "},
		"a good signature on a GET":   {sign(role, "ec2", "us-east-1", 0), "GET", "/?" + form + "&ClientVpnEndpointId.1=" + id + "&ClientVpnEndpointId.10=" + id, "", "200 "},
		"fourteen minutes old":        {sign(role, "ec2", "us-east-1", 14*minute), "POST", "/", form, "200 "},
		"sixteen minutes old":         {sign(role, "ec2", "us-east-1", 16*minute), "POST", "/", form, "400 RequestExpired"},
		"none":                        {func(*http.Request, []byte) {}, "POST", "/", form, "403 MissingAuthenticationToken"},
		"a bearer token":              {func(r *http.Request, _ []byte) { r.Header.Set("Authorization", "Bearer x") }, "POST", "/", form, "400 IncompleteSignature"},
		"an unknown key":              {sign(with(func(c *sigv4.Credentials) { c.AccessKeyID = "AKIAOTHER" }), "ec2", "us-east-1", 0), "POST", "/", form, "401 AuthFailure"},
		"a wrong secret":              {sign(with(func(c *sigv4.Credentials) { c.SecretAccessKey = "x" }), "ec2", "us-east-1", 0), "POST", "/", form, "401 AuthFailure"},
		"no session token":            {sign(with(func(c *sigv4.Credentials) { c.SessionToken = "" }), "ec2", "us-east-1", 0), "POST", "/", form, "401 AuthFailure"},
		"another service":             {sign(role, "sts", "us-east-1", 0), "POST", "/", form, "401 AuthFailure"},
		"another Region":              {sign(role, "ec2", "eu-west-1", 0), "POST", "/", form, "401 AuthFailure"},
		"a body that was not signed":  {func(r *http.Request, _ []byte) { sigv4.Sign(r, nil, role, "ec2", "us-east-1", time.Now()) }, "POST", "/", form, "401 AuthFailure"},
		"an unsigned unknown action":  {func(*http.Request, []byte) {}, "POST", "/", "Action=Foo", "403 MissingAuthenticationToken"},
		"another path":                {sign(role, "ec2", "us-east-1", 0), "POST", "/x", form, "404 InvalidAction"},
		"another method":              {sign(role, "ec2", "us-east-1", 0), "DELETE", "/", "", "405 UnsupportedProtocol"},
		"more than a megabyte":        {sign(role, "ec2", "us-east-1", 0), "POST", "/", form + strings.Repeat("a", 1<<20), "413 RequestEntityTooLarge"},
		"parameters in URL and body":  {sign(role, "ec2", "us-east-1", 0), "POST", "/?Version=2016-11-15", "Action=DescribeClientVpnEndpoints", "200 "},
		"a parameter in URL and body": {sign(role, "ec2", "us-east-1", 0), "POST", "/?Version=2016-11-15", form, "400 InvalidQueryParameter"},
	} {
		t.Run(name, func(t *testing.T) {
			got := newRig(t, config()).raw(c.sign, c.method, c.target, c.body)
			if s := fmt.Sprint(got.status, " ", got.code); s != c.want {
				t.Errorf("got %s, want %s\n%s", s, c.want, got.body)
			}
		})
	}
}

func TestClientTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, config())
		try := func(endpoint, subnet, token string) (string, string) {
			out, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{
				ClientVpnEndpointId: &endpoint, SubnetId: &subnet, ClientToken: &token})
			if err != nil {
				return "", code(err)
			}
			return *out.AssociationId, string(out.Status.Code)
		}
		first, _ := try(id, subnetA, "t")
		time.Sleep(6 * minute)
		if again, status := try(id, subnetA, "t"); again != first || status != "associated" {
			t.Errorf("the same call again: %q %q, want the same association %q, by now associated", again, status, first)
		}
		for _, other := range [][2]string{{id, subnetB}, {"cvpn-endpoint-0b", subnetA}} {
			if _, c := try(other[0], other[1], "t"); c != "IdempotentParameterMismatch" {
				t.Errorf("the token for %v: %s, want IdempotentParameterMismatch", other, c)
			}
		}
		route := &awsec2.CreateClientVpnRouteInput{ClientVpnEndpointId: new(id), DestinationCidrBlock: new("0.0.0.0/0"),
			TargetVpcSubnetId: new(subnetA), ClientToken: new("r")}
		for range 2 {
			if _, err := g.aws.CreateClientVpnRoute(t.Context(), route); err != nil {
				t.Errorf("the same route with the same token: %v", err)
			}
		}
		route.DestinationCidrBlock = new("10.1.0.0/16")
		if _, err := g.aws.CreateClientVpnRoute(t.Context(), route); code(err) != "IdempotentParameterMismatch" {
			t.Errorf("another route with the same token: %v", err)
		}
		g.disassociate(first)
		time.Sleep(2 * minute)
		if second, status := try(id, subnetA, "t"); second == first || status != "associating" {
			t.Errorf("after the association is gone the token made %q %q, want a new one", second, status)
		}
	})
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

// Many callers at once get one association.
func TestAtOnce(t *testing.T) {
	g := newRig(t, config())
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[string]int{}
	for range 50 {
		wg.Go(func() {
			_, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{
				ClientVpnEndpointId: new(id), SubnetId: new(subnetA)})
			mu.Lock()
			defer mu.Unlock()
			codes[code(err)]++
		})
	}
	wg.Wait()
	if codes["<nil>"] != 1 || codes["InvalidClientVpnDuplicateAssociationException"] != 49 {
		t.Errorf("50 callers got %v, want one association and 49 duplicates", codes)
	}
}

func TestPagesAndFilters(t *testing.T) {
	c := config()
	c.AssociateTakes, c.RouteTakes = 0, 0
	c.Unconfirmed.NamesFederatedUsers = true
	g := newRig(t, c)
	g.associate(subnetA)
	var all []string
	for i := range 12 {
		conn, err := g.Connect(id, fmt.Sprintf("user%d", i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	var sizes []int
	var seen []string
	var token *string
	pages := awsec2.NewDescribeClientVpnConnectionsPaginator(g.aws, &awsec2.DescribeClientVpnConnectionsInput{
		ClientVpnEndpointId: new(id), MaxResults: new(int32(5))})
	for pages.HasMorePages() {
		p, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(p.Connections))
		if p.NextToken != nil {
			token = p.NextToken
		}
		for _, x := range p.Connections {
			seen = append(seen, *x.ConnectionId)
		}
	}
	if !slices.Equal(sizes, []int{5, 5, 2}) || !slices.Equal(seen, all) {
		t.Errorf("pages of %v with %v, want 5, 5, 2 with %v", sizes, seen, all)
	}
	_, err := g.aws.DescribeClientVpnConnections(t.Context(), &awsec2.DescribeClientVpnConnectionsInput{ClientVpnEndpointId: new("cvpn-endpoint-0b"), NextToken: token})
	if code(err) != "InvalidPaginationToken" {
		t.Errorf("a page token at another endpoint: %v, want InvalidPaginationToken", err)
	}
	for name, c := range map[string]struct {
		filters []types.Filter
		want    int
	}{
		"one value":                     {[]types.Filter{{Name: new("username"), Values: []string{"user1"}}}, 1},
		"values are alternatives":       {[]types.Filter{{Name: new("username"), Values: []string{"user1", "user2"}}}, 2},
		"a wildcard":                    {[]types.Filter{{Name: new("username"), Values: []string{"user1?"}}}, 2},
		"a dot is no wildcard":          {[]types.Filter{{Name: new("username"), Values: []string{"user."}}}, 0},
		"filters are all to be met":     {[]types.Filter{{Name: new("username"), Values: []string{"*"}}, {Name: new("connection-id"), Values: all[:3]}}, 3},
		"case matters":                  {[]types.Filter{{Name: new("username"), Values: []string{"USER1"}}}, 0},
		"more than nine values, in any": {[]types.Filter{{Name: new("connection-id"), Values: all}}, 12},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := g.aws.DescribeClientVpnConnections(t.Context(), &awsec2.DescribeClientVpnConnectionsInput{ClientVpnEndpointId: new(id), Filters: c.filters})
			if err != nil || len(out.Connections) != c.want {
				t.Errorf("%d connections, %v; want %d", len(out.Connections), err, c.want)
			}
		})
	}
	routes, err := g.aws.DescribeClientVpnRoutes(t.Context(), &awsec2.DescribeClientVpnRoutesInput{ClientVpnEndpointId: new(id), Filters: []types.Filter{
		{Name: new("origin"), Values: []string{"associate"}}, {Name: new("destination-cidr"), Values: []string{"10.0.*"}}, {Name: new("target-subnet"), Values: []string{subnetA}}}})
	if err != nil || len(routes.Routes) != 1 {
		t.Errorf("routes by origin, destination and subnet: %v, %v", routes, err)
	}
}

func TestFailedAssociation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, config())
		g.FailNextAssociations(1)
		a := g.associate(subnetA)
		time.Sleep(5 * minute)
		g.want("it fails at the end", "pending-associate; subnet-0a association-failed;;")
		out, err := g.aws.DescribeClientVpnTargetNetworks(t.Context(), &awsec2.DescribeClientVpnTargetNetworksInput{ClientVpnEndpointId: new(id), AssociationIds: []string{a}})
		if err != nil || len(aws.ToString(out.ClientVpnTargetNetworks[0].Status.Message)) == 0 {
			t.Errorf("no message says why: %v", err)
		}
		g.disassociate(a)
		g.associate(subnetB)
		time.Sleep(5 * minute)
		g.want("the next one does not", "available; subnet-0b associated; 10.0.0.0/16>subnet-0b associate creating;")
		if got, want := g.Snapshot().AssociationSeconds, (5 * minute).Seconds(); got != want {
			t.Errorf("billed %v seconds, want %v: an association that failed is not billed", got, want)
		}
	})
}

// What was still on its way: an association that is ended before it was there, and a route that has to wait for one.
func TestEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, config())
		a := g.associate(subnetA)
		time.Sleep(4 * minute)
		g.disassociate(a)
		time.Sleep(minute)
		g.disassociate(a) // twice is no error, and no delay
		time.Sleep(30 * time.Second)
		g.want("what never was associated does not make the endpoint available", "pending-associate; subnet-0a disassociating;;")
		_, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new(subnetA)})
		if code(err) != "InvalidClientVpnDuplicateAssociationException" {
			t.Errorf("the subnet associated again while it is leaving: %v, want a duplicate", err)
		}
		time.Sleep(30 * time.Second)
		g.associate(subnetA)
		time.Sleep(5 * minute)
		g.associate(subnetB)
		if err := g.createRoute("0.0.0.0/0", subnetB); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * minute)
		g.want("a route waits for its association", "available; subnet-0a associated subnet-0b associating; 10.0.0.0/16>subnet-0a associate active 0.0.0.0/0>subnet-0b add-route creating;")
		time.Sleep(4 * minute)
		g.want("and comes after it", "available; subnet-0a associated subnet-0b associated; 10.0.0.0/16>subnet-0a associate active 10.0.0.0/16>subnet-0b associate active 0.0.0.0/0>subnet-0b add-route active;")
	})
}

// What a person had before a restart is there after it, and goes on in between.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config()
		c.StateFile = filepath.Join(t.TempDir(), "ec2.json")
		g := newRig(t, c)
		g.associate(subnetA)
		time.Sleep(6 * minute)
		if err := g.createRoute("0.0.0.0/0", subnetA); err != nil {
			t.Fatal(err)
		}
		conn, err := g.Connect(id, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Send(conn, 7, 8); err != nil {
			t.Fatal(err)
		}
		before := g.Snapshot()
		again := newRig(t, c)
		if got, want := again.Snapshot(), before; asJSON(t, got) != asJSON(t, want) {
			t.Errorf("after a restart\n got %s\nwant %s", asJSON(t, got), asJSON(t, want))
		}
		time.Sleep(time.Hour)
		late := newRig(t, c)
		late.want("time went on meanwhile", "available; subnet-0a associated; 10.0.0.0/16>subnet-0a associate active 0.0.0.0/0>subnet-0a add-route active; active")
		if got, want := late.Snapshot().AssociationSeconds, (66 * minute).Seconds(); got != want {
			t.Errorf("billed %v seconds, want %v", got, want)
		}
		raw, err := os.ReadFile(c.StateFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.StateFile, raw[:len(raw)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ec2.New(c); err == nil || !strings.Contains(err.Error(), c.StateFile) {
			t.Errorf("a file cut short: %v, want a refusal that names it", err)
		}
	})
}

func asJSON(t *testing.T, v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// A change that could not be written down is not said to have happened.
func TestUnwritableState(t *testing.T) {
	c := config()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c.StateFile = filepath.Join(dir, "ec2.json")
	g := newRig(t, c)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	got := g.post(url.Values{"Action": {"AssociateClientVpnTargetNetwork"}, "Version": {"2016-11-15"}, "ClientVpnEndpointId": {id}, "SubnetId": {subnetA}})
	if got.status != 500 || got.code != "InternalError" {
		t.Errorf("got %d %s, want 500 InternalError", got.status, got.code)
	}
}

// Each switch of Unconfirmed changes what it says, for clients that must do well under either.
func TestUnconfirmed(t *testing.T) {
	// Both subnets are associated, with a route each and one client each; then the first is disassociated.
	play := func(g rig) {
		a := g.associate(subnetA)
		g.associate(subnetB)
		time.Sleep(6 * minute)
		for _, s := range []string{subnetA, subnetB, "local"} {
			if err := g.createRoute("0.0.0.0/0", s); err != nil {
				g.Fatal(err)
			}
		}
		for range 2 {
			if _, err := g.Connect(id, "alice"); err != nil {
				g.Fatal(err)
			}
		}
		time.Sleep(4 * minute)
		g.disassociate(a)
		time.Sleep(2 * minute)
	}
	const auto = "available; subnet-0b associated; 10.0.0.0/16>subnet-0b associate active"
	for name, c := range map[string]struct {
		set    ec2.Unconfirmed
		want   string
		billed time.Duration
	}{
		"as it is likely":                {ec2.Unconfirmed{}, auto + " 0.0.0.0/0>subnet-0b add-route active 0.0.0.0/0>local add-route active; active active", 10*minute + 12*minute},
		"every manual route is lost":     {ec2.Unconfirmed{AllRoutesLost: true}, auto + "; active active", 22 * minute},
		"the subnet's clients are cut":   {ec2.Unconfirmed{ConnectionsCut: true}, auto + " 0.0.0.0/0>subnet-0b add-route active 0.0.0.0/0>local add-route active; terminated active", 22 * minute},
		"associating is free":            {ec2.Unconfirmed{AllRoutesLost: true, AssociatingIsFree: true}, auto + "; active active", 12 * minute},
		"disassociating is billed":       {ec2.Unconfirmed{AllRoutesLost: true, DisassociatingIsBilled: true}, auto + "; active active", 24 * minute},
		"free to begin, billed to leave": {ec2.Unconfirmed{AllRoutesLost: true, AssociatingIsFree: true, DisassociatingIsBilled: true}, auto + "; active active", 14 * minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config()
				cfg.Unconfirmed = c.set
				g := newRig(t, cfg)
				play(g)
				g.want(name, c.want)
				if got := g.Snapshot().AssociationSeconds; got != c.billed.Seconds() {
					t.Errorf("billed %v seconds, want %v", got, c.billed.Seconds())
				}
			})
		})
	}
	t.Run("a route while the first association is coming", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for early, want := range map[bool]string{false: "InvalidClientVpnActiveAssociationNotFound", true: "<nil>"} {
				cfg := config()
				cfg.Unconfirmed.RoutesWhileAssociating = early
				g := newRig(t, cfg)
				g.associate(subnetA)
				if err := g.createRoute("0.0.0.0/0", subnetA); code(err) != want {
					t.Errorf("RoutesWhileAssociating %v: %v, want %s", early, err, want)
				}
			}
		})
	})
	t.Run("the other name of a duplicate", func(t *testing.T) {
		cfg := config()
		cfg.Unconfirmed.AssociationExists = true
		g := newRig(t, cfg)
		g.associate(subnetA)
		_, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new(subnetA)})
		if code(err) != "ClientVpnEndpointAssociationExists" {
			t.Errorf("got %v", err)
		}
	})
}

// Each action has its bucket, of the size and with the refill that AWS's page gives it.
func TestThrottle(t *testing.T) {
	for form, want := range map[string][2]int{ // at once, and after two seconds more
		"Action=DescribeClientVpnEndpoints":                                      {100, 40},
		"Action=DescribeSecurityGroups":                                          {50, 20},
		"Action=DescribeSecurityGroups&Filter.1.Name=x":                          {100, 40},
		"Action=AssociateClientVpnTargetNetwork&ClientVpnEndpointId=x":           {50, 10},
		"Action=TerminateClientVpnConnections&ClientVpnEndpointId=x":             {50, 10},
		"Action=CreateClientVpnRoute&DestinationCidrBlock=x":                     {5, 4},
		"Action=DeleteClientVpnRoute&DestinationCidrBlock=x":                     {5, 4},
		"Action=CreateTags&ResourceId.1=x&Tag.1.Key=x":                           {100, 20},
		"Action=ExportClientVpnClientConfiguration&ClientVpnEndpointId=" + id:    {50, 10},
		"Action=DeleteClientVpnRoute&DestinationCidrBlock=x&DryRun=true":         {5, 4},
		"Action=DescribeClientVpnEndpoints&Wrong=even+a+wrong+one+costs+a+token": {100, 40},
	} {
		t.Run(form, func(t *testing.T) {
			bubble(t, func(c *ec2.Config) { c.Throttle = true }, func(t *testing.T, g rig) {
				parameters, err := url.ParseQuery(form + "&Version=2016-11-15")
				if err != nil {
					t.Fatal(err)
				}
				burst := func() int {
					for n := range 1000 {
						if got := g.post(parameters); got.code == "RequestLimitExceeded" {
							if got.status != 503 {
								t.Errorf("status %d, want 503", got.status)
							}
							return n
						}
					}
					return 1000
				}
				if n := burst(); n != want[0] {
					t.Errorf("%d requests at once, want %d", n, want[0])
				}
				time.Sleep(2 * time.Second)
				if n := burst(); n != want[1] {
					t.Errorf("%d requests after two seconds, want %d", n, want[1])
				}
				if got := g.post(url.Values{"Action": {"DescribeSubnets"}, "Version": {"2016-11-15"}}); got.status != 200 {
					t.Errorf("another action: %s; it has a bucket of its own", got.body)
				}
			})
		})
	}
}

func TestRouteQuota(t *testing.T) {
	c := config()
	c.AssociateTakes, c.RouteTakes = 0, 0
	g := newRig(t, c)
	g.associate(subnetA)
	for i := range 100 {
		err := g.createRoute(fmt.Sprintf("10.1.%d.0/24", i), subnetA)
		if want := map[bool]string{true: "<nil>", false: "ClientVpnRouteLimitExceeded"}[i < 99]; code(err) != want {
			t.Fatalf("route %d beside the automatic one: %v, want %s", i+1, err, want)
		}
	}
}

// What is logged names every hop and why it was refused, and no secret.
func TestLog(t *testing.T) {
	var out strings.Builder
	c := config()
	c.Log = slog.New(slog.NewTextHandler(&out, nil))
	g := newRig(t, c)
	g.says()
	g.raw(func(r *http.Request, body []byte) {
		sigv4.Sign(r, body, sigv4.Credentials{AccessKeyID: role.AccessKeyID, SecretAccessKey: "wrong", SessionToken: role.SessionToken}, "ec2", "us-east-1", time.Now())
	}, "POST", "/", "Action=X")
	for _, want := range []string{`msg=hop to=ec2 what="POST / DescribeClientVpnRoutes" status=200`, "msg=refused to=ec2", "SignatureDoesNotMatch"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, out.String())
		}
	}
	for _, secret := range []string{role.SecretAccessKey, "SessionToken", "Signature="} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}
