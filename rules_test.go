// Package nightlatch_test holds what every package of the module keeps to: who may import whom, where the AWS SDK and
// the environment may be seen, how tests wait, what the Lambda build consists of, which versions must not go back, and
// that the documents' links lead somewhere. Each rule is a table with its reasons; a path in a table that no longer
// exists is a failure too, so that a rule cannot outlive what it was about.
package nightlatch_test

import (
	"cmp"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/nightlatch/nightlatch"

// imports says which packages of ours each package may import, in its code and, beside that, in its tests. A package
// that is not in the table fails the test: a new one needs a line here, and so a thought.
var imports = []struct {
	who, may, tests string // folders, separated by spaces
	why             string
}{
	{"internal/latch", "", "internal/latch/latchtest",
		"the domain decides by what it is told; whoever shows it EC2, HTTP or DynamoDB can change its mind by accident"},
	{"internal/latch/latchtest", "internal/latch", "",
		"the suites judge every adapter alike, so they know none of them"},
	{"internal/latch/mutate", "", "",
		"it breaks the latch's source and runs its tests; it depends on none of what it breaks"},
	{"internal/awserr", "internal/latch", "",
		"the shape of the SDK's failures, which the adapters share; it knows none of them"},
	{"internal/clientvpn", "internal/latch internal/awserr", "internal/latch/latchtest internal/standin/ec2 internal/standin/sigv4",
		"adapters know the domain and not each other: one can be replaced without reading the rest"},
	{"internal/store", "internal/access internal/latch internal/awserr", "internal/access/accesstest internal/latch/latchtest internal/standin/dynamodb internal/standin/sigv4",
		"as clientvpn"},
	{"internal/deadman", "internal/latch internal/awserr", "internal/latch/latchtest internal/standin/ec2 internal/standin/iam internal/standin/scheduler internal/standin/sigv4",
		"as clientvpn"},
	{"internal/notify", "internal/latch internal/secret", "",
		"as clientvpn"},
	{"internal/role", "internal/awserr", "internal/latch internal/latch/latchtest internal/standin/sts internal/standin/sigv4",
		"as clientvpn; what it gives is the SDK's, and the domain knows nothing of credentials"},
	{"internal/access", "internal/latch", "",
		"domain, as latch: it decides by what it is told, and reads nothing"},
	{"internal/access/accesstest", "internal/access internal/latch", "",
		"as latchtest: the suite judges every store alike"},
	{"internal/signin", "internal/access internal/latch internal/secret", "internal/access/accesstest",
		"as clientvpn"},
	{"internal/secret", "", "",
		"a text that does not tell itself, whoever has it"},
	{"internal/config", "internal/access internal/latch", "",
		"the file's words become the domain's policy; what is built from it is cmd's business"},
	{"internal/deploy", "internal/awserr internal/config internal/latch internal/secret", "internal/standin/cloudformation internal/standin/sigv4 internal/standin/sts",
		"it renders and deploys what the configuration says; what the functions do with it is theirs, and it opens and closes nothing"},
	{"internal/survey", "internal/awserr internal/latch", "internal/config",
		"it says what an account holds, to whoever drafts or examines; it decides nothing"},
	{"internal/doctor", "internal/config internal/latch internal/survey", "",
		"its checks are made of what the survey tells, so that each can be provoked without AWS"},
	{"internal/web", "internal/access internal/latch internal/signin", "",
		"pages and API see the keeper and the person, never AWS: a page that can call EC2 will, on a GET"},
	{"internal/lambdahost", "", "",
		"it turns events into http.Handler calls and would do so for any program"},
	{"internal/metrics", "internal/latch", "",
		"it puts what the latch tells into CloudWatch's words, which the latch must not know"},
	{"internal/inside", "internal/latch", "",
		"it judges what the adapters' probes answer, and is handed them: so it can be tested with nothing but answers"},
	{"bench", "internal/standin/alb internal/standin/certs internal/standin/dynamodb internal/standin/ec2 internal/standin/proxy internal/standin/scheduler internal/standin/sigv4", "",
		"it measures the product as a program, from outside"},
	{"bench/empty", "", "",
		"what it holds beside Lambda's runtime would be in every comparison"},
	{"internal/check", "", "",
		"the test command must run when nothing else compiles"},
	{"internal/standin/statefile", "", "", "shared by stand-ins; it knows none of them"},
	{"internal/standin/switches", "", "", "shared by stand-ins; it knows none of them"},
	{"internal/standin/wiretap", "", "", "it hears every stand-in and knows none of them"},
	{"internal/standin/sigv4", "", "", "shared by stand-ins; it knows none of them"},
	{"internal/standin/certs", "internal/standin/statefile", "", "the demo's own, and no stand-in's"},
	{"internal/standin/alb", "internal/standin/statefile internal/standin/switches internal/standin/sigv4", "",
		"a stand-in that shares the product's types shares its mistakes; and one that imports another can only be used with it"},
	{"internal/standin/cloudformation", "internal/standin/switches internal/standin/sigv4", "", "as alb"},
	{"internal/standin/cognito", "internal/standin/statefile internal/standin/switches internal/standin/wiretap", "", "as alb"},
	{"internal/standin/console", "internal/standin/statefile internal/standin/switches internal/standin/wiretap", "", "as alb"},
	{"internal/standin/directory", "internal/standin/statefile internal/standin/switches internal/standin/wiretap", "", "as alb"},
	{"internal/standin/dynamodb", "internal/standin/statefile internal/standin/switches internal/standin/sigv4", "", "as alb"},
	{"internal/standin/ec2", "internal/standin/statefile internal/standin/switches internal/standin/sigv4", "", "as alb"},
	{"internal/standin/httpapi", "internal/standin/switches internal/standin/sigv4", "", "as alb"},
	{"internal/standin/iam", "", "", "as alb; the stand-ins ask it through functions of their own configuration"},
	{"internal/standin/identitycenter", "internal/standin/statefile internal/standin/switches", "internal/standin/directory", "as alb"},
	{"internal/standin/lambda", "internal/standin/switches internal/standin/sigv4", "", "as alb"},
	{"internal/standin/proxy", "", "", "as alb"},
	{"internal/standin/scheduler", "internal/standin/statefile internal/standin/switches internal/standin/sigv4", "", "as alb"},
	{"internal/standin/sts", "internal/standin/sigv4", "", "as alb"},
	{"cmd/nightlatch", "internal/access internal/awserr internal/clientvpn internal/config internal/deadman internal/deploy internal/lambdahost internal/latch internal/notify internal/role internal/secret internal/signin internal/store internal/web internal/doctor internal/survey " +
		"internal/standin/alb internal/standin/certs internal/standin/cloudformation internal/standin/cognito internal/standin/console internal/standin/directory internal/standin/dynamodb " +
		"internal/standin/ec2 internal/standin/httpapi internal/standin/iam internal/standin/identitycenter internal/standin/lambda internal/standin/proxy internal/standin/scheduler " +
		"internal/standin/sigv4 internal/standin/statefile internal/standin/sts internal/standin/switches internal/standin/wiretap internal/inside internal/metrics", "internal/latch/latchtest",
		"only the binary sees everything, but it wires no test fake and does not check itself"},
}

// outside says where a module or package that is not ours may be imported. The longest prefix decides. Tests of the
// folders in may, and those of the folders in tests, may import it too; "*" is everywhere.
var outside = []struct {
	prefix, may, tests string // may: folders or single files
	why                string
}{
	{"github.com/aws/aws-sdk-go-v2", "internal/clientvpn internal/role internal/store internal/deadman internal/survey internal/deploy",
		"internal/standin/cloudformation internal/standin/dynamodb internal/standin/ec2 internal/standin/scheduler internal/standin/sigv4 internal/standin/sts",
		"AWS is reached through the adapters alone; the stand-ins' tests use the SDK as a client that nobody here wrote"},
	{"github.com/aws/smithy-go", "internal/awserr internal/clientvpn internal/store internal/deadman cmd/nightlatch/operator.go internal/survey",
		"internal/standin/cloudformation internal/standin/dynamodb internal/standin/ec2 internal/standin/scheduler internal/standin/sts",
		"part of the SDK"},
	{"github.com/aws/aws-sdk-go-v2/aws", "internal/awserr internal/clientvpn internal/role internal/store internal/deadman cmd/nightlatch/aws.go cmd/nightlatch/lambda_doctor.go cmd/nightlatch/operator.go internal/survey cmd/nightlatch/doctor.go internal/deploy cmd/nightlatch/deploy.go cmd/nightlatch/deploy_destroy.go",
		"internal/standin/cloudformation internal/standin/dynamodb internal/standin/ec2 internal/standin/scheduler internal/standin/sigv4 internal/standin/sts",
		"the binary makes one aws.Config for the functions, in one file, and one for operators, in another; the doctor's event takes the first with another client"},
	{"github.com/aws/aws-sdk-go-v2/credentials", "cmd/nightlatch/aws.go",
		"internal/clientvpn internal/role internal/store internal/deadman internal/standin/cloudformation internal/standin/dynamodb internal/standin/ec2 internal/standin/scheduler internal/standin/sts internal/survey",
		"adapters are given credentials and look for none"},
	{"github.com/aws/aws-sdk-go-v2/credentials/stscreds", "internal/role", "",
		"the one place where a role is assumed"},
	{"github.com/aws/aws-sdk-go-v2/config", "cmd/nightlatch/operator.go", "",
		"operators have profiles and single sign-on; it costs every cold start what three environment variables tell (docs/decisions/0009)"},
	{"github.com/aws/aws-sdk-go-v2/service/sts", "cmd/nightlatch/operator.go internal/role internal/survey internal/deploy", "internal/standin/sts",
		"it names operators, and assumes the roles of endpoints in other accounts"},
	{"github.com/aws/aws-lambda-go", "internal/lambdahost bench/empty", "internal/standin/lambda",
		"lambdahost is the one that knows Lambda; the stand-in's test runs AWS's own runtime client as the child"},
	{"github.com/rogpeppe/go-internal", "", "cmd/nightlatch",
		"scripts specify the command line"},
	{"github.com/spf13/cobra", "cmd/nightlatch", "",
		"the command line's, and not in the Lambda build"},
	{"github.com/coreos/go-oidc", "internal/signin", "internal/standin/cognito",
		"signing in is one package's; the stand-in's tests use it as a client that nobody here wrote"},
	{"golang.org/x/oauth2", "internal/signin", "internal/standin/cognito",
		"go-oidc's other half"},
	{"github.com/crewjam/saml", "internal/standin/cognito", "internal/standin/identitycenter",
		"the product speaks no SAML: Cognito does"},
	{"github.com/go-ldap/ldap/v3", "internal/standin/identitycenter", "internal/standin/directory",
		"the product speaks no LDAP: Identity Center does"},
}

// standardOnly are packages that import nothing from outside at all.
var standardOnly = map[string]string{
	"internal/latch":             "it must be readable and testable with Go alone",
	"internal/access":            "as latch",
	"internal/access/accesstest": "as latch",
	"internal/latch/latchtest":   "as latch",
	"internal/latch/mutate":      "as latch",
	"internal/metrics":           "a line of JSON needs no SDK",
	"internal/inside":            "as latch",
	"internal/check":             "it must start on a machine that has Go and git and no module yet",
	"internal/standin/statefile": "every stand-in imports it",
	"internal/standin/wiretap":   "what it shows must be readable without knowing any SDK",
	"internal/standin/switches":  "every stand-in imports it",
	"internal/standin/sigv4":     "every stand-in imports it, and it is compared with the SDK's signer",
}

// lambdaBuild is all that the Lambda build may consist of: our packages, and modules from outside. A stand-in, the
// command line or deployment code in it would be attack surface and cold start for nothing.
var lambdaBuild = []string{
	"cmd/nightlatch", "internal/access", "internal/awserr", "internal/clientvpn", "internal/config", "internal/deadman", "internal/inside", "internal/lambdahost", "internal/latch", "internal/metrics", "internal/notify", "internal/role",
	"internal/secret", "internal/signin", "internal/store", "internal/web",
	"github.com/aws/aws-lambda-go", "github.com/aws/aws-sdk-go-v2", "github.com/aws/aws-sdk-go-v2/credentials",
	"github.com/aws/aws-sdk-go-v2/internal/configsources", "github.com/aws/aws-sdk-go-v2/internal/endpoints/v2",
	"github.com/aws/aws-sdk-go-v2/internal/v4a", // STS's client brings it
	"github.com/aws/aws-sdk-go-v2/service/dynamodb", "github.com/aws/aws-sdk-go-v2/service/ec2", "github.com/aws/aws-sdk-go-v2/service/scheduler",
	"github.com/aws/aws-sdk-go-v2/service/sts",
	"github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding", "github.com/aws/aws-sdk-go-v2/service/internal/endpoint-discovery",
	"github.com/aws/aws-sdk-go-v2/service/internal/presigned-url", "github.com/aws/smithy-go", "go.yaml.in/yaml/v3", "golang.org/x/sync", "golang.org/x/text",
	"github.com/coreos/go-oidc/v3", "github.com/go-jose/go-jose/v4", "golang.org/x/oauth2", // signing in at an issuer
}

// pins are versions that must not go back, whatever else selects a lower one.
var pins = map[string]struct{ least, why string }{
	"github.com/russellhaering/goxmldsig": {"v1.6.1", "before 1.6.0 a signature could be bypassed (CVE-2026-33487); crewjam/saml alone selects an affected one"},
	"github.com/beevik/etree":             {"v1.8.1", "the version that goxmldsig 1.6.1 was tried with"},
	"github.com/go-jose/go-jose/v4":       {"v4.1.8", "before 4.1.4 a crafted message could stop the reader (CVE-2026-34986); go-oidc alone selects that very version"},
}

func TestImports(t *testing.T) {
	known := map[string]bool{}
	for _, r := range imports {
		known[r.who] = true
		for p := range strings.FieldsSeq(r.who + " " + r.may + " " + r.tests) {
			exists(t, p, "the import table names it")
		}
	}
	for _, f := range files(t) {
		if !known[f.dir] && f.dir != "." {
			t.Errorf("%s: %s is not in the import table of rules_test.go: add a line that says what it may import, and why", f.path, f.dir)
		}
		for _, r := range imports {
			if r.who != f.dir {
				continue
			}
			may := append(strings.Fields(r.may), f.dir) // its external tests import the package itself
			if f.test {
				may = append(may, strings.Fields(r.tests)...)
			}
			for p, line := range f.imports {
				if ours, ok := strings.CutPrefix(p, module+"/"); ok && !slices.Contains(may, ours) {
					t.Errorf("%s:%d: %s must not import %s: %s", f.path, line, f.dir, ours, r.why)
				}
			}
		}
	}
}

func TestOutsideImports(t *testing.T) {
	for _, r := range outside {
		for p := range strings.FieldsSeq(r.may + " " + r.tests) {
			exists(t, p, "the table of outside imports names it for "+r.prefix)
		}
	}
	for dir := range standardOnly {
		exists(t, dir, "it is listed as one that imports the standard library only")
	}
	for _, f := range files(t) {
		for p, line := range f.imports {
			if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") || within(p, module) {
				continue
			}
			if why, ok := standardOnly[f.dir]; ok && !f.test {
				t.Errorf("%s:%d: imports %s, but %s imports the standard library only: %s", f.path, line, p, f.dir, why)
			}
			best := -1
			for i, r := range outside {
				if within(p, r.prefix) && (best < 0 || len(r.prefix) > len(outside[best].prefix)) {
					best = i
				}
			}
			if best < 0 {
				continue
			}
			r := outside[best]
			may := strings.Fields(r.may)
			if f.test {
				may = append(may, strings.Fields(r.tests)...)
			}
			if !slices.Contains(may, f.dir) && !slices.Contains(may, f.path) {
				t.Errorf("%s:%d: must not import %s: %s", f.path, line, p, r.why)
			}
		}
	}
}

