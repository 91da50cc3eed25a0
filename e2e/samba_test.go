package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/nightlatch/nightlatch/e2e/demo"
)

const (
	// What a sign-in with a real directory may take.
	fromNothing  = 40 * time.Second // without the installation of packages
	fromSnapshot = 5 * time.Second

	everybodys = "S3cret-Passw0rd!" // as samba/dc.sh sets it
	notCorrect = "The user name or the password is not correct."
)

// TestActiveDirectory puts a Samba domain controller into the place of the stand-in.
func TestActiveDirectory(t *testing.T) {
	if out, err := exec.Command("samba/dc.sh", "missing").Output(); err != nil {
		missing(t, "%s", bytes.TrimSpace(out))
	}
	snapshot := filepath.Join(t.TempDir(), "domain.tar.gz")
	functions := t.TempDir() // a demo's folder; the first run builds the functions
	busy := false            // others use this machine, and a time measured on it is not ours

	t.Run("from nothing", func(t *testing.T) {
		began := time.Now()
		dc := domain{t, filepath.Join(t.TempDir(), "dc")}
		used := dc.run("make", dc.dir)
		made := time.Since(began)
		busy = made > 2*used // it waits for nothing but processors
		dc.run("save", dc.dir, snapshot)
		dc.up()
		d := startIn(t, functions, dc.flags()...)
		v := visit(t, d)
		v.signIn("alice@corp.example")
		took := time.Since(began)
		t.Logf("from nothing to a signed-in person: %v (the domain: %v, of which it computed %v)",
			took.Round(10*time.Millisecond), made.Round(10*time.Millisecond), used.Round(10*time.Millisecond))
		within(t, took, fromNothing, busy)
		if len(d.Users) != 0 {
			t.Errorf("demo.json knows %d users, and nobody told it a password", len(d.Users))
		}
	})
	if _, err := os.Stat(snapshot); err != nil {
		t.Fatalf("no snapshot to go on with: %v", err)
	}

	t.Run("from a snapshot", func(t *testing.T) {
		began := time.Now()
		dc := domain{t, filepath.Join(t.TempDir(), "dc")}
		dc.run("load", snapshot, dc.dir)
		dc.up()
		// The authenticators of the run before are forgotten, and its build of the functions is not.
		must(t, os.Remove(filepath.Join(functions, "identity-center.state.json")), "forget the authenticators")
		d := startIn(t, functions, append(dc.flags(), "--directory-users", filepath.Join(dc.dir, "users"))...)
		alice := visit(t, d)
		alice.signIn(`CORP\alice`)
		took := time.Since(began)
		t.Logf("from a snapshot to a signed-in person: %v", took.Round(10*time.Millisecond))
		within(t, took, fromSnapshot, busy)
		if len(d.Users) != 1 || d.Users[0] != (demo.User{Username: "alice", Password: everybodys}) {
			t.Errorf("demo.json knows %v, want alice as in the file", d.Users)
		}

		t.Run("a bare name, and the authenticator of before", func(t *testing.T) {
			other := visit(t, d)
			other.link, other.spent = alice.link, alice.spent
			other.signIn("alice")
			alice.spent = other.spent
		})
		t.Run("other names and what is not one", func(t *testing.T) {
			for name, good := range map[string]bool{
				"Alice@Corp.Example": true, "alice@ad.corp.example": true, `ad.corp.example\ALICE`: true,
				`AD\alice`: false, "alice@example.org": false, "Alice Kim": false, "CN=Alice Kim,OU=Staff,DC=ad,DC=corp,DC=example": false,
			} {
				p := visit(t, d).password(name, everybodys)
				if said := p.says(); good && !p.asks("code") || !good && said != notCorrect {
					t.Errorf("%s: got %q, want good: %v", name, said, good)
				}
			}
		})
		t.Run("what Active Directory refuses", func(t *testing.T) {
			for _, tc := range []struct{ about, user, password, want string }{
				{"a wrong password", "alice", "wrong", notCorrect},
				{"nobody's name", "zoe", "wrong", notCorrect},
				{"disabled", "bob", everybodys, "Your account is disabled."},
				{"disabled, and a wrong password", "bob", "wrong", notCorrect},
				{"the account has expired", "dave", everybodys, "Your account has expired."},
				{"must change the password", "erin@corp.example", everybodys, "You must change your password"},
				{"the password has expired", `CORP\frank`, everybodys, "Your password has expired."},
			} {
				if said := visit(t, d).password(tc.user, tc.password).says(); !strings.HasPrefix(said, tc.want) {
					t.Errorf("%s: got %q, want %q", tc.about, said, tc.want)
				}
			}
		})
		t.Run("nobody can tell a name by its locking", func(t *testing.T) {
			for _, user := range []string{"carol", "nobody", `CORP\nobody2`} {
				for try := range 5 {
					want := notCorrect
					if try >= 3 { // the domain's threshold
						want = "This account is locked after too many wrong passwords. Wait 30 minutes"
					}
					if said := visit(t, d).password(user, "wrong").says(); !strings.HasPrefix(said, want) {
						t.Errorf("%s, try %d: got %q, want %q", user, try+1, said, want)
					}
				}
			}
			if said := visit(t, d).password("carol", everybodys).says(); !strings.Contains(said, "is locked") {
				t.Errorf("carol with the right password: got %q, want that she is locked out", said)
			}
			dc.modify("CN=Carol Meyer,OU=Staff", "replace: lockoutTime", "lockoutTime: 0")
		})
		t.Run("who is in no group has no access", func(t *testing.T) {
			v := visit(t, d)
			if said := v.code(v.password("carol", everybodys)).says(); !strings.HasPrefix(said, "You do not have access") {
				t.Errorf("got %q", said)
			}
		})
		t.Run("leaving the group", func(t *testing.T) {
			// alice is in VPN Users by Engineering by Platform.
			dc.modify("CN=Engineering,OU=Staff", "delete: member", "member: CN=Platform,OU=Staff,"+base)
			alice.after(2*minute, func(p page) bool { return strings.HasPrefix(p.says(), "You do not have access") })
			dc.modify("CN=Engineering,OU=Staff", "add: member", "member: CN=Platform,OU=Staff,"+base)
			alice.after(2*minute, page.signedIn)
		})
		t.Run("disabled mid-way", func(t *testing.T) {
			dc.modify("CN=Alice Kim,OU=Staff", "replace: userAccountControl", "userAccountControl: 514")
			if said := visit(t, d).password("alice", everybodys).says(); !strings.HasPrefix(said, "Your account is disabled.") {
				t.Errorf("at once: got %q", said)
			}
			alice.after(2*minute, func(p page) bool {
				return strings.HasPrefix(p.says(), "You were signed out because your account changed.")
			})
		})
		t.Run("enabled again", func(t *testing.T) {
			dc.modify("CN=Bob Tanaka,OU=Staff", "replace: userAccountControl", "userAccountControl: 512")
			bob := visit(t, d)
			bob.signIn("bob")
			t.Run("a new name for the person, another for the group", func(t *testing.T) {
				dc.feed("dn: CN=Bob Tanaka,OU=Staff,"+base+"\nchangetype: modrdn\nnewrdn: CN=Bob Sato\ndeleteoldrdn: 1\n", "modify", dc.dir)
				dc.modify("CN=VPN Users,OU=Staff", "replace: sAMAccountName", "sAMAccountName: Remote Users")
				if p := visit(t, d).password("bob", everybodys); !p.asks("code") {
					t.Errorf("before a sync: got %q", p.says())
				}
				synced := time.Now().Add(2 * minute)
				bob.after(3*minute, func(p page) bool { return p.signedIn() && time.Now().After(synced) })
			})
		})
		t.Run("a newcomer is known after the sync", func(t *testing.T) {
			dc.feed("dn: CN=Grace Park,OU=Staff,"+base+"\nchangetype: add\nobjectClass: user\nsAMAccountName: grace\n"+
				"userPrincipalName: grace@corp.example\nuserAccountControl: 512\nunicodePwd:: "+unicodePassword(everybodys)+"\n", "modify", dc.dir)
			dc.modify("CN=Platform,OU=Staff", "add: member", "member: CN=Grace Park,OU=Staff,"+base)
			eventually(t, 2*minute+time.Second, func() (bool, string) {
				p := visit(t, d).password("grace", everybodys)
				return p.asks("code"), p.says()
			})
			visit(t, d).signIn("grace")
		})
	})

	t.Run("what is wrong is told at once", func(t *testing.T) {
		dc := domain{t, filepath.Join(t.TempDir(), "dc")}
		dc.run("load", snapshot, dc.dir)
		dc.up()
		wrong := filepath.Join(t.TempDir(), "wrong")
		must(t, os.WriteFile(wrong, []byte("wrong\n"), 0o600), "write a password")
		for name, tc := range map[string]struct{ flags, want string }{
			"a CA that is not trusted": {"--directory-ca=" + certificate(t, t.TempDir(), "ca", "other.example"), "certificate is not trusted"},
			"a wrong password":         {"--directory-password-file=" + wrong, "the name or the password is wrong"},
			"a disabled account":       {"--directory-bind=bob@corp.example", "the account is disabled"},
			"no such base":             {"--directory-base=OU=Nowhere," + base, "the domain is " + base},
			"no such group":            {"--directory-group=Nobody", `"Nobody" below`},
			"nobody listens":           {"--directory=ldaps://127.0.77.9", "cannot be reached"},
		} {
			d, err := demo.Start(t.Context(), program, t.TempDir(), append(append(dc.flags(), "--port", "0"), tc.flags)...)
			if err == nil {
				t.Errorf("%s: the demo started", name)
				must(t, d.Stop(), "stop it")
				continue
			}
			if text := err.Error(); !strings.Contains(text, tc.want) || !strings.Contains(text, "hint: ") {
				t.Errorf("%s: got %q, want %q and a hint", name, text, tc.want)
			}
		}
	})
}

