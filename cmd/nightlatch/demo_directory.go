//go:build !lambda

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/standin/directory"
	"github.com/nightlatch/nightlatch/internal/standin/identitycenter"
)

// directoryOptions are the flags for an Active Directory in the place of the stand-in.
type directoryOptions struct {
	url, ca, bind, passwordFile, base, usersFile string
	groups                                       []string
}

func (d *directoryOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&d.url, "directory", "", "sign people in against this Active Directory: ldaps://host[:port]")
	f.StringVar(&d.ca, "directory-ca", "", "PEM file with the CA of the directory's certificate (default: the system's CAs)")
	f.StringVar(&d.bind, "directory-bind", "", "account that reads people and groups: a UPN (svc@corp.example) or a DN")
	f.StringVar(&d.passwordFile, "directory-password-file", "", "file with that account's password")
	f.StringVar(&d.base, "directory-base", "", "DN below which people and groups are (default: the whole domain)")
	f.StringArrayVar(&d.groups, "directory-group", nil, "group whose members may come in, nested ones too; may be repeated")
	f.StringVar(&d.usersFile, "directory-users", "", "file of username:password lines, for demo.json, the console and --tour (default: nobody's password is known)")
}

// check says what is missing or contradicts itself, before anything is asked of anybody.
func (d *directoryOptions) check(o *demoOptions) error {
	if d.url == "" {
		if d.ca != "" || d.bind != "" || d.passwordFile != "" || d.base != "" || d.usersFile != "" || d.groups != nil {
			return errors.New("--directory-… say how to use a directory: name it with --directory ldaps://host")
		}
		return nil
	}
	u, err := url.Parse(d.url)
	if err != nil || u.Scheme != "ldaps" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("--directory %s: want ldaps://host or ldaps://host:port; passwords are not sent in the open", d.url)
	}
	var missing []string
	for _, f := range []struct {
		name  string
		given bool
	}{{"--directory-bind", d.bind != ""}, {"--directory-password-file", d.passwordFile != ""}, {"--directory-group", len(d.groups) > 0}} {
		if !f.given {
			missing = append(missing, f.name)
		}
	}
	if missing != nil {
		return fmt.Errorf("--directory needs %s too", strings.Join(missing, " and "))
	}
	if o.tour && d.usersFile == "" {
		return errors.New("--tour needs somebody's password: with --directory, give --directory-users")
	}
	return nil
}

// realDirectory is an Active Directory that was asked and can be used.
type realDirectory struct {
	cfg     identitycenter.Config // its own part
	address string                // host:port
	users   []demoUser
}

// open reads the files and asks the directory, so that whatever is wrong is told before the demo starts.
func (d *directoryOptions) open(ctx context.Context) (*realDirectory, error) {
	u, err := url.Parse(d.url)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "636"
	}
	r := &realDirectory{address: net.JoinHostPort(u.Hostname(), port)}
	r.cfg = identitycenter.Config{
		LDAPURL: "ldaps://" + r.address, LDAPTLS: &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12},
		BindDN: d.bind, BaseDN: d.base, Application: identitycenter.Application{AssignedGroups: d.groups},
	}
	if d.ca != "" {
		raw, err := os.ReadFile(d.ca)
		if err != nil {
			return nil, fmt.Errorf("--directory-ca: %w", err)
		}
		r.cfg.LDAPTLS.RootCAs = x509.NewCertPool()
		if !r.cfg.LDAPTLS.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("--directory-ca: %s holds no PEM certificate", d.ca)
		}
	}
	password, err := os.ReadFile(d.passwordFile)
	if err != nil {
		return nil, fmt.Errorf("--directory-password-file: %w", err)
	}
	line, rest, _ := strings.Cut(string(password), "\n")
	if r.cfg.BindPassword = strings.TrimSuffix(line, "\r"); r.cfg.BindPassword == "" || strings.TrimSpace(rest) != "" {
		return nil, fmt.Errorf("--directory-password-file: %s must hold one line, the password", d.passwordFile)
	}
	if d.usersFile != "" {
		raw, err := os.ReadFile(d.usersFile)
		if err != nil {
			return nil, fmt.Errorf("--directory-users: %w", err)
		}
		if r.users, err = parseUsers(raw); err != nil {
			return nil, fmt.Errorf("--directory-users: %s: %w", d.usersFile, err)
		}
	}
	return r, directoryHint(identitycenter.Discover(ctx, &r.cfg))
}

// parseUsers reads username:password lines. Empty lines and those that begin with # are left out.
func parseUsers(raw []byte) ([]demoUser, error) {
	users, seen := []demoUser{}, map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" || password == "" || seen[strings.ToLower(name)] {
			return nil, fmt.Errorf("line %d: want username:password, and each name once", n)
		}
		seen[strings.ToLower(name)] = true
		users = append(users, demoUser{name, password})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(users) == 0 {
		return nil, errors.New("nobody is in it")
	}
	return users, nil
}

// directoryHint adds the flag that can help.
func directoryHint(err error) error {
	for _, h := range []struct {
		is   error
		hint string
	}{
		{identitycenter.ErrUnreachable, "check the host and port of --directory"},
		{identitycenter.ErrCertificate, "name the CA that signed it with --directory-ca FILE, and use a host name that is in the certificate"},
		{identitycenter.ErrServiceAccount, "check --directory-bind, which wants a UPN or a DN, and --directory-password-file"},
		{identitycenter.ErrBase, "check --directory-base, which may be left out"},
		{identitycenter.ErrGroup, "check --directory-group, which wants the group's sAMAccountName, and --directory-base"},
	} {
		if errors.Is(err, h.is) {
			return fmt.Errorf("%w\nhint: %s", err, h.hint)
		}
	}
	return err
}

