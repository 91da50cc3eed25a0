// Package signin turns what proves a sign-in into an access.Identity. Behind an Application Load Balancer (ALB) the sign-in
// is done by the load balancer and Amazon Cognito, and each request carries their signed word for it:
//
//	x-amzn-oidc-data ─▶ shape ─▶ header pinned ─▶ key by kid ─▶ signature ─▶ payload ─▶ access.Identity
//	                    └──── no network ────┘    └ bounded ┘
//
// Without one, Nightlatch signs people in itself at any OpenID Connect issuer, and keeps the session (OIDC):
//
//	Begin ─▶ issuer ─▶ Finish: cookie of the flow ─▶ state ─▶ iss ─▶ code ─▶ ID token ─▶ nonce ─▶ session stored, cookie
//	every request: cookie ─▶ its hash ─▶ the stored session ─▶ access.Identity
//
// An identity that is not certain is refused; there is no setting that skips a step.
package signin

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// The ways in which a request is not signed in. Match with errors.Is; the text holds nothing from the token.
var (
	// ErrNoToken: the request did not come through the load balancer's authenticate action.
	ErrNoToken = errors.New("the request carries no sign-in token")
	// ErrToken: there is a token and it is refused; the chain says why, for the operator.
	ErrToken = errors.New("the sign-in token is refused")
	// ErrKeyServer: nobody can tell whether the token is genuine, because the key server did not help. A later try may do.
	ErrKeyServer = errors.New("the load balancer's key server gave no usable answer")
)

const (
	// tokenHeader is the one signed header. x-amzn-oidc-identity beside it is plain text that anybody can write, so it is
	// never read.
	tokenHeader = "X-Amzn-Oidc-Data"
	// maxToken is the longest header that the load balancer forwards ("Quotas for your Application Load Balancers").
	maxToken = 16 << 10
	// leeway is how far the clocks of the load balancer and ours may differ.
	leeway = 30 * time.Second
	// maxAhead: tokens live for one to two minutes where they were measured, and AWS documents no figure. One that is
	// valid for much longer is not what a load balancer mints.
	maxAhead = 10 * time.Minute
)

// ALBConfig says whose tokens are good. Every field is required but GroupsClaim.
type ALBConfig struct {
	ARN      string // of the load balancer, whole: arn:aws:elasticloadbalancing:…:loadbalancer/app/name/id
	ClientID string // of the user pool's app client that the listener signs in with
	Issuer   string // of the user pool: https://cognito-idp.<Region>.amazonaws.com/<pool id>
	Region   string // where the load balancer is; the key server's address follows from it and from nothing else
	// GroupsClaim is the claim that holds a person's groups, "custom:groups"; empty: they are not read, and nobody has any.
	// It must be one that userInfo has: the token's claims are userInfo's, and "cognito:groups" is not among them.
	GroupsClaim string
	Client      *http.Client
	Log         *slog.Logger
}

// ALB verifies the tokens of one load balancer. It is safe for concurrent use.
type ALB struct {
	arn, clientID, issuer, groups string
	keys                          *keyring
}

