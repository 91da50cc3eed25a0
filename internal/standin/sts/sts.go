// Package sts is a stand-in for AWS STS: the Query protocol of API version 2011-06-15 with Signature Version 4, and of
// its actions AssumeRole and GetCallerIdentity. It knows every access key of the accounts it plays, those that exist from
// the start and those that it has issued, so the other stand-ins ask its Lookup whose signature they see.
//
// A session's credentials are good until they expire, and known as expired for a while longer. Nothing is kept across
// restarts: AWS's sessions are shorter than most runs are apart.
//
// Sources: the STS API Reference (actions, "Common errors") and its examples for formats; the IAM User Guide for who may
// assume a role ("AWS JSON policy elements: Principal"), for how long ("Role chaining") and for identifiers ("IAM
// identifiers"). Session policies, tags, MFA and source identities are not offered and refused.
package sts

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

const (
	defaultSession = time.Hour // also the longest that one role may give another, and the least maximum of a role
	// expiredFor is how long an expired session is told from a key that never was.
	expiredFor = time.Hour
)

// Config says who is known and which roles there are. Region, Keys and Log are required.
type Config struct {
	Region string
	Keys   []Key
	Roles  []Role
	// Authorize is IAM: whether a key may do sts:AssumeRole to a role, by the role's trust policy too, in whose place it
	// is: Role.Trusts and Role.ExternalID then count for nothing. nil: those alone decide.
	Authorize func(accessKeyID, action, resource string, context map[string]string) error
	Log       *slog.Logger
}

// Key is an access key that exists from the start: a user's, or one that AWS gave a function for its role.
type Key struct {
	sigv4.Credentials
	ARN     string // the IAM user's, or the role's
	Session string // of a role: its session's name
}

// Role is an IAM role that may be assumed.
type Role struct {
	ARN string
	// Trusts are the principals of its trust policy: users, roles, or arn:aws:iam::ACCOUNT:root for all of an account.
	// Whoever is trusted is taken to be allowed by a policy of their own account too.
	Trusts     []string
	ExternalID string        // that callers must give; empty: none is asked for
	MaxSession time.Duration // 0: an hour
}

// Server is the stand-in. Its methods may be called from several goroutines.
type Server struct {
	log       *slog.Logger
	verifier  sigv4.Verifier
	roles     map[string]Role // by ARN
	authorize func(accessKeyID, action, resource string, context map[string]string) error

	mu   sync.Mutex // guards keys
	keys map[string]key
}

// key is an access key with what it stands for. Without an end it lasts.
type key struct {
	Key
	ends time.Time
}

func (k key) expired(now time.Time) bool { return !k.ends.IsZero() && !now.Before(k.ends) }

