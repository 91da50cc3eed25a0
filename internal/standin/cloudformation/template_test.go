package cloudformation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// head is a template's beginning, so that a case is what it is about.
const head = "AWSTemplateFormatVersion: 2010-09-09\nResources:\n  Q: {Type: AWS::SQS::Queue}\n"

func TestWrongTemplates(t *testing.T) {
	for name, tt := range map[string]struct{ template, want string }{
		"no YAML":                      {"Resources: [", "Template format error: YAML not well-formed."},
		"no JSON":                      {`{"Resources": {"Q": {"Type": "AWS::SQS::Queue",}}}`, "Template format error: JSON not well-formed."},
		"a list":                       {"- a", "Template format error: unsupported structure."},
		"empty":                        {"", "Template format error: unsupported structure."},
		"no resources":                 {"Description: nothing", "Template format error: At least one Resources member must be defined."},
		"too long":                     {head + "# " + strings.Repeat("x", maxTemplate), "Template may not exceed 1000000 bytes in size."},
		"another version":              {"AWSTemplateFormatVersion: 2011-01-01\n" + head[37:], "Template format error: Template format version 2011-01-01 is not supported"},
		"an unknown section":           {head + "Resource: {}", "Invalid template property or properties [Resource]"},
		"a transform":                  {head + "Transform: AWS::Serverless-2016-10-31", "this stand-in does not support the section Transform"},
		"a key twice":                  {head + "  Q: {Type: AWS::SQS::Queue}", "duplicate key"},
		"a null":                       {head + "Outputs: {A: {Value: }}", "[/Outputs/A/Value] 'null' values are not allowed in templates"},
		"an alias":                     {"Resources:\n  A: &a {Type: AWS::SQS::Queue}\n  B: *a", "Template error: YAML aliases are not allowed in CloudFormation templates"},
		"an unknown tag":               {head + "Outputs: {A: {Value: !Cidr x}}", "unknown tag !Cidr"},
		"a truth value of old":         {head + "Outputs: {A: {Value: yes}}", "yes is no text in YAML 1.1, which CloudFormation reads: put it in quotation marks"},
		"an octal number":              {head + "Outputs: {A: {Value: 012345678901}}", "012345678901 is no text in YAML 1.1"},
		"base sixty":                   {head + "Outputs: {A: {Value: 12:30}}", "12:30 is no text in YAML 1.1"},
		"no type":                      {"Resources: {A: {}}", "Template format error: [/Resources/A] Every Resources object must contain a Type member."},
		"an unknown type":              {"Resources: {A: {Type: AWS::SQS::Que}}", "Template format error: Unrecognized resource types: [AWS::SQS::Que]"},
		"an unknown attribute":         {"Resources: {A: {Type: AWS::SQS::Queue, Dependson: B}}", "Invalid template resource property 'Dependson'"},
		"a creation policy":            {"Resources: {A: {Type: AWS::SQS::Queue, CreationPolicy: {}}}", "does not support CreationPolicy"},
		"an unknown property":          {"Resources: {A: {Type: AWS::SQS::Queue, Properties: {Name: a}}}", "Encountered unsupported property Name"},
		"a read-only property":         {"Resources: {A: {Type: AWS::SQS::Queue, Properties: {Arn: a}}}", "Encountered unsupported property Arn"},
		"a missing property":           {"Resources: {A: {Type: AWS::SQS::QueuePolicy, Properties: {Queues: [a]}}}", "Property PolicyDocument cannot be empty."},
		"an unknown policy":            {"Resources: {A: {Type: AWS::SQS::Queue, DeletionPolicy: Keep}}", "Unrecognized DeletionPolicy Keep for resource A"},
		"a name with a hyphen":         {"Resources: {A-B: {Type: AWS::SQS::Queue}}", "Template format error: Resource name A-B is non alphanumeric."},
		"Ref of nothing":               {"Resources: {A: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref Nmae}}}", "Template format error: Unresolved resource dependencies [Nmae] in the Resources block of the template"},
		"Ref of nothing in an output":  {head + "Outputs: {A: {Value: !Ref X}}", "Template format error: Unresolved resource dependencies [X] in the Outputs block of the template"},
		"Sub of nothing":               {"Resources: {A: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub 'a-${B}-${AWS::Region}'}}}", "Unresolved resource dependencies [B]"},
		"Sub of what is no name":       {head + "Outputs: {A: {Value: !Sub '${a-b}'}}", "variable names in Fn::Sub syntax"},
		"DependsOn nothing":            {"Resources: {A: {Type: AWS::SQS::Queue, DependsOn: [B]}}", "Unresolved resource dependencies [B]"},
		"GetAtt of nothing":            {head + "Outputs: {A: {Value: !GetAtt X.Arn}}", "Template error: instance of Fn::GetAtt references undefined resource X"},
		"GetAtt of no attribute":       {head + "Outputs: {A: {Value: !GetAtt Q.ARN}}", "Template error: resource Q does not support attribute type ARN in Fn::GetAtt"},
		"no attribute in Sub":          {head + "Outputs: {A: {Value: !Sub '${Q.Nmae}'}}", "Template error: resource Q does not support attribute type Nmae in Fn::GetAtt"},
		"an import":                    {head + "Outputs: {A: {Value: !ImportValue x}}", "does not support the function Fn::ImportValue"},
		"an unknown function":          {head + "Outputs: {A: {Value: {Fn::Cidr: [a, b, c]}}}", "does not support the function Fn::Cidr"},
		"a function with company":      {head + "Outputs: {A: {Value: {Ref: Q, Fn::Sub: x}}}", "must have no other key"},
		"a condition in a property":    {head + "Outputs: {A: {Value: !Equals [a, b]}}", "Fn::Equals is for the Conditions block"},
		"an undefined condition":       {"Resources: {A: {Type: AWS::SQS::Queue, Condition: C}}", "unresolved condition dependency C"},
		"an undefined condition in If": {head + "Outputs: {A: {Value: !If [C, a, b]}}", "unresolved condition dependency C"},
		"a resource in a condition":    {head + "Conditions: {C: !Equals [!Ref Q, a]}", "Template format error: Unresolved dependencies [Q]. Cannot reference resources in the Conditions block of the template"},
		"conditions in a circle":       {head + "Conditions: {C: !Not [!Condition D], D: !Not [!Condition C]}", "Circular dependency in the Conditions block"},
		"And of one":                   {head + "Conditions: {C: !And [!Equals [a, b]]}", "requires a list of 2 to 10 members"},
		"a text for a condition":       {head + "Conditions: {C: yep}", "Every Conditions member must be a condition function."},
		"Join of a text":               {head + "Outputs: {A: {Value: !Join [',', abc]}}", "requires a list of strings"},
		"a mapping that is not there":  {head + "Outputs: {A: {Value: !FindInMap [M, a, b]}}", "Mapping named 'M' is not present"},
		"an unknown parameter type":    {head + "Parameters: {P: {Type: Text}}", "Template format error: Unrecognized parameter type: Text"},
		"an unknown parameter key":     {head + "Parameters: {P: {Type: String, Defualt: a}}", "Invalid template parameter property 'Defualt'"},
		"a default that is not right":  {head + "Parameters: {P: {Type: String, Default: c, AllowedValues: [a, b]}}", "Parameter 'P' must be one of AllowedValues"},
		"a name twice":                 {head + "Parameters: {Q: {Type: String}}", "the name of a parameter and of a resource"},
		"an export":                    {head + "Outputs: {A: {Value: a, Export: {Name: b}}}", "does not support Export"},
		"an unknown output key":        {head + "Outputs: {A: {Value: a, Vlaue: b}}", "Invalid template output property 'Vlaue'"},
		"two in a circle": {"Resources:\n  A: {Type: AWS::SQS::Queue, Properties: {QueueName: !GetAtt B.Arn}}\n  B: {Type: AWS::SQS::Queue, DependsOn: A}\n  C: {Type: AWS::SQS::Queue, DependsOn: A}",
			"Circular dependency between resources: [A, B]"},
		"too many parameters": {head + "Parameters:\n" + repeat(201, "  P%d: {Type: String}\n"), "Number of parameters, 201, is greater than maximum allowed, 200"},
		"too many resources":  {"Resources:\n" + repeat(501, "  R%d: {Type: AWS::SQS::Queue}\n"), "Number of resources, 501, is greater than maximum allowed, 500"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tt.template))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func repeat(n int, line string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, line, i)
	}
	return b.String()
}

