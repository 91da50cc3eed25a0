package deploy_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/secret"
)

func apply(t *testing.T, d *deploy.Driver, o deploy.Order) *deploy.Stack {
	t.Helper()
	s, err := d.Apply(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A plan leaves nothing behind, neither a change set nor the stack that it made, and uploads nothing.
func TestAPlanLeavesNothing(t *testing.T) {
	a := newAccount(t)
	d, _ := a.driver(t, settings)
	for range 2 {
		ch, err := d.Plan(t.Context(), program("one"), deploy.Wishes{})
		if err != nil {
			t.Fatal(err)
		}
		if !ch.Create || len(ch.Changes) < 20 || ch.Nothing() || len(ch.Costly()) > 0 || ch.Changes[0].Action != "Add" {
			t.Errorf("got %+v, want that everything is made", ch)
		}
		if _, err := d.Stack(t.Context()); !errors.Is(err, deploy.ErrNoStack) {
			t.Errorf("the plan left a stack: %v", err)
		}
	}
	if puts := a.buckets.puts(); len(puts) > 0 {
		t.Errorf("the plan put %q", puts)
	}
}

func TestApply(t *testing.T) {
	a := newAccount(t)
	d, out := a.driver(t, settings)
	s := apply(t, d, agreed(program("one"), deploy.Wishes{}, nil))
	if !s.Good() || s.SignIn() != deploy.SignInPending || s.Outputs[deploy.OutputURL] != "https://vpn.example.com/" || s.Outputs[deploy.OutputCodeKey] != program("one").Key() {
		t.Errorf("got %+v", s)
	}
	if s, err := d.Stack(t.Context()); err != nil || !s.Protected {
		t.Errorf("the stack is not protected against deletion: %+v, %v", s, err)
	}
	seen := map[string]bool{}
	for _, e := range out.events {
		line := e.At.String() + e.ID + e.Status
		if seen[line] {
			t.Errorf("%s %s was told twice", e.ID, e.Status)
		}
		seen[line] = true
	}
	if !slices.ContainsFunc(out.events, func(e deploy.Event) bool { return e.ID == "LoadBalancer" && e.Status == "CREATE_COMPLETE" }) || out.events[len(out.events)-1].Status != "CREATE_COMPLETE" {
		t.Errorf("the events do not tell the story: %+v", out.events)
	}
	if !slices.IsSortedFunc(out.events, func(x, y deploy.Event) int { return x.At.Compare(y.At) }) {
		t.Error("the events are not told in their order")
	}
	puts := strings.Join(a.buckets.puts(), "\n")
	for _, want := range []string{"bucket " + ownName, "publicAccessBlock", "<RestrictPublicBuckets>true", "aws:SecureTransport", "put " + program("one").Key()} {
		if !strings.Contains(puts, want) {
			t.Errorf("the bucket is not as it should be: no %q in\n%s", want, puts)
		}
	}

	// Again: nothing to do, nothing uploaded.
	before := len(a.buckets.puts())
	var shown deploy.Changes
	apply(t, d, agreed(program("one"), deploy.Wishes{}, &shown))
	if !shown.Nothing() || len(a.buckets.puts()) != before {
		t.Errorf("nothing changed, and: %+v, %q", shown, a.buckets.puts()[before:])
	}

	// Another program changes the two functions.
	s = apply(t, d, agreed(program("two"), deploy.Wishes{}, &shown))
	for _, c := range shown.Changes {
		if c.Action != "Modify" {
			t.Errorf("another program does %+v", c)
		}
	}
	if !slices.ContainsFunc(shown.Changes, func(c deploy.Change) bool {
		return c.ID == "BeatFunction" && slices.Contains(c.Why, "Code") && c.Replaces == ""
	}) || s.Status != "UPDATE_COMPLETE" {
		t.Errorf("got %+v, %s", shown, s.Status)
	}
}

// What is not told again stays: the metadata, and secrets.
func TestWhatWasToldStays(t *testing.T) {
	a := newAccount(t)
	noticed := strings.Replace(settings, "deploy:", "notify: {page: \"https://vpn.example.com/\"}\ndeploy:", 1)
	d, _ := a.driver(t, noticed)
	if _, err := d.Plan(t.Context(), program("one"), deploy.Wishes{}); !errors.Is(err, deploy.ErrParameter) || !strings.Contains(err.Error(), "NIGHTLATCH_WEBHOOK_URL") {
		t.Errorf("no webhook was told, and: %v", err)
	}
	hook := deploy.Wishes{WebhookURL: secret.New("https://hooks.example.com/very-secret")}
	apply(t, d, agreed(program("one"), hook, nil))
	apply(t, d, agreed(program("one"), deploy.Wishes{SAML: deploy.SAML{URL: "https://portal.sso.eu-central-1.amazonaws.com/saml/metadata/ABC"}}, nil))
	s := apply(t, d, agreed(program("two"), deploy.Wishes{}, nil))
	if s.SignIn() != deploy.SignInReady {
		t.Errorf("the metadata is forgotten: %+v", s.Outputs)
	}
	var shown deploy.Changes
	apply(t, d, agreed(program("two"), deploy.Wishes{SAML: deploy.SAML{Parts: []string{"<EntityDescriptor>", "</EntityDescriptor>"}}}, &shown))
	if shown.Nothing() || !slices.ContainsFunc(shown.Changes, func(c deploy.Change) bool { return c.ID == "IdentityProvider" }) {
		t.Errorf("a file took the address's place, and: %+v", shown)
	}
	// Of the same file nothing is left to change: the address is gone, and the parts are there.
	apply(t, d, agreed(program("two"), deploy.Wishes{SAML: deploy.SAML{Parts: []string{"<EntityDescriptor>", "</EntityDescriptor>"}}}, &shown))
	if !shown.Nothing() {
		t.Errorf("the same file again changes %+v", shown)
	}
	// A shorter file leaves nothing of the longer one.
	apply(t, d, agreed(program("two"), deploy.Wishes{SAML: deploy.SAML{Parts: []string{"<EntityDescriptor>"}}}, &shown))
	if shown.Nothing() {
		t.Error("the rest of a longer file is still there")
	}
	// Without notify the parameter is gone, and a webhook in the environment is a mistake.
	d, _ = a.driver(t, settings)
	if _, err := d.Plan(t.Context(), program("two"), hook); !errors.Is(err, deploy.ErrParameter) || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("a webhook that nobody wants: %v", err)
	}
	apply(t, d, agreed(program("two"), deploy.Wishes{}, nil))
}

func TestAnExistingLoadBalancerIsLookedUp(t *testing.T) {
	a := newAccount(t)
	d, _ := a.driver(t, strings.Replace(settings, "{vpc: vpc-0a, subnets: [subnet-0c, subnet-0d]}",
		"{listener: \"arn:aws:elasticloadbalancing:eu-central-1:111122223333:listener/app/main/0123456789abcdef/fedcba9876543210\"}", 1))
	apply(t, d, agreed(program("one"), deploy.Wishes{}, nil))
}

func TestTooLongATemplateGoesThroughTheBucket(t *testing.T) {
	a := newAccount(t)
	many := "  sign_in_origins:\n" + strings.Repeat("    - https://"+strings.Repeat("x", 60)+".example.com\n", 400)
	d, out := a.driver(t, settings+many)
	if _, err := d.Plan(t.Context(), program("one"), deploy.Wishes{}); err != nil {
		t.Fatal(err)
	}
	if puts := a.buckets.puts(); !strings.HasSuffix(puts[len(puts)-1], ".yaml") || !strings.Contains(out.text(), "goes through the bucket") {
		t.Errorf("got %q, %q", puts, out.text())
	}
}

// What must not be replaced by accident is not.
func TestAReplacementIsRefused(t *testing.T) {
	a := newAccount(t)
	d, _ := a.driver(t, settings)
	apply(t, d, agreed(program("one"), deploy.Wishes{}, nil))
	d, _ = a.driver(t, strings.Replace(settings, "{vpc:", "{internal: true, vpc:", 1))
	var shown deploy.Changes
	if _, err := d.Apply(t.Context(), agreed(program("one"), deploy.Wishes{}, &shown)); !errors.Is(err, deploy.ErrReplaces) || !strings.Contains(err.Error(), "LoadBalancer") {
		t.Fatalf("the load balancer is replaced: %v", err)
	}
	costly := shown.Costly()
	i := slices.IndexFunc(costly, func(c deploy.Change) bool { return c.ID == "LoadBalancer" })
	if i < 0 || costly[i].Replaces != "True" || !strings.Contains(costly[i].Cost, "sign in anew") {
		t.Errorf("got %+v", costly)
	}
	if s, _ := d.Stack(t.Context()); s.Status != "CREATE_COMPLETE" {
		t.Errorf("it was refused, and the stack is %s", s.Status)
	}
	o := agreed(program("one"), deploy.Wishes{}, nil)
	o.Replace = true
	apply(t, d, o)
}

// Protection is what AWS says it is, and a load balancer of somebody else's is not asked about.
func TestProtected(t *testing.T) {
	a := newAccount(t)
	d, _ := a.driver(t, settings)
	for arn, want := range map[string]bool{"arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/protected/1": true, "arn:of:another": false, "": false} {
		if got := d.Protected(t.Context(), &deploy.Stack{Outputs: map[string]string{deploy.OutputLoadBalancerARN: arn}}); got != want {
			t.Errorf("%q: got %v, want %v", arn, got, want)
		}
	}
}

// A pool has one prefix domain, so CloudFormation, which makes the new one first, could only fail.
func TestAPoolKeepsItsDomain(t *testing.T) {
	a := newAccount(t)
	d, _ := a.driver(t, settings)
	apply(t, d, agreed(program("one"), deploy.Wishes{}, nil))
	d, _ = a.driver(t, strings.Replace(settings, "example-vpn", "another-vpn", 1))
	o := agreed(program("one"), deploy.Wishes{}, nil)
	o.Replace = true
	if _, err := d.Apply(t.Context(), o); !errors.Is(err, deploy.ErrState) || !strings.Contains(err.Error(), "deploy.user_pool.prefix") {
		t.Errorf("got %v", err)
	}
	if s, _ := d.Stack(t.Context()); s.Status != "CREATE_COMPLETE" {
		t.Errorf("it was refused, and the stack is %s", s.Status)
	}
}

// Who does not agree has changed nothing, and a stack that was made for being asked is gone.
func TestNotAgreed(t *testing.T) {
	a := newAccount(t)
	d, _ := a.driver(t, settings)
	no := errors.New("no")
	o := agreed(program("one"), deploy.Wishes{}, nil)
	o.Agree = func() error { return no }
	if _, err := d.Apply(t.Context(), o); !errors.Is(err, no) {
		t.Fatal(err)
	}
	if _, err := d.Stack(t.Context()); !errors.Is(err, deploy.ErrNoStack) || len(a.buckets.puts()) > 0 {
		t.Errorf("it left something: %v, %q", err, a.buckets.puts())
	}
}

// Whoever stops looking finds it where it is: the same command follows it, and then goes on.
func TestStoppedAndResumed(t *testing.T) {
	a := newAccount(t)
	d, out := a.driver(t, settings)
	ctx, stop := context.WithCancel(t.Context())
	out.seen = func(deploy.Event) { stop() }
	o := agreed(program("one"), deploy.Wishes{}, nil)
	o.Agree = func() error { a.Pause(); return nil } // so that it is not over before anybody looks
	_, err := d.Apply(ctx, o)
	if !errors.Is(err, deploy.ErrStopped) || !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped, and: %v", err)
	}
	if _, err := d.Plan(t.Context(), program("one"), deploy.Wishes{}); !errors.Is(err, deploy.ErrBusy) {
		t.Errorf("a plan of a stack that is being made: %v", err)
	}
	d, out = a.driver(t, settings)
	out.seen = func(deploy.Event) { a.Resume() }
	var shown deploy.Changes
	s := apply(t, d, agreed(program("one"), deploy.Wishes{}, &shown))
	if !s.Good() || !shown.Nothing() || !strings.Contains(out.text(), "following that first") || out.events[0].Status != "CREATE_IN_PROGRESS" {
		t.Errorf("got %+v, %+v after\n%s", s, shown, out.text())
	}
}