func TestLambdaBuild(t *testing.T) {
	for _, p := range lambdaBuild {
		if !strings.Contains(p, ".") {
			exists(t, p, "it is listed as part of the Lambda build")
		}
	}
	out := run(t, []string{"GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0"}, "go", "list", "-deps", "-tags", "lambda,lambda.norpc",
		"-f", "{{with .Module}}{{.Path}} {{end}}{{.ImportPath}}", "./cmd/nightlatch")
	used := map[string]bool{}
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) == 1 {
			if words[0] == "net/rpc" {
				t.Errorf("the Lambda build holds net/rpc, the runtime of a Lambda that no longer exists: is the tag lambda.norpc gone?")
			}
			continue
		}
		mod, what := words[0], words[0]
		if mod == module {
			what = strings.TrimPrefix(words[1], module+"/")
		}
		used[what] = true
		if !slices.Contains(lambdaBuild, what) {
			t.Errorf("the Lambda build holds %s, which its list in rules_test.go does not", words[1])
		}
	}
	for _, p := range lambdaBuild {
		if !used[p] {
			t.Errorf("%s is listed as part of the Lambda build and is not in it: take it off the list", p)
		}
	}
}

// The environment is read in cmd alone: elsewhere it would be configuration that no file shows and no test sets.
func TestEnvironmentIsReadInCmd(t *testing.T) {
	for _, f := range files(t) {
		if f.test || within(f.dir, "cmd") || f.dir == "internal/check" { // a command too: what it starts inherits its environment
			continue
		}
		for _, name := range []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"} {
			for _, pos := range f.uses("os", name) {
				t.Errorf("%s: os.%s: take the value as a field of the package's Config; only cmd reads the environment", pos, name)
			}
		}
	}
}

