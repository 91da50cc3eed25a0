package config_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
)

const good = `region: ap-northeast-2
table: nightlatch
signin:
  alb:
    arn: arn:aws:elasticloadbalancing:ap-northeast-2:111122223333:loadbalancer/app/nightlatch/0123456789abcdef
    client_id: 4abc
    issuer: https://cognito-idp.ap-northeast-2.amazonaws.com/ap-northeast-2_AbCdEfGhI
    logout_url: https://vpn.auth.ap-northeast-2.amazoncognito.com/logout?client_id=4abc&logout_uri=https%3A%2F%2Fvpn.example%2Fsigned-out
deadman:
  group: nightlatch
  role_arn: arn:aws:iam::111122223333:role/nightlatch-deadman
endpoints:
  - name: office
    id: cvpn-endpoint-0123456789abcdef0
    subnets: [subnet-0a, subnet-0b]
    routes:
      - destination: 10.9.0.0/16
    lease: {default: 1h, choices: [30m, 1h], max: 4h}
    idle: {floor: 0}
    time_zone: Asia/Seoul
    on_visit: open
`

func TestAGoodFile(t *testing.T) {
	c, err := config.Parse("nightlatch.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	e := c.Endpoints[0]
	if e.Title != "office" || e.Policy.LeaseMax != 4*time.Hour || e.Policy.IdleFloor != 0 || e.Policy.OnVisit != latch.VisitOpens ||
		e.Policy.UnusedAfter != 20*time.Minute || e.Location.String() != "Asia/Seoul" || c.BeatFor != 50*time.Second {
		t.Errorf("got %+v", e)
	}
}

// spokes are two more endpoints of a file: one in another Region, one in another account.
const spokes = `  - name: frankfurt
    id: cvpn-endpoint-0b
    region: eu-central-1
    deadman: {group: nightlatch-eu}
    subnets: [subnet-0c]
  - name: partner
    id: cvpn-endpoint-0c
    role_arn: arn:aws:iam::444455556666:role/nightlatch-spoke
    external_id: agreed
    deadman: {group: nightlatch, role_arn: "arn:aws:iam::444455556666:role/nightlatch-deadman"}
    subnets: [subnet-0d]
`

func TestWhereEndpointsAre(t *testing.T) {
	c, err := config.Parse("nightlatch.yaml", []byte(good+spokes))
	if err != nil {
		t.Fatal(err)
	}
	type place struct {
		region, role, external string
		deadman                config.Deadman
	}
	want := []place{
		{"ap-northeast-2", "", "", config.Deadman{Group: "nightlatch", RoleARN: "arn:aws:iam::111122223333:role/nightlatch-deadman"}},
		// Roles are the account's and not a Region's; schedule groups are.
		{"eu-central-1", "", "", config.Deadman{Group: "nightlatch-eu", RoleARN: "arn:aws:iam::111122223333:role/nightlatch-deadman"}},
		{"ap-northeast-2", "arn:aws:iam::444455556666:role/nightlatch-spoke", "agreed",
			config.Deadman{Group: "nightlatch", RoleARN: "arn:aws:iam::444455556666:role/nightlatch-deadman"}},
	}
	for i, e := range c.Endpoints {
		if got := (place{e.Region, e.RoleARN, e.ExternalID, e.Deadman}); got != want[i] {
			t.Errorf("%s: got %+v, want %+v", e.Name, got, want[i])
		}
	}
}

// TestDeadLetters: a queue is for the Region and the account that it is named for.
func TestDeadLetters(t *testing.T) {
	const ours, theirs = "arn:aws:sqs:ap-northeast-2:111122223333:dead", "arn:aws:sqs:eu-central-1:111122223333:dead"
	whole := strings.Replace(good+spokes, "deadman:\n", "deadman:\n  dead_letter_arn: "+ours+"\n", 1)
	for text, want := range map[string][]string{
		whole: {ours, "", ""},
		strings.Replace(whole, "{group: nightlatch-eu}", `{group: nightlatch-eu, dead_letter_arn: "`+theirs+`"}`, 1): {ours, theirs, ""},
		good + spokes: {"", "", ""},
	} {
		c, err := config.Parse("nightlatch.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range c.Endpoints {
			if got := e.Deadman.DeadLetterARN; got != want[i] {
				t.Errorf("%s: got %q, want %q", e.Name, got, want[i])
			}
		}
	}
	for _, text := range []string{strings.Replace(whole, ours, ours+".fifo", 1), strings.Replace(whole, ours, "dead", 1),
		strings.Replace(whole, "{group: nightlatch-eu}", "{group: nightlatch-eu, dead_letter_arn: x}", 1)} {
		if _, err := config.Parse("nightlatch.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "deadman.dead_letter_arn") || !strings.Contains(err.Error(), "standard SQS queue") {
			t.Errorf("got %v, want the key and what it wants", err)
		}
	}
}

func TestHours(t *testing.T) {
	for text, want := range map[string]latch.Window{
		`{days: mon-fri, from: "08:00", to: "19:30"}`:    {Days: []time.Weekday{1, 2, 3, 4, 5}, From: 480, To: 1170},
		`{days: "fri-mon", from: "22:00", to: "24:00"}`:  {Days: []time.Weekday{5, 6, 0, 1}, From: 1320, To: 1440},
		`{days: "Wed, sat", from: "00:00", to: "06:00"}`: {Days: []time.Weekday{3, 6}, From: 0, To: 360},
	} {
		c, err := config.Parse("nightlatch.yaml", []byte(good+"    hours: {close: true, windows: ["+text+"]}\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		h := c.Endpoints[0].Policy.Hours
		if !h.Close || h.Location.String() != "Asia/Seoul" || len(h.Windows) != 1 || !reflect.DeepEqual(h.Windows[0], want) {
			t.Errorf("%s: got %+v, want %+v in Seoul, closing", text, h, want)
		}
	}
}

func TestTheAuditIsKept(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "audit: {keep_days: 400}\n": 400 * 24 * time.Hour} {
		c, err := config.Parse("nightlatch.yaml", []byte(text+good))
		if err != nil || c.KeepAudit != want {
			t.Errorf("%q: got %v, %v, want %v", text, c.KeepAudit, err, want)
		}
	}
}

func TestEveryFaultAtOnceWithItsLine(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to string
		want     []string
	}{
		"a misspelt key, with the one that was meant": {"table:", "tabel:", []string{`nightlatch.yaml:2: unknown key "tabel": did you mean "table"?`}},
		"a key from nowhere, with those that belong":  {"group:", "frobnicate:", []string{`nightlatch.yaml:10: unknown key "frobnicate": here belong group, role_arn`}},
		"two unknown keys and a wrong type": {"    time_zone: Asia/Seoul", "    timezone: Asia/Seoul\n    by_hnad: adopt\n    unused_after: soon",
			[]string{`:20: unknown key "timezone": did you mean "time_zone"?`, `:21: unknown key "by_hnad": did you mean "by_hand"?`, `:22: "soon" is not a length of time: write 90s, 15m or 1h30m`}},
		"values that make no sense, each with its key": {"default: 1h", "default: 9h", []string{`nightlatch.yaml:18: endpoints.0.lease.default: 9h0m0s is longer than lease.max (4h0m0s)`}},
		"a missing value is reported where it belongs": {"    client_id: 4abc\n", "", []string{`nightlatch.yaml:4: signin.alb.client_id: is missing: the Cognito app client's id`}},
		"host bits in a route":                         {"10.9.0.0/16", "10.9.0.1/16", []string{`nightlatch.yaml:17: endpoints.0.routes.0.destination: "10.9.0.1/16" is not a CIDR block`}},
		"a security group that is none":                {"    idle: {floor: 0}\n", "    security_groups: [default]\n    idle: {floor: 0}\n", []string{`nightlatch.yaml:19: endpoints.0.security_groups.0: "default" is not a security group's id, sg-…`}},
		"hours that are none": {"    idle: {floor: 0}\n", "    hours:\n      windows:\n        - {days: mon-fry, from: 8, to: \"19:61\"}\n    idle: {floor: 0}\n",
			[]string{`:21: endpoints.0.hours.windows.0.days: "mon-fry" is not a list of days`, `windows.0.from: "8" is not a time of day: write 08:00, in quotes`, `windows.0.to: "19:61" is not a time`}},
		"a typical time that is none": {"    idle: {floor: 0}\n", "    idle: {floor: 0}\n    typical: {associate: soon, close: 5m-1m}\n",
			[]string{`endpoints.0.typical.associate: "soon" is not from a time to another, like 4m-10m`, `endpoints.0.typical.close: 5m0s to 1m0s is not from a shorter time to a longer`}},
		"idle too soon":              {"    idle: {floor: 0}\n", "    idle: {floor: 0, after: 5m}\n", []string{`nightlatch.yaml:19: endpoints.0.idle.after: is shorter than 15m0s`}},
		"a reason wanted of a visit": {"max: 4h}", "max: 4h, reason: required}", []string{`nightlatch.yaml:21: endpoints.0.on_visit: a visit that opens gives no reason`}},
		"words that are none":        {"    idle: {floor: 0}\n", "    idle: {floor: 0}\n    mode: watch\n", []string{`endpoints.0.mode: "watch" is neither act nor observe`}},
		"a channel that is none": {"endpoints:\n", "notify: {format: teams, language: de}\nendpoints:\n",
			[]string{`nightlatch.yaml:12: notify.format: "teams" is neither slack nor json`, `notify.language: "de" is none of`, `notify.page: is missing`}},
		"an audit that is kept for no time":           {"endpoints:\n", "audit: {keep_days: 0}\nendpoints:\n", []string{`nightlatch.yaml:12: audit.keep_days: 0 is not between 1 and 36500`}},
		"an audit kept for longer than anybody lives": {"endpoints:\n", "audit: {keep_days: 40000}\nendpoints:\n", []string{`audit.keep_days: 40000 is not between`}},
		"an audit kept for a length of time":          {"endpoints:\n", "audit: {keep_days: 400d}\nendpoints:\n", []string{`nightlatch.yaml:12: cannot unmarshal str`}},
		"an audit kept for nobody knows how long":     {"endpoints:\n", "audit: {}\nendpoints:\n", []string{`nightlatch.yaml:12: audit.keep_days: is missing`}},
		"a misspelt retention":                        {"endpoints:\n", "audit: {keep_day: 4}\nendpoints:\n", []string{`unknown key "keep_day": did you mean "keep_days"?`}},
		"a second document":                           {"    on_visit: open\n", "    on_visit: open\n---\nregion: x\n", []string{`second document`}},
		"a key twice":                                 {"table: nightlatch\n", "table: nightlatch\ntable: other\n", []string{`nightlatch.yaml:3: mapping key "table" already defined at line 2`}},
		"a Region that is none":                       {"    region: eu-central-1", "    region: Frankfurt", []string{`nightlatch.yaml:24: endpoints.1.region: "Frankfurt" is not an AWS Region`}},
		"a user instead of a role":                    {"444455556666:role/nightlatch-spoke", "444455556666:user/nightlatch", []string{`nightlatch.yaml:29: endpoints.2.role_arn: "arn:aws:iam::444455556666:user/nightlatch" is not the ARN of a role in the endpoint's account`}},
		"an external id of one letter":                {"external_id: agreed", "external_id: x", []string{`nightlatch.yaml:30: endpoints.2.external_id: "x" is not an external id: two or more`}},
		"an external id and nobody to give it to":     {"    region: eu-central-1", "    region: eu-central-1\n    external_id: agreed", []string{`nightlatch.yaml:25: endpoints.1.external_id: is for assuming a role: name that in role_arn`}},
		"another Region without a schedule group": {"    deadman: {group: nightlatch-eu}\n", "",
			[]string{`nightlatch.yaml:22: endpoints.1.deadman.group: is missing: the endpoint's dead-man's switches are schedules in eu-central-1 of account 111122223333: name a schedule group that exists there`}},
		"another account without anything for the switch": {`    deadman: {group: nightlatch, role_arn: "arn:aws:iam::444455556666:role/nightlatch-deadman"}` + "\n", "",
			[]string{`nightlatch.yaml:27: endpoints.2.deadman.group: is missing: the endpoint's dead-man's switches are schedules in ap-northeast-2 of account 444455556666`,
				`nightlatch.yaml:27: endpoints.2.deadman.role_arn: needs a role of account 444455556666, in which the endpoint's dead-man's switches are made: one that trusts scheduler.amazonaws.com and may call ec2:DisassociateClientVpnTargetNetwork; arn:aws:iam::111122223333:role/nightlatch-deadman is of account 111122223333`}},
		"the switch's role in another account than the endpoint's": {`"arn:aws:iam::444455556666:role/nightlatch-deadman"`, `"arn:aws:iam::777788889999:role/nightlatch-deadman"`,
			[]string{`nightlatch.yaml:31: endpoints.2.deadman.role_arn: needs a role of account 444455556666`}},
		"the switch's role in an account where nobody acts": {"{group: nightlatch-eu}", `{group: nightlatch-eu, role_arn: "arn:aws:iam::777788889999:role/nightlatch-deadman"}`,
			[]string{`nightlatch.yaml:25: endpoints.1.deadman.role_arn: needs a role of account 111122223333`}},
		"a schedule group that is none":  {"{group: nightlatch-eu}", "{group: the group}", []string{`nightlatch.yaml:25: endpoints.1.deadman.group: "the group" is not the schedule group's name`}},
		"a misspelt key of the switch's": {"{group: nightlatch-eu}", "{gruop: nightlatch-eu}", []string{`nightlatch.yaml:25: unknown key "gruop": did you mean "group"?`}},
		"an endpoint twice": {"    on_visit: open\n", "    on_visit: open\n  - name: office\n    id: cvpn-endpoint-0123456789abcdef0\n    subnets: [subnet-0a]\n",
			[]string{`nightlatch.yaml:22: endpoints.1: office (cvpn-endpoint-0123456789abcdef0) is configured twice`}},
		"a word that is none of the choices": {"on_visit: open", "on_visit: opne", []string{`nightlatch.yaml:21: endpoints.0.on_visit: "opne" is none of look, open`}},
	} {
		t.Run(name, func(t *testing.T) {
			file := good
			if !strings.Contains(good, tt.from) {
				file += spokes
			}
			_, err := config.Parse("nightlatch.yaml", []byte(strings.Replace(file, tt.from, tt.to, 1)))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the message lacks %q; it is:\n%v", w, err)
				}
			}
		})
	}
	if _, err := config.Parse("nightlatch.yaml", nil); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty file: %v", err)
	}
}