// source is where Identity Center's people come from: the stand-in, which it makes, or the real directory.
func (w *world) source() (identitycenter.Config, error) {
	here := fmt.Sprintf("ldaps://127.0.0.1:%d", w.port("directory"))
	if w.real != nil {
		cfg := w.real.cfg
		cfg.LDAPURL = here // by the relay
		return cfg, nil
	}
	var err error
	if w.directory, err = directory.New(directory.Config{
		Domain: demoDomain, Users: w.users(), Groups: []directory.Group{
			{Name: "Engineering", Members: []string{"alice", "bob", "dave"}},
			{Name: groupUsers, Members: []string{"Engineering", "carol", "frank", "grace", demoOperatorName}},
			{Name: groupOperators, Members: []string{demoOperatorName}},
		},
		ServiceAccount: serviceName, ServicePassword: w.state.ServicePassword, Iterations: w.o.iterations,
		StateFile: w.file("directory"), Log: w.log,
	}); err != nil {
		return identitycenter.Config{}, err
	}
	app := identitycenter.Application{AssignedGroups: []string{groupUsers}}
	if w.groupsSent() {
		app.Mappings = append(identitycenter.DefaultMappings(), identitycenter.Mapping{Attribute: groupsAttribute, Value: "${user:groups}", Format: "basic"})
	}
	return identitycenter.Config{
		LDAPURL: here, LDAPTLS: &tls.Config{RootCAs: w.ca.Pool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12},
		BindDN: serviceName + "@" + demoDomain, BindPassword: w.state.ServicePassword, BaseDN: w.directory.BaseDN(), Domain: demoDomain,
		Application: app,
	}, nil
}

// groupsSent: Identity Center sends people's groups, and the configuration has rules about them. Whose groups a real
// directory has, or another identity provider sends, the demo does not know; there the default rule decides.
func (w *world) groupsSent() bool {
	return w.real == nil && w.o.samlMetadata == "" && w.o.front.issuer == ""
}

// accessRules is the configuration's section of rules, which are about the stand-in directory's groups.
func (w *world) accessRules() (string, error) {
	if !w.groupsSent() {
		return "", nil
	}
	users, err1 := w.directory.SID(groupUsers)
	operators, err2 := w.directory.SID(groupOperators)
	return fmt.Sprintf(`access:
  contact: "IT service desk, it@%s"
  groups: # of the directory, as Identity Center sends them
    vpn-users: %s # %s
    vpn-operators: %s # %s
  rules:
    - name: staff
      allow: [see, open, extend]
      groups: [vpn-users]
    - name: operators
      allow: [see, open, extend, end-others, administer]
      groups: [vpn-operators]
`, demoDomain, users, groupUsers, operators, groupOperators), errors.Join(err1, err2)
}

// serveDirectory answers at the directory's port, until it is broken on purpose: by the stand-in, or by passing octets
// on to the real directory, whose TLS ends in Identity Center.
func (w *world) serveDirectory(ctx context.Context) error {
	ln := &breakableListener{w.listeners["directory"], w.faults}
	if w.real == nil {
		return w.directory.Serve(ctx, tls.NewListener(ln, w.sites))
	}
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	var relays sync.WaitGroup
	defer relays.Wait()
	for {
		near, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("directory: %w", err)
		}
		relays.Go(func() {
			defer near.Close()
			var d net.Dialer
			far, err := d.DialContext(ctx, "tcp", w.real.address)
			if err != nil {
				w.log.Error("the directory cannot be reached", "to", "directory", "err", err)
				return
			}
			defer far.Close()
			defer context.AfterFunc(ctx, func() { near.Close(); far.Close() })()
			relays.Go(func() {
				io.Copy(far, near)
				far.Close() // either end's end is the other's
			})
			io.Copy(near, far)
		})
	}
}

// firstSync fills Identity Center before anybody is invited. The stand-in may be broken on purpose; a real directory
// that fails now is told at once.
func (w *world) firstSync(ctx context.Context) error {
	err := w.idc.SyncNow(ctx)
	if err != nil && w.real == nil {
		w.log.Error("first sync failed", "to", "identity-center", "err", err)
		return nil
	}
	return directoryHint(err)
}

// known are the people whose passwords the demo knows, those who may come in, and what to say about each on the console.
func (w *world) known() (all []demoUser, about map[string]string, welcome []demoUser) {
	all, about, welcome = []demoUser{}, map[string]string{}, []demoUser{}
	if w.real != nil {
		for _, u := range w.real.users {
			about[u.Username] = "in the directory of " + w.real.cfg.Domain
		}
		return append(all, w.real.users...), about, append(welcome, w.real.users...)
	}
	for _, p := range people() {
		u := demoUser{p.Username, w.state.Passwords[p.Username]}
		all, about[p.Username] = append(all, u), p.trouble
		if p.trouble == "" {
			welcome, about[p.Username] = append(welcome, u), "may come in"
		}
		if p.Username == demoOperatorName && w.groupsSent() {
			about[p.Username] = "may come in, and administer"
		}
	}
	return all, about, welcome
}