// The first creation fails: the cause is named and not what followed, and the next apply begins anew.
func TestAFailedCreation(t *testing.T) {
	a := newAccount(t)
	a.fail("UserPoolDomain", "create", "Domain already associated with another user pool. (Service: CognitoIdentityProvider, Status Code: 400)")
	d, out := a.driver(t, settings)
	_, err := d.Apply(t.Context(), agreed(program("one"), deploy.Wishes{}, nil))
	failed, ok := errors.AsType[*deploy.Failed](err)
	if !ok || failed.Cause == nil || failed.Cause.ID != "UserPoolDomain" || failed.Status != "ROLLBACK_COMPLETE" || !strings.Contains(failed.Hint, "deploy.user_pool.prefix") {
		t.Fatalf("got %v (%+v)", err, failed)
	}
	if !slices.ContainsFunc(out.events, func(e deploy.Event) bool { return strings.Contains(strings.ToLower(e.Reason), "cancelled") }) {
		t.Log("nothing was cancelled; the test of the first cause is weaker than it should be")
	}
	s, err := d.Stack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f, err := d.LastFailure(t.Context(), s); err != nil || f == nil || f.Cause.ID != "UserPoolDomain" {
		t.Errorf("status does not know why: %v, %v", f, err)
	}
	if _, err := d.Plan(t.Context(), program("one"), deploy.Wishes{}); !errors.Is(err, deploy.ErrState) || !strings.Contains(err.Error(), "deletes what is left") {
		t.Errorf("a plan of what can only be deleted: %v", err)
	}
	a.fail("UserPoolDomain", "create", "")
	d, out = a.driver(t, settings)
	if s := apply(t, d, agreed(program("one"), deploy.Wishes{}, nil)); s.Status != "CREATE_COMPLETE" || !strings.Contains(out.text(), "can only be deleted") {
		t.Errorf("got %s after\n%s", s.Status, out.text())
	}
}

