package survey

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
)

var update = flag.Bool("update", false, "write the golden files anew")

// held is what an account holds.
type held struct {
	endpoints    []Endpoint
	associations map[string][]Association
	routes       map[string][]Route
	subnets      map[string][]Subnet
	zones        []Zone
	certificates []Certificate
	fail         map[string]error // by method
}

func (h *held) Identity(context.Context) (Identity, error) {
	return Identity{Account: "111122223333"}, h.fail["Identity"]
}
func (h *held) Endpoints(_ context.Context, ids ...string) ([]Endpoint, error) {
	if len(ids) == 0 {
		return h.endpoints, h.fail["Endpoints"]
	}
	return slices.DeleteFunc(slices.Clone(h.endpoints), func(e Endpoint) bool { return !slices.Contains(ids, e.ID) }), h.fail["Endpoints"]
}
func (h *held) Associations(_ context.Context, id string) ([]Association, error) {
	return h.associations[id], h.fail["Associations"]
}
func (h *held) Routes(_ context.Context, id string) ([]Route, error) {
	return h.routes[id], h.fail["Routes"]
}
func (h *held) Subnets(_ context.Context, vpc string, _ ...string) ([]Subnet, error) {
	if h.fail["Subnets"] != nil {
		return nil, h.fail["Subnets"]
	}
	return slices.Clone(h.subnets[vpc]), nil
}

// Public is told by the name, beginning with public.
func (h *held) Public(_ context.Context, _ string, subnets []Subnet) error {
	if h.fail["Public"] != nil {
		return h.fail["Public"]
	}
	for i, s := range subnets {
		subnets[i].Public = strings.HasPrefix(s.Name, "public")
	}
	return nil
}
func (h *held) Zones(context.Context) ([]Zone, error) { return h.zones, h.fail["Zones"] }
func (h *held) Certificates(context.Context) ([]Certificate, error) {
	return h.certificates, h.fail["Certificates"]
}

func full() *held {
	return &held{
		endpoints: []Endpoint{
			{ID: "cvpn-endpoint-0a", Name: "Office network", Description: "for everybody", Status: "available", VPC: "vpc-0a", SecurityGroups: []string{"sg-0a", "sg-0b"}, ClientCIDR: "172.20.0.0/16",
				SelfServiceURL: "https://self-service.clientvpn.amazonaws.com/endpoints/cvpn-endpoint-0a"},
			{ID: "cvpn-endpoint-0b", Name: "Lab", Status: "pending-associate", VPC: "vpc-0a", ClientCIDR: "10.0.4.0/22"},
			{ID: "cvpn-endpoint-0c", Name: "Hub", Status: "pending", TransitGateway: "tgw-0a"},
			{ID: "cvpn-endpoint-0d", Status: "deleted"},
		},
		associations: map[string][]Association{"cvpn-endpoint-0a": {
			{ID: "cvpn-assoc-0a", Subnet: "subnet-0a", VPC: "vpc-0a", Status: "associated"},
			{ID: "cvpn-assoc-0b", Subnet: "subnet-0b", VPC: "vpc-0a", Status: "associating"},
			{ID: "cvpn-assoc-0c", Subnet: "subnet-0e", VPC: "vpc-0a", Status: "disassociated"}}},
		routes: map[string][]Route{"cvpn-endpoint-0a": {
			{Destination: "10.0.0.0/16", Subnet: "subnet-0a", Status: "active"},
			{Destination: "10.0.0.0/16", Subnet: "subnet-0b", Status: "active"},
			{Destination: "10.9.0.0/16", Subnet: "subnet-0a", Status: "active", Added: true, Description: `the "old" net`},
			{Destination: "10.9.0.0/16", Subnet: "subnet-0b", Status: "active", Added: true},
			{Destination: "0.0.0.0/0", Subnet: "subnet-0b", Status: "active", Added: true},
			{Destination: "172.20.0.0/16", Subnet: "local", Status: "active", Added: true},
			{Destination: "10.8.0.0/16", Subnet: "subnet-0a", Status: "deleting", Added: true}}},
		subnets: map[string][]Subnet{"vpc-0a": {
			{ID: "subnet-0c", Name: "public a", VPC: "vpc-0a", Zone: "us-east-1a", CIDR: "10.0.8.0/24", Free: 230},
			{ID: "subnet-0a", Name: "private a", VPC: "vpc-0a", Zone: "us-east-1a", CIDR: "10.0.1.0/24", Free: 200},
			{ID: "subnet-0d", Name: "public b", VPC: "vpc-0a", Zone: "us-east-1b", CIDR: "10.0.9.0/24", Free: 220},
			{ID: "subnet-0b", Name: "private b", VPC: "vpc-0a", Zone: "us-east-1b", CIDR: "10.0.2.0/24", Free: 199},
			{ID: "subnet-0e", Name: "small", VPC: "vpc-0a", Zone: "us-east-1c", CIDR: "10.0.10.0/28", Free: 11},
			{ID: "subnet-0f", Name: "full", VPC: "vpc-0a", Zone: "us-east-1c", CIDR: "10.0.11.0/24", Free: 19},
			{ID: "subnet-1a", Name: "of the clients", VPC: "vpc-0a", Zone: "us-east-1c", CIDR: "10.0.5.0/24", Free: 200}}},
		zones: []Zone{{ID: "Z0123456789ABC", Name: "example.com"}},
		certificates: []Certificate{{ARN: "arn:aws:acm:us-east-1:111122223333:certificate/0a", Names: []string{"*.example.com"}, Until: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC), Imported: true},
			{ARN: "arn:aws:acm:us-east-1:111122223333:certificate/0b", Names: []string{"*.example.org"}}},
		fail: map[string]error{},
	}
}

