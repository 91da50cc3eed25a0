//go:build !lambda

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDirectoryFlags(t *testing.T) {
	whole := func() directoryOptions {
		return directoryOptions{url: "ldaps://dc1.corp.example", bind: "svc@corp.example", passwordFile: "f", groups: []string{"VPN Users"}}
	}
	for name, tc := range map[string]struct {
		change func(*directoryOptions)
		tour   bool
		says   string // empty: all is well
	}{
		"none of them":                    {func(d *directoryOptions) { *d = directoryOptions{} }, true, ""},
		"what it takes":                   {func(*directoryOptions) {}, false, ""},
		"a port":                          {func(d *directoryOptions) { d.url = "ldaps://10.0.0.1:3269" }, false, ""},
		"a tour with users":               {func(d *directoryOptions) { d.usersFile = "u" }, true, ""},
		"a tour without":                  {func(*directoryOptions) {}, true, "--directory-users"},
		"plain LDAP":                      {func(d *directoryOptions) { d.url = "ldap://dc1.corp.example" }, false, "not sent in the open"},
		"a name alone":                    {func(d *directoryOptions) { d.url = "dc1.corp.example" }, false, "want ldaps://host"},
		"a base in the address":           {func(d *directoryOptions) { d.url += "/DC=corp" }, false, "want ldaps://host"},
		"a password in the address":       {func(d *directoryOptions) { d.url = "ldaps://a:b@dc1" }, false, "want ldaps://host"},
		"neither account nor group":       {func(d *directoryOptions) { d.bind, d.groups = "", nil }, false, "--directory-bind and --directory-group"},
		"a base, and no directory to use": {func(d *directoryOptions) { *d = directoryOptions{base: "DC=x"} }, false, "--directory ldaps://host"},
	} {
		d := whole()
		tc.change(&d)
		if err := d.check(&demoOptions{tour: tc.tour}); tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: got %v, want %q", name, err, tc.says)
		}
	}
}

func TestDirectoryFiles(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone := filepath.Join(t.TempDir(), "gone")
	for says, d := range map[string]directoryOptions{
		"--directory-ca: open":            {ca: gone},
		"holds no PEM certificate":        {ca: file("x")},
		"--directory-password-file: open": {passwordFile: gone},
		"must hold one line":              {passwordFile: file("a\nb\n")},
		"must hold one line, the":         {passwordFile: file("\n")},
		"--directory-users: open":         {passwordFile: file("p\n"), usersFile: gone},
		"nobody is in it":                 {passwordFile: file("p\r\n"), usersFile: file("# nobody\n")},
	} {
		d.url = "ldaps://127.0.0.1:1"
		if _, err := d.open(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}

func TestDirectoryUsers(t *testing.T) {
	got, err := parseUsers([]byte("# who\nalice:a:b c \r\n\nCORP\\bob: x\n"))
	if want := []demoUser{{"alice", "a:b c "}, {`CORP\bob`, " x"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for text, says := range map[string]string{"alice\n": "line 1", "a:b\n:c\n": "line 2", "a:\n": "line 1", "a:b\nA:c\n": "line 2", "": "nobody"} {
		if _, err := parseUsers([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want %q", text, err, says)
		}
	}
}
