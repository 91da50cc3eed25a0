//go:build !lambda

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"
)

// stopWithin bounds a clean stop.
const stopWithin = 5 * time.Second

// maxPort is the highest that --port can be: five more follow it.
const maxPort = 65530

// demoOptions are the flags of nightlatch demo.
type demoOptions struct {
	dir            string
	port           int
	associate      time.Duration
	minute         time.Duration
	onVisit        string
	tour           bool
	sabotage       string
	unconfirmed    []string
	open           bool
	program        string        // the functions' program, made already; empty: build it
	iterations     int           // of the stand-in directory's password hashes; 0: as many as it takes by itself
	patience       time.Duration // of the front with a client that sends nothing; 0: as long as it has by itself
	directory      directoryOptions
	front          frontOptions
	template       string // file with the CloudFormation template; "rendered": the rendered one; empty: too, and the configuration repeats what it tells
	samlMetadata   string // URL of the identity provider in front of the user pool; empty: Identity Center's stand-in
	stdout, stderr io.Writer
}

func demoCommand(env func(string) string, stdout, stderr io.Writer) *cobra.Command {
	o := demoOptions{stdout: stdout, stderr: stderr, front: frontOptions{secret: env(clientSecretVariable)}}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole chain on this machine, with strict stand-ins for the AWS parts",
		Long: `Run the whole chain on this machine: browser, load balancer or HTTP API, Cognito, Identity Center, directory, Lambda, EC2's
Client VPN, DynamoDB and EventBridge Scheduler. Each is a stand-in that speaks the real protocol on a loopback port; the
functions are the real ones. Nothing leaves this machine, but for what --directory and --saml-metadata ask of those whom
they name, and nothing costs money.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.template == rendered && len(args) == 1 {
				return fmt.Errorf("--template %s: write an equals sign before the file, --template=%s", args[0], args[0])
			}
			return cobra.NoArgs(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags().Changed("port"), cmd.Flags().Changed("associate-takes")); err != nil {
				return usagef("%w", err)
			}
			if o.tour {
				return demoTour(cmd.Context(), o)
			}
			return demo(cmd.Context(), o, func(w *world) error {
				w.greet()
				if o.open {
					closeBrowser, err := openBrowser(w.info.URL, w.sites)
					if err != nil {
						fmt.Fprintln(o.stderr, "nightlatch:", err)
					} else {
						defer closeBrowser()
					}
				}
				<-cmd.Context().Done()
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.dir, "dir", "", "folder for the demo's state (default: nightlatch-demo in your cache folder; with --tour, a throw-away one)")
	f.IntVar(&o.port, "port", 8443, "first of the six ports that the demo listens on; 0 takes any that are free")
	f.DurationVar(&o.associate, "associate-takes", 20*time.Second, "how long EC2's stand-in takes to associate a subnet; AWS takes 4 to 10 minutes")
	f.DurationVar(&o.minute, "scheduler-minute", 10*time.Second, "how long a minute of the scheduler's stand-in lasts; AWS's lasts 60s")
	f.BoolVar(&o.open, "open", false, "open a browser with a throw-away profile that accepts the demo's certificate")
	f.StringVar(&o.onVisit, "on-visit", "look", "what visiting the page does: look, or open after a countdown")
	f.BoolVar(&o.tour, "tour", false, "walk the whole journey without a browser, and say how long each hop took")
	f.StringVar(&o.sabotage, "sabotage", "", "break one thing: "+strings.Join(namesOf(sabotages), ", "))
	f.StringSliceVar(&o.unconfirmed, "unconfirmed", nil, "let a stand-in behave the other way where AWS's documents leave it open: names as in the console, or all")
	f.StringVar(&o.samlMetadata, "saml-metadata", "", "let the user pool sign people in at this SAML identity provider instead of Identity Center: its metadata's URL, read at the first sign-in")
	f.StringVar(&o.template, "template", "", "boot from this CloudFormation template (default: the one that is rendered, as by nightlatch deploy); the functions and the command line know from the stack alone what only it knows")
	f.Lookup("template").NoOptDefVal = rendered
	o.front.flags(c)
	o.directory.flags(c)
	return c
}

// check makes the options whole. The tour has a pace of its own: quick, and on free ports beside a demo that runs.
func (o *demoOptions) check(port, associate bool) error {
	if o.port < 0 || o.port > maxPort {
		return fmt.Errorf("--port %d: choose the first of six ports between 1 and %d, or 0", o.port, maxPort)
	}
	if err := o.front.check(o); err != nil {
		return err
	}
	if there := namesOf(sabotagesAt(o.front.name)); o.sabotage != "" && !slices.Contains(there, o.sabotage) {
		if slices.Contains(namesOf(sabotages), o.sabotage) {
			return fmt.Errorf("--sabotage %s: there is nothing of the kind with --front %s; choose one of %s", o.sabotage, o.front.name, strings.Join(there, ", "))
		}
		return fmt.Errorf("--sabotage %s: choose one of %s", o.sabotage, strings.Join(there, ", "))
	}
	if o.onVisit != "look" && o.onVisit != "open" {
		return fmt.Errorf("--on-visit %s: choose look or open", o.onVisit)
	}
	if err := o.directory.check(o); err != nil {
		return err
	}
	if err := o.checkSAML(); err != nil {
		return err
	}
	if o.associate < 0 || o.minute < time.Second {
		return errors.New("--associate-takes must not be negative, and --scheduler-minute at least 1s")
	}
	if o.tour {
		if !port {
			o.port = 0
		}
		if !associate {
			o.associate = 4 * time.Second
		}
		o.minute = min(o.minute, 4*time.Second)
	}
	if o.dir == "" && !o.tour {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("no cache folder (%w): name one with --dir", err)
		}
		o.dir = filepath.Join(cache, "nightlatch-demo")
	}
	if o.dir != "" {
		// The functions run in a folder of their own and are told paths.
		var err error
		if o.dir, err = filepath.Abs(o.dir); err != nil {
			return err
		}
	}
	return nil
}

// checkSAML says what is wrong with --saml-metadata before anything is asked of anybody.
func (o *demoOptions) checkSAML() error {
	if o.samlMetadata == "" {
		return nil
	}
	u, err := url.Parse(o.samlMetadata)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("--saml-metadata %s: want the URL of a SAML metadata document", o.samlMetadata)
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--saml-metadata %s: want https; whoever can change the metadata on its way signs in as anybody", o.samlMetadata)
	}
	if o.tour {
		return errors.New("--tour knows Identity Center's pages only: leave out --saml-metadata, or --tour")
	}
	return nil
}

// demo starts the chain, runs use once every port answers, and stops the chain when use returns or ctx ends.
func demo(ctx context.Context, o demoOptions, use func(*world) error) error {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return fmt.Errorf("the demo's folder: %w: choose one that can be written to with --dir", err)
	}
	lock := flock.New(filepath.Join(o.dir, "lock"))
	if free, err := lock.TryLock(); err != nil {
		return fmt.Errorf("the demo's folder: %w: choose one that can be written to with --dir", err)
	} else if !free {
		return fmt.Errorf("another demo uses %s: stop it, or choose another folder with --dir (and other ports with --port)", o.dir)
	}
	defer lock.Unlock()
	w, err := newWorld(ctx, o)
	if err != nil && ctx.Err() != nil { // somebody pressed Ctrl-C, most likely while the functions were built
		return fmt.Errorf("stopped before it was ready (%w)", err)
	}
	if err != nil {
		return err
	}
	return w.run(ctx, use)
}

// greet tells a person what to do.
func (w *world) greet() {
	out := w.o.stdout
	i := w.info
	fmt.Fprintf(out, "\n  Open   %s\n", i.URL)
	fmt.Fprintf(out, "         The browser will warn about the certificate: the demo signs its own (%s).\n", i.CAFile)
	fmt.Fprintf(out, "         Go on for this site only; there is no need to trust it system-wide. Or start with --open,\n")
	fmt.Fprintf(out, "         which brings a browser with a throw-away profile that accepts it.\n\n")
	if w.o.front.name == frontHTTPAPI {
		fmt.Fprintf(out, "  Front    an API Gateway HTTP API; the function signs people in itself, by OpenID Connect\n\n")
	}
	if i.SAML != nil {
		fmt.Fprintf(out, "  Sign in at the identity provider of %s. It must know this service provider:\n", w.o.samlMetadata)
		fmt.Fprintf(out, "         ACS URL   %s (POST binding)\n         Audience  %s (the SP's entity ID)\n", i.SAML.ACSURL, i.SAML.Audience)
		fmt.Fprintf(out, "         NameID    any format that stays the same for a person; an attribute named Email is shown as the address\n\n")
	} else if i.OIDC != nil {
		fmt.Fprintf(out, "  Sign in at the OpenID provider %s. It must know this client:\n", w.o.front.issuer)
		fmt.Fprintf(out, "         Client ID      %s (code flow with PKCE S256)\n         Redirect URL   %s\n         After sign-out %s\n\n", w.o.front.clientID, i.OIDC.RedirectURL, i.OIDC.LogoutRedirectURL)
	} else if w.real == nil || len(i.Users) > 0 {
		fmt.Fprintf(out, "  Sign in as one of\n")
	} else {
		fmt.Fprintf(out, "  Sign in as a member of %s in %s, with the password there\n", strings.Join(w.o.directory.groups, " or "), w.real.cfg.Domain)
	}
	for _, u := range i.Users {
		fmt.Fprintf(out, "         %-8s %s\n", u.Username, u.Password)
	}
	if i.Operator != "" {
		fmt.Fprintf(out, "         %s may administer, too: she is in the group %s.\n", i.Operator, groupOperators)
	}
	if i.SAML == nil && i.OIDC == nil {
		fmt.Fprintf(out, "         At the first sign-in a QR code is shown: scan it with an authenticator app, or paste its\n")
		fmt.Fprintf(out, "         text key into the pocket authenticator of the console.\n\n")
	}
	fmt.Fprintf(out, "  Console  %s\n", i.ConsoleURL)
	fmt.Fprintf(out, "  Details  %s\n", filepath.Join(w.o.dir, "demo.json"))
	fmt.Fprintf(out, "  Log      %s\n\n", filepath.Join(w.o.dir, "demo.log"))
	if _, err := net.DefaultResolver.LookupHost(context.Background(), "vpn.localhost"); err != nil {
		fmt.Fprintf(out, "  This system does not resolve names under .localhost. Chrome, Edge and Firefox do so by themselves; for\n")
		fmt.Fprintf(out, "  other programs add this line to /etc/hosts:\n")
		fmt.Fprintf(out, "         127.0.0.1 vpn.localhost cognito.localhost identity-center.localhost console.localhost\n\n")
	}
	if w.o.sabotage != "" {
		fmt.Fprintf(out, "  Broken on purpose: %s\n\n", w.o.sabotage)
	}
	fmt.Fprintf(out, "  Ctrl-C stops it; the next run in the same folder goes on where this one stopped.\n\n")
}

// demoInfo is demo.json: all that scripts and the tour know.
type demoInfo struct {
	URL        string     `json:"url"`
	CAFile     string     `json:"ca_file"`
	Users      []demoUser `json:"users"`
	AWS        demoAWS    `json:"aws"`
	EndpointID string     `json:"endpoint_id"`
	SubnetIDs  []string   `json:"subnet_ids"`
	ConsoleURL string     `json:"console_url"`
	Operator   string     `json:"operator,omitempty"` // the username of the one among users who may administer
	Front      string     `json:"front"`              // alb or httpapi
	SAML       *demoSAML  `json:"saml,omitempty"`     // with --saml-metadata: what its identity provider must be told
	OIDC       *demoOIDC  `json:"oidc,omitempty"`     // with --oidc-issuer: what that provider must be told
}

// demoSAML is the user pool as a service provider.
type demoSAML struct {
	ACSURL   string `json:"acs_url"`
	Audience string `json:"audience"`
}

// demoOIDC is the function as a relying party.
type demoOIDC struct {
	RedirectURL       string `json:"redirect_url"`
	LogoutRedirectURL string `json:"logout_redirect_url"`
}

type demoUser struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

type demoAWS struct {
	EndpointURL     string `json:"endpoint_url"`
	Region          string `json:"region"`
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
}

// write puts demo.json into the folder, whole or not at all: it appears once every port answers.
func (i demoInfo) write(dir string) error {
	raw, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, ".demo.json")
	if err := os.WriteFile(tmp, append(raw, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, "demo.json"))
}
