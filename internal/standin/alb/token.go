package alb

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// keptKeys is how many signing keys the key server knows, the current one included. AWS documents no rotation.
const keptKeys = 4

// savedKey is a signing key at rest.
type savedKey struct {
	ID      string `json:"id"`      // a UUID: the token's kid
	Private []byte `json:"private"` // PKCS #8, DER
}

type signingKey struct {
	saved   savedKey
	private *ecdsa.PrivateKey
	public  []byte // PEM, "PUBLIC KEY"
}

func newSigningKey() (signingKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signingKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return signingKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	return savedKey{ID: newUUID(), Private: der}.parse()
}

func (k savedKey) parse() (signingKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(k.Private)
	if err != nil {
		return signingKey{}, fmt.Errorf("signing key %s: %w", k.ID, err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return signingKey{}, fmt.Errorf("signing key %s is not an ECDSA key on P-256", k.ID)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return signingKey{}, fmt.Errorf("signing key %s: %w", k.ID, err)
	}
	return signingKey{k, private, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}, nil
}

// newUUID is a version 4 UUID (RFC 9562 section 5.4).
func newUUID() string {
	b := randomBytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// RotateKey makes a new signing key. Tokens signed with the last few keys can still be checked.
func (s *Server) RotateKey() error {
	key, err := newSigningKey()
	if err != nil {
		return fmt.Errorf("alb: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.state
	next.Keys = append([]savedKey{key.saved}, s.state.Keys[:min(len(s.state.Keys), keptKeys-1)]...)
	if err := s.file.Save(next); err != nil {
		return err
	}
	s.state = next
	s.keys = append([]signingKey{key}, s.keys[:min(len(s.keys), keptKeys-1)]...)
	return nil
}

// KeyHandler is the Region's key server, public-keys.auth.elb.<region>.amazonaws.com: GET /<kid> gives the public key
// as PEM. There is no list of keys and no JWKS. It serves this load balancer's keys only; the real one serves those
// of every account in the Region, which is why a good signature alone proves nothing.
func (s *Server) KeyHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{kid}", func(w http.ResponseWriter, r *http.Request) {
		began, kid := time.Now(), r.PathValue("kid")
		key, ok := s.key(kid)
		a := own(http.StatusOK, "")
		if ok {
			a.header.Set("Content-Type", "text/plain")
			a.body = key.public
		} else {
			a = refuse(http.StatusNotFound, "UnknownKey", "no such kid")
			s.c.Log.Warn("refused", "to", "alb-keys", "why", a.why)
		}
		a.write(w)
		s.c.Log.Info("hop", "to", "alb-keys", "what", "GET /"+clip(kid), "status", a.status, "took", time.Since(began))
	})
	return mux
}

func (s *Server) key(kid string) (signingKey, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.saved.ID == kid {
			return k, true
		}
	}
	return signingKey{}, false
}

// jwtHeader carries what a verifier must check: AWS puts signer, client, iss and exp into the protected header.
type jwtHeader struct {
	Type   string `json:"typ"`
	KeyID  string `json:"kid"`
	Alg    string `json:"alg"`
	Issuer string `json:"iss"`
	Client string `json:"client"`
	Signer string `json:"signer"`
	Exp    int64  `json:"exp"`
}

// oidcData signs the claims for the target. Both segments and the signature keep their base64 padding, and the signed
// bytes are the padded ones: that is what verifiers in the field trip over. Unconfirmed has other ways.
func (s *Server) oidcData(claims json.RawMessage, now time.Time) (string, error) {
	s.mu.Lock()
	key, u := s.keys[0], s.c.Unconfirmed
	s.mu.Unlock()
	life, text := time.Minute, base64.URLEncoding
	if u.TokensLiveTwoMinutes {
		life = 2 * time.Minute
	}
	if u.TokensUnpadded {
		text = base64.RawURLEncoding
	}
	exp := now.Add(life).Unix()

	var payload map[string]any
	if err := decodeNumbers(claims, &payload); err != nil || payload == nil {
		return "", errors.New("claims are not a JSON object")
	}
	delete(payload, "exp") // whatever the claims said: a verifier would take it for the token's
	delete(payload, "iss")
	if !u.ExpiryInHeaderOnly {
		payload["exp"], payload["iss"] = exp, s.c.Issuer
	}
	h, err := json.Marshal(jwtHeader{"JWT", key.saved.ID, "ES256", s.c.Issuer, s.c.ClientID, s.ARN(), exp})
	if err != nil {
		return "", fmt.Errorf("token header: %w", err)
	}
	p, err := json.Marshal(payload)
	if err != nil {
		return "", fmt.Errorf("token payload: %w", err)
	}
	signed := text.EncodeToString(h) + "." + text.EncodeToString(p)
	digest := sha256.Sum256([]byte(signed))
	r, v, err := ecdsa.Sign(rand.Reader, key.private, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	raw := make([]byte, 64) // R || S, each 32 bytes (RFC 7518 section 3.4)
	r.FillBytes(raw[:32])
	v.FillBytes(raw[32:])
	return signed + "." + text.EncodeToString(raw), nil
}
