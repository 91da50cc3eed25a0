// Package directory is the demo's Active Directory: an LDAP v3 server (RFC 4511) that answers as a domain controller
// does where a sign-in depends on it. Simple bind by UPN, DOMAIN\name or DN, over TLS only, with AD's diagnostic
// codes; search with nested groups; accounts that are disabled, locked, expired or must change their password.
//
// It reads BER with go-asn1-ber and does the rest itself: a server library hands filters over as text and hides
// controls, and both are what has to be strict here.
//
// It is not a directory to keep people in: read-only over the wire, no SASL, no StartTLS, no referrals, no replication,
// no schema entry. Sources for its behaviour: MS-ADTS ("Active Directory Technical Specification"), sections 3.1.1.3 and
// 5.1.1, and a Samba domain controller beside it.
package directory

import (
	"cmp"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/statefile"
	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// Account policy, as a domain's password policy would hold it.
const (
	lockoutThreshold = 5                   // wrong passwords
	lockoutWindow    = 10 * time.Minute    // the wrong passwords must fall within it
	lockoutDuration  = 10 * time.Minute    // then the account unlocks by itself
	maxPasswordAge   = 42 * 24 * time.Hour // a new domain's default

	// defaultIterations of PBKDF2-HMAC-SHA-256: fewer than a product should take, because every account is hashed while
	// the demo starts.
	defaultIterations = 100_000
)

// User is a person's account. Its flags are for showing what AD refuses.
type User struct {
	Username, Password, GivenName, Initials, Surname, Email string

	Disabled        bool // error 533
	Locked          bool // error 775, until Unlock
	Expired         bool // the account expired: error 701
	MustChange      bool // the password must be changed before the next sign-in: error 773
	PasswordExpired bool // error 532
	OutOfHours      bool // may sign in at no hour of the week: error 530
	OtherComputer   bool // may sign in on another computer only: error 531
}

// Group is a security group. Members are names of users or of other groups.
type Group struct {
	Name    string
	Members []string
}

// Config describes the domain. Users and Groups are fixtures: those that StateFile does not hold yet are made.
type Config struct {
	Domain string // DNS name, for example corp.example
	Users  []User
	Groups []Group
	// The account with which Identity Center searches. Its password is set at every start.
	ServiceAccount, ServicePassword string

	// Iterations of the hash of each new password; 0 is 100,000. Tests take few.
	Iterations int

	Unconfirmed Unconfirmed
	StateFile   string
	Log         *slog.Logger
}

// Unconfirmed holds the questions to which there are two answers. A client should do well under either.
type Unconfirmed struct {
	// UnknownIs525: a bind as somebody who does not exist is refused with data 525, as lists of Active Directory's codes
	// have it, instead of 52e, which a Samba domain controller gives for a wrong password too.
	UnknownIs525 bool
}

// Switches are the unconfirmed facts.
func (s *Server) Switches() []switches.Switch {
	return []switches.Switch{
		switches.Bool(&s.mu, "UnknownIs525", "A bind as somebody who does not exist is refused with data 525, not 52e.", &s.unconfirmed.UnknownIs525),
	}
}

// Account is what an administrator sees of a user.
type Account struct {
	Username          string `json:"username"`
	Name              string `json:"name"`
	Email             string `json:"email"`
	UserPrincipalName string `json:"userPrincipalName"`
	DN                string `json:"dn"`
	Disabled          bool   `json:"disabled"`
	Locked            bool   `json:"locked"`
}

// Server is one domain controller.
type Server struct {
	log  *slog.Logger
	file *statefile.File

	mu          sync.Mutex // guards what follows; held while a password is verified, so that parallel guesses are counted too
	state       state
	unconfirmed Unconfirmed
}

type state struct {
	Domain   string    `json:"domain"`
	SID      [3]uint32 `json:"sid"` // the domain's part of every SID: S-1-5-21-a-b-c
	NextRID  uint32    `json:"nextRid"`
	Accounts []account `json:"accounts"`
	Groups   []group   `json:"groups"`
}

type account struct {
	Name            string    `json:"name"` // sAMAccountName
	GivenName       string    `json:"givenName,omitempty"`
	Initials        string    `json:"initials,omitempty"`
	Surname         string    `json:"surname,omitempty"`
	Email           string    `json:"email,omitempty"`
	Iterations      int       `json:"iterations"`
	Salt            []byte    `json:"salt"`
	Hash            []byte    `json:"hash"`
	PasswordSet     time.Time `json:"passwordSet,omitzero"`      // zero: must change (AD's pwdLastSet = 0)
	PasswordExpires bool      `json:"passwordExpires,omitempty"` // false: AD's DONT_EXPIRE_PASSWORD
	Expires         time.Time `json:"expires,omitzero"`
	Disabled        bool      `json:"disabled,omitempty"`
	Held            bool      `json:"held,omitempty"`         // locked until an administrator unlocks it
	Hours           []byte    `json:"hours,omitempty"`        // AD's logonHours; none means any hour
	Workstations    string    `json:"workstations,omitempty"` // AD's userWorkstations; empty means any
	BadCount        int       `json:"badCount,omitempty"`
	LastBad         time.Time `json:"lastBad,omitzero"`
	LockedAt        time.Time `json:"lockedAt,omitzero"`
	Service         bool      `json:"service,omitempty"`
	GUID            []byte    `json:"guid"`
	RID             uint32    `json:"rid"`
	Created         time.Time `json:"created"`
}

type group struct {
	Name    string    `json:"name"`
	Members []string  `json:"members"`
	GUID    []byte    `json:"guid"`
	RID     uint32    `json:"rid"`
	Created time.Time `json:"created"`
}

// New loads the directory, or makes it from the fixtures. It starts nothing: Serve does.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Log == nil:
		return nil, errors.New("directory: no log")
	case !strings.Contains(cfg.Domain, "."):
		return nil, fmt.Errorf("directory: domain %q is not a DNS name of at least two labels", cfg.Domain)
	case cfg.ServiceAccount == "" || cfg.ServicePassword == "":
		return nil, errors.New("directory: the service account needs a name and a password")
	}
	s := &Server{log: cfg.Log, file: statefile.New(cfg.StateFile, "directory"), unconfirmed: cfg.Unconfirmed}
	found, err := s.file.Load(&s.state)
	if err != nil {
		return nil, err
	}
	users := cfg.Users
	if !found {
		s.state = state{Domain: strings.ToLower(cfg.Domain), NextRID: 1103}
		for i := range s.state.SID {
			s.state.SID[i] = binary.LittleEndian.Uint32(random(4))
		}
		users = append([]User{{Username: cfg.ServiceAccount, Password: cfg.ServicePassword}}, users...)
	}
	if !strings.EqualFold(s.state.Domain, cfg.Domain) {
		return nil, fmt.Errorf("directory: the state file %s holds the domain %s, the configuration says %s: move the file away to start afresh", cfg.StateFile, s.state.Domain, cfg.Domain)
	}
	if err := s.add(users, cfg.Groups, cfg.Iterations); err != nil {
		return nil, err
	}
	service := s.account(cfg.ServiceAccount)
	if service == nil || found && !service.Service {
		return nil, fmt.Errorf("directory: the state file %s has no service account %s: move the file away to start afresh", cfg.StateFile, cfg.ServiceAccount)
	}
	service.Service = true
	if !service.verify(cfg.ServicePassword) {
		if err := service.setPassword(cfg.ServicePassword, service.Iterations); err != nil {
			return nil, err
		}
	}
	return s, s.file.Save(s.state)
}