// Everything that listens does so on loopback: a demo or a test must not be reachable from the network it runs in. That
// tests dial nothing else cannot be read off the source; internal/check runs them where only loopback exists.
func TestListenersAreOnLoopback(t *testing.T) {
	for _, f := range files(t) {
		for _, name := range []string{"ListenAndServe", "ListenAndServeTLS", "ListenTCP", "ListenUDP", "ListenPacket"} {
			for _, x := range []string{"http", "net"} {
				for _, pos := range f.uses(x, name) {
					t.Errorf("%s: %s.%s: use net.Listen with an address on 127.0.0.1", pos, x, name)
				}
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || len(c.Args) < 2 {
				return true
			}
			if s, ok := c.Fun.(*ast.SelectorExpr); !ok || s.Sel.Name != "Listen" {
				return true
			}
			address := c.Args[1] // also of tls.Listen
			if join, ok := address.(*ast.CallExpr); ok && len(join.Args) == 2 {
				address = join.Args[0] // net.JoinHostPort(host, port)
			}
			host := ""
			if l, ok := address.(*ast.BasicLit); ok {
				host, _ = strconv.Unquote(l.Value)
			}
			if host != "127.0.0.1" && !strings.HasPrefix(host, "127.0.0.1:") {
				t.Errorf("%s: listens on an address that is not written as 127.0.0.1", f.at(c))
			}
			return true
		})
	}
}

