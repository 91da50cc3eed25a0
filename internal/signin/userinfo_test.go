package signin

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// What an ID token does not say, the userinfo endpoint is asked for; and what it does, is not.
func TestUserInfo(t *testing.T) {
	bare := map[string]any{"name": nil, "email": nil, "groups": nil}
	hana := map[string]any{"sub": opSubject, "name": "Hana Lee", "email": "hana@corp.example", "groups": []string{"S-1-5-21-1-2-3-513"}}
	for name, tt := range map[string]struct {
		token  map[string]any // nil: taken away
		info   any            // nil: nobody answers
		status int
		groups string // the configured claim
		want   string // name, e-mail and groups
		asked  bool
		err    error
	}{
		"a token that says it all is believed":          {info: hana, groups: "groups", want: "이하나[31m lee@corp.example S-1-5-21-1-2-3-512"},
		"a name is asked for":                           {token: bare, info: hana, want: "Hana Lee hana@corp.example ", asked: true},
		"a name is asked for, and groups":               {token: bare, info: hana, groups: "groups", want: "Hana Lee hana@corp.example S-1-5-21-1-2-3-513", asked: true},
		"groups alone are, and the name is the token's": {token: map[string]any{"groups": nil}, info: hana, groups: "groups", want: "이하나[31m lee@corp.example S-1-5-21-1-2-3-513", asked: true},
		"an e-mail address is a name":                   {token: map[string]any{"name": nil}, info: hana, want: "lee@corp.example lee@corp.example "},
		"a token that sends elsewhere for groups":       {token: map[string]any{"groups": nil, "_claim_names": map[string]string{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "https://graph.example/groups"}}}, info: hana, groups: "groups", want: "이하나[31m lee@corp.example cut"},
		"about somebody else":                           {token: bare, info: map[string]any{"sub": "other", "name": "Mallory"}, asked: true, err: ErrToken},
		"about nobody":                                  {token: bare, info: map[string]any{"name": "Mallory"}, asked: true, err: ErrToken},
		"about two":                                     {token: bare, info: raw(`{"sub":"other","sub":"` + opSubject + `","name":"Mallory"}`), asked: true, err: ErrIssuer},
		"not to be had":                                 {token: bare, asked: true, err: ErrIssuer},
		"refused":                                       {token: bare, info: map[string]any{"error": "canary"}, status: 401, asked: true, err: ErrIssuer},
		"no object":                                     {token: bare, info: []string{"canary"}, asked: true, err: ErrIssuer},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, func(c *OIDCConfig) { c.GroupsClaim = tt.groups })
				b.op.meta["userinfo_endpoint"] = opIssuer + "/me"
				was := b.op.token
				b.op.token = func(claims map[string]any) string {
					for name, value := range tt.token {
						if claims[name] = value; value == nil {
							delete(claims, name)
						}
					}
					return was(claims)
				}
				b.op.answer = func(r *http.Request) (*http.Response, error, bool) {
					if r.URL.Path != "/realm/me" {
						return nil, nil, false
					}
					if got := r.Header.Get("Authorization"); got != "Bearer canary-access-token" {
						t.Errorf("asked with %q, want the access token", got)
					}
					if tt.info == nil {
						return nil, io.ErrUnexpectedEOF, true
					}
					if text, ok := tt.info.(raw); ok {
						answer := says(200, nil)
						answer.Body = io.NopCloser(strings.NewReader(string(text)))
						return answer, nil, true
					}
					return says(max(tt.status, 200), tt.info), nil, true
				}
				_, err := b.signIn(newBrowser(t), "/")
				b.quiet(err)
				if asked := slices.Contains(b.op.asked, "/me"); asked != tt.asked {
					t.Errorf("asked: %v, want %v", asked, tt.asked)
				}
				if !errors.Is(err, tt.err) {
					t.Fatalf("got %v, want %v", err, tt.err)
				}
				if all := b.sessions(); tt.err != nil {
					if len(all) != 0 {
						t.Errorf("got sessions %+v, want none", all)
					}
					return
				}
				s := b.sessions()[0]
				got := s.Name + " " + s.Email + " " + strings.Join(s.Groups, ",")
				if s.GroupsCut {
					got += "cut"
				}
				if got != tt.want || s.Subject != opSubject {
					t.Errorf("got %s, %q, want %q", s.Subject, got, tt.want)
				}
			})
		})
	}
}

// raw is JSON as an issuer wrote it.
type raw string

func TestAnIssuerWithoutUserInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(c *OIDCConfig) { c.GroupsClaim = "" })
		was := b.op.token
		b.op.token = func(claims map[string]any) string {
			delete(claims, "name")
			delete(claims, "email")
			return was(claims)
		}
		if _, err := b.signIn(newBrowser(t), "/"); err != nil {
			t.Fatal(err)
		}
		if s := b.sessions()[0]; s.Name != "" || s.Subject != opSubject {
			t.Errorf("got %+v, want the subject and no name", s)
		}
	})
}
