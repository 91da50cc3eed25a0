package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/nightlatch/nightlatch/internal/clientvpn"
	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deadman"
	"github.com/nightlatch/nightlatch/internal/inside"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/role"
	"github.com/nightlatch/nightlatch/internal/signin"
	"github.com/nightlatch/nightlatch/internal/store"
)

// lookInside returns what answers the doctor's event. All that it asks with is made anew for each event: the clients are not
// those of the beat, so that the clock is read off every answer, and a role is assumed and not remembered.
func lookInside(c *config.Config, cfg aws.Config, client *http.Client, log *slog.Logger) func(context.Context) inside.Report {
	return func(ctx context.Context) inside.Report {
		cfg, clock := cfg.Copy(), &inside.Clock{Client: cfg.HTTPClient}
		cfg.HTTPClient = clock
		look := inside.Config{
			About: fmt.Sprintf("%s, table %s in %s; %s", count(len(c.Endpoints), "endpoint"), c.Table, c.Region, builtFrom()),
			Skew:  clock.Skew, Webhook: c.Notify != nil,
			Table: func(ctx context.Context) map[string]error {
				s, err := store.New(store.Config{AWS: cfg, Table: c.Table})
				if err != nil {
					return map[string]error{"GetItem": err}
				}
				return s.Probe(ctx)
			},
		}
		switch {
		case c.ALB != nil:
			look.KeyServer = func(ctx context.Context) error { return signin.ProbeKeyServer(ctx, client, c.Region) }
		case c.OIDC != nil:
			look.Issuer = func(ctx context.Context) error { return signin.ProbeIssuer(ctx, client, c.OIDC.Issuer) }
		}
		for _, e := range c.Endpoints {
			look.Endpoints = append(look.Endpoints, insideOf(e, cfg, log))
		}
		return inside.Look(ctx, look)
	}
}

// insideOf has the ways to one endpoint, as connect makes them for the beat.
func insideOf(e config.Endpoint, home aws.Config, log *slog.Logger) inside.Endpoint {
	there := home.Copy()
	there.Region = e.Region
	at := inside.Endpoint{Name: e.Name, Group: e.Deadman.Group}
	if e.RoleARN != "" {
		r, err := role.New(role.Config{AWS: home, ARN: e.RoleARN, ExternalID: e.ExternalID})
		if err == nil {
			there.Credentials = r
		}
		at.Assume = func(ctx context.Context) error {
			if err == nil {
				_, err := r.Retrieve(ctx)
				return err
			}
			return err
		}
	}
	at.Calls = func(ctx context.Context) (latch.Observation, map[string]error) {
		v, err := clientvpn.New(clientvpn.Config{AWS: there, Log: log})
		if err != nil {
			return latch.Observation{}, map[string]error{"DescribeClientVpnEndpoints": err}
		}
		return v.Probe(ctx, e.ID, e.Policy.Subnets[0])
	}
	at.Switch = func(ctx context.Context) error {
		d, err := deadman.New(deadman.Config{AWS: there, Group: e.Deadman.Group, RoleARN: e.Deadman.RoleARN})
		if err != nil {
			return err
		}
		return d.Probe(ctx)
	}
	return at
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// builtFrom says what this program was built from.
func builtFrom() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "a build that does not say what it is"
	}
	text := "nightlatch " + info.Main.Version
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			text += " " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			text += " with changes"
		}
	}
	return fmt.Sprintf("%s, %s %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