// TestDrafts: the goldens are read by people; config check takes them as they are.
func TestDrafts(t *testing.T) {
	for name, tt := range map[string]struct {
		choice Choice
		held   func(*held)
		check  func(*testing.T, *config.Config)
	}{
		"alb": {Choice{Region: "us-east-1", Front: "alb"}, func(*held) {}, func(t *testing.T, c *config.Config) {
			office, err := c.Endpoint("office-network")
			if err != nil {
				t.Fatal(err)
			}
			want := []latch.Route{{Destination: "10.9.0.0/16", Description: `the "old" net`}, {Destination: "0.0.0.0/0", Subnet: "subnet-0b"}, {Destination: "172.20.0.0/16", Subnet: "local"}}
			if !slices.Equal(office.Policy.Routes, want) || !slices.Equal(office.Policy.Subnets, []latch.SubnetID{"subnet-0a", "subnet-0b"}) || !slices.Equal(office.Policy.Groups, []latch.GroupID{"sg-0a", "sg-0b"}) {
				t.Errorf("office has routes %v, subnets %v, groups %v", office.Policy.Routes, office.Policy.Subnets, office.Policy.Groups)
			}
			lab, err := c.Endpoint("lab")
			if err != nil || !slices.Equal(lab.Policy.Subnets, []latch.SubnetID{"subnet-0a", "subnet-0b"}) {
				t.Errorf("lab has subnets %v (%v)", lab.Policy.Subnets, err)
			}
			d := latch.DefaultPolicy()
			if lab.Policy.LeaseMax != d.LeaseMax || lab.Policy.IdleAfter != d.IdleAfter || lab.Policy.AbsoluteMax != d.AbsoluteMax || lab.Policy.LeaseDefault != d.LeaseDefault || !slices.Equal(lab.Policy.LeaseChoices, d.LeaseChoices) {
				t.Errorf("what is called a default is none: %+v", lab.Policy)
			}
			if len(c.Endpoints) != 2 || c.Deploy.Domain != "vpn.example.com" || c.Deploy.Zone != "Z0123456789ABC" || !slices.Equal(c.Deploy.LoadBalancer.Subnets, []string{"subnet-0c", "subnet-0d"}) {
				t.Errorf("%+v of %d endpoints", c.Deploy, len(c.Endpoints))
			}
		}},
		"httpapi": {Choice{Region: "us-east-1", Front: "httpapi", Domain: "door.lab.example.com", Endpoints: []string{"cvpn-endpoint-0b"}},
			func(h *held) {
				h.zones = append(h.zones, Zone{ID: "Z2", Name: "lab.example.com"}, Zone{ID: "Z3", Name: "xlab.example.com"})
			},
			func(t *testing.T, c *config.Config) {
				if c.Deploy.Zone != "Z2" || len(c.Endpoints) != 1 || c.Deploy.UserPool.Prefix != "door-lab-example-com" {
					t.Errorf("%+v of %d endpoints", c.Deploy, len(c.Endpoints))
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			h := full()
			tt.held(h)
			d, err := MakeDraft(t.Context(), h, tt.choice)
			if err != nil {
				t.Fatal(err)
			}
			said := strings.Join(d.Found, "\n") + "\n--- open\n" + strings.Join(d.Open, "\n") + "\n"
			golden(t, name+".yaml", d.YAML)
			golden(t, name+".txt", []byte(said))
			c, err := config.Parse("nightlatch.yaml", d.YAML)
			if err != nil {
				t.Fatal(err)
			}
			tt.check(t, c)
		})
	}
}

var faultPath = regexp.MustCompile(`(?m)^nightlatch\.yaml:\d+: ([\w.]+): `)

// TestLeftOpen: what is not known is empty in the draft, config check reports it, nothing else, and it is said.
func TestLeftOpen(t *testing.T) {
	denied := fmt.Errorf("%w: %w", latch.ErrRefused, &latch.Fault{Service: "x", Code: "AccessDenied"})
	for name, tt := range map[string]struct {
		choice Choice
		held   func(*held)
		faults []string
		says   string
	}{
		"no zones to see":   {Choice{}, func(h *held) { h.zones, h.fail["Zones"] = nil, denied }, []string{"deploy.domain", "deploy.hosted_zone", "deploy.user_pool.prefix"}, "the hosted zones could not be read: your credentials may not"},
		"no zone":           {Choice{}, func(h *held) { h.zones = nil }, []string{"deploy.domain", "deploy.hosted_zone", "deploy.user_pool.prefix"}, "no public hosted zone"},
		"two zones":         {Choice{}, func(h *held) { h.zones = append(h.zones, Zone{ID: "Z2", Name: "example.org"}) }, []string{"deploy.domain", "deploy.hosted_zone", "deploy.user_pool.prefix"}, "2 public hosted zones"},
		"another's zone":    {Choice{Domain: "vpn.example.net"}, func(*held) {}, []string{"deploy.hosted_zone"}, "no public hosted zone of this account holds vpn.example.net"},
		"domain unread":     {Choice{Domain: "vpn.example.net"}, func(h *held) { h.zones, h.fail["Zones"] = nil, denied }, []string{"deploy.hosted_zone"}, "may not"},
		"no certificates":   {Choice{}, func(h *held) { h.certificates, h.fail["Certificates"] = nil, denied }, nil, "the certificates could not be read"},
		"no account":        {Choice{}, func(h *held) { h.fail["Identity"] = denied }, nil, "the account's number"},
		"no subnets":        {Choice{}, func(h *held) { h.fail["Subnets"] = denied }, []string{"deploy.load_balancer.subnets", "endpoints.0.subnets"}, "the subnets of vpc-0a could not be read"},
		"no route tables":   {Choice{}, func(h *held) { h.fail["Public"] = denied }, []string{"deploy.load_balancer.subnets"}, "the route tables of vpc-0a"},
		"no public subnets": {Choice{}, func(h *held) { h.subnets["vpc-0a"] = h.subnets["vpc-0a"][1:2] }, []string{"deploy.load_balancer.subnets"}, "--front httpapi"},
		"no associations":   {Choice{Endpoints: []string{"cvpn-endpoint-0a"}}, func(h *held) { h.fail["Associations"] = denied }, nil, "the associations of cvpn-endpoint-0a"},
		"no routes":         {Choice{}, func(h *held) { h.fail["Routes"] = denied }, nil, "the routes of cvpn-endpoint-0a"},
		"no VPC":            {Choice{Endpoints: []string{"cvpn-endpoint-0b"}}, func(h *held) { h.endpoints[1].VPC = "" }, []string{"deploy.load_balancer.vpc", "deploy.load_balancer.subnets", "endpoints.0.subnets"}, "no VPC"},
		"no subnet fits":    {Choice{Endpoints: []string{"cvpn-endpoint-0b"}}, func(h *held) { h.endpoints[1].ClientCIDR = "10.0.0.0/16" }, []string{"endpoints.0.subnets"}, "/27 or larger and 20 free"},
		"several at once": {Choice{}, func(h *held) {
			h.zones, h.fail["Zones"], h.fail["Certificates"], h.fail["Identity"] = nil, errors.New("x\ny"), denied, denied
		}, []string{"deploy.domain", "deploy.hosted_zone", "deploy.user_pool.prefix"}, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			h := full()
			tt.held(h)
			tt.choice.Region, tt.choice.Front = "us-east-1", "alb"
			d, err := MakeDraft(t.Context(), h, tt.choice)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			if _, err := config.Parse("nightlatch.yaml", d.YAML); err != nil {
				for _, m := range faultPath.FindAllStringSubmatch(err.Error(), -1) {
					got = append(got, m[1])
				}
				if len(got) == 0 {
					t.Fatalf("%v in\n%s", err, d.YAML)
				}
			}
			slices.Sort(got)
			slices.Sort(tt.faults)
			if got = slices.Compact(got); !slices.Equal(got, tt.faults) {
				t.Errorf("config check reports %v, want %v", got, tt.faults)
			}
			if len(tt.faults) > 0 && !bytes.Contains(d.YAML, []byte("# fill in: ")) {
				t.Error("nothing is marked to be filled in")
			}
			if all := strings.Join(slices.Concat(d.Found, d.Open), "\n"); !strings.Contains(all, tt.says) {
				t.Errorf("it does not say %q:\n%s", tt.says, all)
			}
		})
	}
}

