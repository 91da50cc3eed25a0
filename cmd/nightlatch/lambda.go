package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/lambdahost"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/notify"
	"github.com/nightlatch/nightlatch/internal/secret"
	"github.com/nightlatch/nightlatch/internal/signin"
	"github.com/nightlatch/nightlatch/internal/store"
	"github.com/nightlatch/nightlatch/internal/web"
)

// The handlers that a function's configuration may name.
const (
	handlerFront = "front" // a load balancer's target, or an HTTP API's: pages and API
	handlerBeat  = "beat"  // a schedule's target: keeps the endpoints
)

// bootstrap serves a Lambda function's events until Lambda ends it. What it returns is why it could not start.
func bootstrap(env func(string) string, stdout, stderr io.Writer) error {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	later := collectLater()
	handler, err := function(env, stdout, log)
	if err != nil {
		log.Error("the function cannot start", "err", err)
		return err
	}
	lambdahost.Start(later(handler))
	return nil
}

func function(env func(string) string, stdout io.Writer, log *slog.Logger) (_ func(context.Context, json.RawMessage) (any, error), err error) {
	client, trusted := httpClient(env)
	defer func() { err = cmp.Or(err, trusted()) }()
	path := cmp.Or(env("NIGHTLATCH_CONFIG"), filepath.Join(env("LAMBDA_TASK_ROOT"), "nightlatch.yaml"))
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w: put nightlatch.yaml beside bootstrap, or its path into NIGHTLATCH_CONFIG", err)
	}
	c, err := config.Parse(path, raw, env)
	if err != nil {
		return nil, err
	}
	if err := c.Complete(); err != nil {
		return nil, err
	}
	cfg, err := awsConfig(env, c.Region, client)
	if err != nil {
		return nil, err
	}
	tell, err := newNotify(c, env, client)
	if err != nil {
		return nil, err
	}
	count := newMetrics(c, env, stdout, log)
	keeper, err := newKeeper(c, cfg, env("_HANDLER") == handlerBeat, tell, log)
	if err != nil {
		return nil, err
	}
	switch h := env("_HANDLER"); h {
	case handlerFront:
		if c.SignInPending {
			return pending(c.Deploy.Front, log), nil
		}
		people, err := store.New(store.Config{AWS: cfg, Table: c.Table, KeepAudit: c.KeepAudit})
		if err != nil {
			return nil, err
		}
		front, err := newFront(c, keeper, people, secret.New(env(clientSecretVariable)), client, count.signInBroken, log)
		if err != nil {
			return nil, err
		}
		if c.OIDC != nil {
			return lambdahost.HTTPAPI(front, log), nil
		}
		return lambdahost.ALB(front, log), nil
	case handlerBeat:
		return beatHandler(c, keeper, count, lookInside(c, cfg, client, log)), nil
	default:
		return nil, fmt.Errorf("handler %q: the function's handler must be %q or %q", h, handlerFront, handlerBeat)
	}
}

// webhookVariable holds the webhook's address. It is a secret, so it is not in the configuration file.
const webhookVariable = "NIGHTLATCH_WEBHOOK_URL"

// newNotify makes the channel that the configuration names; nil if it names none. The front needs it too: what it finds
// first, the beat sends.
func newNotify(c *config.Config, env func(string) string, client *http.Client) (func(context.Context, latch.Notice) error, error) {
	address := secret.New(env(webhookVariable))
	switch {
	case c.Notify == nil && address.Empty():
		return nil, nil
	case c.Notify == nil:
		return nil, fmt.Errorf("%s is set, and the configuration has no notify: add it, or unset the variable", webhookVariable)
	case address.Empty():
		return nil, fmt.Errorf("the configuration has notify: put the webhook's address into %s", webhookVariable)
	}
	endpoints := map[latch.EndpointID]notify.Endpoint{}
	for _, e := range c.Endpoints {
		endpoints[e.ID] = notify.Endpoint{Name: e.Name, Title: e.Title, Location: e.Location}
	}
	s, err := notify.New(notify.Config{URL: address, Format: c.Notify.Format, Language: c.Notify.Language, Page: c.Notify.Page, Endpoints: endpoints, Client: client,
		Reason: func(code latch.Code) string {
			return web.ReasonText(c.Notify.Language, latch.Reason{Code: code}, time.UTC, time.Now())
		}})
	if err != nil {
		return nil, err
	}
	return s.Send, nil
}

