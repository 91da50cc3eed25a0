package console_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/console"
)

// A bubble begins at 2000-01-01T00:00:00Z. RFC 6238 appendix B has values for 2005-03-18T01:58:29Z and its neighbours.
func sleepUntil(unix int64) { time.Sleep(time.Until(time.Unix(unix, 0))) }

// TestCodesAreThoseOfTheRFC uses the table in RFC 6238, appendix B.
func TestCodesAreThoseOfTheRFC(t *testing.T) {
	const key256, key512 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA"
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for account, q := range map[string]string{
			"one":        "secret=" + base32 + "&digits=8",
			"two":        "secret=" + key256 + "&digits=8&algorithm=SHA256",
			"three":      "secret=" + key512 + "&digits=8&algorithm=sha512&period=30",
			"six digits": "secret=" + base32,
		} {
			if rec := w.do("POST", "/api/authenticator", `{"uri":"otpauth://totp/Test:`+url.PathEscape(account)+`?issuer=Test&`+q+`"}`); rec.Code != 201 {
				t.Fatalf("%s: %d %s", account, rec.Code, rec.Body)
			}
		}
		for _, c := range []struct {
			at                   int64
			one, two, three, six string
			left                 int64
		}{
			{1111111109, "07081804", "68084774", "25091201", "081804", 1},
			{1234567890, "89005924", "91819424", "93441116", "005924", 30},
			{2000000000, "69279037", "90698825", "38618901", "279037", 10},
		} {
			sleepUntil(c.at)
			var codes []console.Code
			w.json("GET", "/api/authenticator", "", &codes)
			got := map[string]console.Code{}
			for _, code := range codes {
				got[code.Account] = code
			}
			for account, want := range map[string]string{"one": c.one, "two": c.two, "three": c.three, "six digits": c.six} {
				if got[account].Code != want || got[account].SecondsLeft != c.left || got[account].Issuer != "Test" {
					t.Errorf("at %d %s is %+v, want %s for %d s more", c.at, account, got[account], want, c.left)
				}
			}
			time.Sleep(30 * time.Second)
			w.json("GET", "/api/authenticator", "", &codes)
			for _, later := range codes {
				if later.Code != got[later.Account].Next {
					t.Errorf("%s was to be %s next, and is %s", later.Account, got[later.Account].Next, later.Code)
				}
			}
			if c.left == 1 && got["one"].Next != "14050471" {
				t.Errorf("the code after is %s, want the one of two seconds later", got["one"].Next)
			}
		}
	})
}

func TestEnrolment(t *testing.T) {
	link := func(query string) string { return `{"uri":"otpauth://totp/AWS%20SSO:alice?` + query + `"}` }
	for name, c := range map[string]struct {
		body, want string // want is the account, or part of the refusal
		ok         bool
	}{
		"a link":                            {link("secret=" + base32), "alice", true},
		"a link that names its issuer":      {link("secret=" + base32 + "&issuer=AWS%20SSO"), "alice", true},
		"a text key":                        {`{"key":"` + base32 + `","account":"bob"}`, "bob", true},
		"a text key in groups, lower case":  {`{"key":"gezd gnbv-gy3t qojq gezd gnbv gy3t qojq","account":"bob"}`, "bob", true},
		"a text key with padding":           {`{"key":"GEZDGNBVGY3TQOJQGE======","account":"bob"}`, "bob", true},
		"nothing":                           {`{}`, "either the enrolment link or the text key", false},
		"both":                              {`{"uri":"otpauth://totp/a?secret=` + base32 + `","key":"` + base32 + `"}`, "either", false},
		"a text key of nobody":              {`{"key":"` + base32 + `"}`, "account is missing", false},
		"a code instead of a key":           {`{"key":"123456","account":"bob"}`, "letters A to Z", false},
		"a key cut short":                   {`{"key":"GEZDGNBV","account":"bob"}`, "too short (8 letters)", false},
		"a key too long":                    {`{"key":"` + strings.Repeat(base32, 9) + `","account":"bob"}`, "too long", false},
		"a web page's link":                 {`{"uri":"https://identity-center.localhost/"}`, "must begin with otpauth://totp/", false},
		"a link of codes by counting":       {`{"uri":"otpauth://hotp/a?secret=` + base32 + `&counter=0"}`, "by time (totp) only", false},
		"a link without a key":              {link("issuer=AWS"), "0 keys", false},
		"a link with two keys":              {link("secret=" + base32 + "&secret=" + base32), "2 keys", false},
		"a link without an account":         {`{"uri":"otpauth://totp/?secret=` + base32 + `"}`, "account is missing", false},
		"a link with another algorithm":     {link("secret=" + base32 + "&algorithm=MD5"), "known are SHA1", false},
		"a link with seven digits":          {link("secret=" + base32 + "&digits=7"), "6 or 8", false},
		"a link with a period of no time":   {link("secret=" + base32 + "&period=0"), "10 to 300", false},
		"a link with a period in words":     {link("secret=" + base32 + "&period=half"), "10 to 300", false},
		"a link that is no address at all":  {`{"uri":"otpauth://totp/%zz"}`, "must begin", false},
		"a link whose account is a control": {`{"uri":"otpauth://totp/a%0ab?secret=` + base32 + `"}`, "plain text", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			rec := w.do("POST", "/api/authenticator", c.body)
			var got struct{ Account, Issuer, Code, Error string }
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if c.ok && (rec.Code != 201 || got.Account != c.want || len(got.Code) != 6) {
				t.Errorf("got %d %s, want %s's code", rec.Code, rec.Body, c.want)
			}
			if c.ok && c.want == "alice" && got.Issuer != "AWS SSO" {
				t.Errorf("the issuer is %q, want AWS SSO", got.Issuer)
			}
			if !c.ok && (rec.Code != 400 || !strings.Contains(got.Error, c.want)) {
				t.Errorf("got %d %s, want a refusal with %q", rec.Code, rec.Body, c.want)
			}
		})
	}
}

func TestASecondRunStillHasTheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "console.json")
		keep := func(c *console.Config) { c.StateFile = path }
		first := newWorld(t, keep)
		first.do("POST", "/api/authenticator", `{"key":"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP","account":"alice@corp.example"}`)
		first.do("POST", "/api/authenticator", `{"key":"`+base32+`","account":"alice@corp.example"}`)
		first.do("POST", "/api/authenticator", `{"key":"`+base32+`","account":"a/b c"}`)
		var before, after []console.Code
		first.json("GET", "/api/authenticator", "", &before)
		if len(before) != 2 || before[0].Code != before[1].Code {
			t.Fatalf("got %+v, want two accounts: the second enrolment replaces the first, whose issuer has forgotten it", before)
		}
		second := newWorld(t, keep)
		second.json("GET", "/api/authenticator", "", &after)
		if len(after) != 2 || after[0] != before[0] || after[1] != before[1] {
			t.Errorf("the second run has %+v, want %+v", after, before)
		}
		if rec := second.do("DELETE", "/api/authenticator/a%2Fb%20c", ""); rec.Code != 204 {
			t.Errorf("removing: %d %s, want 204", rec.Code, rec.Body)
		}
		newWorld(t, keep).json("GET", "/api/authenticator", "", &after)
		if len(after) != 1 {
			t.Errorf("the third run has %+v, want the one that was left", after)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read the keys: %v %v", info.Mode(), err)
		}
	})
}

func TestStateFilesThatAreNotOurs(t *testing.T) {
	for name, text := range map[string]string{
		"cut short":             `{"format":"nightlatch-demo","kind":"console","ver`,
		"another stand-in's":    `{"format":"nightlatch-demo","kind":"ec2","version":1,"data":{}}`,
		"a key that is no key":  `{"format":"nightlatch-demo","kind":"console","version":1,"data":{"keys":[{"account":"a","secret":"0189"}]}}`,
		"an unknown algorithm":  `{"format":"nightlatch-demo","kind":"console","version":1,"data":{"keys":[{"account":"a","secret":"` + base32 + `","algorithm":"X"}]}}`,
		"a period before time":  `{"format":"nightlatch-demo","kind":"console","version":1,"data":{"keys":[{"account":"a","secret":"` + base32 + `","period":-30}]}}`,
		"something else beside": `{"format":"nightlatch-demo","kind":"console","version":1,"data":{"keys":[],"more":1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "console.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c := newWorld(t, nil).config
			c.StateFile = path
			_, err := console.New(c)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("got %v, want a refusal that names the file and says what to do", err)
			}
			if now, _ := os.ReadFile(path); string(now) != text {
				t.Error("the file was touched")
			}
		})
	}
}

func TestAKeyThatCannotBeKeptIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	w := newWorld(t, func(c *console.Config) { c.StateFile = filepath.Join(dir, "console.json") })
	rec := w.do("POST", "/api/authenticator", `{"key":"`+base32+`","account":"bob"}`)
	var codes []console.Code
	w.json("GET", "/api/authenticator", "", &codes)
	if rec.Code != 500 || !strings.Contains(rec.Body.String(), "could not be kept") || len(codes) != 0 {
		t.Errorf("got %d %s and %+v, want a 500 that says so, and no key that the next run would miss", rec.Code, rec.Body, codes)
	}
}