// A test that sleeps for real is slow on a good day and wrong on a bad one; in a synctest bubble it is neither.
//
// The rule is read off the syntax, by names alone. A time.Sleep in a test file, or in latchtest, is in a bubble when it
// stands
//   - in an argument of synctest.Test, or of a function of the package that hands a function of its caller's on to
//     synctest.Test,
//   - in a function literal of a table, in a function that has a bubble, or
//   - in a function or method that is used, and only in such places.
func TestSleepOnlyInBubbles(t *testing.T) {
	byDir := map[string][]*file{}
	for _, f := range files(t) {
		if f.test {
			byDir[f.dir] = append(byDir[f.dir], f)
		}
	}
	for _, fs := range byDir {
		for _, pos := range sleepsOutside(fs) {
			t.Errorf("%s: time.Sleep outside a synctest bubble: wait for what the test waits for, or run it in synctest.Test", pos)
		}
	}
}

func TestTheSleepRuleItself(t *testing.T) {
	const head = "package p\nimport (\"testing\"; \"testing/synctest\"; \"time\")\n"
	for name, tt := range map[string]struct {
		src string
		bad int
	}{
		"bare":                        {`func TestA(t *testing.T) { time.Sleep(1) }`, 1},
		"in a subtest":                {`func TestA(t *testing.T) { t.Run("x", func(t *testing.T) { time.Sleep(1) }) }`, 1},
		"in a bubble":                 {`func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }`, 0},
		"beside a bubble":             {`func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) {}); time.Sleep(1) }`, 1},
		"in a subtest by a bubble":    {`func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) {}); t.Run("x", func(t *testing.T) { time.Sleep(1) }) }`, 1},
		"in a table beside a bubble":  {`func TestA(t *testing.T) { for _, f := range []func(){func() { time.Sleep(1) }} { synctest.Test(t, func(t *testing.T) { f() }) } }`, 0},
		"in a helper of a bubble":     {`func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { wait() }) }; func wait() { time.Sleep(1) }`, 0},
		"in a helper of both":         {`func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { wait() }); wait() }; func wait() { time.Sleep(1) }`, 1},
		"in a helper of nobody":       {`func wait() { time.Sleep(1) }`, 1},
		"in a method":                 {`type w struct{}; func (w) wait() { time.Sleep(1) }; func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { w{}.wait() }) }`, 0},
		"in a bubble made by another": {`func in(t *testing.T, f func()) { synctest.Test(t, func(*testing.T) { f() }) }; func TestA(t *testing.T) { in(t, func() { time.Sleep(1) }) }`, 0},
		"by a helper with no bubble":  {`func in(f func()) { f() }; func TestA(t *testing.T) { in(func() { time.Sleep(1) }) }`, 1},
		"in a named test of a bubble": {`func TestA(t *testing.T) { synctest.Test(t, body) }; func body(t *testing.T) { time.Sleep(1) }`, 0},
		"two that call each other":    {`func a() { time.Sleep(1); b() }; func b() { a() }`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parse("p_test.go", []byte(head+tt.src))
			if err != nil {
				t.Fatal(err)
			}
			if got := sleepsOutside([]*file{f}); len(got) != tt.bad {
				t.Errorf("got %v, want %d", got, tt.bad)
			}
		})
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	said := map[string]bool{}
	for _, f := range files(t) {
		if _, external := strings.CutSuffix(f.ast.Name.Name, "_test"); external && f.dir != "." {
			continue
		}
		begins := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			begins = "Command " + path.Base(f.dir) + " "
		}
		said[f.dir] = said[f.dir] || strings.HasPrefix(f.ast.Doc.Text(), begins)
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s has no comment that begins with \"Package …\" (or \"Command …\") and says what it is", dir)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	span    = regexp.MustCompile("`((?:internal|cmd|docs|e2e)/[A-Za-z0-9_./-]*[A-Za-z0-9_])`")
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```")
)

// Links, and paths of ours in code spans, lead somewhere.
func TestDocumentsLeadSomewhere(t *testing.T) {
	for _, name := range documents(t) {
		raw := fenced.ReplaceAllString(string(read(t, name)), "")
		for _, m := range link.FindAllStringSubmatch(raw, -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			target := name
			if to != "" {
				target = path.Join(path.Dir(name), to)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: there is no %s", name, m[1], target)
				continue
			}
			if anchor != "" && strings.HasSuffix(target, ".md") && !slices.Contains(anchors(string(read(t, target))), anchor) {
				t.Errorf("%s: link to %s: %s has no such heading", name, m[1], target)
			}
		}
		for _, m := range span.FindAllStringSubmatch(raw, -1) {
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("%s: names %s, which does not exist", name, m[1])
			}
		}
	}
}

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w*)\(`)
	testName = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]*)(…?)(?:/[^`]*)?`")
)

// Tests that documents name exist: "held by" is worth what holds. Subtests are the business of their package.
func TestDocumentsNameTests(t *testing.T) {
	sources, err := filepath.Glob("e2e/*_test.go") // a module of its own
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files(t) {
		if strings.HasSuffix(f.path, "_test.go") {
			sources = append(sources, f.path)
		}
	}
	var all []string
	for _, name := range sources {
		for _, m := range testFunc.FindAllStringSubmatch(string(read(t, name)), -1) {
			all = append(all, m[1])
		}
	}
	for _, name := range documents(t) {
		for _, m := range testName.FindAllStringSubmatch(string(read(t, name)), -1) {
			if !slices.ContainsFunc(all, func(have string) bool { return have == m[1] || m[2] != "" && strings.HasPrefix(have, m[1]) }) {
				t.Errorf("%s: names the test %s, which does not exist", name, m[1]+m[2])
			}
		}
	}
}

// anchors are the fragments that a rendered document's headings have.
func anchors(raw string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(raw, -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(m[1])))
	}
	return out
}