// TestWhatIsAssociated: security groups that only the association knows are declared; subnets that could not be read are not
// said not to fit.
func TestWhatIsAssociated(t *testing.T) {
	h := full()
	h.endpoints[0].SecurityGroups = nil
	h.associations["cvpn-endpoint-0a"][0].SecurityGroups = []string{"sg-0c"}
	d, err := MakeDraft(t.Context(), h, Choice{Region: "us-east-1", Front: "alb"})
	if err != nil || !bytes.Contains(d.YAML, []byte("security_groups: [sg-0c] # as they are now")) {
		t.Errorf("%v:\n%s", err, d.YAML)
	}
	h.fail["Subnets"] = latch.ErrUnavailable
	if d, err = MakeDraft(t.Context(), h, Choice{Region: "us-east-1", Front: "alb"}); err != nil || !bytes.Contains(d.YAML, []byte("subnets: # fill in: the subnets of vpc-0a could not be read\n")) {
		t.Errorf("%v:\n%s", err, d.YAML)
	}
}

// TestNothingToDraft: without an endpoint there is nothing to write about.
func TestNothingToDraft(t *testing.T) {
	for name, tt := range map[string]struct {
		held func(*held)
		says string
	}{
		"none":             {func(h *held) { h.endpoints = nil }, "--region"},
		"transit gateways": {func(h *held) { h.endpoints = h.endpoints[2:] }, "no Client VPN endpoint"},
		"not to be listed": {func(h *held) { h.fail["Endpoints"] = latch.ErrUnavailable }, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			h := full()
			tt.held(h)
			d, err := MakeDraft(t.Context(), h, Choice{Region: "us-east-1", Front: "alb"})
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, %v", d, err)
			}
		})
	}
}