// clientSecretVariable holds the secret of our client at the issuer. It is empty for a public client.
const clientSecretVariable = "NIGHTLATCH_OIDC_CLIENT_SECRET"

// newFront makes pages and API with whichever sign-in the configuration names.
func newFront(c *config.Config, keeper *latch.Keeper, people *store.Store, clientSecret secret.String, client *http.Client, broken func(context.Context, error), log *slog.Logger) (http.Handler, error) {
	pages := web.Config{Keeper: keeper, Admin: keeper, Rules: c.Access, People: people, Audit: people.Append, SignInBroken: broken, RequestID: lambdahost.RequestID, Log: log}
	for _, e := range c.Endpoints {
		pages.Endpoints = append(pages.Endpoints, webEndpoint(e))
	}
	if o := c.OIDC; o != nil {
		record := func(ctx context.Context, e latch.Entry) error {
			log.InfoContext(ctx, "audit", "audit", e) // the copy, as the keeper makes one
			return people.Append(ctx, e)
		}
		in, err := signin.NewOIDC(signin.OIDCConfig{Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: clientSecret, RedirectURL: o.RedirectURL, LogoutURL: o.LogoutURL,
			Scopes: o.Scopes, AuthorizeParams: o.AuthorizeParams, GroupsClaim: o.GroupsClaim, Session: o.Session,
			Store: people, Append: record, RequestID: lambdahost.RequestID, Client: client, Log: log})
		if err != nil {
			return nil, err
		}
		pages.SignIn, pages.Authenticate = in, in.Authenticate
		// A form that is redirected to the issuer, at the end of a session or to end it, goes to its origin.
		pages.SignInOrigins = append(slices.Clone(o.SignInOrigins), originOf(o.Issuer))
		pages.LogoutURL = cmp.Or(o.LogoutURL, o.Issuer)
		return web.New(pages)
	}
	if !clientSecret.Empty() {
		return nil, fmt.Errorf("%s is set, and the configuration has no signin.oidc: add it, or unset the variable", clientSecretVariable)
	}
	alb, err := signin.NewALB(signin.ALBConfig{ARN: c.ALB.ARN, ClientID: c.ALB.ClientID, Issuer: c.ALB.Issuer, Region: c.Region, GroupsClaim: c.ALB.GroupsClaim, Client: client, Log: log})
	if err != nil {
		return nil, err
	}
	pages.Authenticate, pages.SignInOrigins, pages.LogoutURL, pages.SessionCookie = alb.Authenticate, c.ALB.SignInOrigins, c.ALB.LogoutURL, c.ALB.SessionCookie
	return web.New(pages)
}

// pending answers everybody alike until there is an identity provider: the front is up and nobody can sign in. Behind a
// load balancer it is not even reached, whose own rule says the same.
func pending(front string, log *slog.Logger) func(context.Context, json.RawMessage) (any, error) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Retry-After", "300")
		http.Error(w, "Nightlatch is not finished yet: sign-in has no identity provider. Whoever deploys it goes on with: nightlatch deploy apply --saml-metadata URL", http.StatusServiceUnavailable)
	})
	if front == config.FrontHTTPAPI {
		return lambdahost.HTTPAPI(h, log)
	}
	return lambdahost.ALB(h, log)
}

// originOf is the scheme and host of an address that was checked.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func webEndpoint(e config.Endpoint) web.Endpoint {
	return web.Endpoint{Name: e.Name, ID: e.ID, Policy: e.Policy, Title: e.Title, Location: e.Location, SelfServiceURL: e.SelfServiceURL}
}
