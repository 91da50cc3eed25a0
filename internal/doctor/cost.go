package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/nightlatch/nightlatch/internal/config"
)

const (
	monthHours = 730 // as AWS's calculator counts
	// addressHour is a public IPv4 address's price an hour; the same in every Region, in dollars (Amazon VPC pricing, 2024).
	addressHour = 0.005
	// worthHours is what many people work: ten hours on twenty-two days.
	worthHours = 220
	// Amazon Cognito pricing: people who come from an identity provider, a month, beyond the first fifty.
	federatedFree, federatedEach = 50, 0.015

	vpnHours      = "ClientVPN-EndpointHours"
	balancerHours = "LoadBalancerUsage"
)

// tariff is what an hour costs in a Region, in dollars.
type tariff struct{ association, balancer float64 }

// tariffs are for who may not ask the Price List API, of Regions whose prices were seen in it or on AWS's pricing pages, as
// of September 2026; 0 is not known.
var tariffs = map[string]tariff{
	"us-east-1":      {0.10, 0.0225},
	"us-east-2":      {0.10, 0},
	"eu-central-1":   {0.10, 0},
	"ap-northeast-1": {0.15, 0.0243},
	"ap-southeast-2": {0.15, 0},
}

const tariffsOf = "September 2026"

// prices asks the Price List as seen from an account, and else the table. Source is empty when neither knows the price of
// an association.
func prices(ctx context.Context, account Account, region string, balancer bool) (t tariff, currency, source string) {
	currency = "USD"
	p, err := account.Prices(ctx, "AmazonVPC", map[string]string{"operation": "ClientVPNEndpoints"}, vpnHours)
	if v, ok := p[vpnHours]; err == nil && ok {
		t.association, currency, source = v.Amount, v.Currency, "the Price List API"
	}
	if balancer && source != "" {
		p, err := account.Prices(ctx, "AWSELB", map[string]string{"productFamily": "Load Balancer-Application"}, balancerHours)
		if v, ok := p[balancerHours]; err == nil && ok {
			t.balancer = v.Amount
		}
	}
	if known, ok := tariffs[region]; ok && currency == "USD" {
		if source == "" {
			t.association, source = known.association, "prices of "+tariffsOf
		}
		if balancer && t.balancer == 0 {
			t.balancer = known.balancer
		}
	}
	return t, currency, source
}

// cost compares the gate with leaving the endpoints on. An hour of an opening costs as many associations as the policy
// has made, and leaving on is reckoned with as many.
func (x *examination) cost(ctx context.Context) []Check {
	const name = "cost"
	if out := x.needs(false, name); out != nil {
		return out
	}
	d := x.deploy()
	if d == nil {
		return []Check{notChecked(name, "%s", x.noStack)}
	}
	own := d.Front == config.FrontALB && d.LoadBalancer.Listener == ""
	home, currency, source := prices(ctx, x.Account, x.File.Region, own)
	perHour, unknown := 0.0, x.File.Region // while every endpoint is open
	for _, e := range x.File.Endpoints {
		t := home
		if e.Region != x.File.Region {
			var in, from string
			if account, err := x.there(e); err == nil {
				t, in, from = prices(ctx, account, e.Region, false)
			}
			if from == "" || in != currency {
				source, unknown = "", e.Region
			}
		}
		n := 1
		if e.Policy.All {
			n = len(e.Policy.Subnets)
		}
		perHour += t.association * float64(n)
	}
	if source == "" || perHour == 0 {
		return []Check{check(name, NotChecked, "allow pricing:GetProducts", "what an association costs an hour in %s is not known here", unknown)}
	}
	gate, of := 0.0, "its functions, table and schedules cost next to nothing"
	if own {
		if home.balancer == 0 {
			return []Check{check(name, NotChecked, "allow pricing:GetProducts", "what a load balancer costs an hour in %s is not known here", x.File.Region)}
		}
		addresses := len(d.LoadBalancer.Subnets)
		if d.LoadBalancer.Internal || currency != "USD" { // what an address costs in China is not known here
			addresses = 0
		}
		gate = monthHours * (home.balancer + addressHour*float64(addresses))
		of = fmt.Sprintf("a load balancer and %d public addresses, before its traffic", addresses)
	} else if d.Front == config.FrontALB {
		of = "the load balancer is there anyway; " + of
	}
	always := perHour * monthHours
	even := monthHours - gate/perHour
	if !x.File.Issuer() && currency == "USD" {
		of += fmt.Sprintf("; of people who sign in, each beyond %d costs %s a month", federatedFree, money(federatedEach, currency))
	}
	detail := fmt.Sprintf("the gate costs %s a month (%s); leaving everything on costs %s (%s)", money(gate, currency), of, money(always, currency), source)
	cheaper := ""
	if own {
		cheaper = "deploy.front: httpapi has no load balancer and costs next to nothing; or share one that you have (deploy.load_balancer.listener)"
	}
	switch {
	case even <= 0:
		return []Check{check(name, Warning, strings.TrimPrefix(cheaper+"; or do without", "; "), "%s: it is not worth having", detail)}
	case even < worthHours:
		return []Check{check(name, Warning, cheaper, "%s: open for %.0f hours a month or more, it is not worth having", detail, even)}
	case gate == 0:
		return []Check{ok(name, "%s: each hour off saves %s", detail, money(perHour, currency))}
	}
	return []Check{ok(name, "%s: open for %.0f hours a month or more, it is not worth having", detail, even)}
}

func money(v float64, currency string) string {
	if currency == "USD" {
		currency = "$"
	} else {
		currency += " "
	}
	if v != 0 && v < 0.1 {
		return fmt.Sprintf("%s%.3f", currency, v)
	}
	return fmt.Sprintf("%s%.2f", currency, v)
}