const rich = `
AWSTemplateFormatVersion: 2010-09-09
Description: functions of every kind
Parameters:
  Stage: {Type: String, Default: prod, AllowedValues: [prod, test]}
  Subnets: {Type: "List<AWS::EC2::Subnet::Id>", Default: "subnet-1, subnet-2"}
  Retention: {Type: Number, Default: 90, MinValue: 1}
  Topic: {Type: String, Default: "", AllowedPattern: "|arn:.*", ConstraintDescription: an ARN}
Mappings:
  Zones:
    eu-central-1: {alb: Z1, more: [a, b]}
Conditions:
  HasTopic: !Not [!Equals [!Ref Topic, ""]]
  Prod: !Equals [!Ref Stage, prod]
  Both: !And [!Condition HasTopic, !Condition Prod]
  Either: !Or [!Condition HasTopic, {Condition: Prod}]
Resources:
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: !Sub "${AWS::StackName}-stuck"
      AlarmActions: !If [HasTopic, [!Ref Topic], !Ref AWS::NoValue]
      OKActions: [!If [HasTopic, !Ref Topic, !Ref "AWS::NoValue"], fixed]
      Dimensions: [{Name: Function, Value: !Ref Function}]
      Threshold: 1.5
      ActionsEnabled: true
  Function:
    Type: AWS::Lambda::Function
    DependsOn: Logs
    Properties:
      Code: {S3Bucket: !Select [0, !Split [",", "bucket,key"]], S3Key: !Select ["1", [a, b]]}
      Role: !GetAtt Role.Arn
      Environment:
        Variables:
          SUBNETS: !Join [",", !Ref Subnets]
          ZONE: !FindInMap [Zones, !Ref AWS::Region, alb]
          LITERAL: !Sub ["${!Keep} ${a} ${Role.Arn} ${AWS::AccountId} ${AWS::Partition} ${AWS::URLSuffix}", {a: !Ref Stage}]
          RETENTION: !Ref Retention
          SIXTYFOUR: !Base64 abc
  Logs: {Type: AWS::Logs::LogGroup, Properties: {RetentionInDays: !Ref Retention}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: "sts:AssumeRole", Condition: {StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}}}]
  Only: {Type: AWS::SQS::Queue, Condition: Both}
Outputs:
  Arn: {Value: !GetAtt Function.Arn, Description: the function's}
  Queue: {Condition: Both, Value: !Ref Only}
  Id: {Value: !Ref AWS::StackId}
`

