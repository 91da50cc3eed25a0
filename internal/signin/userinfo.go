package signin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// called are the claims that say what a person is called, of which session shows the first that there is.
var called = []string{"name", "given_name", "family_name", "email", "preferred_username", "cognito:username"}

// about adds to an ID token's claims what a person is called, and the groups, where the ID token says nothing of them.
// By the standard, what a scope asks for is the userinfo endpoint's to tell (OpenID Connect Core 1.0 section 5.4); the
// issuers that put it into the ID token as well are not asked. Who somebody is, is the ID token's to say alone.
func (o *OIDC) about(ctx context.Context, i *issuer, token *oauth2.Token, c claims) error {
	has := func(name string) bool { _, ok := c[name]; return ok }
	groups := o.c.GroupsClaim == "" || has(o.c.GroupsClaim) || c.elsewhere(o.c.GroupsClaim)
	if groups && slices.ContainsFunc(called, has) || i.provider.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := i.provider.UserInfo(oidc.ClientContext(ctx, o.client), oauth2.StaticTokenSource(token))
	if err != nil {
		return fmt.Errorf("%w: userinfo: %s", ErrIssuer, brief(err))
	}
	var raw json.RawMessage
	if err := info.Claims(&raw); err != nil {
		return fmt.Errorf("%w: userinfo: %s", ErrIssuer, brief(err))
	}
	more, err := object(raw)
	if err != nil {
		return fmt.Errorf("%w: userinfo: %v", ErrIssuer, err)
	}
	// Section 5.3.2: or one person's name and groups would be another's.
	if sub := more.text("sub"); sub == "" || !equal(sub, c.text("sub")) {
		return refuse("userinfo: it is about somebody else")
	}
	for _, name := range append([]string{o.c.GroupsClaim, "_claim_names"}, called...) {
		if value, ok := more[name]; ok && name != "" && !has(name) {
			c[name] = value
		}
	}
	return nil
}