var decisionFile = regexp.MustCompile(`^(\d{4})-[a-z0-9-]+\.md$`)

func TestDecisionsHaveTheirForm(t *testing.T) {
	const dir = "docs/decisions"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	next := 1
	for _, e := range entries { // in order of their names
		m := decisionFile.FindStringSubmatch(e.Name())
		if m == nil {
			if e.Name() != "dependencies.md" {
				t.Errorf("%s/%s: a decision's file is called NNNN-what-it-is.md", dir, e.Name())
			}
			continue
		}
		if n, _ := strconv.Atoi(m[1]); n != next {
			t.Errorf("%s/%s: got number %d, want %04d: numbers are never used twice and leave no gap", dir, e.Name(), n, next)
		}
		next++
		raw := string(read(t, dir+"/"+e.Name()))
		form := regexp.MustCompile(`^# ` + m[1] + `\. .+\n\n20\d\d-\d\d-\d\d\. `)
		if !form.MatchString(raw) || !strings.Contains(raw, "\n## Rejected\n") {
			t.Errorf("%s/%s: begins with \"# %s. …\" and the date, and has a section \"Rejected\"", dir, e.Name(), m[1])
		}
	}
}

func TestPins(t *testing.T) {
	have := map[string]string{}
	for _, r := range goMod(t, "go.mod").Require {
		have[r.Path] = r.Version
	}
	for p, pin := range pins {
		v, ok := have[p]
		switch {
		case !ok:
			t.Errorf("go.mod no longer requires %s: take the pin away", p)
		case older(v, pin.least):
			t.Errorf("go.mod: got %s %s, want at least %s: %s", p, v, pin.least, pin.why)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"v1.6.1", "v1.6.1", false}, {"v1.6.0", "v1.6.1", true}, {"v1.10.0", "v1.9.9", false}, {"v2.0.0", "v1.9.9", false}, {"v1.6.1-rc.1", "v1.6.1", true}} {
		if got := older(tt.a, tt.b); got != tt.want {
			t.Errorf("older(%s, %s): got %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

// older compares two versions; of a pre-release it only knows that it comes before the release.
func older(a, b string) bool {
	number := func(v string) (out [4]int) {
		v, _, pre := strings.Cut(strings.TrimPrefix(v, "v"), "-")
		for i, s := range strings.SplitN(v, ".", 3) {
			out[i], _ = strconv.Atoi(s)
		}
		if !pre {
			out[3] = 1
		}
		return out
	}
	x, y := number(a), number(b)
	return slices.Compare(x[:], y[:]) < 0
}

var defended = regexp.MustCompile("(?m)^- `([^`]+)`")

// Every dependency that we chose ourselves is defended in a line of docs/decisions/dependencies.md, and every line is
// about one that we have.
func TestDependenciesAreDefended(t *testing.T) {
	const doc = "docs/decisions/dependencies.md"
	sections := map[string][]string{}
	for _, s := range strings.Split("\n"+string(read(t, doc)), "\n## ")[1:] {
		title, body, _ := strings.Cut(s, "\n")
		for _, m := range defended.FindAllStringSubmatch(body, -1) {
			sections[title] = append(sections[title], m[1])
		}
	}
	want := map[string][]string{"go.mod": direct(goMod(t, "go.mod"))}
	for _, name := range []string{"e2e/go.mod", "e2e/dex/go.mod"} {
		if _, err := os.Stat(name); err == nil {
			want[name] = direct(goMod(t, name))
		}
	}
	if raw, err := os.ReadFile("e2e/package.json"); err == nil {
		var p struct{ Dependencies, DevDependencies map[string]string }
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatalf("e2e/package.json: %v", err)
		}
		want["e2e/package.json"] = slices.Concat(slices.Collect(maps.Keys(p.Dependencies)), slices.Collect(maps.Keys(p.DevDependencies)))
	}
	for title := range sections {
		if _, ok := want[title]; !ok {
			t.Errorf("%s: section %q is about a file that does not exist", doc, title)
		}
	}
	for file, deps := range want {
		for _, d := range deps {
			if !slices.Contains(sections[file], d) {
				t.Errorf("%s, section %q: no line for %s: why this one, and what was not chosen?", doc, file, d)
			}
		}
		for _, d := range sections[file] {
			if !slices.Contains(deps, d) {
				t.Errorf("%s, section %q: %s is not a direct dependency any more", doc, file, d)
			}
		}
	}
}

type modFile struct {
	Require []struct {
		Path, Version string
		Indirect      bool
	}
	Tool []struct{ Path string }
}

func goMod(t *testing.T, name string) modFile {
	t.Helper()
	var m modFile
	if err := json.Unmarshal([]byte(run(t, nil, "go", "mod", "edit", "-json", name)), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// direct are the modules that our code imports, and those of the tools.
func direct(m modFile) []string {
	var out []string
	for _, r := range m.Require {
		tool := slices.ContainsFunc(m.Tool, func(x struct{ Path string }) bool { return within(x.Path, r.Path) })
		if !r.Indirect || tool {
			out = append(out, r.Path)
		}
	}
	return out
}

// file is one Go file of ours, whatever its build constraints.
type file struct {
	path, dir string // slashes, from the root
	test      bool   // a test's code: its name says so, or it is latchtest's
	ast       *ast.File
	fset      *token.FileSet
	imports   map[string]int // path to line
	names     map[string]string
}

var skipped = []string{".git", "e2e", "docs", "testdata"}

// files are parsed once for all tests; under the race detector that takes a second.
func files(t *testing.T) []*file {
	t.Helper()
	all, err := parsed()
	if err != nil || len(all) == 0 {
		t.Fatalf("found %d Go files: %v", len(all), err)
	}
	return all
}

var parsed = sync.OnceValues(func() (out []*file, err error) {
	err = filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains(skipped, d.Name()) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(p, ".go") || d.IsDir() {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parse(filepath.ToSlash(p), src)
		out = append(out, f)
		return err
	})
	return out, err
})

func parse(name string, src []byte) (*file, error) {
	f := &file{path: name, dir: path.Dir(name), fset: token.NewFileSet(), imports: map[string]int{}, names: map[string]string{}}
	f.test = strings.HasSuffix(name, "_test.go") || f.dir == "internal/latch/latchtest"
	var err error
	if f.ast, err = parser.ParseFile(f.fset, name, src, parser.ParseComments); err != nil {
		return nil, err
	}
	for _, i := range f.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		f.imports[p] = f.fset.Position(i.Pos()).Line
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		f.names[name] = p
	}
	return f, nil
}

func (f *file) at(n ast.Node) string { return f.fset.Position(n.Pos()).String() }

// is reports whether n is pkg.name, where pkg is a package of the standard library by its last element.
func (f *file) is(n ast.Node, pkg, name string) bool {
	s, ok := n.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && f.names[x.Name] != "" && path.Base(f.names[x.Name]) == pkg
}

func (f *file) uses(pkg, name string) []string {
	var out []string
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if n != nil && f.is(n, pkg, name) {
			out = append(out, f.at(n))
		}
		return true
	})
	return out
}

// place is somewhere in a function declaration.
type place struct {
	in     *ast.FuncDecl // nil outside of functions
	bubble bool          // in a bubble by what stands around it
	at     string
}

// sleepsOutside applies the rule of TestSleepOnlyInBubbles to the test files of one package.
func sleepsOutside(fs []*file) []string {
	// Functions that hand a function on to a bubble, and declarations that have a bubble somewhere.
	makers, has := map[string]bool{}, map[*ast.FuncDecl]bool{}
	for _, f := range fs {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			for _, c := range calls(fn, func(c *ast.CallExpr) bool { return f.is(c.Fun, "synctest", "Test") }) {
				has[fn] = true
				for _, field := range fn.Type.Params.List {
					if _, isFunc := field.Type.(*ast.FuncType); !isFunc {
						continue
					}
					for _, name := range field.Names {
						makers[fn.Name.Name] = makers[fn.Name.Name] || slices.ContainsFunc(c.Args, func(a ast.Expr) bool { return mentions(a, name.Name) })
					}
				}
			}
		}
	}
	isMaker := func(f *file, c *ast.CallExpr) bool {
		return f.is(c.Fun, "synctest", "Test") || makers[called(c)]
	}
	// Where each name is used, and where somebody sleeps.
	uses, sleeps := map[string][]place{}, []place{}
	for _, f := range fs {
		for _, d := range f.ast.Decls {
			fn, _ := d.(*ast.FuncDecl)
			if fn != nil && len(calls(fn, func(c *ast.CallExpr) bool { return isMaker(f, c) })) > 0 {
				has[fn] = true
			}
			var stack []ast.Node
			ast.Inspect(d, func(n ast.Node) bool {
				if n == nil {
					stack = stack[:len(stack)-1]
					return true
				}
				here := func() place { return place{fn, inBubble(f, stack, has[fn], isMaker), f.at(n)} }
				if f.is(n, "time", "Sleep") {
					sleeps = append(sleeps, here())
				}
				if id, ok := n.(*ast.Ident); ok && (fn == nil || id != fn.Name) {
					uses[id.Name] = append(uses[id.Name], here())
				}
				stack = append(stack, n)
				return true
			})
		}
	}
	// A function all of whose uses are in bubbles is in them too; what it uses in turn is found by going round again.
	inside := map[*ast.FuncDecl]bool{}
	good := func(p place) bool { return p.bubble || p.in != nil && inside[p.in] }
	for again := true; again; {
		again = false
		for _, f := range fs {
			for _, d := range f.ast.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || inside[fn] || len(uses[fn.Name.Name]) == 0 {
					continue
				}
				if !slices.ContainsFunc(uses[fn.Name.Name], func(p place) bool { return !good(p) }) {
					inside[fn], again = true, true
				}
			}
		}
	}
	var out []string
	for _, s := range sleeps {
		if !good(s) {
			out = append(out, s.at)
		}
	}
	return out
}