// add makes the fixtures that the directory lacks: all of them in a new one, and those that are new in one that an earlier
// program made. Who is there stays as they are; groups that are there get new members only.
func (s *Server) add(users []User, groups []Group, iterations int) error {
	now := time.Now().UTC()
	// One namespace: AD wants sAMAccountName unique among users and groups, and a DN is unique by nature.
	names, made := map[string]bool{}, map[string]bool{}
	for i := range s.state.Accounts {
		a := &s.state.Accounts[i]
		names["name "+strings.ToLower(a.Name)], names["cn "+strings.ToLower(a.commonName())] = true, true
	}
	for _, g := range s.state.Groups {
		names["name "+strings.ToLower(g.Name)] = true
	}
	for _, u := range users {
		if s.account(u.Username) != nil && !made[strings.ToLower(u.Username)] {
			continue
		}
		a := account{
			Name: u.Username, GivenName: u.GivenName, Initials: u.Initials, Surname: u.Surname, Email: u.Email,
			PasswordSet: now, Disabled: u.Disabled, Held: u.Locked,
			GUID: random(16), RID: s.rid(), Created: now,
		}
		switch {
		case u.MustChange:
			a.PasswordSet = time.Time{}
		case u.PasswordExpired:
			a.PasswordSet, a.PasswordExpires = now.Add(-maxPasswordAge-time.Hour), true
		}
		if u.Expired {
			a.Expires = now.Add(-time.Hour)
		}
		if a.Held {
			a.LockedAt = now
		}
		if u.OutOfHours {
			a.Hours = make([]byte, 7*24/8)
		}
		if u.OtherComputer {
			a.Workstations = "FRONT-DESK"
		}
		if u.Password == "" {
			return fmt.Errorf("directory: user %q has no password", u.Username)
		}
		if err := a.setPassword(u.Password, cmp.Or(iterations, defaultIterations)); err != nil {
			return err
		}
		for _, key := range []string{"name " + strings.ToLower(a.Name), "cn " + strings.ToLower(a.commonName())} {
			if a.Name == "" || names[key] {
				return fmt.Errorf("directory: %s is missing or used twice", strings.TrimSpace(key))
			}
			names[key] = true
		}
		made[strings.ToLower(a.Name)] = true
		s.state.Accounts = append(s.state.Accounts, a)
	}
	for _, g := range groups {
		if s.group(g.Name) != nil && !made[strings.ToLower(g.Name)] {
			continue
		}
		key := "name " + strings.ToLower(g.Name)
		if g.Name == "" || names[key] {
			return fmt.Errorf("directory: %s is missing or used twice", strings.TrimSpace(key))
		}
		names[key], made[strings.ToLower(g.Name)] = true, true
		s.state.Groups = append(s.state.Groups, group{Name: g.Name, Members: slices.Clone(g.Members), GUID: random(16), RID: s.rid(), Created: now})
	}
	for _, fixture := range groups {
		g := s.group(fixture.Name)
		for _, m := range fixture.Members {
			if !names["name "+strings.ToLower(m)] {
				return fmt.Errorf("directory: group %s has a member %q that does not exist", g.Name, m)
			}
			if made[strings.ToLower(m)] && !slices.ContainsFunc(g.Members, func(other string) bool { return strings.EqualFold(other, m) }) {
				g.Members = append(g.Members, m)
			}
		}
	}
	return nil
}