// ownSignIn takes the place of good's signin.alb.
const ownSignIn = `signin:
  oidc:
    issuer: https://login.example/realms/corp/
    client_id: nightlatch
    redirect_url: https://vpn.example.com/oauth2/callback
`

func withOIDC(more string) string {
	before, rest, _ := strings.Cut(good, "signin:\n")
	_, after, _ := strings.Cut(rest, "deadman:\n")
	return before + ownSignIn + more + "deadman:\n" + after
}

func TestSignInAtAnIssuer(t *testing.T) {
	c, err := config.Parse("nightlatch.yaml", []byte(withOIDC("")))
	if err != nil {
		t.Fatal(err)
	}
	want := config.OIDC{Issuer: "https://login.example/realms/corp/", ClientID: "nightlatch", RedirectURL: "https://vpn.example.com/oauth2/callback",
		Scopes: []string{"openid", "email", "profile"}, Session: 10 * time.Hour}
	if c.ALB != nil || c.OIDC == nil || !reflect.DeepEqual(*c.OIDC, want) {
		t.Errorf("got %+v, want %+v", c.OIDC, want)
	}
	c, err = config.Parse("nightlatch.yaml", []byte(withOIDC(`    logout_url: https://login.example/logout?client_id=nightlatch
    scopes: [openid, groups]
    authorize_params: {identity_provider: IdentityCenter}
    groups_claim: groups
    session: 8h
    sign_in_origins: [https://login.example]
`)))
	want.LogoutURL, want.Scopes, want.AuthorizeParams = "https://login.example/logout?client_id=nightlatch", []string{"openid", "groups"}, map[string]string{"identity_provider": "IdentityCenter"}
	want.GroupsClaim, want.Session, want.SignInOrigins = "groups", 8*time.Hour, []string{"https://login.example"}
	if err != nil || !reflect.DeepEqual(*c.OIDC, want) {
		t.Errorf("got %v, %+v, want %+v", err, c.OIDC, want)
	}
}

