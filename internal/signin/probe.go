package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
)

// noKey has the form of a key's id and is none's.
const noKey = "00000000-0000-4000-8000-000000000000"

// ProbeKeyServer asks the key server of the Region's load balancers for a key that nobody has. Nil: it answers.
func ProbeKeyServer(ctx context.Context, client *http.Client, region string) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	base := keyURL(region)
	if _, _, err := newKeyring(base, client, slog.New(slog.DiscardHandler)).ask(ctx, noKey); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrKeyServer, base, err)
	}
	return nil
}

// ProbeIssuer reads what an issuer announces of itself and its keys, as a sign-in would. It signs nobody in, and needs no
// client's secret.
func ProbeIssuer(ctx context.Context, client *http.Client, address string) error {
	transport := client.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	o := &OIDC{c: OIDCConfig{Issuer: address}, client: &http.Client{Transport: caller{transport}}}
	found, err := o.discover(ctx)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, found.keysURL, nil)
	if err != nil {
		return fmt.Errorf("%w: keys: %s", ErrIssuer, brief(err))
	}
	answer, err := o.client.Do(r)
	if err != nil {
		return fmt.Errorf("%w: keys: %s", ErrIssuer, brief(err))
	}
	defer answer.Body.Close()
	var set struct {
		Keys []struct{ Kty, Use string } // RFC 7517 section 4
	}
	err = json.NewDecoder(answer.Body).Decode(&set)
	if err == nil && !slices.ContainsFunc(set.Keys, func(k struct{ Kty, Use string }) bool { return k.Kty != "oct" && k.Use != "enc" }) {
		err = errors.New("none of them can verify a token")
	}
	if err != nil {
		return fmt.Errorf("%w: keys: %s", ErrIssuer, brief(err))
	}
	return nil
}
