package identitycenter

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-ldap/ldap/v3"
)

func TestSentences(t *testing.T) {
	s := &Server{}
	s.synced.lockout.duration = 30 * time.Minute
	said := map[string]string{}
	for data, want := range map[string]string{
		"525": "The user name or the password is not correct.",
		"52e": "The user name or the password is not correct.",
		"530": "may not sign in at this time",
		"531": "on certain computers only",
		"532": "password has expired. Change it on a computer of corp.example",
		"533": "is disabled. Ask your help desk",
		"701": "account has expired. Ask your help desk",
		"773": "must change your password",
		"775": "is locked after too many wrong passwords. Wait 30 minutes",
		"999": "The user name or the password is not correct.", // unknown to us
	} {
		r := s.refused(ldap.NewError(49, errors.New("80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data "+data+", v4563")))
		if r == nil || r.data != data {
			t.Fatalf("data %s: got %v", data, r)
		}
		got := r.sentence("corp.example")
		if !strings.Contains(got, want) {
			t.Errorf("data %s: got %q, want %q", data, got, want)
		}
		if other := said[got]; other != "" && !strings.Contains(got, "not correct") {
			t.Errorf("%s and %s are one sentence", data, other)
		}
		said[got] = data
	}
	// Samba's text, and one that has no number at all.
	if r := s.refused(ldap.NewError(49, errors.New("80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 533, v1db1"))); r == nil || r.data != "533" {
		t.Errorf("Samba's text: got %v", r)
	}
	if r := s.refused(ldap.NewError(49, errors.New("no"))); r == nil || r.data != "52e" {
		t.Errorf("no number: got %v, want a wrong password", r)
	}
	for _, err := range []error{nil, errors.New("data 533, v"), ldap.NewError(ldap.LDAPResultBusy, errors.New(", data 533, v1"))} {
		if r := s.refused(err); r != nil {
			t.Errorf("%v: got %v, want no refusal", err, r)
		}
	}
}

func TestStrangersLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{misses: map[string]*misses{}}
		try := func(want string) {
			t.Helper()
			if got := s.stranger("Bert", time.Now()).data; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		for range 9 {
			try("52e") // the domain locks nobody
		}
		s.synced.lockout = lockout{threshold: 3, window: 10 * time.Minute, duration: 30 * time.Minute}
		try("52e")
		try("52e")
		time.Sleep(10 * time.Minute) // the window is over
		try("52e")
		try("52e")
		try("52e")
		try("775")
		time.Sleep(30*time.Minute - time.Second)
		try("775")
		time.Sleep(time.Second)
		try("52e")
		try("52e")
		try("52e")
		s.synced.lockout.duration = 0
		time.Sleep(24 * time.Hour)
		try("775") // until somebody unlocks it
	})
}

// A bomb of a kilobyte is not unpacked to its megabyte before it is refused.
func TestInflateStops(t *testing.T) {
	out, err := inflate(deflate(make([]byte, 1<<20)))
	if err != nil || len(out) != maxRequest+1 {
		t.Errorf("got %d octets, %v, want %d", len(out), err, maxRequest+1)
	}
}

func TestSIDText(t *testing.T) {
	for sid, want := range map[string]string{
		"\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\xea\xb0\xf9\x36\xd4\x34\x49\x6d\xdb\x8c\x48\x0b\x55\x04\x00\x00": "S-1-5-21-922333418-1833514196-189304027-1109",
		"\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x21\x02\x00\x00":                                                 "S-1-5-32-545",
		"": "", "\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00": "",
	} {
		if got := sidText([]byte(sid)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestGUIDText(t *testing.T) {
	if got, want := guidText("00112233445566778899aabbccddeeff"), "33221100-5544-7766-8899-aabbccddeeff"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDNSName(t *testing.T) {
	if got := dnsName("OU=Staff,DC=Corp,DC=example"); got != "corp.example" {
		t.Errorf("got %q", got)
	}
}