func TestFaultsOfTheSignIn(t *testing.T) {
	both := strings.Replace(good, "signin:\n", ownSignIn, 1)
	without, _, _ := strings.Cut(good, "signin:\n")
	for name, tt := range map[string]struct{ file, want string }{
		"neither front":             {without, `nightlatch.yaml:1: signin: is missing: name a load balancer that signs people in (alb), or an issuer at which Nightlatch does (oidc)`},
		"both fronts":               {both, `nightlatch.yaml:3: signin: names both alb and oidc: a function has one front`},
		"a misspelt key":            {withOIDC("    sesion: 8h\n"), `nightlatch.yaml:8: unknown key "sesion": did you mean "session"?`},
		"an issuer in the clear":    {strings.Replace(withOIDC(""), "https://login", "http://login", 1), `nightlatch.yaml:5: signin.oidc.issuer: "http://login.example/realms/corp/" is not the issuer`},
		"no client":                 {strings.Replace(withOIDC(""), "    client_id: nightlatch\n", "", 1), `nightlatch.yaml:4: signin.oidc.client_id: is missing`},
		"another callback":          {strings.Replace(withOIDC(""), "/oauth2/callback", "/callback", 1), `nightlatch.yaml:7: signin.oidc.redirect_url: "https://vpn.example.com/callback" is not the page's host with /oauth2/callback`},
		"a way out in the clear":    {withOIDC("    logout_url: http://login.example/logout\n"), `nightlatch.yaml:8: signin.oidc.logout_url: "http://login.example/logout" is not an https URL`},
		"Cognito without a way out": {strings.Replace(withOIDC(""), "https://login.example/realms/corp/", "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_A", 1), `nightlatch.yaml:4: signin.oidc.logout_url: is missing: Cognito is not told in the standard's words where to lead back to: https://DOMAIN/logout?client_id=…&logout_uri=https%3A%2F%2FHOST%2Fsigned-out`},
		"not OpenID Connect":        {withOIDC("    scopes: [email]\n"), `nightlatch.yaml:8: signin.oidc.scopes: openid must be among them`},
		"no scopes":                 {withOIDC("    scopes: []\n"), `nightlatch.yaml:8: signin.oidc.scopes: openid must be among them`},
		"a nonce of one's own":      {withOIDC("    authorize_params:\n      prompt: login\n      nonce: x\n"), `nightlatch.yaml:10: signin.oidc.authorize_params.nonce: is Nightlatch's own`},
		"more than a working day":   {withOIDC("    session: 13h\n"), `nightlatch.yaml:8: signin.oidc.session: 13h0m0s is not between a minute and 12h0m0s, a working day`},
		"less than a minute":        {withOIDC("    session: -1h\n"), `nightlatch.yaml:8: signin.oidc.session: -1h0m0s is not between`},
		"no origin":                 {withOIDC("    sign_in_origins: [login.example]\n"), `nightlatch.yaml:8: signin.oidc.sign_in_origins.0: "login.example" is not an origin`},
	} {
		if _, err := config.Parse("nightlatch.yaml", []byte(tt.file)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got\n%v\nwant\n%s", name, err, tt.want)
		}
	}
}

