package cloudformation_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	awscfn "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"

	"github.com/nightlatch/nightlatch/internal/standin/cloudformation"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

var key = sigv4.Credentials{AccessKeyID: "AKIAOPERATOR", SecretAccessKey: "operator-secret"}

// direct hands requests to a handler without a socket.
type direct struct{ http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// bench is a stand-in with a client that nobody here wrote.
type bench struct {
	*testing.T
	*awscfn.Client
	server *cloudformation.Server
	fail   map[string]string // "update Function": the reason
	sets   int
}

func in(t *testing.T, change func(*cloudformation.Config), do func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, fail: map[string]string{}}
		c := cloudformation.Config{Region: "eu-central-1", AccountID: "111122223333", Log: slog.New(slog.DiscardHandler), ChangeSetTakes: 2 * time.Second,
			Credentials: func(id string) (sigv4.Credentials, bool) { return key, id == key.AccessKeyID },
			Takes:       func(string, string) time.Duration { return 10 * time.Second },
			Fail: func(logicalID, verb string) error {
				if why, ok := b.fail[verb+" "+logicalID]; ok {
					return errors.New(why)
				}
				return nil
			}}
		if change != nil {
			change(&c)
		}
		var err error
		if b.server, err = cloudformation.New(c); err != nil {
			t.Fatal(err)
		}
		b.Client = awscfn.New(awscfn.Options{Region: "eu-central-1", HTTPClient: direct{b.server.Handler()}, RetryMaxAttempts: 1,
			Credentials: awscredentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, "")})
		do(b)
	})
}

const vpn = `
AWSTemplateFormatVersion: 2010-09-09
Description: a gate
Parameters:
  Days: {Type: Number, Default: 90}
  Secret: {Type: String, Default: "", NoEcho: true}
  Unused: {Type: String, Default: ""}
Resources:
  Logs: {Type: AWS::Logs::LogGroup, Properties: {RetentionInDays: !Ref Days}}
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17}}}
  Function:
    Type: AWS::Lambda::Function
    Properties: {Role: !GetAtt Role.Arn, Code: {S3Bucket: b, S3Key: one}, LoggingConfig: {LogGroup: !Ref Logs}, Tags: [{Key: a, Value: b}], MemorySize: 256}
  Permission:
    Type: AWS::Lambda::Permission
    Properties: {FunctionName: !GetAtt Function.Arn, Action: lambda:InvokeFunction, Principal: elasticloadbalancing.amazonaws.com}
  Table:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Retain
    Properties: {KeySchema: [{AttributeName: a, KeyType: HASH}]}
Outputs:
  Function: {Value: !Ref Function, Description: its name}
  Table: {Value: !Ref Table}
`

// with is the template with a text in another's place.
func with(pairs ...string) string {
	out := vpn
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(out, pairs[i]) {
			panic("the template does not hold " + pairs[i])
		}
		out = strings.Replace(out, pairs[i], pairs[i+1], 1)
	}
	return out
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return fmt.Sprint(err)
}