// TestStrangeNames: what people wrote at AWS stays text.
func TestStrangeNames(t *testing.T) {
	for _, name := range []string{`a "b": {c}`, "a\nregion: eu-west-1", "{{.Region}}", "# x", "- y", "한글", "", "a\u2028b: c", "a\u0085b: c", "a\u0080\u007fb", "a\ufeffb", strings.Repeat("lang ", 60), "  ", "yes"} {
		h := full()
		for i := range h.endpoints {
			h.endpoints[i].Name, h.endpoints[i].Description = name, name
		}
		for i := range h.subnets["vpc-0a"] {
			h.subnets["vpc-0a"][i].Name = "public " + name
		}
		h.routes["cvpn-endpoint-0a"][2].Description = name
		h.zones[0].Name = "example.com"
		d, err := MakeDraft(t.Context(), h, Choice{Region: "us-east-1", Front: "alb"})
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Parse("nightlatch.yaml", d.YAML)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if c.Region != "us-east-1" || len(c.Endpoints) != 2 || name != "" && c.Endpoints[0].Title != name || c.Endpoints[0].Name == c.Endpoints[1].Name {
			t.Errorf("%q: region %s, endpoints %+v", name, c.Region, c.Endpoints)
		}
	}
}

func TestPrefix(t *testing.T) {
	for domain, want := range map[string]string{"vpn.example.com": "vpn-example-com", "aws-vpn.amazon.example.com": "vpn-example-com", "cognito.aws": "", strings.Repeat("a", 62) + ".bc.de": strings.Repeat("a", 62)} {
		if got := prefix(domain); got != want {
			t.Errorf("%s: %q, want %q", domain, got, want)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what it should be (%v); go test -update writes it anew. Got:\n%s", path, err, got)
	}
}
