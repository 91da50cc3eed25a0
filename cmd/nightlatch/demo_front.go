//go:build !lambda

package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/standin/alb"
	"github.com/nightlatch/nightlatch/internal/standin/httpapi"
)

// What the demo's web site can stand behind. They are hops' names too.
const (
	frontALB     = "alb"
	frontHTTPAPI = "httpapi"
)

// demoAPI is the HTTP API's id.
const demoAPI = "0d3a11c0ff"

// frontOptions are the flags for what stands before the functions, and for another OpenID provider than the user pool.
type frontOptions struct {
	name                 string
	issuer, clientID, ca string
	secret               string // of the client at issuer; empty: it has none
}

func (f *frontOptions) flags(c *cobra.Command) {
	s := c.Flags()
	s.StringVar(&f.name, "front", frontALB, "what browsers talk to: alb, a load balancer that signs people in; or httpapi, an HTTP API, behind which the function does so")
	s.StringVar(&f.issuer, "oidc-issuer", "", "with --front httpapi, let the function sign people in at this OpenID provider on this machine instead of the user pool: its issuer URL")
	s.StringVar(&f.clientID, "oidc-client-id", "", "our client's id there; its secret, if it has one, is read from "+clientSecretVariable)
	s.StringVar(&f.ca, "oidc-ca", "", "PEM file with the CA of that provider's certificate (default: the demo's own)")
}

// check says what is missing or contradicts itself. It fills in the default.
func (f *frontOptions) check(o *demoOptions) error {
	if f.name == "" {
		f.name = frontALB
	}
	if f.name != frontALB && f.name != frontHTTPAPI {
		return fmt.Errorf("--front %s: choose %s or %s", f.name, frontALB, frontHTTPAPI)
	}
	if f.issuer == "" {
		if f.clientID != "" || f.ca != "" {
			return errors.New("--oidc-… say how to use an OpenID provider: name it with --oidc-issuer")
		}
		return nil
	}
	if f.name != frontHTTPAPI {
		return errors.New("--oidc-issuer is for --front httpapi: a load balancer is signed in at by the user pool")
	}
	// What the functions may reach is on this machine, whatever the provider is.
	u, err := url.Parse(f.issuer)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !onLoopback(u.Hostname()) {
		return fmt.Errorf("--oidc-issuer %s: want https and a name on this machine: localhost, one under .localhost, or a loopback address", f.issuer)
	}
	if f.clientID == "" {
		return errors.New("--oidc-issuer needs --oidc-client-id too")
	}
	if o.tour {
		return errors.New("--tour knows Cognito's and Identity Center's pages only: leave out --oidc-issuer, or --tour")
	}
	if o.samlMetadata != "" {
		return errors.New("--oidc-issuer takes the user pool's place, and --saml-metadata is about the user pool: leave one of them out")
	}
	return nil
}

func onLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// callbacks are where browsers are sent back to: after a sign-in, and after a sign-out.
func (w *world) callbacks(site string) (signIn, signOut string) {
	if w.o.front.name == frontALB {
		return site + "/oauth2/idpresponse", site + "/signed-out"
	}
	return site + "/oauth2/callback", site + "/signed-out"
}