func TestEndpointByName(t *testing.T) {
	c, err := config.Parse("nightlatch.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"office", string(c.Endpoints[0].ID)} {
		if e, err := c.Endpoint(name); err != nil || e.Name != "office" {
			t.Errorf("%s: got %q, %v, want office", name, e.Name, err)
		}
	}
	for name, say := range map[string]string{
		"offcie":    `there is no endpoint "offcie": did you mean office? There are: office`,
		"elsewhere": `there is no endpoint "elsewhere". There are: office`,
	} {
		if _, err := c.Endpoint(name); err == nil || err.Error() != say {
			t.Errorf("got %v, want %s", err, say)
		}
	}
}

// FuzzConfig: whatever the file, an answer or faults, never a panic; and what is accepted can be decided by.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(good + spokes))
	f.Add([]byte(good + rules))
	f.Add([]byte(withOIDC("    session: 8h\n")))
	f.Add([]byte(balanced))
	f.Add([]byte(gateway))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := config.Parse("fuzz.yaml", raw)
		if err != nil {
			return
		}
		if len(c.Endpoints) == 0 {
			t.Error("a configuration without endpoints was accepted")
		}
		for _, e := range c.Endpoints {
			for _, a := range access.Actions {
				for _, groups := range [][]string{nil, {"a", usersSID}} {
					q := access.Request{Who: access.Identity{Principal: latch.Principal{Subject: "x"}, Groups: groups}, Endpoint: e.Name, Action: a, At: time.Unix(1_800_000_000, 0)}
					whole := c.Access.Decide(q)
					q.Who.GroupsCut = true
					cut := c.Access.Decide(q)
					if !slices.Contains(access.Codes, whole.Code) || !slices.Contains(access.Codes, cut.Code) || cut.Allowed && !whole.Allowed && groups == nil {
						t.Errorf("%s %s: %+v, with a list that is cut %+v", e.Name, a, whole, cut)
					}
				}
			}
		}
	})
}
