package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/lambdahost"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/notify"
	"github.com/nightlatch/nightlatch/internal/signin"
	"github.com/nightlatch/nightlatch/internal/web"
)

// The handlers that a function's configuration may name.
const (
	handlerFront = "front" // a load balancer's target: pages and API
	handlerBeat  = "beat"  // a schedule's target: keeps the endpoints
)

// bootstrap serves a Lambda function's events until Lambda ends it. What it returns is why it could not start.
func bootstrap(env func(string) string, stderr io.Writer) error {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	handler, err := function(env, log)
	if err != nil {
		log.Error("the function cannot start", "err", err)
		return err
	}
	lambdahost.Start(handler)
	return nil
}

func function(env func(string) string, log *slog.Logger) (func(context.Context, json.RawMessage) (any, error), error) {
	path := cmp.Or(env("NIGHTLATCH_CONFIG"), filepath.Join(env("LAMBDA_TASK_ROOT"), "nightlatch.yaml"))
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w: put nightlatch.yaml beside bootstrap, or its path into NIGHTLATCH_CONFIG", err)
	}
	c, err := config.Parse(path, raw)
	if err != nil {
		return nil, err
	}
	client, err := httpClient(env)
	if err != nil {
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
	keeper, err := newKeeper(c, cfg, env("_HANDLER") == handlerBeat, tell, log)
	if err != nil {
		return nil, err
	}
	switch h := env("_HANDLER"); h {
	case handlerFront:
		front, err := newFront(c, keeper, client, log)
		if err != nil {
			return nil, err
		}
		return lambdahost.ALB(front, log), nil
	case handlerBeat:
		return func(ctx context.Context, _ json.RawMessage) (any, error) { return nil, keeper.Beat(ctx, c.BeatFor) }, nil
	default:
		return nil, fmt.Errorf("handler %q: the function's handler must be %q or %q", h, handlerFront, handlerBeat)
	}
}

// webhookVariable holds the webhook's address. It is a secret, so it is not in the configuration file.
const webhookVariable = "NIGHTLATCH_WEBHOOK_URL"

// newNotify makes the channel that the configuration names; nil if it names none. The front needs it too: what it finds
// first, the beat sends.
func newNotify(c *config.Config, env func(string) string, client *http.Client) (func(context.Context, latch.Notice) error, error) {
	address := env(webhookVariable)
	switch {
	case c.Notify == nil && address == "":
		return nil, nil
	case c.Notify == nil:
		return nil, fmt.Errorf("%s is set, and the configuration has no notify: add it, or unset the variable", webhookVariable)
	case address == "":
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

func newFront(c *config.Config, keeper *latch.Keeper, client *http.Client, log *slog.Logger) (http.Handler, error) {
	alb, err := signin.NewALB(signin.ALBConfig{ARN: c.ALB.ARN, ClientID: c.ALB.ClientID, Issuer: c.ALB.Issuer, Region: c.Region, GroupsClaim: c.ALB.GroupsClaim, Client: client, Log: log})
	if err != nil {
		return nil, err
	}
	var endpoints []web.Endpoint
	for _, e := range c.Endpoints {
		endpoints = append(endpoints, webEndpoint(e))
	}
	return web.New(web.Config{Keeper: keeper, Authenticate: alb.Authenticate, Endpoints: endpoints, SignInOrigins: c.ALB.SignInOrigins,
		LogoutURL: c.ALB.LogoutURL, RequestID: lambdahost.RequestID, Log: log})
}

func webEndpoint(e config.Endpoint) web.Endpoint {
	return web.Endpoint{Name: e.Name, ID: e.ID, Policy: e.Policy, Title: e.Title, Location: e.Location, SelfServiceURL: e.SelfServiceURL}
}