// makeFront makes what browsers talk to, in front of the function, and returns the configuration's section about the
// sign-in there.
func (w *world) makeFront(plan *blueprint, site, pool, aws string, client *http.Client, origins []string) (signIn string, err error) {
	callback, signedOut := w.callbacks(site)
	logout := pool + "/logout?" + url.Values{"client_id": {w.pool.ClientID()}, "logout_uri": {signedOut}}.Encode()
	if w.o.front.name == frontALB {
		c := plan.alb
		c.Region, c.AccountID, c.TargetGroupARN = demoRegion, demoAccount, "" // the target group's id is kept with the load balancer's
		c.AuthorizationEndpoint, c.TokenEndpoint, c.UserInfoEndpoint = pool+"/oauth2/authorize", pool+"/oauth2/token", pool+"/oauth2/userInfo"
		c.Issuer, c.ClientID, c.ClientSecret = w.pool.Issuer(), w.pool.ClientID(), w.pool.ClientSecret()
		c.IdleTimeout, c.LambdaURL, c.Caller = w.o.patience, aws, w.iam.front.credentials
		c.Clock, c.Client, c.StateFile, c.Log = w.clocks["clock-alb"], client, w.file("alb"), w.log
		if w.alb, err = alb.New(c); err != nil {
			return "", err
		}
		w.iam.behind(w.alb.TargetGroupARN())
		return fmt.Sprintf("  alb:\n    arn: %s\n    client_id: %s\n    issuer: %s\n    logout_url: %q\n    sign_in_origins: [%s]\n",
			w.alb.ARN(), w.pool.ClientID(), w.pool.Issuer(), logout, strings.Join(origins, ", ")), nil
	}
	c := plan.api
	c.Region, c.AccountID, c.LambdaURL, c.Caller = demoRegion, demoAccount, aws, w.iam.front.credentials
	c.BodyTimeout, c.Client, c.Log = w.o.patience, client, w.log
	if w.httpapi, err = httpapi.New(c); err != nil {
		return "", err
	}
	// The source is the route of the stage ("AddPermission" for an HTTP API, API Gateway Developer Guide).
	w.iam.behind("arn:aws:execute-api:" + demoRegion + ":" + demoAccount + ":" + demoAPI + "/$default/$default")
	if f := w.o.front; f.issuer != "" {
		u, err := url.Parse(f.issuer)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("  oidc:\n    issuer: %q\n    client_id: %q\n    redirect_url: %s\n    sign_in_origins: [%s]\n", f.issuer, f.clientID, callback, "https://"+u.Host), nil
	}
	return fmt.Sprintf("  oidc:\n    issuer: %s\n    client_id: %s\n    redirect_url: %s\n    logout_url: %q\n    authorize_params: {identity_provider: IdentityCenter}\n    groups_claim: %s\n    sign_in_origins: [%s]\n",
		w.pool.Issuer(), w.pool.ClientID(), callback, logout, groupsClaim, strings.Join(origins, ", ")), nil
}

// frontHandler serves browsers.
func (w *world) frontHandler() http.Handler {
	h := http.Handler(nil)
	if w.alb != nil {
		h = w.alb.Handler()
	} else {
		h = w.httpapi.Handler()
	}
	return w.tap.Hear(w.o.front.name, w.breakable(w.o.front.name, unavailablePlain, h))
}

// trust returns the file of CAs that the functions trust: the demo's, and with --oidc-ca the provider's too.
func (w *world) trust(caFile string) (string, error) {
	if w.o.front.ca == "" {
		return caFile, nil
	}
	ours, err := os.ReadFile(caFile)
	if err != nil {
		return "", err
	}
	theirs, err := os.ReadFile(w.o.front.ca)
	if err != nil {
		return "", fmt.Errorf("--oidc-ca: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(theirs) {
		return "", fmt.Errorf("--oidc-ca: %s holds no PEM certificate", w.o.front.ca)
	}
	both := filepath.Join(w.function, "ca.pem")
	return both, os.WriteFile(both, bytes.Join([][]byte{ours, theirs}, []byte("\n")), 0o600)
}

// waysOut are the sites, beside AWS's, that the functions reach through their proxy: whoever signs people in.
func (w *world) waysOut() (map[string]string, error) {
	if w.o.front.name == frontALB {
		return map[string]string{}, nil
	}
	if w.o.front.issuer == "" {
		at := w.listeners["cognito"].Addr().String()
		return map[string]string{fmt.Sprintf("cognito.localhost:%d", w.port("cognito")): at}, nil
	}
	u, err := url.Parse(w.o.front.issuer)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	to := "127.0.0.1"
	if net.ParseIP(u.Hostname()) != nil {
		to = u.Hostname()
	}
	return map[string]string{net.JoinHostPort(u.Hostname(), port): net.JoinHostPort(to, port)}, nil
}