var here = Environment{Region: "eu-central-1", AccountID: "111122223333", StackName: "gate", StackID: "arn:aws:cloudformation:eu-central-1:111122223333:stack/gate/1"}

// recorder is a provisioner that writes down what it was asked.
type recorder struct {
	did  []string
	made map[string]map[string]any
	fail string // "create A"
}

func (r *recorder) do(what string) error {
	r.did = append(r.did, what)
	if what == r.fail {
		return errors.New("Access denied for operation")
	}
	return nil
}

func (r *recorder) Create(ctx context.Context, x Resource) (Physical, error) {
	if r.made == nil {
		r.made = map[string]map[string]any{}
	}
	r.made[x.LogicalID] = x.Properties.values
	p, _ := plain{"eu-central-1", "111122223333"}.Create(ctx, x)
	p.Ref = strings.ToLower(x.LogicalID) + "-" + x.GeneratedName(64)[len(x.GeneratedName(64))-4:]
	return p, r.do("create " + x.LogicalID)
}

func (r *recorder) Update(ctx context.Context, old Physical, x Resource) (Physical, error) {
	r.made[x.LogicalID] = x.Properties.values
	return old, r.do("update " + x.LogicalID)
}

func (r *recorder) Delete(_ context.Context, old Physical, x Resource) error {
	return r.do("delete " + x.LogicalID)
}