var principalForm = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:(user|role)/[\w+=,.@/-]+$`)

// New checks c and starts nothing.
func New(c Config) (*Server, error) {
	if c.Region == "" || c.Log == nil || len(c.Keys) == 0 {
		return nil, errors.New("sts: Region, Keys and Log are required")
	}
	s := &Server{log: c.Log, authorize: c.Authorize, roles: map[string]Role{}, keys: map[string]key{}}
	s.verifier = sigv4.Verifier{Service: "sts", Region: c.Region, Lookup: s.known}
	for _, k := range c.Keys {
		if !principalForm.MatchString(k.ARN) || strings.Contains(k.ARN, ":role/") != (k.Session != "") {
			return nil, fmt.Errorf("sts: key %s: %q is not the ARN of a user, nor that of a role with a session's name", k.AccessKeyID, k.ARN)
		}
		s.keys[k.AccessKeyID] = key{Key: k}
	}
	for _, r := range c.Roles {
		if !principalForm.MatchString(r.ARN) || !strings.Contains(r.ARN, ":role/") {
			return nil, fmt.Errorf("sts: %q is not the ARN of a role", r.ARN)
		}
		s.roles[r.ARN] = r
	}
	return s, nil
}

// Handler answers the STS Query protocol at "/".
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Lookup finds the credentials of an access key id, for the other stand-ins. It forgets a session that has expired.
func (s *Server) Lookup(accessKeyID string) (sigv4.Credentials, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[accessKeyID]
	if !ok || k.expired(time.Now()) {
		return sigv4.Credentials{}, false
	}
	return k.Credentials, true
}

// Whose says whose access key it is: the ARN of a user, or that of a role with the name of its session. It knows those
// that Lookup does.
func (s *Server) Whose(accessKeyID string) (arn, session string, ok bool) {
	k, ok := s.of(accessKeyID)
	if !ok || k.expired(time.Now()) {
		return "", "", false
	}
	return k.ARN, k.Session, true
}

// Issue makes credentials of a role for one of AWS's own services, which assumes it without a request. Whether the role
// lets it is the caller's to ask; the role need not be one of Config.Roles.
func (s *Server) Issue(roleARN, session string, lasts time.Duration) sigv4.Credentials {
	return s.issue(Role{ARN: roleARN}, session, lasts, time.Now()).Credentials
}

// known is Lookup with the expired ones: STS itself says that they are.
func (s *Server) known(accessKeyID string) (sigv4.Credentials, bool) {
	k, ok := s.of(accessKeyID)
	return k.Credentials, ok
}

func (s *Server) of(accessKeyID string) (key, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[accessKeyID]
	return k, ok
}

// issue makes a session's credentials.
func (s *Server) issue(r Role, session string, lasts time.Duration, now time.Time) key {
	// STS tells the end in whole seconds.
	k := key{Key{sigv4.Credentials{AccessKeyID: "ASIA" + rand.Text()[:16], SecretAccessKey: rand.Text() + rand.Text()[:14],
		SessionToken: rand.Text() + rand.Text() + rand.Text() + rand.Text()}, r.ARN, session}, now.Add(lasts).Truncate(time.Second)}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, old := range s.keys {
		if old.expired(now.Add(-expiredFor)) {
			delete(s.keys, id)
		}
	}
	s.keys[k.AccessKeyID] = k
	return k
}

// may reports whether the caller may assume the role with these parameters.
func (s *Server) may(caller Key, r Role, p map[string]string) bool {
	if s.authorize == nil {
		return r.trusts(caller, p["ExternalId"])
	}
	context := map[string]string{"sts:RoleSessionName": p["RoleSessionName"]}
	if id, given := p["ExternalId"]; given {
		context["sts:ExternalId"] = id
	}
	return s.authorize(caller.AccessKeyID, "sts:AssumeRole", r.ARN, context) == nil
}

func (r Role) trusts(caller Key, externalID string) bool {
	account := strings.Join(strings.SplitN(caller.ARN, ":", 6)[:5], ":") + ":root"
	return (slices.Contains(r.Trusts, caller.ARN) || slices.Contains(r.Trusts, account)) && (r.ExternalID == "" || r.ExternalID == externalID)
}

func (r Role) longest(caller Key) time.Duration {
	if caller.Session != "" {
		return defaultSession
	}
	return cmp.Or(r.MaxSession, defaultSession)
}

func (k Key) account() string { return strings.Split(k.ARN, ":")[4] }

// reported is the ARN by which STS and policies know the caller: a role's session has one of its own, without the
// role's path.
func (k Key) reported() string {
	if k.Session == "" {
		return k.ARN
	}
	return fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", strings.Split(k.ARN, ":")[1], k.account(), k.ARN[strings.LastIndex(k.ARN, "/")+1:], k.Session)
}

// userID is the unique identifier, the same at every start.
func (k Key) userID() string {
	sum := sha256.Sum256([]byte(k.ARN))
	unique := base32.StdEncoding.EncodeToString(sum[:])[:17]
	if k.Session == "" {
		return "AIDA" + unique
	}
	return "AROA" + unique + ":" + k.Session
}