// ask makes a change set of the type and waits for it.
func (b *bench) ask(kind types.ChangeSetType, body string, parameters ...types.Parameter) *awscfn.DescribeChangeSetOutput {
	b.Helper()
	b.sets++
	made, err := b.CreateChangeSet(b.Context(), &awscfn.CreateChangeSetInput{StackName: aws.String("gate"), ChangeSetName: aws.String(fmt.Sprint("set-", b.sets)), ChangeSetType: kind,
		TemplateBody: &body, Parameters: parameters, Capabilities: []types.Capability{types.CapabilityCapabilityIam}})
	if err != nil {
		b.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	out, err := b.DescribeChangeSet(b.Context(), &awscfn.DescribeChangeSetInput{ChangeSetName: made.Id})
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func (b *bench) run(set *awscfn.DescribeChangeSetOutput) {
	b.Helper()
	if _, err := b.ExecuteChangeSet(b.Context(), &awscfn.ExecuteChangeSetInput{ChangeSetName: set.ChangeSetId}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) stack() types.Stack {
	b.Helper()
	out, err := b.DescribeStacks(b.Context(), &awscfn.DescribeStacksInput{StackName: aws.String("gate")})
	if err != nil {
		b.Fatal(err)
	}
	return out.Stacks[0]
}

// is waits long enough for anything and compares the status and its reason.
func (b *bench) is(status types.StackStatus, reason string) {
	b.Helper()
	time.Sleep(10 * time.Minute)
	st := b.stack()
	if st.StackStatus != status || aws.ToString(st.StackStatusReason) != reason {
		b.Fatalf("got %s %q, want %s %q\n%s", st.StackStatus, aws.ToString(st.StackStatusReason), status, reason, strings.Join(b.events(), "\n"))
	}
}

func (b *bench) up() {
	b.Helper()
	b.run(b.ask(types.ChangeSetTypeCreate, vpn))
	b.is(types.StackStatusCreateComplete, "")
}

// events are the stack's, the oldest first, without those of earlier operations.
func (b *bench) events() []string {
	b.Helper()
	var out []string
	p := awscfn.NewDescribeStackEventsPaginator(b.Client, &awscfn.DescribeStackEventsInput{StackName: aws.String("gate")})
	for p.HasMorePages() {
		page, err := p.NextPage(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range page.StackEvents {
			out = append(out, strings.TrimSpace(fmt.Sprint(*e.LogicalResourceId, " ", e.ResourceStatus, " ", aws.ToString(e.ResourceStatusReason))))
			if e.ResourceType != nil && *e.ResourceType == "AWS::CloudFormation::Stack" && aws.ToString(e.ResourceStatusReason) == "User Initiated" && e.ResourceStatus != "UPDATE_ROLLBACK_IN_PROGRESS" {
				slices.Reverse(out)
				return out
			}
		}
	}
	slices.Reverse(out)
	return out
}

func (b *bench) happened(want ...string) {
	b.Helper()
	if got := b.events(); !slices.Equal(got, want) {
		b.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (b *bench) resources() map[string]string {
	b.Helper()
	out := map[string]string{}
	all, err := b.DescribeStackResources(b.Context(), &awscfn.DescribeStackResourcesInput{StackName: aws.String("gate")})
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range all.StackResources {
		out[*r.LogicalResourceId] = aws.ToString(r.PhysicalResourceId)
	}
	return out
}

func TestCreate(t *testing.T) {
	in(t, nil, func(b *bench) {
		made, err := b.CreateChangeSet(b.Context(), &awscfn.CreateChangeSetInput{StackName: aws.String("gate"), ChangeSetName: aws.String("first"), ChangeSetType: types.ChangeSetTypeCreate,
			TemplateBody: aws.String(vpn), Capabilities: []types.Capability{types.CapabilityCapabilityIam}, Description: aws.String("the first"),
			Parameters: []types.Parameter{{ParameterKey: aws.String("Secret"), ParameterValue: aws.String("hush")}}, Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("vpn")}}})
		if err != nil {
			b.Fatal(err)
		}
		describe := func() *awscfn.DescribeChangeSetOutput {
			out, err := b.DescribeChangeSet(b.Context(), &awscfn.DescribeChangeSetInput{StackName: aws.String("gate"), ChangeSetName: aws.String("first")})
			if err != nil {
				b.Fatal(err)
			}
			return out
		}
		if s := describe(); s.Status != types.ChangeSetStatusCreatePending || s.ExecutionStatus != types.ExecutionStatusUnavailable || len(s.Changes) != 0 {
			b.Errorf("at once: got %s, %s and %d changes", s.Status, s.ExecutionStatus, len(s.Changes))
		}
		if st := b.stack(); st.StackStatus != types.StackStatusReviewInProgress || *st.StackId != *made.StackId {
			b.Errorf("got %s, want a stack in REVIEW_IN_PROGRESS", st.StackStatus)
		}
		time.Sleep(time.Second)
		if s := describe(); s.Status != types.ChangeSetStatusCreateInProgress {
			b.Errorf("after a second: got %s", s.Status)
		}
		if _, err := b.ExecuteChangeSet(b.Context(), &awscfn.ExecuteChangeSetInput{ChangeSetName: made.Id}); code(err) != "InvalidChangeSetStatus: ChangeSet ["+*made.Id+"] cannot be executed in its current status of [CREATE_IN_PROGRESS]" {
			b.Errorf("got %s", code(err))
		}
		if err := awscfn.NewChangeSetCreateCompleteWaiter(b.Client, func(o *awscfn.ChangeSetCreateCompleteWaiterOptions) {
			o.MinDelay, o.MaxDelay = time.Second, time.Second
		}).
			Wait(b.Context(), &awscfn.DescribeChangeSetInput{ChangeSetName: made.Id}, time.Minute); err != nil {
			b.Fatal(err)
		}
		s := describe()
		if s.ExecutionStatus != types.ExecutionStatusAvailable || len(s.Changes) != 5 || s.Changes[0].ResourceChange.Action != types.ChangeActionAdd || s.Changes[0].ResourceChange.Replacement != "" {
			b.Errorf("got %s and %d changes, want five resources to add", s.ExecutionStatus, len(s.Changes))
		}
		if p := s.Parameters; len(p) != 3 || *p[1].ParameterKey != "Secret" || *p[1].ParameterValue != "****" || *p[0].ParameterValue != "90" {
			b.Errorf("got %v, want all parameters, the secret one masked", p)
		}
		b.run(s)
		if st := b.stack(); st.StackStatus != types.StackStatusCreateInProgress {
			b.Errorf("got %s", st.StackStatus)
		}
		if err := awscfn.NewStackCreateCompleteWaiter(b.Client, func(o *awscfn.StackCreateCompleteWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, time.Second }).
			Wait(b.Context(), &awscfn.DescribeStacksInput{StackName: aws.String("gate")}, time.Minute); err != nil {
			b.Fatal(err)
		}
		b.happened("gate CREATE_IN_PROGRESS User Initiated", "Logs CREATE_IN_PROGRESS", "Role CREATE_IN_PROGRESS", "Table CREATE_IN_PROGRESS",
			"Logs CREATE_IN_PROGRESS Resource creation Initiated", "Logs CREATE_COMPLETE", "Role CREATE_IN_PROGRESS Resource creation Initiated", "Role CREATE_COMPLETE",
			"Function CREATE_IN_PROGRESS", "Table CREATE_IN_PROGRESS Resource creation Initiated", "Table CREATE_COMPLETE",
			"Function CREATE_IN_PROGRESS Resource creation Initiated", "Function CREATE_COMPLETE",
			"Permission CREATE_IN_PROGRESS", "Permission CREATE_IN_PROGRESS Resource creation Initiated", "Permission CREATE_COMPLETE", "gate CREATE_COMPLETE")
		st := b.stack()
		if took := time.Since(*st.CreationTime); took > 34*time.Second {
			b.Errorf("took %s, want three times ten seconds: what need not wait does not", took)
		}
		if len(st.Outputs) != 2 || *st.Outputs[0].OutputValue != b.resources()["Function"] || *st.Outputs[0].Description != "its name" || len(st.Tags) != 1 || *st.Parameters[1].ParameterValue != "****" || *st.ChangeSetId != *made.Id {
			b.Errorf("got %+v", st)
		}
		got, err := b.GetTemplate(b.Context(), &awscfn.GetTemplateInput{StackName: aws.String("gate")})
		if err != nil || *got.TemplateBody != vpn {
			b.Errorf("got %v and another template than was given", err)
		}
		if s := describe(); s.ExecutionStatus != types.ExecutionStatusExecuteComplete || s.Status != types.ChangeSetStatusCreateComplete {
			b.Errorf("the change set afterwards: got %s, %s", s.Status, s.ExecutionStatus)
		}
	})
}

func TestNothingChanges(t *testing.T) {
	in(t, nil, func(b *bench) {
		b.up()
		for name, body := range map[string]string{"the same": vpn, "an output alone": with("its name", "the name of it")} {
			s := b.ask(types.ChangeSetTypeUpdate, body)
			if s.Status != types.ChangeSetStatusFailed || s.ExecutionStatus != types.ExecutionStatusUnavailable || aws.ToString(s.StatusReason) != "The submitted information didn't contain changes. Submit different information to create a change set." {
				b.Errorf("%s: got %s %s %s", name, s.Status, s.ExecutionStatus, aws.ToString(s.StatusReason))
			}
			if _, err := b.ExecuteChangeSet(b.Context(), &awscfn.ExecuteChangeSetInput{ChangeSetName: s.ChangeSetId}); !strings.HasSuffix(code(err), "in its current status of [FAILED]") {
				b.Errorf("%s: got %s", name, code(err))
			}
			if _, err := b.DeleteChangeSet(b.Context(), &awscfn.DeleteChangeSetInput{ChangeSetName: s.ChangeSetId}); err != nil {
				b.Error(err)
			}
			if _, err := b.DescribeChangeSet(b.Context(), &awscfn.DescribeChangeSetInput{ChangeSetName: s.ChangeSetId}); code(err) != "ChangeSetNotFound: ChangeSet ["+*s.ChangeSetId+"] does not exist" {
				b.Errorf("%s: got %s", name, code(err))
			}
		}
	})
}

// said is a change in a few words.
func said(c types.Change) string {
	r := c.ResourceChange
	var out strings.Builder
	out.WriteString(fmt.Sprint(r.Action, " ", *r.LogicalResourceId, " ", r.Replacement))
	for _, d := range r.Details {
		out.WriteString(fmt.Sprint(" ", aws.ToString(d.Target.Name), "/", d.Target.Attribute, "/", d.Target.RequiresRecreation, "/", d.Evaluation, "/", d.ChangeSource, "/", aws.ToString(d.CausingEntity)))
	}
	return out.String()
}

func TestWhatAChangeSetSays(t *testing.T) {
	quiet := func(c *cloudformation.Config) { c.Unconfirmed.QuietAttributes = true }
	const permission = "Modify Permission Conditional FunctionName/Properties/Always/Dynamic/ResourceAttribute/Function.Arn"
	for name, tt := range map[string]struct {
		config     func(*cloudformation.Config)
		body       string
		parameters []types.Parameter
		want       []string
	}{
		"in place": {nil, with("S3Key: one", "S3Key: two"), nil, []string{"Modify Function False Code/Properties/Never/Static/DirectModification/", permission}},
		"in place, and who uses an attribute is quiet": {quiet, with("S3Key: one", "S3Key: two"), nil, []string{"Modify Function False Code/Properties/Never/Static/DirectModification/"}},
		"a replacement, and what follows from it": {nil, with("Tags: [{Key: a, Value: b}]", "FunctionName: gate"), nil, []string{
			"Modify Function True FunctionName/Properties/Always/Static/DirectModification/ /Tags/Never/Static/DirectModification/", permission}},
		"perhaps a replacement":    {nil, with("AttributeName: a", "AttributeName: b"), nil, []string{"Modify Table Conditional KeySchema/Properties/Conditionally/Static/DirectModification/"}},
		"tags":                     {quiet, with("{Key: a, Value: b}", "{Key: a, Value: c}"), nil, []string{"Modify Function False /Tags/Never/Static/DirectModification/"}},
		"a policy":                 {nil, with("    DeletionPolicy: Retain\n", ""), nil, []string{"Modify Table False /DeletionPolicy/Never/Static/DirectModification/"}},
		"a resource more":          {nil, with("Outputs:", "  Queue: {Type: AWS::SQS::Queue}\nOutputs:"), nil, []string{"Add Queue "}},
		"one less":                 {nil, with("  Table: {Value: !Ref Table}", "", "  Table:\n    Type: AWS::DynamoDB::Table\n    DeletionPolicy: Retain\n    Properties: {KeySchema: [{AttributeName: a, KeyType: HASH}]}", ""), nil, []string{"Remove Table "}},
		"a parameter's value":      {quiet, vpn, []types.Parameter{{ParameterKey: aws.String("Days"), ParameterValue: aws.String("30")}}, []string{"Modify Logs False RetentionInDays/Properties/Never/Static/ParameterReference/Days RetentionInDays/Properties/Never/Dynamic/DirectModification/"}},
		"a parameter nobody uses":  {nil, vpn, []types.Parameter{{ParameterKey: aws.String("Unused"), ParameterValue: aws.String("x")}}, nil},
		"that counts":              {func(c *cloudformation.Config) { c.Unconfirmed.UnusedParameters = true }, vpn, []types.Parameter{{ParameterKey: aws.String("Unused"), ParameterValue: aws.String("x")}}, []string{}},
		"an output alone, counted": {func(c *cloudformation.Config) { c.Unconfirmed.OutputsAlone = true }, with("its name", "the name of it"), nil, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, tt.config, func(b *bench) {
				b.up()
				s := b.ask(types.ChangeSetTypeUpdate, tt.body, tt.parameters...)
				if (s.Status == types.ChangeSetStatusFailed) != (tt.want == nil) {
					b.Fatalf("got %s %s", s.Status, aws.ToString(s.StatusReason))
				}
				var got []string
				for _, c := range s.Changes {
					got = append(got, said(c))
				}
				if !slices.Equal(got, tt.want) {
					b.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
				}
			})
		})
	}
}

func TestUpdate(t *testing.T) {
	in(t, nil, func(b *bench) {
		b.up()
		before := b.resources()
		b.run(b.ask(types.ChangeSetTypeUpdate, with("S3Key: one", "S3Key: two")))
		b.is(types.StackStatusUpdateComplete, "")
		// The permission uses an attribute that turned out to be the same, so nothing happens to it.
		b.happened("gate UPDATE_IN_PROGRESS User Initiated", "Function UPDATE_IN_PROGRESS", "Function UPDATE_COMPLETE", "gate UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "gate UPDATE_COMPLETE")
		if after := b.resources(); after["Function"] != before["Function"] {
			b.Errorf("got %s, want the function that there was, %s", after["Function"], before["Function"])
		}
		b.run(b.ask(types.ChangeSetTypeUpdate, with("S3Key: one", "S3Key: two, S3ObjectVersion: a", "MemorySize: 256", "PackageType: Zip", "Outputs:", "  Queue: {Type: AWS::SQS::Queue}\nOutputs:",
			"  Table: {Value: !Ref Table}", "", "  Table:\n    Type: AWS::DynamoDB::Table\n    DeletionPolicy: Retain\n    Properties: {KeySchema: [{AttributeName: a, KeyType: HASH}]}", "")))
		b.is(types.StackStatusUpdateComplete, "")
		b.happened("gate UPDATE_IN_PROGRESS User Initiated", "Function UPDATE_IN_PROGRESS Requested update requires the creation of a new physical resource; hence creating one.", "Queue CREATE_IN_PROGRESS",
			"Function UPDATE_COMPLETE", "Permission UPDATE_IN_PROGRESS Requested update requires the creation of a new physical resource; hence creating one.",
			"Queue CREATE_IN_PROGRESS Resource creation Initiated", "Queue CREATE_COMPLETE", "Permission UPDATE_COMPLETE",
			"gate UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "Table DELETE_SKIPPED", "Permission DELETE_IN_PROGRESS", "Permission DELETE_COMPLETE", "Function DELETE_IN_PROGRESS", "Function DELETE_COMPLETE", "gate UPDATE_COMPLETE")
		after := b.resources()
		if after["Function"] == before["Function"] || after["Permission"] == before["Permission"] || after["Queue"] == "" || after["Table"] != "" {
			b.Errorf("got %v, want a new function and permission, a queue and no table; before it was %v", after, before)
		}
		if st := b.stack(); len(st.Outputs) != 1 || *st.Outputs[0].OutputValue != after["Function"] {
			b.Errorf("got %v, want the new function's name", st.Outputs)
		}
	})
}

func TestAFailedCreation(t *testing.T) {
	in(t, nil, func(b *bench) {
		b.fail["create Role"] = "User: x is not authorized to perform: iam:CreateRole"
		b.run(b.ask(types.ChangeSetTypeCreate, vpn))
		b.is(types.StackStatusRollbackComplete, "")
		b.happened("gate CREATE_IN_PROGRESS User Initiated", "Logs CREATE_IN_PROGRESS", "Role CREATE_IN_PROGRESS", "Table CREATE_IN_PROGRESS",
			"Logs CREATE_IN_PROGRESS Resource creation Initiated", "Logs CREATE_COMPLETE", "Role CREATE_FAILED User: x is not authorized to perform: iam:CreateRole",
			"Table CREATE_FAILED Resource creation cancelled",
			"gate ROLLBACK_IN_PROGRESS The following resource(s) failed to create: [Role, Table]. Rollback requested by user.",
			"Logs DELETE_IN_PROGRESS", "Logs DELETE_COMPLETE", "gate ROLLBACK_COMPLETE")
		for kind, want := range map[types.ChangeSetType]string{types.ChangeSetTypeCreate: "Stack [gate] already exists and cannot be created again with the changeSet [again].",
			types.ChangeSetTypeUpdate: "Stack:" + *b.stack().StackId + " is in ROLLBACK_COMPLETE state and can not be updated."} {
			_, err := b.CreateChangeSet(b.Context(), &awscfn.CreateChangeSetInput{StackName: aws.String("gate"), ChangeSetName: aws.String("again"), ChangeSetType: kind, TemplateBody: aws.String(vpn)})
			if code(err) != "ValidationError: "+want {
				b.Errorf("%s: got %s, want %s", kind, code(err), want)
			}
		}
		id := b.stack().StackId
		if _, err := b.DeleteStack(b.Context(), &awscfn.DeleteStackInput{StackName: aws.String("gate")}); err != nil {
			b.Fatal(err)
		}
		if _, err := b.DescribeStacks(b.Context(), &awscfn.DescribeStacksInput{StackName: aws.String("gate")}); code(err) != "ValidationError: Stack with id gate does not exist" {
			b.Errorf("got %s", code(err))
		}
		out, err := b.DescribeStacks(b.Context(), &awscfn.DescribeStacksInput{StackName: id})
		if err != nil || out.Stacks[0].StackStatus != types.StackStatusDeleteComplete || out.Stacks[0].DeletionTime == nil {
			b.Errorf("got %v, want the deleted stack under its id", err)
		}
		delete(b.fail, "create Role")
		b.up()
		if *b.stack().StackId == *id {
			b.Error("the new stack has the old one's id")
		}
	})
}

func TestOnStackFailure(t *testing.T) {
	for kind, want := range map[types.OnStackFailure]types.StackStatus{types.OnStackFailureDoNothing: types.StackStatusCreateFailed, types.OnStackFailureDelete: types.StackStatusDeleteComplete} {
		in(t, nil, func(b *bench) {
			b.fail["create Role"] = "no"
			made, err := b.CreateChangeSet(b.Context(), &awscfn.CreateChangeSetInput{StackName: aws.String("gate"), ChangeSetName: aws.String("a"), ChangeSetType: types.ChangeSetTypeCreate,
				TemplateBody: aws.String(vpn), Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}, OnStackFailure: kind})
			if err != nil {
				b.Fatal(err)
			}
			time.Sleep(time.Minute)
			b.run(&awscfn.DescribeChangeSetOutput{ChangeSetId: made.Id})
			time.Sleep(10 * time.Minute)
			out, err := b.DescribeStacks(b.Context(), &awscfn.DescribeStacksInput{StackName: made.StackId})
			if err != nil || out.Stacks[0].StackStatus != want {
				b.Errorf("%s: got %v, %v, want %s", kind, out, err, want)
			}
		})
	}
}

func TestAFailedUpdate(t *testing.T) {
	in(t, nil, func(b *bench) {
		b.up()
		before := b.resources()
		b.fail["create Permission"] = "The resource policy is too long"
		b.run(b.ask(types.ChangeSetTypeUpdate, with("MemorySize: 256", "PackageType: Zip", "RetentionInDays: !Ref Days", "RetentionInDays: 5", "Outputs:", "  Queue: {Type: AWS::SQS::Queue}\nOutputs:")))
		b.is(types.StackStatusUpdateRollbackComplete, "")
		const hence = " Requested update requires the creation of a new physical resource; hence creating one."
		b.happened("gate UPDATE_IN_PROGRESS User Initiated", "Logs UPDATE_IN_PROGRESS", "Queue CREATE_IN_PROGRESS", "Logs UPDATE_COMPLETE", "Function UPDATE_IN_PROGRESS"+hence,
			"Queue CREATE_IN_PROGRESS Resource creation Initiated", "Queue CREATE_COMPLETE", "Function UPDATE_COMPLETE", "Permission UPDATE_IN_PROGRESS"+hence, "Permission UPDATE_FAILED The resource policy is too long",
			"gate UPDATE_ROLLBACK_IN_PROGRESS The following resource(s) failed to update: [Permission].",
			"Logs UPDATE_IN_PROGRESS", "Logs UPDATE_COMPLETE", "Function UPDATE_IN_PROGRESS", "Function UPDATE_COMPLETE", "Permission UPDATE_IN_PROGRESS", "Permission UPDATE_COMPLETE",
			"gate UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "Queue DELETE_IN_PROGRESS", "Function DELETE_IN_PROGRESS", "Queue DELETE_COMPLETE", "Function DELETE_COMPLETE", "gate UPDATE_ROLLBACK_COMPLETE")
		after := b.resources()
		if fmt.Sprint(after) != fmt.Sprint(before) {
			b.Errorf("got %v, want all as it was: %v", after, before)
		}
		// And it can be updated again.
		delete(b.fail, "create Permission")
		b.run(b.ask(types.ChangeSetTypeUpdate, with("S3Key: one", "S3Key: two")))
		b.is(types.StackStatusUpdateComplete, "")
	})
}

func TestAnUpdateThatFailsInTwoWays(t *testing.T) {
	slow := func(c *cloudformation.Config) {
		c.Takes = func(logicalID, _ string) time.Duration {
			if logicalID == "Function" {
				return 20 * time.Second
			}
			return 10 * time.Second
		}
	}
	in(t, slow, func(b *bench) {
		b.up()
		b.fail["create Queue"] = "no"
		b.run(b.ask(types.ChangeSetTypeUpdate, with("S3Key: one", "S3Key: two", "Outputs:", "  Queue: {Type: AWS::SQS::Queue}\nOutputs:")))
		b.is(types.StackStatusUpdateRollbackComplete, "")
		b.happened("gate UPDATE_IN_PROGRESS User Initiated", "Function UPDATE_IN_PROGRESS", "Queue CREATE_IN_PROGRESS", "Queue CREATE_FAILED no", "Function UPDATE_FAILED Resource update cancelled",
			"gate UPDATE_ROLLBACK_IN_PROGRESS The following resource(s) failed to create: [Queue]. The following resource(s) failed to update: [Function].",
			"Function UPDATE_IN_PROGRESS", "Function UPDATE_COMPLETE", "gate UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "gate UPDATE_ROLLBACK_COMPLETE")
	})
}

func TestARollbackThatFails(t *testing.T) {
	in(t, nil, func(b *bench) {
		b.up()
		b.fail["update Function"] = "no"
		b.run(b.ask(types.ChangeSetTypeUpdate, with("S3Key: one", "S3Key: two")))
		b.is(types.StackStatusUpdateRollbackFailed, "The following resource(s) failed to update: [Function]. ")
	})
}

func TestACustomNameIsNotReplaced(t *testing.T) {
	in(t, nil, func(b *bench) {
		named := with("MemorySize: 256", "FunctionName: gate")
		b.run(b.ask(types.ChangeSetTypeCreate, named))
		b.is(types.StackStatusCreateComplete, "")
		b.run(b.ask(types.ChangeSetTypeUpdate, strings.Replace(named, "FunctionName: gate", "FunctionName: gate, PackageType: Zip", 1)))
		b.is(types.StackStatusUpdateRollbackComplete, "")
		if got := strings.Join(b.events(), "\n"); !strings.Contains(got, "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename gate and update the stack again.") {
			b.Errorf("got %s", got)
		}
	})
}

func TestCancelAnUpdate(t *testing.T) {
	in(t, nil, func(b *bench) {
		b.up()
		if _, err := b.CancelUpdateStack(b.Context(), &awscfn.CancelUpdateStackInput{StackName: aws.String("gate")}); code(err) != "ValidationError: CancelUpdateStack cannot be called from current stack status" {
			b.Errorf("got %s", code(err))
		}
		b.run(b.ask(types.ChangeSetTypeUpdate, with("S3Key: one", "S3Key: two")))
		time.Sleep(time.Second)
		if _, err := b.CancelUpdateStack(b.Context(), &awscfn.CancelUpdateStackInput{StackName: aws.String("gate")}); err != nil {
			b.Fatal(err)
		}
		b.is(types.StackStatusUpdateRollbackComplete, "")
		b.happened("gate UPDATE_IN_PROGRESS User Initiated", "Function UPDATE_IN_PROGRESS", "Function UPDATE_FAILED Resource update cancelled", "gate UPDATE_ROLLBACK_IN_PROGRESS User Initiated",
			"Function UPDATE_IN_PROGRESS", "Function UPDATE_COMPLETE", "gate UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "gate UPDATE_ROLLBACK_COMPLETE")
	})
}

func TestDelete(t *testing.T) {
	in(t, nil, func(b *bench) {
		remove := func(retain ...string) error {
			_, err := b.DeleteStack(b.Context(), &awscfn.DeleteStackInput{StackName: aws.String("gate"), RetainResources: retain})
			return err
		}
		protect := func(on bool) {
			if _, err := b.UpdateTerminationProtection(b.Context(), &awscfn.UpdateTerminationProtectionInput{StackName: aws.String("gate"), EnableTerminationProtection: &on}); err != nil {
				b.Fatal(err)
			}
		}
		if err := remove(); err != nil {
			b.Errorf("a stack that is not there: got %v, want nothing", err)
		}
		b.up()
		protect(true)
		if err := remove(); code(err) != "ValidationError: Stack [gate] cannot be deleted while TerminationProtection is enabled" || !*b.stack().EnableTerminationProtection {
			b.Errorf("got %s", code(err))
		}
		protect(false)
		b.fail["delete Function"] = "in use"
		if err := remove(); err != nil {
			b.Fatal(err)
		}
		b.is(types.StackStatusDeleteFailed, "The following resource(s) failed to delete: [Function]. ")
		// What the function still needs is left with it.
		b.happened("gate DELETE_IN_PROGRESS User Initiated", "Permission DELETE_IN_PROGRESS", "Table DELETE_SKIPPED", "Permission DELETE_COMPLETE", "Function DELETE_IN_PROGRESS", "Function DELETE_FAILED in use",
			"gate DELETE_FAILED The following resource(s) failed to delete: [Function].")
		if err := remove("Nothing"); !strings.Contains(code(err), "does not exist") {
			b.Errorf("got %s", code(err))
		}
		id := b.stack().StackId
		if err := remove("Function"); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute)
		out, err := b.DescribeStacks(b.Context(), &awscfn.DescribeStacksInput{StackName: id})
		if err != nil || out.Stacks[0].StackStatus != types.StackStatusDeleteComplete {
			b.Errorf("got %v, %v", out, err)
		}
	})
}

func TestDeleteWhatIsBeingCreated(t *testing.T) {
	in(t, nil, func(b *bench) {
		set := b.ask(types.ChangeSetTypeCreate, vpn)
		b.run(set)
		time.Sleep(15 * time.Second)
		if _, err := b.DeleteStack(b.Context(), &awscfn.DeleteStackInput{StackName: aws.String("gate")}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute)
		out, err := b.DescribeStacks(b.Context(), &awscfn.DescribeStacksInput{StackName: set.StackId})
		if err != nil || out.Stacks[0].StackStatus != types.StackStatusDeleteComplete {
			b.Errorf("got %v, %v", out, err)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	in(t, nil, func(b *bench) {
		b.run(b.ask(types.ChangeSetTypeCreate, vpn))
		time.Sleep(15 * time.Second)
		b.server.Pause()
		time.Sleep(time.Hour)
		if st := b.stack(); st.StackStatus != types.StackStatusCreateInProgress {
			b.Fatalf("got %s while it is paused", st.StackStatus)
		}
		if got := b.events(); got[len(got)-1] != "Table CREATE_COMPLETE" {
			b.Errorf("got %s as the last event", got[len(got)-1])
		}
		b.server.Resume()
		time.Sleep(4 * time.Second)
		if got := b.events(); got[len(got)-1] != "Table CREATE_COMPLETE" {
			b.Errorf("got %s: the pause counts as time", got[len(got)-1])
		}
		b.is(types.StackStatusCreateComplete, "")
	})
}

func TestRefusals(t *testing.T) {
	named := with("{AssumeRolePolicyDocument:", "{RoleName: a, AssumeRolePolicyDocument:")
	both := types.Parameter{ParameterKey: aws.String("Days"), ParameterValue: aws.String("1"), UsePreviousValue: aws.Bool(true)}
	iam := []types.Capability{types.CapabilityCapabilityIam}
	text := aws.String
	for name, tt := range map[string]struct {
		in   awscfn.CreateChangeSetInput
		want string
	}{
		"without a capability":         {awscfn.CreateChangeSetInput{TemplateBody: text(vpn)}, "InsufficientCapabilitiesException: Requires capabilities : [CAPABILITY_IAM]"},
		"a named role":                 {awscfn.CreateChangeSetInput{TemplateBody: &named, Capabilities: iam}, "InsufficientCapabilitiesException: Requires capabilities : [CAPABILITY_NAMED_IAM]"},
		"a long template":              {awscfn.CreateChangeSetInput{TemplateBody: text(vpn + strings.Repeat("# ", 25600))}, "Member must have length less than or equal to 51200"},
		"no template":                  {awscfn.CreateChangeSetInput{}, "ValidationError: Either Template URL or Template Body must be specified."},
		"a template of another's":      {awscfn.CreateChangeSetInput{TemplateURL: text("https://example.com/a.yaml")}, "ValidationError: TemplateURL must be a supported URL."},
		"an update of nothing":         {awscfn.CreateChangeSetInput{TemplateBody: text(vpn), ChangeSetType: types.ChangeSetTypeUpdate}, "ValidationError: Stack [gate] does not exist"},
		"a wrong template":             {awscfn.CreateChangeSetInput{TemplateBody: text("Resources: {}")}, "ValidationError: Template format error: At least one Resources member must be defined."},
		"a parameter that is not":      {awscfn.CreateChangeSetInput{TemplateBody: text(vpn), Parameters: []types.Parameter{{ParameterKey: text("X"), ParameterValue: text("")}}}, "ValidationError: Parameters: [X] do not exist in the template"},
		"the previous value of nobody": {awscfn.CreateChangeSetInput{TemplateBody: text(vpn), Parameters: []types.Parameter{{ParameterKey: text("Days"), UsePreviousValue: aws.Bool(true)}}}, "for a parameter key not in the previous template"},
		"a value and the previous one": {awscfn.CreateChangeSetInput{TemplateBody: text(vpn), Parameters: []types.Parameter{both}}, "Cannot specify usePreviousValue as true and a value"},
		"an import":                    {awscfn.CreateChangeSetInput{TemplateBody: text(vpn), ChangeSetType: types.ChangeSetTypeImport}, "Member must satisfy enum value set: [CREATE, UPDATE]"},
		"a name with an underscore":    {awscfn.CreateChangeSetInput{TemplateBody: text(vpn), ChangeSetName: text("a_b")}, "Member must satisfy regular expression pattern"},
		"what nobody needs":            {awscfn.CreateChangeSetInput{TemplateBody: text(vpn), NotificationARNs: []string{"arn:aws:sns:eu-central-1:111122223333:a"}}, "the stand-in does not support the parameter NotificationARNs.member.1"},
		"a reserved tag":               {awscfn.CreateChangeSetInput{TemplateBody: text(vpn), Capabilities: iam, Tags: []types.Tag{{Key: text("aws:a"), Value: text("b")}}}, "reserved"},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(b *bench) {
				x := tt.in
				x.StackName = text("gate")
				if x.ChangeSetName == nil {
					x.ChangeSetName = text("a")
				}
				if x.ChangeSetType == "" {
					x.ChangeSetType = types.ChangeSetTypeCreate
				}
				if _, err := b.CreateChangeSet(b.Context(), &x); !strings.Contains(code(err), tt.want) {
					b.Errorf("got %s, want %s", code(err), tt.want)
				}
				if _, err := b.DescribeStacks(b.Context(), &awscfn.DescribeStacksInput{StackName: text("gate")}); code(err) != "ValidationError: Stack with id gate does not exist" {
					b.Errorf("afterwards: got %s, want no stack", code(err))
				}
			})
		})
	}
}

func TestMoreRefusals(t *testing.T) {
	in(t, nil, func(b *bench) {
		gate := aws.String("gate")
		for name, tt := range map[string]struct {
			do   func() error
			want string
		}{
			"a change set without its stack's name": {func() error {
				_, err := b.DescribeChangeSet(b.Context(), &awscfn.DescribeChangeSetInput{ChangeSetName: aws.String("a")})
				return err
			}, "ValidationError: StackName must be specified if ChangeSetName is not specified as an ARN."},
			"a change set of no stack": {func() error {
				_, err := b.DescribeChangeSet(b.Context(), &awscfn.DescribeChangeSetInput{ChangeSetName: aws.String("a"), StackName: gate})
				return err
			}, "ValidationError: Stack [gate] does not exist"},
			"events of no stack": {func() error {
				_, err := b.DescribeStackEvents(b.Context(), &awscfn.DescribeStackEventsInput{StackName: gate})
				return err
			}, "ValidationError: Stack [gate] does not exist"},
			"resources of no stack": {func() error {
				_, err := b.ListStackResources(b.Context(), &awscfn.ListStackResourcesInput{StackName: gate})
				return err
			}, "ValidationError: Stack with id gate does not exist"},
			"an action that is not here": {func() error {
				_, err := b.CreateStack(b.Context(), &awscfn.CreateStackInput{StackName: gate, TemplateBody: aws.String(vpn)})
				return err
			}, "InvalidAction: Could not find operation CreateStack for version 2010-05-15"},
			"another's key": {func() error {
				_, err := awscfn.New(awscfn.Options{Region: "eu-central-1", HTTPClient: direct{b.server.Handler()}, RetryMaxAttempts: 1,
					Credentials: awscredentials.NewStaticCredentialsProvider("AKIAOTHER", "x", "")}).DescribeStacks(b.Context(), &awscfn.DescribeStacksInput{})
				return err
			}, "InvalidClientTokenId: The security token included in the request is invalid."},
			"a wrong secret": {func() error {
				_, err := awscfn.New(awscfn.Options{Region: "eu-central-1", HTTPClient: direct{b.server.Handler()}, RetryMaxAttempts: 1,
					Credentials: awscredentials.NewStaticCredentialsProvider(key.AccessKeyID, "x", "")}).DescribeStacks(b.Context(), &awscfn.DescribeStacksInput{})
				return err
			}, "SignatureDoesNotMatch: The request signature we calculated"},
			"unsigned": {func() error {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", strings.NewReader(url.Values{"Action": {"DescribeStacks"}}.Encode()))
				w := httptest.NewRecorder()
				b.server.Handler().ServeHTTP(w, r)
				raw, _ := io.ReadAll(w.Body)
				return errors.New(string(raw))
			}, "<Code>MissingAuthenticationToken</Code>"},
		} {
			if got := code(tt.do()); !strings.Contains(got, tt.want) {
				b.Errorf("%s: got %s, want %s", name, got, tt.want)
			}
		}
		b.up()
		for name, body := range map[string]string{
			"Update of resource type is not permitted. The new template modifies resource type of the following resources: [Table]": with("Type: AWS::DynamoDB::Table", "Type: AWS::Logs::LogGroup", "{KeySchema: [{AttributeName: a, KeyType: HASH}]}", "{}"),
		} {
			_, err := b.CreateChangeSet(b.Context(), &awscfn.CreateChangeSetInput{StackName: gate, ChangeSetName: aws.String("t"), TemplateBody: &body, Capabilities: []types.Capability{types.CapabilityCapabilityIam}})
			if code(err) != "ValidationError: "+name {
				b.Errorf("got %s, want %s", code(err), name)
			}
		}
		set := b.ask(types.ChangeSetTypeUpdate, with("S3Key: one", "S3Key: two"))
		if _, err := b.CreateChangeSet(b.Context(), &awscfn.CreateChangeSetInput{StackName: gate, ChangeSetName: set.ChangeSetName, TemplateBody: aws.String(vpn)}); !strings.HasPrefix(code(err), "AlreadyExistsException: ") {
			b.Errorf("the same name again: got %s", code(err))
		}
		other := b.ask(types.ChangeSetTypeUpdate, with("S3Key: one", "S3Key: three"))
		list, err := b.ListChangeSets(b.Context(), &awscfn.ListChangeSetsInput{StackName: gate})
		if err != nil || len(list.Summaries) != 2 {
			b.Errorf("got %v, %v, want two change sets", list, err)
		}
		b.run(set)
		_, err = b.CreateChangeSet(b.Context(), &awscfn.CreateChangeSetInput{StackName: gate, ChangeSetName: aws.String("u"), TemplateBody: aws.String(vpn)})
		if want := "ValidationError: Stack:" + *b.stack().StackId + " is in UPDATE_IN_PROGRESS state and can not be updated."; code(err) != want {
			b.Errorf("got %s, want %s", code(err), want)
		}
		if _, err := b.DeleteStack(b.Context(), &awscfn.DeleteStackInput{StackName: gate}); !strings.HasSuffix(code(err), "cannot be deleted while in status UPDATE_IN_PROGRESS") {
			b.Errorf("got %s", code(err))
		}
		if _, err := b.ExecuteChangeSet(b.Context(), &awscfn.ExecuteChangeSetInput{ChangeSetName: other.ChangeSetId}); !strings.HasPrefix(code(err), "ChangeSetNotFound") {
			b.Errorf("another change set of what was executed: got %s", code(err))
		}
		if _, err := b.ExecuteChangeSet(b.Context(), &awscfn.ExecuteChangeSetInput{ChangeSetName: set.ChangeSetId}); !strings.HasSuffix(code(err), "in its current execution status of [EXECUTE_IN_PROGRESS]") {
			b.Errorf("twice: got %s", code(err))
		}
	})
}

func TestPreviousValuesAndTags(t *testing.T) {
	in(t, nil, func(b *bench) {
		b.run(b.ask(types.ChangeSetTypeCreate, vpn, types.Parameter{ParameterKey: aws.String("Days"), ParameterValue: aws.String("30")}))
		b.is(types.StackStatusCreateComplete, "")
		s := b.ask(types.ChangeSetTypeUpdate, vpn, types.Parameter{ParameterKey: aws.String("Days"), UsePreviousValue: aws.Bool(true)})
		if s.Status != types.ChangeSetStatusFailed {
			b.Errorf("the previous value: got %s and %d changes, want none", s.Status, len(s.Changes))
		}
		if s := b.ask(types.ChangeSetTypeUpdate, vpn); s.Status != types.ChangeSetStatusCreateComplete || len(s.Changes) != 1 {
			b.Errorf("no value: got %s, want the default again", s.Status)
		}
		made, err := b.CreateChangeSet(b.Context(), &awscfn.CreateChangeSetInput{StackName: aws.String("gate"), ChangeSetName: aws.String("tags"), UsePreviousTemplate: aws.Bool(true),
			Capabilities: []types.Capability{types.CapabilityCapabilityIam}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}, Parameters: []types.Parameter{{ParameterKey: aws.String("Days"), UsePreviousValue: aws.Bool(true)}}})
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute)
		out, err := b.DescribeChangeSet(b.Context(), &awscfn.DescribeChangeSetInput{ChangeSetName: made.Id})
		if err != nil || len(out.Changes) < 4 || out.Changes[0].ResourceChange.Scope[0] != types.ResourceAttributeTags {
			b.Errorf("a stack's tag: got %v, %v, want all that can have tags among the changes", out, err)
		}
	})
}

func TestPages(t *testing.T) {
	in(t, func(c *cloudformation.Config) { c.PageSize = 2 }, func(b *bench) {
		set := b.ask(types.ChangeSetTypeCreate, vpn)
		if e, err := b.DescribeStackEvents(b.Context(), &awscfn.DescribeStackEventsInput{StackName: aws.String("gate")}); err != nil || len(e.StackEvents) != 1 || *e.StackEvents[0].PhysicalResourceId != *set.StackId {
			b.Errorf("got %v, %v, want the stack's own event", e, err)
		}
		var got []string
		for token := (*string)(nil); ; token = set.NextToken {
			if token != nil {
				var err error
				if set, err = b.DescribeChangeSet(b.Context(), &awscfn.DescribeChangeSetInput{ChangeSetName: set.ChangeSetId, NextToken: token}); err != nil {
					b.Fatal(err)
				}
			}
			if len(set.Changes) > 2 {
				b.Errorf("got %d changes in a page", len(set.Changes))
			}
			for _, c := range set.Changes {
				got = append(got, *c.ResourceChange.LogicalResourceId)
			}
			if set.NextToken == nil {
				break
			}
		}
		if strings.Join(got, " ") != "Logs Role Function Permission Table" {
			b.Errorf("got %v", got)
		}
		b.run(set)
		b.is(types.StackStatusCreateComplete, "")
		if n := len(b.events()); n != 17 {
			b.Errorf("got %d events over all pages", n)
		}
		p, n := awscfn.NewListStackResourcesPaginator(b.Client, &awscfn.ListStackResourcesInput{StackName: aws.String("gate")}), 0
		for p.HasMorePages() {
			page, err := p.NextPage(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			n += len(page.StackResourceSummaries)
		}
		if n != 5 {
			b.Errorf("got %d resources over all pages", n)
		}
		if _, err := b.DescribeStackEvents(b.Context(), &awscfn.DescribeStackEventsInput{StackName: aws.String("gate"), NextToken: aws.String("x")}); code(err) != "ValidationError: Invalid NextToken" {
			b.Errorf("got %s", code(err))
		}
	})
}

func TestTemplateURL(t *testing.T) {
	const at = "https://artifacts.s3.eu-central-1.amazonaws.com/gate.yaml"
	long := vpn + strings.Repeat("# ", 40000)
	fetch := func(_ context.Context, url string) ([]byte, error) {
		if url == at {
			return []byte(long), nil
		}
		return nil, errors.New("Access Denied")
	}
	in(t, func(c *cloudformation.Config) { c.Fetch = fetch }, func(b *bench) {
		x := awscfn.CreateChangeSetInput{StackName: aws.String("gate"), ChangeSetName: aws.String("a"), ChangeSetType: types.ChangeSetTypeCreate, TemplateURL: aws.String(at + "s"), Capabilities: []types.Capability{types.CapabilityCapabilityIam}}
		if _, err := b.CreateChangeSet(b.Context(), &x); code(err) != "ValidationError: S3 error: Access Denied" {
			b.Errorf("got %s", code(err))
		}
		x.TemplateURL = aws.String(at)
		if _, err := b.CreateChangeSet(b.Context(), &x); err != nil {
			b.Error(err)
		}
	})
}

// A stack in REVIEW_IN_PROGRESS takes more change sets, and goes away when it is deleted.
func TestReview(t *testing.T) {
	in(t, nil, func(b *bench) {
		a := b.ask(types.ChangeSetTypeCreate, vpn)
		if _, err := b.DeleteChangeSet(b.Context(), &awscfn.DeleteChangeSetInput{ChangeSetName: a.ChangeSetId}); err != nil {
			b.Fatal(err)
		}
		if st := b.stack(); st.StackStatus != types.StackStatusReviewInProgress {
			b.Errorf("got %s: deleting the change set leaves the stack", st.StackStatus)
		}
		c := b.ask(types.ChangeSetTypeCreate, vpn)
		if *c.StackId != *a.StackId {
			b.Error("another stack was made")
		}
		if _, err := b.CreateChangeSet(b.Context(), &awscfn.CreateChangeSetInput{StackName: aws.String("gate"), ChangeSetName: aws.String("u"), ChangeSetType: types.ChangeSetTypeUpdate, TemplateBody: aws.String(vpn)}); code(err) != "ValidationError: Stack [gate] does not exist" {
			b.Errorf("an update: got %s", code(err))
		}
		if _, err := b.DeleteStack(b.Context(), &awscfn.DeleteStackInput{StackName: aws.String("gate")}); err != nil {
			b.Fatal(err)
		}
		if _, err := b.DescribeStacks(b.Context(), &awscfn.DescribeStacksInput{StackName: aws.String("gate")}); err == nil {
			b.Error("the stack is still there")
		}
	})
}

func TestNewChecksItsConfig(t *testing.T) {
	if _, err := cloudformation.New(cloudformation.Config{Region: "eu-central-1"}); err == nil {
		t.Error("got a server without credentials and log")
	}
}

// What a rollback takes back is as it was, policies and all: the next change is found, and what was to replace something
// is deleted whatever its policy says of the one that it was to replace.
func TestARollbackForgetsWhatItTookBack(t *testing.T) {
	in(t, nil, func(b *bench) {
		b.up()
		b.fail["create Permission"] = "no"
		changed := with("MemorySize: 256", "PackageType: Zip", "  Function:\n    Type:", "  Function:\n    UpdateReplacePolicy: Retain\n    Type:")
		b.run(b.ask(types.ChangeSetTypeUpdate, changed))
		b.is(types.StackStatusUpdateRollbackComplete, "")
		if got := strings.Join(b.events(), "\n"); !strings.Contains(got, "Function DELETE_COMPLETE") {
			b.Errorf("got %s, want the new function deleted", got)
		}
		if s := b.ask(types.ChangeSetTypeUpdate, vpn); s.Status != types.ChangeSetStatusFailed {
			b.Errorf("the template that is there: got %d changes, want none", len(s.Changes))
		}
		delete(b.fail, "create Permission")
		b.run(b.ask(types.ChangeSetTypeUpdate, changed))
		b.is(types.StackStatusUpdateComplete, "")
		if got := strings.Join(b.events(), "\n"); !strings.Contains(got, "Function DELETE_SKIPPED") {
			b.Errorf("got %s, want the old function left", got)
		}
	})
}

func TestWhoRefersToAReplacement(t *testing.T) {
	in(t, func(c *cloudformation.Config) { c.Unconfirmed.QuietAttributes = true }, func(b *bench) {
		b.up()
		s := b.ask(types.ChangeSetTypeUpdate, with("RetentionInDays: !Ref Days", "LogGroupName: other"))
		want := "Modify Function False LoggingConfig/Properties/Never/Dynamic/ResourceReference/Logs"
		if len(s.Changes) != 2 || said(s.Changes[1]) != want {
			b.Errorf("got %d changes, want two, the second %s", len(s.Changes), want)
		}
	})
}

func TestTagsStay(t *testing.T) {
	in(t, nil, func(b *bench) {
		made, err := b.CreateChangeSet(b.Context(), &awscfn.CreateChangeSetInput{StackName: aws.String("gate"), ChangeSetName: aws.String("a"), ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: aws.String(vpn),
			Capabilities: []types.Capability{types.CapabilityCapabilityIam}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute)
		b.run(&awscfn.DescribeChangeSetOutput{ChangeSetId: made.Id})
		b.is(types.StackStatusCreateComplete, "")
		b.run(b.ask(types.ChangeSetTypeUpdate, with("S3Key: one", "S3Key: two")))
		b.is(types.StackStatusUpdateComplete, "")
		if tags := b.stack().Tags; len(tags) != 1 || *tags[0].Value != "b" {
			b.Errorf("got %v, want the tags that nobody took away", tags)
		}
	})
}

// TestAdopt: a stack that Deploy made is there for who asks.
func TestAdopt(t *testing.T) {
	body := []byte("Parameters: {P: {Type: String}}\nResources: {Q: {Type: AWS::SQS::Queue}}\nOutputs: {Name: {Value: !Ref P}}\n")
	e := cloudformation.Environment{Region: "eu-central-1", AccountID: "111122223333", StackName: "made", StackID: "arn:aws:cloudformation:eu-central-1:111122223333:stack/made/1"}
	template, err := cloudformation.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	d, err := template.Deploy(t.Context(), e, map[string]string{"P": "value"}, nil, named{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := cloudformation.New(cloudformation.Config{Region: e.Region, AccountID: e.AccountID, Log: slog.New(slog.DiscardHandler),
		Credentials: func(string) (sigv4.Credentials, bool) { return key, true }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Adopt(e, body, map[string]string{"P": "value"}, d); err != nil {
		t.Fatal(err)
	}
	client := awscfn.New(awscfn.Options{Region: e.Region, Credentials: awscredentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""), HTTPClient: direct{s.Handler()}})
	stacks, err := client.DescribeStacks(t.Context(), &awscfn.DescribeStacksInput{StackName: aws.String("made")})
	if err != nil {
		t.Fatal(err)
	}
	if st := stacks.Stacks[0]; st.StackStatus != types.StackStatusCreateComplete || len(st.Outputs) != 1 || *st.Outputs[0].OutputValue != "value" || *st.Parameters[0].ParameterValue != "value" {
		t.Errorf("got %+v", st)
	}
	resources, err := client.DescribeStackResources(t.Context(), &awscfn.DescribeStackResourcesInput{StackName: aws.String("made")})
	if err != nil || len(resources.StackResources) != 1 || *resources.StackResources[0].PhysicalResourceId != "q" {
		t.Errorf("got %+v, %v", resources, err)
	}
	if err := s.Adopt(e, body, nil, d); err == nil {
		t.Error("a stack was adopted without its parameters")
	}
}

// named names everything q.
type named struct{}

func (named) Create(context.Context, cloudformation.Resource) (cloudformation.Physical, error) {
	return cloudformation.Physical{Ref: "q", Attributes: map[string]string{"Arn": "q"}}, nil
}

func (named) Update(_ context.Context, p cloudformation.Physical, _ cloudformation.Resource) (cloudformation.Physical, error) {
	return p, nil
}

func (named) Delete(context.Context, cloudformation.Physical, cloudformation.Resource) error {
	return nil
}
