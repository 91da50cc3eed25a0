package deploy

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/nightlatch/nightlatch/internal/config"
)

// ConsoleSteps is what somebody has to enter in IAM Identity Center's console, of which no API takes a SAML application
// (CreateApplication, IAM Identity Center API Reference). Outputs are the deployed stack's.
func ConsoleSteps(c *config.Config, outputs map[string]string) string {
	name := "Nightlatch"
	if c.Deploy.Stack != "nightlatch" {
		name += " (" + c.Deploy.Stack + ")"
	}
	var b strings.Builder
	table := func(rows ...[]string) {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, r := range rows {
			fmt.Fprintf(w, "       %s\n", strings.Join(r, "\t"))
		}
		w.Flush()
	}
	fmt.Fprintf(&b, `Sign-in is not set up yet: the page answers that it is not finished. In IAM Identity Center's console, in the account and
Region where Identity Center is:

  1. Applications > Add application > I have an application I want to set up > SAML 2.0. Enter:

`)
	table([]string{"Display name", name}, []string{"Description", "Switches the VPN on for those who need it"}, []string{"Application start URL", outputs[OutputStartURL]},
		[]string{"Relay state", "(leave empty)"})
	fmt.Fprintf(&b, `
     Copy the address under "IAM Identity Center SAML metadata file": step 5 wants it. Under "Application metadata" choose
     "Manually type your metadata values":

`)
	table([]string{"Application ACS URL", outputs[OutputACSURL]}, []string{"Application SAML audience", outputs[OutputSAMLAudience]})
	fmt.Fprintf(&b, `
  2. In the application, Actions > Edit attribute mappings. Letters count, also their case:

`)
	rows := [][]string{{"User attribute in the application", "Maps to", "Format"}, {"Subject", "${user:subject}", "persistent"}, {"Email", "${user:email}", "basic"}}
	if c.Deploy.Groups {
		rows = append(rows, []string{"Groups", "${user:groups}", "basic"})
	}
	table(rows...)
	if c.Deploy.Groups {
		fmt.Fprintf(&b, `
     Of an Active Directory the groups are SIDs, and Cognito takes 2,048 characters of them, about thirty: who is in more
     cannot sign in. Sync those groups alone that rules are about.
`)
	}
	fmt.Fprintf(&b, `
  3. In the application, Assign users and groups: the group of those who may use the VPN. Nobody else can sign in.

  4. Settings > Authentication > Multi-factor authentication > Configure, if it is not so already:

`)
	table([]string{"Prompt users for MFA", "Every time they sign in (always-on)"}, []string{"Users can authenticate with", "Authenticator apps"},
		[]string{"If a user does not yet have", "Require them to register an MFA device at sign in"}, []string{"a registered MFA device", ""})
	fmt.Fprintf(&b, `
     Have people register their device in the access portal first: Cognito gives up a sign-in after five minutes.

  5. Finish with the address from step 1:

       nightlatch deploy apply --saml-metadata https://portal.sso.REGION.amazonaws.com/saml/metadata/…
`)
	return b.String()
}
