// Package demo runs "nightlatch demo" as its users do: it builds the binary, starts it, knows what demo.json says, and
// stops it with Ctrl-C. It imports nothing of the product, so that only what is promised to the outside is relied on.
package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startWithin includes linking the functions' program, once more for each folder.
	startWithin = 60 * time.Second
	// stopWithin is the demo's promise for Ctrl-C.
	stopWithin = 5 * time.Second
)

// Build compiles the binary from the checkout around the working directory, and returns its path inside dir.
func Build(ctx context.Context, dir string) (string, error) {
	root, err := checkout(ctx)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "nightlatch")
	c := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", program, "./cmd/nightlatch")
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/nightlatch: %w\n%s", err, out)
	}
	return program, nil
}

// checkout is the folder above this module.
func checkout(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(filepath.Dir(strings.TrimSpace(string(out)))), nil
}

// Info is demo.json.
type Info struct {
	URL    string `json:"url"`
	CAFile string `json:"ca_file"`
	Users  []User `json:"users"`
	AWS    struct {
		EndpointURL     string `json:"endpoint_url"`
		Region          string `json:"region"`
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
	} `json:"aws"`
	EndpointID string   `json:"endpoint_id"`
	SubnetIDs  []string `json:"subnet_ids"`
	ConsoleURL string   `json:"console_url"`
	Operator   string   `json:"operator"` // the username of the one among Users who may administer
	SAML       *SAML    `json:"saml"`
	OIDC       *OIDC    `json:"oidc"`
}

// SAML is what --saml-metadata's identity provider must be told.
type SAML struct {
	ACSURL   string `json:"acs_url"`
	Audience string `json:"audience"`
}

// OIDC is what --oidc-issuer's provider must be told of its client.
type OIDC struct {
	RedirectURL       string `json:"redirect_url"`
	LogoutRedirectURL string `json:"logout_redirect_url"`
}

// User is somebody who may sign in.
type User struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Demo is one that runs.
type Demo struct {
	Info
	Dir     string
	Client  *http.Client // trusts the demo's CA, keeps no cookies, follows no redirect, reaches loopback only
	command *exec.Cmd
	output  *tail
	ended   chan struct{}
	why     error // set before ended is closed
}

// Start runs the program over dir with more flags, and waits until demo.json is there: every port answers then.
func Start(ctx context.Context, program, dir string, flags ...string) (*Demo, error) {
	return StartWith(ctx, program, dir, nil, flags...)
}