// within holds a time against its limit, where the machine was ours.
func within(t *testing.T, took, limit time.Duration, busy bool) {
	t.Helper()
	switch {
	case took <= limit:
	case busy:
		t.Logf("that is more than %v, on a machine that others keep busy: measure again when it is idle", limit)
	default:
		t.Errorf("that is more than %v", limit)
	}
}

const (
	base   = "DC=ad,DC=corp,DC=example"
	minute = 2 * time.Second // the scheduler's, and so the sync's
)

// domain is a folder of samba/dc.sh.
type domain struct {
	t   *testing.T
	dir string
}

func (dc domain) run(args ...string) time.Duration {
	dc.t.Helper()
	return dc.feed("", args...)
}

// feed runs the script with in on its standard input, and returns the processor time that it took.
func (dc domain) feed(in string, args ...string) time.Duration {
	dc.t.Helper()
	c := exec.Command("samba/dc.sh", args...)
	c.Stdin = strings.NewReader(in)
	if out, err := c.CombinedOutput(); err != nil {
		dc.t.Fatalf("samba/dc.sh %s: %v\n%s", args[0], err, out)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime()
}

// up starts the domain controller until the test is over.
func (dc domain) up() {
	dc.t.Helper()
	dc.run("up", dc.dir)
	dc.t.Cleanup(func() { dc.run("down", dc.dir) })
}

func (dc domain) flags() []string {
	return []string{"--directory", "ldaps://127.0.77.10", "--directory-ca", filepath.Join(dc.dir, "tls", "ca.pem"), "--directory-bind", "svc-idc@corp.example",
		"--directory-password-file", filepath.Join(dc.dir, "svc-idc.password"), "--directory-group", "VPN Users",
		"--associate-takes", "2s", "--scheduler-minute", minute.String()}
}

// modify changes one entry below the domain as an administrator would.
func (dc domain) modify(rdn string, lines ...string) {
	dc.t.Helper()
	dc.feed("dn: "+rdn+","+base+"\nchangetype: modify\n"+strings.Join(lines, "\n")+"\n", "modify", dc.dir)
}

// unicodePassword is a password as unicodePwd wants it: quoted, in UTF-16, and base64 for LDIF.
func unicodePassword(password string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return base64.StdEncoding.EncodeToString(b)
}
