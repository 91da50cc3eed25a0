package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
)

const (
	metadataMost = 1 << 20
	// endsSoon is how long before an end it is told of.
	endsSoon = 30 * 24 * time.Hour
	// refreshMost and accessMost are a working day, and how long somebody who was removed may go on; the deployment has
	// twelve hours and fifteen minutes.
	refreshMost = 12 * time.Hour
	accessMost  = time.Hour
	// selfService lets people write their own attributes, of which their groups are one (AllowedOAuthScopes, Cognito API).
	selfService = "aws.cognito.signin.user.admin"
)

// day is a date that everybody reads alike.
func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

func (x *examination) provider(ctx context.Context) []Check {
	const name = "identity provider"
	if x.File != nil && x.File.Issuer() {
		return x.issuer(ctx) // and there is no user pool
	}
	if out := x.needs(true, name); out != nil {
		return out
	}
	if x.pending() {
		return []Check{notChecked(name, "it is not set up yet")}
	}
	pool, provider := x.output("UserPoolId"), x.output("ProviderName")
	if pool == "" || provider == "" {
		return []Check{notChecked(name, "the stack does not say which it is")}
	}
	p, err := x.Account.Provider(ctx, pool, provider)
	if err != nil {
		return []Check{unread(name, "provider "+provider+" of "+pool, err, "nightlatch deploy apply --saml-metadata URL")}
	}
	if p.Type != "SAML" {
		return []Check{check(name, Warning, "", "%s is of type %s: what it answers is not looked at", provider, p.Type)}
	}
	var warnings []string
	if p.Mapping["email"] == "" {
		warnings = append(warnings, "no attribute is mapped to email, and people are shown by their subject")
	}
	if x.deploy().Groups && p.Mapping["custom:groups"] == "" {
		warnings = append(warnings, "no attribute is mapped to custom:groups, and access rules see no groups")
	}
	if p.Init {
		warnings = append(warnings, "it takes sign-ins that nobody here asked for")
	}
	set := again + "; docs/identity-center.md has what belongs on its side"
	if x.Metadata == nil {
		return []Check{notChecked(name, "its metadata is not looked at")}
	}
	raw := []byte(p.Metadata)
	if p.MetadataURL != "" {
		if raw, err = x.fetch(ctx, p.MetadataURL); err != nil {
			return []Check{check(name, Warning, "correct the address: nightlatch deploy apply --saml-metadata URL", "its metadata is not to be had, and the user pool fetches it too: %v", err)}
		}
	}
	m, err := x.Metadata(raw, time.Now())
	if err != nil {
		return []Check{check(name, Failure, "renew it at Identity Center, then nightlatch deploy apply --saml-metadata URL|FILE", "%v", err)}
	}
	warnings = append(warnings, m.Warnings...)
	until := ""
	if !m.Until.IsZero() {
		until = ", good until " + day(m.Until)
		if time.Until(m.Until) < endsSoon && len(m.Warnings) == 0 {
			warnings = append(warnings, "its certificate ends on "+day(m.Until)+", and then nobody can sign in")
			set = "renew it at Identity Center; with a metadata address the user pool follows by itself"
		}
	}
	if len(warnings) > 0 {
		return []Check{check(name, Warning, set, "%s: %s", provider, strings.Join(warnings, "; "))}
	}
	return []Check{ok(name, "%s%s", provider, until)}
}

// issuer asks the one of people's own who it is (OpenID Connect Discovery 1.0, 4).
func (x *examination) issuer(ctx context.Context) []Check {
	const name = "issuer"
	want := x.File.OIDC.Issuer
	raw, err := x.fetch(ctx, strings.TrimSuffix(want, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return []Check{check(name, Warning, "the function must reach it; it may be you who cannot", "%s is not to be asked who it is: %v", want, err)}
	}
	var d struct {
		Issuer string `json:"issuer"`
	}
	_ = json.Unmarshal(raw, &d) // what is no discovery document names nobody
	if d.Issuer != want {
		return []Check{check(name, Failure, "write signin.oidc.issuer letter by letter as the issuer does", "%s calls itself %s", want, orNothing(d.Issuer))}
	}
	return []Check{ok(name, "people sign in at %s", want)}
}

// fetch reads a document that has no secrets.
func (x *examination) fetch(ctx context.Context, url string) ([]byte, error) {
	if !strings.HasPrefix(url, "https://") {
		return nil, errors.New("the address is not https")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := x.Page.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, metadataMost))
}

func (x *examination) client(ctx context.Context) []Check {
	const name = "app client"
	if x.File != nil && x.File.Issuer() {
		return nil
	}
	if out := x.needs(true, name); out != nil {
		return out
	}
	if x.pending() {
		return []Check{notChecked(name, "it is made with the identity provider, which is not set up yet")}
	}
	pool, id := x.output("UserPoolId"), x.output("UserPoolClientId")
	if pool == "" || id == "" {
		return []Check{notChecked(name, "the stack does not say which it is")}
	}
	c, err := x.Account.Client(ctx, pool, id)
	if err != nil {
		return []Check{unread(name, "client "+id+" of "+pool, err, again)}
	}
	d := x.deploy()
	callback, out := "https://"+d.Domain+"/oauth2/idpresponse", "https://"+d.Domain+"/signed-out"
	if d.Front == config.FrontHTTPAPI {
		callback = "https://" + d.Domain + "/oauth2/callback"
	}
	var faults, warnings []string
	for _, f := range []struct {
		bad  bool
		text string
	}{
		{!slices.Contains(c.Callbacks, callback), "it does not lead back to " + callback + ", letter by letter, but to " + strings.Join(c.Callbacks, ", ")},
		{!slices.Contains(c.SignOuts, out), "it does not lead to " + out + " after signing out"},
		{!c.OAuth || !slices.Contains(c.Flows, "code"), "it has no code flow"},
		{!c.Secret, "it has no secret, and the front needs one"},
		{!slices.Contains(c.Scopes, "openid"), "its scopes lack openid"},
		{slices.Contains(c.Scopes, selfService), "its scopes have " + selfService + ", with which people write their own groups"},
		{!slices.Contains(c.Providers, x.output("ProviderName")), "it does not let people in by " + x.output("ProviderName")},
	} {
		if f.bad {
			faults = append(faults, f.text)
		}
	}
	if slices.Contains(c.Flows, "implicit") {
		warnings = append(warnings, "it hands out tokens in addresses too: the implicit flow")
	}
	if slices.Contains(c.Providers, "COGNITO") {
		warnings = append(warnings, "it lets in people of the pool's own too, whom Identity Center does not know")
	}
	if c.Refresh > refreshMost {
		warnings = append(warnings, fmt.Sprintf("somebody who was removed stays signed in for up to %v", c.Refresh))
	}
	if c.Access > accessMost {
		warnings = append(warnings, fmt.Sprintf("its access tokens are good for %v", c.Access))
	}
	switch {
	case len(faults) > 0:
		return []Check{check(name, Failure, again, "%s", strings.Join(append(faults, warnings...), "; "))}
	case len(warnings) > 0:
		return []Check{check(name, Warning, again, "%s", strings.Join(warnings, "; "))}
	}
	return []Check{ok(name, "code flow with %s; leads back to %s", strings.Join(c.Scopes, " "), callback)}
}