func (s *Server) rid() uint32 { s.state.NextRID++; return s.state.NextRID - 1 }

// BaseDN is the domain's naming context: corp.example is DC=corp,DC=example.
func (s *Server) BaseDN() string {
	return "DC=" + strings.Join(strings.Split(s.state.Domain, "."), ",DC=")
}

// netBIOS is the domain's short name, as in CORP\alice.
func (s *Server) netBIOS() string {
	label, _, _ := strings.Cut(s.state.Domain, ".")
	return strings.ToUpper(label)
}

// Accounts lists the people's accounts, without the service account.
func (s *Server) Accounts() []Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Account
	for i := range s.state.Accounts {
		if a := &s.state.Accounts[i]; !a.Service {
			out = append(out, Account{a.Name, a.commonName(), a.Email, s.upn(a), s.dn(a), a.Disabled, a.locked(time.Now())})
		}
	}
	return out
}

// SetDisabled disables or enables an account.
func (s *Server) SetDisabled(username string, disabled bool) error {
	return s.change(username, func(a *account) { a.Disabled = disabled })
}

// Unlock ends a lock-out.
func (s *Server) Unlock(username string) error { return s.change(username, (*account).unlock) }

func (s *Server) change(username string, f func(*account)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(username)
	if a == nil {
		return fmt.Errorf("directory: no user %q", username)
	}
	f(a)
	return s.file.Save(s.state)
}

// SetMember puts a user or a group into a group, or takes it out.
func (s *Server) SetMember(groupName, member string, in bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := func(other string) bool { return strings.EqualFold(other, member) }
	g := s.group(groupName)
	if g == nil || s.account(member) == nil && s.group(member) == nil {
		return fmt.Errorf("directory: no group %q, or nobody %q", groupName, member)
	}
	g.Members = slices.DeleteFunc(slices.Clone(g.Members), same)
	if in {
		g.Members = append(g.Members, member)
	}
	return s.file.Save(s.state)
}

// SID is a group's security identifier, as people write it: S-1-5-21-…. A group keeps it for as long as it is there.
func (s *Server) SID(groupName string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group(groupName)
	if g == nil {
		return "", fmt.Errorf("directory: no group %q", groupName)
	}
	return sidText(s.sid(g.RID)), nil
}

// group finds by sAMAccountName.
func (s *Server) group(name string) *group {
	for i := range s.state.Groups {
		if strings.EqualFold(s.state.Groups[i].Name, name) {
			return &s.state.Groups[i]
		}
	}
	return nil
}

// account finds by sAMAccountName.
func (s *Server) account(name string) *account {
	for i := range s.state.Accounts {
		if strings.EqualFold(s.state.Accounts[i].Name, name) {
			return &s.state.Accounts[i]
		}
	}
	return nil
}

func (s *Server) upn(a *account) string { return a.Name + "@" + s.state.Domain }

func (s *Server) dn(a *account) string {
	parent := "OU=People"
	if a.Service {
		parent = "CN=Users"
	}
	return "CN=" + escapeDN(a.commonName()) + "," + parent + "," + s.BaseDN()
}

func (a *account) commonName() string {
	if name := strings.TrimSpace(a.GivenName + " " + a.Surname); name != "" {
		return name
	}
	return a.Name
}

