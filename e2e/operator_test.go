package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/e2e/browser"
	"github.com/nightlatch/nightlatch/e2e/demo"
)

// nightlatch runs the command line as an operator does, with the configuration that the functions have, and returns what
// it prints.
func nightlatch(t *testing.T, d *demo.Demo, args ...string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, append(args, "--config", filepath.Join(d.Dir, "function", "nightlatch.yaml"))...)
	c.Env = append(operator(t, d), "AWS_ENDPOINT_URL="+d.AWS.EndpointURL)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	must(t, err, "nightlatch %s: %s", strings.Join(args, " "), said.Bytes())
	return out
}

// shows waits until a page has the text.
func shows(t *testing.T, p *browser.Person, text string) {
	t.Helper()
	must(t, p.Until(fmt.Sprintf(`document.querySelector("main")?.innerText.includes(%q)`, text)), "wait for %q", text)
}

// TestOperator: whoever may administer looks after somebody's time and closes the door, without JavaScript, and somebody
// who is blocked is out with the next request, behind either front.
func TestOperator(t *testing.T) {
	t.Parallel()
	for _, front := range []string{"alb", "httpapi"} {
		t.Run(front, func(t *testing.T) {
			t.Parallel()
			d := start(t, append([]string{"--front", front}, quick...)...)
			accounts, err := d.Accounts(t.Context())
			must(t, err, "accounts")
			alice, olivia := guest(t, browser.Options{Window: browser.Phone}), guest(t, browser.Options{NoScript: true})
			for p, name := range map[*browser.Person]string{alice: d.Users[0].Username, olivia: d.Operator} {
				_, err := p.SignIn(d.URL, accounts[name].Username, accounts[name].Password)
				must(t, err, "sign in %s", name)
			}
			must(t, alice.Follow("#form-open button[type=submit]"), "open")
			must(t, alice.State("open"), "ready")
			if there, err := alice.Has(`a[href="/admin"]`); err != nil || there {
				t.Errorf("the page leads alice to administration (%v)", err)
			}
			must(t, alice.Visit(d.URL+"admin"), "try all the same")
			shows(t, alice, "This is for administrators")
			must(t, alice.Visit(d.URL), "back")

			order := func(name, length, reason string) {
				t.Helper()
				must(t, olivia.Visit(d.URL+"admin/endpoints/office"), "administer")
				must(t, olivia.Press("#form-"+name+" summary"), "unfold %s", name)
				if reason != "" {
					must(t, olivia.Type("#"+name+"-reason", reason), "say why")
				}
				must(t, olivia.Follow("#form-"+name+" button[type=submit]"), "%s", name)
			}
			must(t, olivia.Visit(d.URL+"admin/endpoints/office"), "administer")
			must(t, olivia.Press("#form-leases input[name=whose]"), "choose alice's time")
			must(t, olivia.Follow(`#form-leases button[formaction]`), "extend it")
			order("pause", "", "works on the network")
			shows(t, alice, "works on the network") // of itself
			must(t, olivia.Follow("#form-release button"), "allow it again")

			must(t, olivia.Press("#form-leases input[name=whose]"), "choose alice's time")
			must(t, olivia.Follow("#form-leases button.danger"), "end it")
			must(t, alice.State("off"), "off")
			order("break-glass", "", "the door is on fire")
			must(t, olivia.Visit(d.URL+"admin/audit?endpoint=office"), "audit")
			for _, want := range []string{"break-glass", "the door is on fire", "pause", "release", "end-for", "extend-for"} {
				if says := olivia.Sees(); !strings.Contains(says, want) {
					t.Errorf("the audit lacks %q:\n%s", want, says)
				}
			}

			var audit []struct{ Subject, Name string }
			must(t, json.Unmarshal(nightlatch(t, d, "audit", "export", "--format", "json"), &audit), "read the export")
			by := map[string]string{}
			for _, e := range audit {
				by[e.Name] = e.Subject
			}
			block := by["alice@corp.example"]
			if block == "" {
				t.Fatalf("the export does not name alice: %v", by)
			}
			asks := func(want int) {
				t.Helper()
				if status, err := browser.Eval[int](alice, `fetch("/api/v1/endpoints").then(r => r.status)`); err != nil || status != want {
					t.Errorf("alice is answered with %d, %v; want %d", status, err, want)
				}
			}
			asks(http.StatusOK)
			nightlatch(t, d, "access", "block", block, "--reason", "lost phone")
			asks(http.StatusForbidden)
			must(t, alice.Visit(d.URL), "visit")
			shows(t, alice, "An administrator has blocked this account.")
			must(t, olivia.Visit(d.URL+"admin"), "administer")
			shows(t, olivia, "lost phone")
			nightlatch(t, d, "access", "unblock", block)
			asks(http.StatusOK)
		})
	}
}