func parse(t *testing.T, raw string) *Template {
	t.Helper()
	out, err := Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDeploy(t *testing.T) {
	r := &recorder{}
	d, err := parse(t, rich).Deploy(t.Context(), here, map[string]string{"Topic": "arn:aws:sns:x", "Stage": "test"}, nil, r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(r.did, ", "), "create Logs, create Role, create Function, create Alarm"; got != want {
		t.Errorf("got %s, want %s: each after what it needs, and otherwise as written", got, want)
	}
	role := d.Resources["Role"].Attributes["Arn"]
	for _, tt := range []struct{ what, got, want string }{
		{"alarm", asJSON(r.made["Alarm"]), `{"ActionsEnabled":true,"AlarmActions":["arn:aws:sns:x"],"AlarmName":"gate-stuck","Dimensions":[{"Name":"Function","Value":"` + d.Resources["Function"].Ref + `"}],"OKActions":["arn:aws:sns:x","fixed"],"Threshold":1.5}`},
		{"function", asJSON(r.made["Function"]), `{"Code":{"S3Bucket":"bucket","S3Key":"b"},"Environment":{"Variables":{"LITERAL":"${Keep} test ` + role + ` 111122223333 aws amazonaws.com","RETENTION":"90","SIXTYFOUR":"YWJj","SUBNETS":"subnet-1,subnet-2","ZONE":"Z1"}},"Role":"` + role + `"}`},
		{"role", asJSON(r.made["Role"]), `{"AssumeRolePolicyDocument":{"Statement":[{"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"}},"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"}}],"Version":"2012-10-17"}}`},
		{"outputs", asJSON(d.Outputs), `{"Arn":"` + d.Resources["Function"].Attributes["Arn"] + `","Id":"` + here.StackID + `"}`},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got\n%s, want\n%s", tt.what, tt.got, tt.want)
		}
	}
	r.did = nil
	if err := d.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	if got, want := strings.Join(r.did, ", "), "delete Alarm, delete Function, delete Role, delete Logs"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNoValueTakesThePropertyAway(t *testing.T) {
	r := &recorder{}
	if _, err := parse(t, rich).Deploy(t.Context(), here, nil, nil, r); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.made["Alarm"]["AlarmActions"]; ok {
		t.Error("AlarmActions is there, although it has no value")
	}
	if got := asJSON(r.made["Alarm"]["OKActions"]); got != `["fixed"]` {
		t.Errorf("OKActions: got %s, want the one that has a value", got)
	}
}

func TestAFailureIsTakenBack(t *testing.T) {
	r := &recorder{fail: "create Function"}
	_, err := parse(t, rich).Deploy(t.Context(), here, nil, nil, r)
	if err == nil || !strings.Contains(err.Error(), "Function (AWS::Lambda::Function): Access denied for operation") {
		t.Errorf("got %v", err)
	}
	if got, want := strings.Join(r.did, ", "), "create Logs, create Role, create Function, delete Role, delete Logs"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestJSONSaysTheSame(t *testing.T) {
	in := `{"Resources": {"A": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::Join": ["-", ["a", {"Ref": "AWS::Region"}]]}, "FifoQueue": true, "DelaySeconds": 5}}}}`
	r := &recorder{}
	if _, err := parse(t, in).Deploy(t.Context(), here, nil, nil, r); err != nil {
		t.Fatal(err)
	}
	if got, want := asJSON(r.made["A"]), `{"DelaySeconds":5,"FifoQueue":true,"QueueName":"a-eu-central-1"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWrongParameters(t *testing.T) {
	const in = head + `
Parameters:
  Name: {Type: String, MinLength: 2, MaxLength: 4, AllowedPattern: "[a-z]*"}
  Size: {Type: Number, Default: 5, MaxValue: 9}
  Vpc: {Type: "AWS::EC2::VPC::Id", Default: ""}
  Kind: {Type: String, Default: a, AllowedValues: [a, b], ConstraintDescription: be one of ours}
`
	for name, tt := range map[string]struct {
		given map[string]string
		want  string
	}{
		"a missing one":              {map[string]string{"Vpc": "vpc-1"}, "Parameters: [Name] must have values"},
		"unknown ones":               {map[string]string{"Name": "ab", "X": "", "W": ""}, "Parameters: [W, X] do not exist in the template"},
		"short":                      {map[string]string{"Name": "a", "Vpc": "vpc-1"}, "Parameter 'Name' must contain at least 2 characters"},
		"long":                       {map[string]string{"Name": "abcde", "Vpc": "vpc-1"}, "Parameter 'Name' must contain at most 4 characters"},
		"not of the pattern":         {map[string]string{"Name": "ABC", "Vpc": "vpc-1"}, "Parameter 'Name' must match pattern [a-z]*"},
		"no number":                  {map[string]string{"Name": "abc", "Size": "x", "Vpc": "vpc-1"}, "Parameter 'Size' must be a number"},
		"a large number":             {map[string]string{"Name": "abc", "Size": "10", "Vpc": "vpc-1"}, "Parameter 'Size' must be a number not greater than 9"},
		"nothing where AWS looks":    {map[string]string{"Name": "abc"}, "Parameter validation failed: parameter value  for parameter name Vpc does not exist"},
		"its constraint described":   {map[string]string{"Name": "abc", "Kind": "c", "Vpc": "vpc-1"}, "Parameter 'Kind' failed to satisfy constraint: be one of ours"},
		"more than 4,096 bytes":      {map[string]string{"Name": strings.Repeat("a", 4097), "Vpc": "vpc-1"}, "Parameter 'Name' must not be longer than 4096 bytes"},
		"all of them, to be certain": {map[string]string{"Name": "abc", "Size": "9", "Vpc": "vpc-1", "Kind": "b"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, in).arguments(tt.given)
			if got := fmt.Sprint(err); got != tt.want && (err != nil || tt.want != "") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWhatIsFoundOutLate(t *testing.T) {
	for name, tt := range map[string]struct{ template, want string }{
		"Ref of what a condition left out": {"Conditions: {Never: !Equals [a, b]}\nResources:\n  A: {Type: AWS::SQS::Queue, Condition: Never}\n  B: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref A}}",
			"Unresolved resource dependencies [A]"},
		"Select beyond the end":      {"Resources:\n  B: {Type: AWS::SQS::Queue, Properties: {QueueName: !Select [2, [a, b]]}}", "Fn::Select cannot select nonexistent value at index 2"},
		"a key that no mapping has":  {"Mappings: {M: {us-east-1: {a: b}}}\nResources:\n  B: {Type: AWS::SQS::Queue, Properties: {QueueName: !FindInMap [M, !Ref AWS::Region, a]}}", "Unable to get mapping for M::eu-central-1::a"},
		"a property without a value": {"Resources:\n  B: {Type: AWS::SQS::QueuePolicy, Properties: {Queues: [a], PolicyDocument: !Ref AWS::NoValue}}", "Property PolicyDocument cannot be empty."},
		"a list for an output":       {"Parameters: {L: {Type: CommaDelimitedList, Default: 'a,b'}}\nResources:\n  B: {Type: AWS::SQS::Queue}\nOutputs: {O: {Value: !Ref L}}", "The Value field of every Outputs member must evaluate to a String."},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, tt.template).Deploy(t.Context(), here, nil, nil, &recorder{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestResourcesAreMadeAsTheyAreWritten(t *testing.T) {
	got := parse(t, "Resources:\n  C: {Type: AWS::SQS::Queue}\n  A: {Type: AWS::SQS::Queue, DependsOn: D}\n  B: {Type: AWS::SQS::Queue}\n  D: {Type: AWS::SQS::Queue}").order
	if want := []string{"C", "D", "A", "B"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDependsOnWhatAConditionLeftOut(t *testing.T) {
	r := &recorder{}
	_, err := parse(t, "Conditions: {Never: !Equals [a, b]}\nResources:\n  A: {Type: AWS::SQS::Queue, Condition: Never}\n  B: {Type: AWS::SQS::Queue, DependsOn: A}").Deploy(t.Context(), here, nil, nil, r)
	if err != nil || !slices.Equal(r.did, []string{"create B"}) {
		t.Errorf("got %v and %v, want B alone", r.did, err)
	}
}

func TestProperties(t *testing.T) {
	p := newProperties("/Resources/A/Properties", map[string]any{"Name": "a", "Port": "443", "Wait": int64(5), "On": "true", "Off": false,
		"Actions": []any{map[string]any{"Type": "forward", "Order": int64(1), "Oder": int64(2)}}, "Ids": []any{"a", int64(1)}, "Env": map[string]any{"A": int64(1)}, "Deep": map[string]any{"In": map[string]any{"X": "y"}}, "Never": "read"})
	if got := fmt.Sprintln(p.String("Name"), p.Int("Port", 0), p.String("Wait"), p.Bool("On", false), p.Bool("Off", true), p.Strings("Ids"), p.Texts("Env"), p.Int("Absent", 7), p.Objects("None") == nil); got != "a 443 5 true false [a 1] map[A:1] 7 true\n" {
		t.Errorf("got %s", got)
	}
	a := p.Objects("Actions")[0]
	a.String("Type")
	a.Int("Order", 0)
	p.Object("Deep").Object("In")
	err := fmt.Sprint(p.Err())
	for _, want := range []string{"/Actions/0/Oder: Encountered unsupported property Oder", "/Deep/In/X: Encountered", "/Resources/A/Properties/Never: Encountered"} {
		if !strings.Contains(err, want) {
			t.Errorf("got %s, want %s in it", err, want)
		}
	}
	if n := strings.Count(err, "\n"); n != 2 {
		t.Errorf("got %d lines and one, want three: %s", n, err)
	}
	q := newProperties("", map[string]any{"Port": "https", "List": "a", "Object": "b", "Flag": "yes", "Text": []any{}})
	q.Int("Port", 0)
	q.Strings("List")
	q.Object("Object")
	q.Bool("Flag", false)
	_ = q.String("Text")
	if n := strings.Count(fmt.Sprint(q.Err()), "want"); n != 5 {
		t.Errorf("got %v, want five values of the wrong kind", q.Err())
	}
}

func TestGeneratedNames(t *testing.T) {
	r := Resource{StackName: "a-very-long-name-of-a-stack", LogicalID: "SignInErrorsAlarmOfTheFront", token: "1"}
	if got := r.GeneratedName(32); len(got) != 32 || r.GeneratedName(32) != got {
		t.Errorf("got %s, want 32 characters, always the same", got)
	}
	other := r
	other.token = "2"
	if r.GeneratedName(64) == other.GeneratedName(64) {
		t.Error("a replacement has the name of what it replaces")
	}
}

func TestSchemas(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		s := schemas[name]
		known := strings.Fields(s.properties)
		for p := range strings.FieldsSeq(s.required + " " + s.recreate + " " + s.perhaps + " " + s.primary) {
			if !slices.Contains(known, p) {
				t.Errorf("%s: %s is none of its properties", name, p)
			}
		}
	}
	if len(schemas) < 50 {
		t.Errorf("got %d types", len(schemas))
	}
}

// What Parse lets through, the rest can rely on: no template makes it panic.
func FuzzParse(f *testing.F) {
	for _, s := range []string{rich, head + "Outputs: {A: {Value: !GetAtt Q.Arn}}", head + "Outputs: {A: {Value: {Fn::GetAtt: Q.Arn}}}", `{"Resources": {"A": {"Type": "AWS::SQS::Queue"}}}`,
		head + "Conditions: {C: !Or [!Equals [a, !Select [0, !Split [',', 'a,b']]], !Condition D], D: !Not [!Equals [!Ref AWS::Region, b]]}\nOutputs: {A: {Value: !If [C, !Sub '${Q.Arn}', !Base64 b]}}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		tmpl, err := Parse(raw)
		if err != nil {
			return
		}
		args := map[string]string{}
		for name := range tmpl.parameters {
			args[name] = "1"
		}
		_, _ = tmpl.Deploy(t.Context(), here, args, nil, &recorder{})
	})
}