func (a *account) setPassword(password string, iterations int) (err error) {
	a.Iterations, a.Salt = iterations, random(16)
	a.Hash, err = pbkdf2.Key(sha256.New, password, a.Salt, iterations, sha256.Size)
	return err
}

func (a *account) verify(password string) bool {
	got, err := pbkdf2.Key(sha256.New, password, a.Salt, a.Iterations, sha256.Size)
	return err == nil && password != "" && subtle.ConstantTimeCompare(got, a.Hash) == 1
}

func (a *account) locked(now time.Time) bool {
	return a.Held || !a.LockedAt.IsZero() && now.Before(a.LockedAt.Add(lockoutDuration))
}

// hour reports whether the account may sign in at that time: a bit for each hour of the week in UTC, Sunday's first hour
// the lowest bit of the first octet (MS-SAMR 2.2.6.5).
func (a *account) hour(now time.Time) bool {
	i := int(now.Weekday())*24 + now.Hour()
	return len(a.Hours) != 7*24/8 || a.Hours[i/8]>>(i%8)&1 == 1
}

func (a *account) unlock() {
	a.Held, a.BadCount, a.LastBad, a.LockedAt = false, 0, time.Time{}, time.Time{}
}

// The "data" part of AD's answer to a refused bind: Windows' own error numbers, in hexadecimal.
const (
	noSuchUser      = "525"
	badPassword     = "52e" // ERROR_LOGON_FAILURE; for an unknown user too
	wrongHour       = "530"
	wrongComputer   = "531"
	passwordExpired = "532"
	accountDisabled = "533"
	accountExpired  = "701"
	mustChange      = "773"
	accountLocked   = "775"
)

// authenticate finds the account of a bind name and verifies its password. A refusal is one of the codes above; the
// order is a Samba domain controller's: a locked account says so whatever the password, everything else is only told to
// someone who knows the password. A client over LDAP is at no computer that userWorkstations could name.
func (s *Server) authenticate(name, password string) (*account, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	a := s.lookup(name)
	if a == nil {
		(&account{Salt: make([]byte, 16), Iterations: s.state.Accounts[0].Iterations}).verify(password) // takes as long as for a known user
		if s.unconfirmed.UnknownIs525 {
			return nil, noSuchUser
		}
		return nil, badPassword
	}
	if a.locked(now) {
		return a, accountLocked
	}
	before := *a
	defer func() {
		if a.BadCount != before.BadCount || !a.LastBad.Equal(before.LastBad) {
			if err := s.file.Save(s.state); err != nil {
				s.log.Error("state not saved", "to", "directory", "err", err)
			}
		}
	}()
	if !a.verify(password) {
		if now.Sub(a.LastBad) >= lockoutWindow {
			a.BadCount = 0
		}
		a.BadCount, a.LastBad, a.LockedAt = a.BadCount+1, now, time.Time{}
		if a.BadCount >= lockoutThreshold {
			a.LockedAt = now
		}
		return a, badPassword
	}
	switch {
	case a.Disabled:
		return a, accountDisabled
	case !a.Expires.IsZero() && !now.Before(a.Expires):
		return a, accountExpired
	case a.PasswordSet.IsZero():
		return a, mustChange
	case a.PasswordExpires && now.Sub(a.PasswordSet) > maxPasswordAge:
		return a, passwordExpired
	case a.Workstations != "":
		return a, wrongComputer
	case !a.hour(now):
		return a, wrongHour
	}
	a.unlock()
	return a, ""
}

// lookup resolves the forms of a bind name that people use (MS-ADTS 5.1.1.1.1). A bare "alice" is none of them.
func (s *Server) lookup(name string) *account {
	if domain, user, ok := strings.Cut(name, `\`); ok && (strings.EqualFold(domain, s.netBIOS()) || strings.EqualFold(domain, s.state.Domain)) {
		return s.account(user)
	}
	if i := strings.LastIndexByte(name, '@'); i > 0 && strings.EqualFold(name[i+1:], s.state.Domain) {
		return s.account(name[:i])
	}
	key, err := dnKey(name)
	if err != nil {
		return nil
	}
	for i := range s.state.Accounts {
		a := &s.state.Accounts[i]
		if own, _ := dnKey(s.dn(a)); own == key {
			return a
		}
	}
	return nil
}

// Serve answers on the listener until ctx ends, and returns after every connection has. Give it a TLS listener: on
// any other, simple bind is refused, as a domain controller that requires signing does.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var connections sync.WaitGroup
	defer connections.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		nc, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("directory: %w", err)
		}
		connections.Go(func() {
			defer context.AfterFunc(ctx, func() { nc.Close() })()
			defer nc.Close()
			s.converse(ctx, nc)
		})
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return b
}
