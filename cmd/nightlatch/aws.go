package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/nightlatch/nightlatch/internal/clientvpn"
	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deadman"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/role"
	"github.com/nightlatch/nightlatch/internal/store"
)

// awsConfig is what the SDK's clients need in Lambda: the execution role's credentials, which Lambda puts into the
// environment, and the Region. The SDK's config package would find the same and cost 1.8 MB and a millisecond of every
// cold start.
func awsConfig(env func(string) string, region string, client *http.Client) (aws.Config, error) {
	id, secret := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
	if id == "" || secret == "" {
		return aws.Config{}, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set: Lambda sets them from the function's role")
	}
	return aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, env("AWS_SESSION_TOKEN")),
		HTTPClient:  client,
	}, nil
}

// crowd is from how many endpoints on the beat's calls are in each other's way: a call is tried three times, so that of
// three at once each has its turn.
const crowd = 4

// connect makes the adapters of all endpoints, and calls nobody. Home is the functions' own Region and role. Endpoints of
// one Region and role share an EC2 client, because what it learns of EC2's request rate is that account's in that Region;
// endpoints of one role share its credentials, which are good in all Regions. Nobody waits for the beat.
func connect(endpoints []config.Endpoint, home aws.Config, beat bool, log *slog.Logger) (vpns, deadmen, error) {
	type identity struct{ role, externalID string }
	type place struct {
		identity
		region string
	}
	placeOf := func(e config.Endpoint) place { return place{identity{e.RoleARN, e.ExternalID}, e.Region} }
	many := map[place]int{}
	for _, e := range endpoints {
		many[placeOf(e)]++
	}
	roles, clients := map[identity]aws.CredentialsProvider{{}: home.Credentials}, map[place]*clientvpn.VPN{}
	vpn, switches := vpns{}, deadmen{}
	for _, e := range endpoints {
		at := placeOf(e)
		if roles[at.identity] == nil {
			made, err := role.New(role.Config{AWS: home, ARN: e.RoleARN, ExternalID: e.ExternalID})
			if err != nil {
				return nil, nil, err
			}
			roles[at.identity] = made
		}
		cfg := home.Copy()
		cfg.Region, cfg.Credentials = e.Region, roles[at.identity]
		if clients[at] == nil {
			made, err := clientvpn.New(clientvpn.Config{AWS: cfg, Crowded: beat && many[at] >= crowd, Log: log})
			if err != nil {
				return nil, nil, err
			}
			clients[at] = made
		}
		made, err := deadman.New(deadman.Config{AWS: cfg, Group: e.Deadman.Group, RoleARN: e.Deadman.RoleARN, DeadLetterARN: e.Deadman.DeadLetterARN})
		if err != nil {
			return nil, nil, err
		}
		vpn[e.ID], switches[e.ID] = clients[at], made
	}
	return vpn, switches, nil
}

// newKeeper keeps the configured endpoints with whatever cfg's credentials may do. tell sends messages, nil where there is
// no channel; beat is for the one that nobody waits for.
func newKeeper(c *config.Config, cfg aws.Config, beat bool, tell func(context.Context, latch.Notice) error, log *slog.Logger) (*latch.Keeper, error) {
	wishes, err := store.New(store.Config{AWS: cfg, Table: c.Table, KeepAudit: c.KeepAudit})
	if err != nil {
		return nil, err
	}
	vpn, switches, err := connect(c.Endpoints, cfg, beat, log)
	if err != nil {
		return nil, err
	}
	policies := map[latch.EndpointID]latch.Policy{}
	for _, e := range c.Endpoints {
		policies[e.ID] = e.Policy
	}
	return latch.New(latch.Config{VPN: vpn, Store: wishes, Deadman: switches, Endpoints: policies, Log: log, Notify: tell})
}

// lambdaRoots is where provided.al2023 keeps the certificates that it trusts. x509.SystemCertPool reads it as well, and then
// again in each folder that it looks through: three times the work.
const lambdaRoots = "/etc/pki/tls/certs/ca-bundle.crt"

// roots are the certificates that connections are checked with: those of SSL_CERT_FILE, which Go's verifier ignores on some
// systems, or else those of bundle, or where that is not to be had the system's.
func roots(env func(string) string, bundle string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if file := env("SSL_CERT_FILE"); file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("SSL_CERT_FILE: %w", err)
		}
		if !pool.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("SSL_CERT_FILE: %s holds no certificate", file)
		}
		return pool, nil
	}
	if raw, err := os.ReadFile(bundle); err == nil && pool.AppendCertsFromPEM(raw) {
		return pool, nil
	}
	return x509.SystemCertPool()
}
