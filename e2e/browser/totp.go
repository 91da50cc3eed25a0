package browser

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Code is what an authenticator app shows for the enrolment link now: RFC 6238 with SHA-1, six digits and 30 seconds,
// which is all that the apps agree on. A code that this person typed before is not given again: the next one is, which
// is early by one step at most and accepted for that reason.
func (p *Person) Code(link string) (string, error) {
	step := time.Now().Unix() / 30
	p.mu.Lock()
	step = max(step, p.spent[link]+1)
	p.spent[link] = step
	p.mu.Unlock()
	return CodeAt(link, step)
}

// Spent is the time step of the code that was typed last.
func (p *Person) Spent(link string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spent[link]
}

// CodeAt is the code of one time step.
func CodeAt(link string, step int64) (string, error) {
	u, err := url.Parse(link)
	if err != nil {
		return "", err
	}
	q := u.Query()
	for name, only := range map[string]string{"algorithm": "SHA1", "digits": "6", "period": "30"} {
		if v := q.Get(name); v != "" && v != only {
			return "", fmt.Errorf("%s=%s: Google Authenticator knows %s only", name, v, only)
		}
	}
	if u.Scheme != "otpauth" || u.Host != "totp" || q.Get("secret") == "" {
		return "", fmt.Errorf("%q is not an enrolment link", u.Scheme+"://"+u.Host)
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(q.Get("secret")))
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step)))
	sum := mac.Sum(nil)
	from := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[from:])&0x7fffffff%1_000_000), nil
}