// An update fails and is taken back; when that fails too, it is explained.
func TestAFailedUpdate(t *testing.T) {
	a := newAccount(t)
	d, _ := a.driver(t, settings)
	apply(t, d, agreed(program("one"), deploy.Wishes{}, nil))
	a.fail("FrontFunction", "update", "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: lambda:UpdateFunctionCode")
	_, err := d.Apply(t.Context(), agreed(program("two"), deploy.Wishes{}, nil))
	failed, ok := errors.AsType[*deploy.Failed](err)
	if !ok || failed.Cause == nil || failed.Cause.ID != "FrontFunction" || !strings.Contains(failed.Hint, "permission") {
		t.Fatalf("got %v", err)
	}
	if failed.Status == "UPDATE_ROLLBACK_FAILED" {
		if _, err := d.Apply(t.Context(), agreed(program("two"), deploy.Wishes{}, nil)); !errors.Is(err, deploy.ErrState) || !strings.Contains(err.Error(), "continue-update-rollback --stack-name nightlatch") {
			t.Errorf("got %v", err)
		}
		return
	}
	a.fail("FrontFunction", "update", "")
	apply(t, d, agreed(program("two"), deploy.Wishes{}, nil))
}

func TestDestroy(t *testing.T) {
	a := newAccount(t)
	d, _ := a.driver(t, settings)
	if _, err := d.Destroy(t.Context()); !errors.Is(err, deploy.ErrNoStack) || !strings.Contains(err.Error(), "nightlatch in eu-central-1") {
		t.Errorf("got %v", err)
	}
	apply(t, d, agreed(program("one"), deploy.Wishes{}, nil))
	a.fail("UserPool", "delete", "The user pool cannot be deleted because deletion protection is active")
	_, err := d.Destroy(t.Context())
	failed, ok := errors.AsType[*deploy.Failed](err)
	if !ok || len(failed.Left) == 0 || failed.Left[0].ID != "UserPool" || !strings.Contains(err.Error(), "deletion protection is active") || !strings.Contains(failed.Hint, "protect") {
		t.Fatalf("got %v (%+v)", err, failed)
	}
	if _, err := d.Apply(t.Context(), agreed(program("one"), deploy.Wishes{}, nil)); !errors.Is(err, deploy.ErrState) {
		t.Errorf("half deleted, and: %v", err)
	}
	a.fail("UserPool", "delete", "")
	kept, err := d.Destroy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != 1 || kept[0].ID != "Table" || kept[0].Physical == "" {
		t.Errorf("the audit is in the table, which stays, and what stays is said to be %+v", kept)
	}
	if name, err := d.OwnBucket(t.Context()); err != nil || name != ownName {
		t.Errorf("the bucket: %q, %v", name, err)
	}
	a.buckets.objects[ownName]["somebody else's"] = []byte("x")
	if err := d.RemoveBucket(t.Context()); err == nil || !strings.Contains(err.Error(), "did not put there") {
		t.Errorf("a bucket with others' objects: %v", err)
	}
	delete(a.buckets.objects[ownName], "somebody else's")
	if err := d.RemoveBucket(t.Context()); err != nil {
		t.Error(err)
	}
	if name, err := d.OwnBucket(t.Context()); err != nil || name != "" {
		t.Errorf("the bucket is still there: %q, %v", name, err)
	}
}

func TestBuckets(t *testing.T) {
	a := newAccount(t)
	a.buckets.foreign = ownName
	d, _ := a.driver(t, settings)
	if _, err := d.Apply(t.Context(), agreed(program("one"), deploy.Wishes{}, nil)); err == nil || !strings.Contains(err.Error(), "another account's") {
		t.Errorf("somebody else has the bucket: %v", err)
	}
	d, _ = a.driver(t, settings+"  bucket: mine\n")
	if _, err := d.Apply(t.Context(), agreed(program("one"), deploy.Wishes{}, nil)); err == nil || !strings.Contains(err.Error(), "there is no bucket mine") {
		t.Errorf("a bucket that is not there: %v", err)
	}
	a.buckets.objects["mine"] = map[string][]byte{}
	apply(t, d, agreed(program("one"), deploy.Wishes{}, nil))
	if puts := a.buckets.puts(); len(puts) != 1 || !strings.HasPrefix(puts[0], "put ") {
		t.Errorf("somebody's own bucket was changed: %q", puts)
	}
	if name, err := d.OwnBucket(t.Context()); name != "" || err != nil {
		t.Errorf("somebody's own bucket is taken for Nightlatch's: %q, %v", name, err)
	}
}
