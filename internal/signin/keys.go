package signin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	maxKeys      = 8 // one or two are in use at a time; the rest is room for a rotation
	keyLife      = time.Hour
	maxMisses    = 64
	missLife     = time.Minute     // a key that the server does not know
	failureLife  = 5 * time.Second // a server that did not help
	fetchTimeout = 3 * time.Second
	maxKeyBytes  = 8 << 10
	// perMinute bounds the fetches: whoever may invoke us directly can invent a new kid for every request.
	perMinute = 10
)

// keyURL is where the Region's load balancers publish their keys ("Authenticate users using an Application Load
// Balancer": the general form, and the two of GovCloud).
func keyURL(region string) string {
	if strings.HasPrefix(region, "us-gov-") {
		return "https://s3-" + region + ".amazonaws.com/aws-elb-public-keys-prod-" + region + "/"
	}
	return "https://public-keys.auth.elb." + region + ".amazonaws.com/"
}

// keyring fetches public keys by id and keeps a few. Nothing in it grows with what strangers send.
type keyring struct {
	base   string
	client *http.Client
	log    *slog.Logger
	flight singleflight.Group

	mu      sync.Mutex // guards what follows
	entries map[string]entry
	misses  map[string]entry
	minute  time.Time // when the present minute of fetches began
	fetches int       // in it
}

// entry is a key, or the reason why there is none.
type entry struct {
	key   *ecdsa.PublicKey
	err   error
	until time.Time
}

func newKeyring(base string, client *http.Client, log *slog.Logger) *keyring {
	c := *client
	c.Jar = nil
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &keyring{base: base, client: &c, log: log, entries: map[string]entry{}, misses: map[string]entry{}}
}

// get returns the key, from memory if it can. However many requests wait for one kid, one fetch is made; it is not
// tied to the request that happened to come first, whose browser may go away.
func (k *keyring) get(ctx context.Context, kid string) (*ecdsa.PublicKey, error) {
	if e, ok := k.remembered(kid, time.Now()); ok {
		return e.key, e.err
	}
	v, err, _ := k.flight.Do(kid, func() (any, error) {
		now := time.Now()
		if e, ok := k.remembered(kid, now); ok { // another flight landed between the look and this one
			return e.key, e.err
		}
		if !k.mayFetch(now) {
			return (*ecdsa.PublicKey)(nil), fmt.Errorf("%w: more than %d unknown keys in a minute", ErrKeyServer, perMinute)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		e := k.fetch(ctx, kid)
		k.remember(kid, e)
		return e.key, e.err
	})
	return v.(*ecdsa.PublicKey), err
}

func (k *keyring) remembered(kid string, now time.Time) (entry, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range []map[string]entry{k.entries, k.misses} {
		if e, ok := m[kid]; ok && now.Before(e.until) {
			return e, true
		}
	}
	return entry{}, false
}

func (k *keyring) mayFetch(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.minute) >= time.Minute {
		k.minute, k.fetches = now, 0
	}
	k.fetches++
	return k.fetches <= perMinute
}

// remember keeps keys and misses apart, so that invented ids cannot push a good key out.
func (k *keyring) remember(kid string, e entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	m, room := k.entries, maxKeys
	if e.err != nil {
		m, room = k.misses, maxMisses
	}
	if _, known := m[kid]; !known && len(m) >= room {
		var oldest string
		for id, o := range m {
			if oldest == "" || o.until.Before(m[oldest].until) {
				oldest = id
			}
		}
		delete(m, oldest)
	}
	m[kid] = e
}

// fetch asks the key server once. The kid is a UUID by now, so it cannot lead to another path.
func (k *keyring) fetch(ctx context.Context, kid string) entry {
	began := time.Now()
	key, unknown, err := k.ask(ctx, kid)
	switch now := time.Now(); {
	case err != nil:
		k.log.WarnContext(ctx, "no key", "kid", kid, "took", now.Sub(began), "err", err)
		return entry{err: fmt.Errorf("%w: %w", ErrKeyServer, err), until: now.Add(failureLife)}
	case unknown:
		return entry{err: refuse("the key server knows no key %s", kid), until: now.Add(missLife)}
	default:
		k.log.InfoContext(ctx, "key fetched", "kid", kid, "took", now.Sub(began))
		return entry{key: key, until: now.Add(keyLife)}
	}
}

func (k *keyring) ask(ctx context.Context, kid string) (key *ecdsa.PublicKey, unknown bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.base+kid, nil)
	if err != nil {
		return nil, false, err
	}
	answer, err := k.client.Do(r)
	if err != nil {
		return nil, false, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusForbidden: // GovCloud's server is S3, which says 403 for an object that is not there
		return nil, true, nil
	default:
		return nil, false, fmt.Errorf("status %d", answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxKeyBytes+1))
	if err == nil {
		err = ctx.Err() // what came because we had given up is no answer
	}
	if err != nil {
		return nil, false, err
	}
	if len(body) > maxKeyBytes {
		return nil, false, fmt.Errorf("more than %d bytes", maxKeyBytes)
	}
	key, err = parseKey(body)
	return key, false, err
}

func parseKey(b []byte) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("not a PEM public key")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("not a public key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("a %T where ES256 needs P-256", parsed)
	}
	return key, nil
}
