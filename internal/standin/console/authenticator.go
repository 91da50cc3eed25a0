package console

import (
	"cmp"
	"encoding/base32"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/nightlatch/nightlatch/internal/standin/statefile"
)

const (
	// shortestKey is 80 bits, the shortest that enrolment pages hand out; RFC 4226 section 4 wants 128.
	shortestKey = 10
	longestKey  = 128
	mostKeys    = 50
	longestName = 256
)

// key is one account in the pocket authenticator. What the address left out has RFC 6238's usual values.
type key struct {
	Issuer    string `json:"issuer,omitempty"`
	Account   string `json:"account"`
	Secret    string `json:"secret"` // base32 without padding
	Algorithm string `json:"algorithm,omitempty"`
	Digits    int    `json:"digits,omitempty"`
	Period    int64  `json:"period,omitempty"` // seconds
}

// Code is what the pocket authenticator shows for one account.
type Code struct {
	Issuer      string `json:"issuer"`
	Account     string `json:"account"`
	Code        string `json:"code"`
	Next        string `json:"next"`        // the code after this one
	SecondsLeft int64  `json:"secondsLeft"` // until Next is the code
}

type authenticator struct {
	file *statefile.File
	mu   sync.Mutex // guards keys
	keys []key
}

type authenticatorState struct {
	Keys []key `json:"keys"`
}

func openAuthenticator(path string) (*authenticator, error) {
	a := &authenticator{file: statefile.New(path, "console")}
	var s authenticatorState
	if _, err := a.file.Load(&s); err != nil {
		return nil, err
	}
	for _, k := range s.Keys {
		if _, err := k.code(time.Now()); err != nil {
			return nil, fmt.Errorf("state file %s: the key of %q makes no code (%w): nothing was changed; move the file away to start afresh", path, k.Account, err)
		}
	}
	a.keys = s.Keys
	return a, nil
}

// add keeps k. An account has one key: enrolling again replaces the old one, which its issuer has forgotten.
func (a *authenticator) add(k key) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := slices.DeleteFunc(slices.Clone(a.keys), func(o key) bool { return o.Account == k.Account })
	if len(keys) >= mostKeys {
		return fmt.Errorf("the authenticator holds %d accounts, which is all it can; remove one first", mostKeys)
	}
	return a.save(append(keys, k))
}

// remove reports whether there was such an account.
func (a *authenticator) remove(account string) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := slices.DeleteFunc(slices.Clone(a.keys), func(k key) bool { return k.Account == account })
	if len(keys) == len(a.keys) {
		return false, nil
	}
	return true, a.save(keys)
}

func (a *authenticator) save(keys []key) error {
	if err := a.file.Save(authenticatorState{keys}); err != nil {
		return &storeError{err}
	}
	a.keys = keys
	return nil
}

// storeError is a failure to keep a key: the disk's fault, not that of who asked.
type storeError struct{ error }

func (a *authenticator) codes(now time.Time) []Code {
	a.mu.Lock()
	defer a.mu.Unlock()
	codes := []Code{}
	for _, k := range a.keys {
		// Every kept key made a code before.
		c := Code{Issuer: k.Issuer, Account: k.Account, SecondsLeft: k.period() - now.Unix()%k.period()}
		c.Code, _ = k.code(now)
		c.Next, _ = k.code(now.Add(time.Duration(k.period()) * time.Second))
		codes = append(codes, c)
	}
	return codes
}

func (k key) period() int64 { return cmp.Or(k.Period, 30) }

var algorithms = map[string]otp.Algorithm{"": otp.AlgorithmSHA1, "SHA1": otp.AlgorithmSHA1, "SHA256": otp.AlgorithmSHA256, "SHA512": otp.AlgorithmSHA512}

func (k key) code(at time.Time) (string, error) {
	algorithm, ok := algorithms[k.Algorithm]
	if !ok {
		return "", fmt.Errorf("unknown algorithm %q", k.Algorithm)
	}
	if k.period() < 0 {
		return "", fmt.Errorf("period of %d seconds", k.Period)
	}
	digits := otp.Digits(cmp.Or(k.Digits, 6))
	return totp.GenerateCodeCustom(k.Secret, at, totp.ValidateOpts{Period: uint(k.period()), Digits: digits, Algorithm: algorithm})
}

// fromText reads a key as enrolment pages print it: base32, in groups or not, in either case.
func fromText(text, account string) (key, error) {
	secret := strings.ToUpper(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '-' {
			return -1
		}
		return r
	}, text))
	secret = strings.TrimRight(secret, "=")
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	switch {
	case err != nil:
		return key{}, fmt.Errorf("this is no key: a key has the letters A to Z and the digits 2 to 7 only; copy it whole from the enrolment page")
	case len(raw) < shortestKey:
		return key{}, fmt.Errorf("this key is too short (%d letters): copy it whole from the enrolment page", len(secret))
	case len(raw) > longestKey:
		return key{}, fmt.Errorf("this key is too long (%d letters): copy the key alone from the enrolment page", len(secret))
	}
	account = strings.TrimSpace(account)
	if err := checkName("account", account); err != nil {
		return key{}, err
	}
	return key{Account: account, Secret: secret}, nil
}

// fromAddress reads the address in an enrolment page's QR code ("Key Uri Format", Google Authenticator wiki).
func fromAddress(address string) (key, error) {
	u, err := otp.NewKeyFromURL(address)
	parsed, err2 := url.Parse(strings.TrimSpace(address))
	if err != nil || err2 != nil || parsed.Scheme != "otpauth" {
		return key{}, fmt.Errorf("this is no enrolment link: it must begin with otpauth://totp/; copy the link from the enrolment page")
	}
	if u.Type() != "totp" {
		return key{}, fmt.Errorf("this link is for codes of type %q; the pocket authenticator makes codes by time (totp) only", u.Type())
	}
	q := parsed.Query()
	if len(q["secret"]) != 1 {
		return key{}, fmt.Errorf("this enrolment link holds %d keys instead of one; copy it whole from the enrolment page", len(q["secret"]))
	}
	k, err := fromText(u.Secret(), u.AccountName())
	if err != nil {
		return key{}, err
	}
	k.Issuer = strings.TrimSpace(u.Issuer())
	if k.Issuer != "" {
		if err := checkName("issuer", k.Issuer); err != nil {
			return key{}, err
		}
	}
	k.Algorithm = strings.ToUpper(q.Get("algorithm"))
	if _, ok := algorithms[k.Algorithm]; !ok {
		return key{}, fmt.Errorf("this link asks for the algorithm %q; known are SHA1, SHA256 and SHA512", q.Get("algorithm"))
	}
	// Read here and not by otp, which takes the usual value for what it cannot read.
	if d := q.Get("digits"); d != "" {
		if d != "6" && d != "8" {
			return key{}, fmt.Errorf("this link asks for %q digits; codes have 6 or 8", d)
		}
		k.Digits = int(d[0] - '0')
	}
	if p := q.Get("period"); p != "" {
		if k.Period, err = strconv.ParseInt(p, 10, 64); err != nil || k.Period < 10 || k.Period > 300 {
			return key{}, fmt.Errorf("this link asks for a new code every %q seconds; known are 10 to 300", p)
		}
	}
	return k, nil
}

func checkName(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("say whose it is: the %s is missing", what)
	case len(s) > longestName || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("the %s must be plain text of at most %d bytes", what, longestName)
	}
	return nil
}