// inBubble looks at what stands around a node: the stack of its parents, outermost first.
func inBubble(f *file, stack []ast.Node, has bool, isMaker func(*file, *ast.CallExpr) bool) bool {
	for i, n := range stack {
		switch n := n.(type) {
		case *ast.CallExpr:
			if isMaker(f, n) && i+1 < len(stack) && slices.Contains(n.Args, asExpr(stack[i+1])) {
				return true
			}
			if isMaker(f, n) && i+1 == len(stack) {
				return true // the node itself is an argument, or the function's name, which is no sleeper
			}
		case *ast.FuncLit:
			// A subtest runs where it stands; what a table holds is run by the bubble that the function has.
			c, arg := stack[i-1].(*ast.CallExpr)
			if has && (!arg || called(c) != "Run") {
				return true
			}
		}
	}
	return false
}

func asExpr(n ast.Node) ast.Expr {
	e, _ := n.(ast.Expr)
	return e
}

func calls(n ast.Node, want func(*ast.CallExpr) bool) []*ast.CallExpr {
	var out []*ast.CallExpr
	ast.Inspect(n, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && want(c) {
			out = append(out, c)
		}
		return true
	})
	return out
}

// called is the last name of what is called.
func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func mentions(n ast.Node, name string) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && id.Name == name
		return !found
	})
	return found
}

// documents are the Markdown files of ours.
func documents(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if strings.HasSuffix(p, ".md") {
			out = append(out, filepath.ToSlash(p))
		}
		return nil
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("found %d documents: %v", len(out), err)
	}
	return out
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func exists(t *testing.T, p, why string) {
	t.Helper()
	if _, err := os.Stat(p); err != nil {
		t.Errorf("there is no %s any more, but %s: keep the table true", p, why)
	}
}

// within is true for a path, and for all below it.
func within(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Env = append(c.Environ(), env...)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, cmp.Or(stderr.String(), string(out)))
	}
	return string(out)
}