var (
	arnForm    = regexp.MustCompile(`^arn:(aws|aws-us-gov):elasticloadbalancing:([a-z0-9-]+):[0-9]{12}:loadbalancer/app/[A-Za-z0-9-]+/[0-9a-f]{16}$`)
	regionForm = regexp.MustCompile(`^[a-z]{2}(-[a-z]+){1,2}-[0-9]{1,2}$`)
	kidForm    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// NewALB checks c, all of it at once, and returns a verifier that has fetched nothing yet.
func NewALB(c ALBConfig) (*ALB, error) {
	var faults []error
	arn := arnForm.FindStringSubmatch(c.ARN)
	switch {
	case arn == nil:
		faults = append(faults, fmt.Errorf("alb.arn: %q is not the full ARN of an Application Load Balancer (arn:aws:elasticloadbalancing:REGION:ACCOUNT:loadbalancer/app/NAME/ID)", c.ARN))
	case arn[2] != c.Region:
		faults = append(faults, fmt.Errorf("alb.arn: the load balancer is in %s, but the region is %q", arn[2], c.Region))
	case (arn[1] == "aws-us-gov") != strings.HasPrefix(c.Region, "us-gov-"):
		faults = append(faults, fmt.Errorf("alb.arn: partition %s has no region %s", arn[1], c.Region))
	}
	if !regionForm.MatchString(c.Region) {
		faults = append(faults, fmt.Errorf("region: %q is not an AWS Region", c.Region))
	}
	if c.ClientID == "" {
		faults = append(faults, errors.New("cognito.client_id: name the user pool's app client"))
	}
	if u, err := url.Parse(c.Issuer); err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		faults = append(faults, fmt.Errorf("cognito.issuer: %q is not an https address", c.Issuer))
	}
	if c.Client == nil || c.Log == nil {
		faults = append(faults, errors.New("signin: Client and Log are required"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &ALB{c.ARN, c.ClientID, c.Issuer, c.GroupsClaim, newKeyring(keyURL(c.Region), c.Client, c.Log)}, nil
}

// Authenticate says who sent r. The error is one of this package's, with the reason in its chain.
func (a *ALB) Authenticate(r *http.Request) (access.Identity, error) {
	values := r.Header.Values(tokenHeader)
	switch {
	case len(values) == 0:
		return access.Identity{}, ErrNoToken
	case len(values) > 1:
		// The load balancer sets one. A second can only have been smuggled past it.
		return access.Identity{}, refuse("%d tokens in one request", len(values))
	}
	return a.verify(r.Context(), values[0], time.Now())
}

// verify is written on the standard library rather than on a JWT package, because little of such a package would be
// left in use: the load balancer keeps the '=' padding and signs over it, the claims that matter stand in the protected
// header where JWT packages do not look for them (one accepts a token that has expired in the header only), and they must be
// judged before a key is fetched.
func (a *ALB) verify(ctx context.Context, token string, now time.Time) (access.Identity, error) {
	if len(token) > maxToken {
		return access.Identity{}, refuse("%d bytes, more than a load balancer forwards", len(token))
	}
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		return access.Identity{}, refuse("%d segments instead of 3", len(segments))
	}
	var parts [3][]byte
	for i, s := range segments {
		b, err := decode(s)
		if err != nil {
			return access.Identity{}, refuse("segment %d is not base64url", i+1)
		}
		parts[i] = b
	}
	header, err := object(parts[0])
	if err != nil {
		return access.Identity{}, refuse("header: %v", err)
	}
	payload, err := object(parts[1])
	if err != nil {
		return access.Identity{}, refuse("payload: %v", err)
	}
	kid, err := a.checkHeader(header, now)
	if err != nil {
		return access.Identity{}, err
	}
	if len(parts[2]) != 64 { // R and S of P-256, 32 bytes each (RFC 7518 section 3.4); a DER signature is longer
		return access.Identity{}, refuse("a signature of %d bytes instead of 64", len(parts[2]))
	}

	key, err := a.keys.get(ctx, kid)
	if err != nil {
		return access.Identity{}, err
	}
	// The hash is over the text as received, padding included, never over a second encoding of it.
	signed := sha256.Sum256([]byte(segments[0] + "." + segments[1]))
	sigR, sigS := new(big.Int).SetBytes(parts[2][:32]), new(big.Int).SetBytes(parts[2][32:])
	if !ecdsa.Verify(key, signed[:], sigR, sigS) {
		return access.Identity{}, refuse("the signature does not match")
	}
	return a.identity(payload, now)
}

// checkHeader pins everything that says whose token this is, and returns the id of the key that must have signed it.
// Any load balancer of anybody's in the Region signs with keys of the same server; signer is what makes it ours
// ("Authenticate users using an Application Load Balancer", on validating the signer field).
func (a *ALB) checkHeader(h claims, now time.Time) (kid string, err error) {
	for _, pin := range []struct{ name, want string }{
		{"alg", "ES256"}, {"signer", a.arn}, {"client", a.clientID}, {"iss", a.issuer},
	} {
		if h.text(pin.name) != pin.want {
			return "", refuse("header: %s is not the configured one", pin.name)
		}
	}
	if _, ok := h["typ"]; ok && h.text("typ") != "JWT" {
		return "", refuse("header: typ is not JWT")
	}
	if _, ok := h["crit"]; ok { // RFC 7515 section 4.1.11: an extension that must be understood, and is not
		return "", refuse("header: crit")
	}
	if kid = h.text("kid"); !kidForm.MatchString(kid) {
		return "", refuse("header: kid is not a lower-case UUID")
	}
	if _, ok := h["exp"]; !ok {
		return "", refuse("header: no exp")
	}
	return kid, h.checkExpiry("header", now)
}

// identity reads the claims that userInfo gave. E-mail and names are for display and decide nothing, so whether
// email_verified is a string, as Cognito has it, or a boolean does not matter here: it is not read.
func (a *ALB) identity(p claims, now time.Time) (access.Identity, error) {
	if _, ok := p["iss"]; ok && p.text("iss") != a.issuer {
		return access.Identity{}, refuse("payload: iss is not the configured one")
	}
	if _, ok := p["exp"]; ok {
		if err := p.checkExpiry("payload", now); err != nil {
			return access.Identity{}, err
		}
	}
	sub := p.text("sub")
	if !usable(sub) {
		return access.Identity{}, refuse("payload: sub is not usable as an identifier")
	}
	email := display(p.text("email"))
	name := display(p.text("name"))
	if name == "" {
		name = display(strings.TrimSpace(p.text("given_name") + " " + p.text("family_name")))
	}
	if name == "" {
		name = email // people know it; the user name may be an identifier that nobody can read
	}
	if name == "" {
		name = display(p.userName())
	}
	who := access.Identity{Principal: latch.Principal{Subject: latch.Subject(sub), Issuer: a.issuer, Name: name, Email: email}}
	if a.groups != "" {
		who.Groups, who.GroupsCut = ParseGroups(p[a.groups])
	}
	return who, nil
}

// usable says whether an issuer's word for somebody identifies them here. An operator at a command line is known by an ARN, and what
// was opened by hand is nobody's: an issuer that gave out such subjects would make people their equals.
func usable(sub string) bool {
	return access.IsSubject(latch.Subject(sub)) && !strings.HasPrefix(sub, "arn:") && latch.Subject(sub) != latch.ByHandSubject
}

// claims is a JSON object whose names are matched exactly; encoding/json's structs would match them in any case.
type claims map[string]json.RawMessage

// text returns a string claim, or "" for any other kind.
func (c claims) text(name string) string {
	var s string
	if json.Unmarshal(c[name], &s) != nil {
		return ""
	}
	return s
}

func (c claims) checkExpiry(where string, now time.Time) error {
	var seconds int64 // refuses fractions, strings and null's zero below
	if err := json.Unmarshal(c["exp"], &seconds); err != nil {
		return refuse("%s: exp is not a whole number of seconds", where)
	}
	switch exp := time.Unix(seconds, 0); {
	case now.After(exp.Add(leeway)):
		return refuse("%s: expired", where)
	case exp.After(now.Add(maxAhead)):
		return refuse("%s: exp is further ahead than a load balancer puts it", where)
	}
	return nil
}

// userName is Cognito's user name without the "<provider>_" that Cognito puts before a federated person's name
// ("Specifying identity provider attribute mappings"). identities is a JSON array inside a string.
func (c claims) userName() string {
	name := c.text("username")
	var identities []struct{ UserID, ProviderName string }
	if json.Unmarshal([]byte(c.text("identities")), &identities) == nil {
		for _, i := range identities {
			if i.UserID != "" && name == i.ProviderName+"_"+i.UserID {
				return i.UserID
			}
		}
	}
	return name
}

// object decodes exactly one JSON object and refuses a name that occurs twice: two readers of such a header could each
// believe another value.
func object(b []byte) (claims, error) {
	bad := errors.New("not one JSON object")
	d := json.NewDecoder(strings.NewReader(string(b)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, bad
	}
	c := claims{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, bad
		}
		if _, twice := c[name]; twice {
			return nil, errors.New("a name occurs twice")
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, bad
		}
		c[name] = value
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, bad
	}
	if d.InputOffset() != int64(len(strings.TrimRight(string(b), " \t\r\n"))) {
		return nil, bad
	}
	return c, nil
}

// decode takes base64url with its padding or without, and nothing else: no line breaks, which encoding/base64 would
// skip, no half padding, no stray bits at the end.
func decode(s string) ([]byte, error) {
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("not base64url")
	}
	if strings.Contains(s, "=") {
		return base64.URLEncoding.Strict().DecodeString(s)
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

// display makes a claim fit for a page and a log line: one line, not endless.
func display(s string) string { return cut(s, 100) }

func cut(s string, longest int) string {
	s = strings.Map(func(r rune) rune {
		if latch.Unprintable(r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + "…"
	}
	return s
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrToken}, args...)...)
}