// StartWith is Start with more variables in the environment, as NAME=VALUE.
func StartWith(ctx context.Context, program, dir string, env []string, flags ...string) (*Demo, error) {
	root, err := checkout(ctx)
	if err != nil {
		return nil, err
	}
	d := &Demo{Dir: dir, output: &tail{}, ended: make(chan struct{})}
	d.command = exec.Command(program, append([]string{"demo", "--dir", dir}, flags...)...)
	// In the checkout the demo builds the functions itself, as it does for whoever cloned it. A process group of its own
	// keeps a Ctrl-C in the terminal from stopping it before the test does.
	d.command.Dir, d.command.SysProcAttr = root, &syscall.SysProcAttr{Setpgid: true}
	d.command.Env = append(os.Environ(), env...)
	d.command.Stdout, d.command.Stderr = d.output, d.output
	// demo.json of a run that was killed would be read as this one's.
	if err := os.Remove(filepath.Join(dir, "demo.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := d.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		d.why = d.command.Wait()
		close(d.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for !d.ready() {
		select {
		case <-d.ended:
			return nil, fmt.Errorf("nightlatch demo ended at once: %w\n%s", d.why, d.output)
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("no demo.json within %v\n%s", startWithin, d.output), d.Stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
	ca, err := os.ReadFile(d.CAFile)
	if err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.Join(fmt.Errorf("%s holds no certificate", d.CAFile), d.Stop())
	}
	d.Client = &http.Client{
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: loopback, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}
	return d, nil
}

func (d *Demo) ready() bool {
	raw, err := os.ReadFile(filepath.Join(d.Dir, "demo.json"))
	return err == nil && json.Unmarshal(raw, &d.Info) == nil
}

// loopback dials 127.0.0.1 for names under .localhost, which not every resolver knows, and refuses what is elsewhere.
func loopback(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host != "127.0.0.1" && !strings.HasSuffix(host, ".localhost") {
		return nil, fmt.Errorf("%s is not on this machine", addr)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// Stop presses Ctrl-C. It is an error when the demo takes longer than it promises, ends badly, or leaves a process or
// demo.json behind.
func (d *Demo) Stop() error {
	select {
	case <-d.ended:
		return fmt.Errorf("nightlatch demo had ended already: %w\n%s", d.why, d.output)
	default:
	}
	began := time.Now()
	if err := d.command.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-d.ended:
	case <-time.After(3 * stopWithin):
		return errors.Join(fmt.Errorf("nightlatch demo still runs %v after Ctrl-C; killed", 3*stopWithin), d.command.Process.Kill())
	}
	var err error
	if took := time.Since(began); took > stopWithin {
		err = fmt.Errorf("nightlatch demo took %v to stop, more than %v", took.Round(time.Millisecond), stopWithin)
	}
	if d.why != nil {
		err = errors.Join(err, fmt.Errorf("nightlatch demo ended with %w\n%s", d.why, d.output))
	}
	if d.ready() {
		err = errors.Join(err, errors.New("demo.json is still there, although nothing answers any more"))
	}
	return errors.Join(err, d.orphans())
}

// orphans are processes that still run from the demo's folder: functions that nobody stopped.
func (d *Demo) orphans() error {
	folder, err := filepath.EvalSymlinks(d.Dir)
	if err != nil {
		return err
	}
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return err
	}
	var found error
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil && strings.HasPrefix(exe, folder+"/") {
			found = errors.Join(found, fmt.Errorf("process %s runs on: %s", filepath.Base(filepath.Dir(link)), exe))
		}
	}
	return found
}

// Console calls the console's API, which plays a VPN client, a telephone and accidents. into may be nil.
func (d *Demo) Console(ctx context.Context, method, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, d.ConsoleURL+"api/"+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := d.Client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode >= 300:
		return fmt.Errorf("console: %s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(answer))
	case into == nil:
		return nil
	}
	return json.Unmarshal(answer, into)
}

// Accounts are all of the directory's, also those that cannot come in.
func (d *Demo) Accounts(ctx context.Context) (map[string]User, error) {
	var state struct{ Accounts []User }
	if err := d.Console(ctx, http.MethodGet, "state", nil, &state); err != nil {
		return nil, err
	}
	all := map[string]User{}
	for _, a := range state.Accounts {
		all[a.Username] = a
	}
	return all, nil
}

// Connect plays a VPN client that connects and moves a megabyte. It returns the connection's id.
func (d *Demo) Connect(ctx context.Context, user string) (string, error) {
	var made struct{ ID string }
	if err := d.Console(ctx, http.MethodPost, "clients", map[string]string{"endpoint": d.EndpointID, "user": user}, &made); err != nil {
		return "", err
	}
	return made.ID, d.Console(ctx, http.MethodPost, "clients/"+made.ID+"/traffic", map[string]int{"ingress": 200_000, "egress": 800_000}, nil)
}

// Disconnect ends what Connect began.
func (d *Demo) Disconnect(ctx context.Context, id string) error {
	return d.Console(ctx, http.MethodDelete, "clients/"+id, nil, nil)
}

// Log is the demo's own log, for a failed test to show. What the functions themselves print is in it.
func (d *Demo) Log() string {
	raw, err := os.ReadFile(filepath.Join(d.Dir, "demo.log"))
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-8000):])
}

// tail keeps what a process printed, but not all of it.
type tail struct {
	mu sync.Mutex // guards b
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-8000):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
