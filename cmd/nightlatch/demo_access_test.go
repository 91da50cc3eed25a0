//go:build !lambda

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/signin"
)

// TestDemoGroups: the directory's groups come through Identity Center and the user pool in every form that a pool may
// write, and the functions' configuration has rules about them.
func TestDemoGroups(t *testing.T) {
	t.Parallel()
	d := start(t, options(t, t.TempDir()), newSecrets())
	path := filepath.Join(d.function, "nightlatch.yaml")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(path, raw)
	if err != nil {
		t.Fatal(err)
	}
	if d.info.Operator != "olivia" || !slices.ContainsFunc(d.info.Users, func(u demoUser) bool { return u.Username == d.info.Operator }) {
		t.Errorf("the operator is %q, the users are %v", d.info.Operator, d.info.Users)
	}

	claim := func(user string) string {
		var pool struct {
			Data struct {
				Profiles map[string]struct{ Attributes map[string]string }
			}
		}
		d.read(t, "cognito.state.json", &pool)
		return pool.Data.Profiles["IdentityCenter_"+user+"@"+demoDomain].Attributes[c.ALB.GroupsClaim]
	}
	use := []access.Action{access.See, access.Open, access.Extend}
	may := map[string][]access.Action{"alice": use, "carol": use, "olivia": access.Actions}
	check := func(t *testing.T, user, form string) {
		t.Helper()
		text := claim(user)
		if !strings.Contains(text, form) {
			t.Errorf("%s: the claim is %q, which has no %q", user, text, form)
		}
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		who := access.Identity{Principal: latch.Principal{Subject: "x"}}
		who.Groups, who.GroupsCut = signin.ParseGroups(encoded)
		for _, a := range access.Actions {
			got := c.Access.Decide(access.Request{Who: who, Endpoint: "office", Action: a, At: time.Now()})
			if got.Allowed != slices.Contains(may[user], a) {
				t.Errorf("%s: %s: %+v by %q", user, a, got, text)
			}
		}
	}

	browsers := map[string]*tourist{}
	for user, form := range map[string]string{
		"alice":  "[" + demoDomain + "//S-1-5-21-", // Engineering, and VPN Users through it
		"carol":  demoDomain + "//S-1-5-21-",       // VPN Users, and no list
		"olivia": ", " + demoDomain + "//S-1-5-21-",
	} {
		browsers[user] = d.browser(t, user)
		d.signIn(t, browsers[user])
		check(t, user, form)
	}
	if strings.Contains(claim("carol"), "[") {
		t.Errorf("carol is in one group, and the claim is a list: %q", claim("carol"))
	}
	for name, form := range map[string]string{
		"cognito.ListsAreJSON":    `["` + demoDomain + `//S-1-5-21-`,
		"cognito.ListsAreEncoded": "[" + demoDomain + "%2F%2FS-1-5-21-",
	} {
		for _, s := range d.unconfirmed() {
			if s.Name != name {
				continue
			}
			s.Set(true)
			for _, user := range []string{"alice", "olivia"} {
				b := d.again(t, browsers[user])
				d.toAssertion(t, b)
				walk(t, b.assertion, b.callback)
				check(t, user, form)
			}
			s.Set(false)
		}
	}
	d.stop(t)
}

// TestDemoFolderOfBefore: a folder whose directory knows neither the operators nor olivia gets them.
func TestDemoFolderOfBefore(t *testing.T) {
	t.Parallel()
	o := options(t, t.TempDir())
	d := start(t, o, newSecrets())
	d.stop(t)
	alice := d.state.Passwords["alice"]
	change := func(name string, f func(data map[string]any)) {
		path := filepath.Join(o.dir, name)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file map[string]any
		if err := json.Unmarshal(raw, &file); err != nil {
			t.Fatal(err)
		}
		f(file["data"].(map[string]any))
		if raw, err = json.Marshal(file); err == nil {
			err = os.WriteFile(path, raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	change("demo.state.json", func(data map[string]any) { delete(data["passwords"].(map[string]any), "olivia") })
	change("directory.state.json", func(data map[string]any) {
		for _, list := range []string{"accounts", "groups"} {
			data[list] = slices.DeleteFunc(data[list].([]any), func(x any) bool {
				name := x.(map[string]any)["name"]
				return name == "olivia" || name == groupOperators
			})
		}
		for _, g := range data["groups"].([]any) {
			g := g.(map[string]any)
			g["members"] = slices.DeleteFunc(g["members"].([]any), func(m any) bool { return m == "olivia" })
		}
	})
	d = start(t, o, newSecrets())
	if d.state.Passwords["alice"] != alice || d.state.Passwords["olivia"] == "" {
		t.Error("alice's password is another, or olivia has none")
	}
	for _, user := range []string{"alice", "olivia"} {
		d.signIn(t, d.browser(t, user))
	}
	d.stop(t)
}

// Where the demo does not know whose groups are which, the default rule decides.
func TestDemoRulesWhereGroupsAreUnknown(t *testing.T) {
	for name, w := range map[string]*world{
		"a real directory":          {real: &realDirectory{}},
		"another identity provider": {o: demoOptions{samlMetadata: "https://idp.example/metadata"}},
	} {
		if rules, err := w.accessRules(); rules != "" || err != nil {
			t.Errorf("%s: got %q, %v", name, rules, err)
		}
	}
}
