package iam

import (
	"errors"
	"strings"
	"testing"
)

const (
	front    = "arn:aws:iam::111122223333:role/path/front"
	deadman  = "arn:aws:iam::111122223333:role/deadman"
	spoke    = "arn:aws:iam::444455556666:role/spoke"
	operator = "arn:aws:iam::111122223333:user/operator"
	endpoint = "arn:aws:ec2:us-east-1:111122223333:client-vpn-endpoint/cvpn-endpoint-0a"
	function = "arn:aws:lambda:us-east-1:111122223333:function:nightlatch"
	group    = "arn:aws:scheduler:us-east-1:111122223333:schedule-group/nightlatch"
	byLambda = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}}`
)

// document is a policy of the statements.
func document(statements ...string) string {
	return `{"Version": "2012-10-17", "Statement": [` + strings.Join(statements, ", ") + `]}`
}

func allow(action, resource string, more ...string) string {
	return `{"Effect": "Allow", "Action": "` + action + `", "Resource": "` + resource + `"` + strings.Join(more, "") + `}`
}

func deny(action, resource string, more ...string) string {
	return strings.Replace(allow(action, resource, more...), "Allow", "Deny", 1)
}

func when(operator, key, values string) string {
	return `, "Condition": {"` + operator + `": {"` + key + `": ` + values + `}}`
}

// account has a role with the policy that is asked about, and an administrator.
func account(t *testing.T, policy string) *Account {
	t.Helper()
	r := Role{ARN: front, Trust: byLambda}
	if policy != "" {
		r.Policies = map[string]string{"p": policy}
	}
	a, err := New(Config{Administrators: []string{operator}, Roles: []Role{r}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// want compares with "" for allowed, or with a part of the refusal.
func want(t *testing.T, err error, part string) {
	t.Helper()
	if part == "" {
		if err != nil {
			t.Errorf("got %v, want it allowed", err)
		}
		return
	}
	d, ok := errors.AsType[*Denied](err)
	if !ok || !strings.Contains(d.Error(), part) {
		t.Errorf("got %v, want a refusal with %q", err, part)
	}
}

// TestIdentityPolicies is about what a role may do by its own policies.
func TestIdentityPolicies(t *testing.T) {
	const (
		implicit = "because no identity-based policy allows the ec2:DescribeClientVpnRoutes action"
		explicit = "with an explicit deny in an identity-based policy"
	)
	for name, tt := range map[string]struct {
		policy  string
		context map[string]string
		want    string
	}{
		"no policy allows nothing":                             {"", nil, implicit},
		"the action on the resource":                           {document(allow("ec2:DescribeClientVpnRoutes", endpoint)), nil, ""},
		"another action":                                       {document(allow("ec2:DescribeClientVpnEndpoints", "*")), nil, implicit},
		"the same action of another service":                   {document(allow("ecs:DescribeClientVpnRoutes", "*")), nil, implicit},
		"actions compare in any case":                          {document(allow("ec2:describeclientvpnroutes", endpoint)), nil, ""},
		"a wildcard in the action":                             {document(allow("ec2:Describe*Routes", endpoint)), nil, ""},
		"a wildcard that does not fit":                         {document(allow("ec2:Create*", endpoint)), nil, implicit},
		"? is one letter":                                      {document(allow("ec2:DescribeClientVpnRoute?", endpoint)), nil, ""},
		"? is not none":                                        {document(allow("ec2:DescribeClientVpnRoutes?", endpoint)), nil, implicit},
		"every action":                                         {document(allow("*", "*")), nil, ""},
		"another resource":                                     {document(allow("ec2:*", endpoint+"b")), nil, implicit},
		"a wildcard in the resource":                           {document(allow("ec2:*", "arn:aws:ec2:*:111122223333:client-vpn-endpoint/*")), nil, ""},
		"resources compare by case":                            {document(allow("ec2:*", strings.Replace(endpoint, "client-vpn", "Client-Vpn", 1))), nil, implicit},
		"a wildcard does not reach over a colon":               {document(allow("ec2:*", "arn:aws:ec2:*:client-vpn-endpoint/cvpn-endpoint-0a:x")), nil, implicit},
		"actions that are not meant":                           {document(`{"Effect": "Allow", "NotAction": ["ec2:Create*", "iam:*"], "Resource": "*"}`), nil, ""},
		"actions that are not meant, of which it is one":       {document(`{"Effect": "Allow", "NotAction": "ec2:Describe*", "Resource": "*"}`), nil, implicit},
		"resources that are not meant":                         {document(`{"Effect": "Allow", "Action": "ec2:*", "NotResource": "` + endpoint + `b"}`), nil, ""},
		"resources that are not meant, of which it is one":     {document(`{"Effect": "Allow", "Action": "ec2:*", "NotResource": "` + endpoint + `"}`), nil, implicit},
		"a deny beats an allow":                                {document(allow("*", "*"), deny("ec2:Describe*", "*")), nil, explicit},
		"whichever comes first":                                {document(deny("ec2:Describe*", "*"), allow("*", "*")), nil, explicit},
		"a deny of something else does not":                    {document(allow("*", "*"), deny("ec2:Create*", "*")), nil, ""},
		"StringEquals":                                         {document(allow("*", "*", when("StringEquals", "ec2:Region", `"us-east-1"`))), map[string]string{"ec2:Region": "us-east-1"}, ""},
		"StringEquals, one of several":                         {document(allow("*", "*", when("StringEquals", "ec2:Region", `["eu-west-1", "us-east-1"]`))), map[string]string{"ec2:Region": "us-east-1"}, ""},
		"StringEquals, none of several":                        {document(allow("*", "*", when("StringEquals", "ec2:Region", `["eu-west-1", "eu-west-2"]`))), map[string]string{"ec2:Region": "us-east-1"}, implicit},
		"StringEquals knows no wildcards":                      {document(allow("*", "*", when("StringEquals", "ec2:Region", `"us-*"`))), map[string]string{"ec2:Region": "us-east-1"}, implicit},
		"StringEquals of a key that is not there":              {document(allow("*", "*", when("StringEquals", "ec2:Region", `"us-east-1"`))), nil, implicit},
		"StringEqualsIfExists of a key that is not there":      {document(allow("*", "*", when("StringEqualsIfExists", "ec2:Region", `"us-east-1"`))), nil, ""},
		"StringEqualsIfExists of another value":                {document(allow("*", "*", when("StringEqualsIfExists", "ec2:Region", `"us-east-1"`))), map[string]string{"ec2:Region": "eu-west-1"}, implicit},
		"StringNotEquals":                                      {document(deny("*", "*", when("StringNotEquals", "ec2:Region", `"us-east-1"`)), allow("*", "*")), map[string]string{"ec2:Region": "eu-west-1"}, explicit},
		"StringNotEquals of any of several":                    {document(allow("*", "*", when("StringNotEquals", "ec2:Region", `["us-east-1", "eu-west-1"]`))), map[string]string{"ec2:Region": "eu-west-1"}, implicit},
		"StringNotEquals of a key that is not there holds":     {document(deny("*", "*", when("StringNotEquals", "ec2:Region", `"us-east-1"`)), allow("*", "*")), nil, explicit},
		"StringLike":                                           {document(allow("*", "*", when("StringLike", "ec2:Region", `"us-*-?"`))), map[string]string{"ec2:Region": "us-east-1"}, ""},
		"StringLike that does not":                             {document(allow("*", "*", when("StringLike", "ec2:Region", `"eu-*"`))), map[string]string{"ec2:Region": "us-east-1"}, implicit},
		"ArnLike, part by part":                                {document(allow("*", "*", when("ArnLike", "ec2:Vpc", `"arn:aws:ec2:*:111122223333:vpc/vpc-*"`))), map[string]string{"ec2:Vpc": "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-0a"}, ""},
		"ArnLike does not reach over a colon":                  {document(allow("*", "*", when("ArnLike", "ec2:Vpc", `"arn:aws:ec2:*:vpc/vpc-0a:x"`))), map[string]string{"ec2:Vpc": "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-0a"}, implicit},
		"ArnLike of what is no ARN":                            {document(allow("*", "*", when("ArnLike", "ec2:Vpc", `"arn:*:*:*:*:*"`))), map[string]string{"ec2:Vpc": "vpc-0a"}, implicit},
		"ArnEquals is ArnLike":                                 {document(allow("*", "*", when("ArnEquals", "ec2:Vpc", `"arn:aws:ec2:*:111122223333:vpc/vpc-*"`))), map[string]string{"ec2:Vpc": "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-0a"}, ""},
		"Bool":                                                 {document(deny("*", "*", when("Bool", "aws:SecureTransport", `"false"`)), allow("*", "*")), map[string]string{"aws:SecureTransport": "true"}, ""},
		"Bool, without quotes":                                 {document(deny("*", "*", when("Bool", "aws:SecureTransport", `false`)), allow("*", "*")), map[string]string{"aws:SecureTransport": "false"}, explicit},
		"Bool, the other way":                                  {document(deny("*", "*", when("Bool", "aws:SecureTransport", `"false"`)), allow("*", "*")), map[string]string{"aws:SecureTransport": "false"}, explicit},
		"names of keys compare in any case":                    {document(allow("*", "*", when("StringEquals", "EC2:region", `"us-east-1"`))), map[string]string{"ec2:Region": "us-east-1"}, ""},
		"a resource's tag":                                     {document(allow("*", "*", when("StringEquals", "aws:ResourceTag/team", `"net"`))), map[string]string{"aws:ResourceTag/team": "net"}, ""},
		"another tag":                                          {document(allow("*", "*", when("StringEquals", "aws:ResourceTag/team", `"net"`))), map[string]string{"aws:ResourceTag/env": "net"}, implicit},
		"the caller's own ARN":                                 {document(allow("*", "*", when("ArnEquals", "aws:PrincipalArn", `"`+front+`"`))), nil, ""},
		"the caller's and the resource's account":              {document(allow("*", "*", `, "Condition": {"StringEquals": {"aws:PrincipalAccount": "111122223333", "aws:ResourceAccount": "111122223333"}}`)), nil, ""},
		"all conditions must hold":                             {document(allow("*", "*", `, "Condition": {"StringEquals": {"ec2:Region": "us-east-1"}, "StringLike": {"aws:PrincipalAccount": "9*"}}`)), map[string]string{"ec2:Region": "us-east-1"}, implicit},
		"one statement with two actions and resources in list": {document(`{"Effect": "Allow", "Action": ["ec2:A", "ec2:DescribeClientVpnRoutes"], "Resource": ["` + endpoint + `b", "` + endpoint + `"]}`), nil, ""},
		"one statement that is no list":                        {`{"Version": "2012-10-17", "Statement": ` + allow("ec2:*", "*") + `}`, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := account(t, tt.policy).Authorize(Request{Principal: front, Session: "s",
				Action: "ec2:DescribeClientVpnRoutes", Resource: endpoint, Context: tt.context})
			want(t, err, tt.want)
			if tt.want != "" {
				want(t, err, "User: arn:aws:sts::111122223333:assumed-role/front/s is not authorized to perform: ec2:DescribeClientVpnRoutes on resource: "+endpoint+" ")
			}
		})
	}
}

func TestWhoeverItIs(t *testing.T) {
	a := account(t, document(allow("ec2:Describe*", endpoint)))
	want(t, a.Authorize(Request{Principal: operator, Action: "ec2:DeleteClientVpnEndpoint", Resource: endpoint}), "")
	want(t, a.Authorize(Request{Principal: deadman, Session: "s", Action: "ec2:DescribeX", Resource: endpoint}), "arn:aws:sts::111122223333:assumed-role/deadman/s is not authorized")
	want(t, a.Authorize(Request{Principal: "ec2.amazonaws.com", Action: "ec2:DescribeX", Resource: endpoint}), "User: ec2.amazonaws.com is not authorized")
	// An action without resources needs a policy for all of them.
	want(t, a.Authorize(Request{Principal: front, Action: "ec2:DescribeClientVpnEndpoints", Resource: "*"}), "no identity-based policy")
}

// TestAssumeRole is about trust policies: a service, a principal by name, or an account whose own policies then decide.
func TestAssumeRole(t *testing.T) {
	trust := func(principal, more string) string {
		return document(`{"Effect": "Allow", "Principal": ` + principal + `, "Action": "sts:AssumeRole"` + more + `}`)
	}
	byScheduler := trust(`{"Service": "scheduler.amazonaws.com"}`, `, "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}, "ArnLike": {"aws:SourceArn": "`+group+`"}}`)
	may := document(allow("sts:AssumeRole", "*"))
	const none = "because no resource-based policy allows the sts:AssumeRole action"
	for name, tt := range map[string]struct {
		trust, policy string // of the role that is assumed, and of front's
		who           string
		role          string
		context       map[string]string
		want          string
	}{
		"a service that is trusted":                      {trust(`{"Service": "scheduler.amazonaws.com"}`, ""), "", "scheduler.amazonaws.com", deadman, nil, ""},
		"a service that is not":                          {byLambda, "", "scheduler.amazonaws.com", deadman, nil, none},
		"one of several services":                        {trust(`{"Service": ["lambda.amazonaws.com", "scheduler.amazonaws.com"]}`, ""), "", "scheduler.amazonaws.com", deadman, nil, ""},
		"on behalf of the right source":                  {byScheduler, "", "scheduler.amazonaws.com", deadman, map[string]string{"aws:SourceAccount": "111122223333", "aws:SourceArn": group}, ""},
		"on behalf of another group":                     {byScheduler, "", "scheduler.amazonaws.com", deadman, map[string]string{"aws:SourceAccount": "111122223333", "aws:SourceArn": group + "s"}, none},
		"on behalf of another account":                   {byScheduler, "", "scheduler.amazonaws.com", deadman, map[string]string{"aws:SourceAccount": "999988887777", "aws:SourceArn": group}, none},
		"on behalf of nobody":                            {byScheduler, "", "scheduler.amazonaws.com", deadman, nil, none},
		"a role by its name, in its account":             {trust(`{"AWS": "`+front+`"}`, ""), "", front, deadman, nil, ""},
		"a role by its name, in another account":         {trust(`{"AWS": "`+front+`"}`, ""), may, front, spoke, nil, ""},
		"which its own account has not allowed":          {trust(`{"AWS": "`+front+`"}`, ""), "", front, spoke, nil, "because no identity-based policy allows the sts:AssumeRole action"},
		"one session by its name":                        {trust(`{"AWS": "arn:aws:sts::111122223333:assumed-role/front/s"}`, ""), "", front, deadman, nil, ""},
		"another session":                                {trust(`{"AWS": "arn:aws:sts::111122223333:assumed-role/front/t"}`, ""), may, front, deadman, nil, none},
		"everybody of the account, who may":              {trust(`{"AWS": "arn:aws:iam::111122223333:root"}`, ""), may, front, deadman, nil, ""},
		"everybody of another account":                   {trust(`{"AWS": "arn:aws:iam::444455556666:root"}`, ""), may, front, spoke, nil, none},
		"everybody of the account, by its number":        {trust(`{"AWS": "111122223333"}`, ""), may, front, spoke, nil, ""},
		"everybody of the account, who may not":          {trust(`{"AWS": "arn:aws:iam::111122223333:root"}`, ""), "", front, deadman, nil, "because no identity-based policy allows the sts:AssumeRole action"},
		"who may and is not trusted":                     {byLambda, may, front, deadman, nil, none},
		"an administrator is trusted by nobody for that": {byLambda, "", operator, deadman, nil, none},
		"with the external id":                           {trust(`{"AWS": "`+front+`"}`, when("StringEquals", "sts:ExternalId", `"agreed"`)), may, front, spoke, map[string]string{"sts:ExternalId": "agreed"}, ""},
		"without the external id":                        {trust(`{"AWS": "`+front+`"}`, when("StringEquals", "sts:ExternalId", `"agreed"`)), may, front, spoke, nil, none},
		"a deny in the trust policy": {document(`{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}`, `{"Effect": "Deny", "Principal": {"AWS": "`+front+`"}, "Action": "sts:AssumeRole"}`),
			may, front, deadman, nil, "with an explicit deny in a resource-based policy"},
		"a role that does not exist": {byLambda, may, front, deadman + "s", nil, none},
	} {
		t.Run(name, func(t *testing.T) {
			var policies map[string]string
			if tt.policy != "" {
				policies = map[string]string{"p": tt.policy}
			}
			target := deadman
			if tt.role == spoke {
				target = spoke
			}
			a, err := New(Config{Administrators: []string{operator}, Roles: []Role{{ARN: front, Trust: byLambda, Policies: policies}, {ARN: target, Trust: tt.trust}}})
			if err != nil {
				t.Fatal(err)
			}
			session := ""
			if strings.Contains(tt.who, ":role/") {
				session = "s"
			}
			want(t, a.Authorize(Request{Principal: tt.who, Session: session, Action: "sts:AssumeRole", Resource: tt.role, Context: tt.context}), tt.want)
		})
	}
}

// TestPassRole: to pass a role is an action on it, whatever its trust policy says.
func TestPassRole(t *testing.T) {
	a := account(t, document(allow("iam:PassRole", deadman, when("StringEquals", "iam:PassedToService", `"scheduler.amazonaws.com"`))))
	pass := func(role, to string) error {
		return a.Authorize(Request{Principal: front, Session: "s", Action: "iam:PassRole", Resource: role, Context: map[string]string{"iam:PassedToService": to}})
	}
	want(t, pass(deadman, "scheduler.amazonaws.com"), "")
	want(t, pass(deadman, "lambda.amazonaws.com"), "iam:PassRole on resource: "+deadman+" because no identity-based policy allows the iam:PassRole action")
	want(t, pass(front, "scheduler.amazonaws.com"), "no identity-based policy")
}

// TestFunctionPolicies is about AddPermission: who may invoke a function by its own policy.
func TestFunctionPolicies(t *testing.T) {
	const (
		elb    = "elasticloadbalancing.amazonaws.com"
		target = "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/nightlatch/0a"
		none   = "because no resource-based policy allows the lambda:InvokeFunction action"
	)
	for name, tt := range map[string]struct {
		permission Permission
		policy     string // of front's
		who        string
		context    map[string]string
		want       string
	}{
		"a service":                                    {Permission{Principal: elb}, "", elb, nil, ""},
		"another service":                              {Permission{Principal: "apigateway.amazonaws.com"}, "", elb, nil, none},
		"for its source":                               {Permission{Principal: elb, SourceARN: target}, "", elb, map[string]string{"aws:SourceArn": target}, ""},
		"for another source":                           {Permission{Principal: elb, SourceARN: target}, "", elb, map[string]string{"aws:SourceArn": target + "b"}, none},
		"for a pattern, as StringLike":                 {Permission{Principal: elb, SourceARN: "arn:aws:elasticloadbalancing:*/nightlatch/*"}, "", elb, map[string]string{"aws:SourceArn": target}, ""},
		"for its account":                              {Permission{Principal: elb, SourceAccount: "111122223333"}, "", elb, map[string]string{"aws:SourceAccount": "111122223333"}, ""},
		"for another account":                          {Permission{Principal: elb, SourceAccount: "111122223333"}, "", elb, map[string]string{"aws:SourceAccount": "444455556666"}, none},
		"for another action":                           {Permission{Principal: elb, Action: "lambda:GetFunction"}, "", elb, nil, none},
		"a role of the account needs no more":          {Permission{Principal: front}, "", front, nil, ""},
		"nor a permission, if its policy allows":       {Permission{Principal: elb}, document(allow("lambda:InvokeFunction", function)), front, nil, ""},
		"an account leaves it to its policies":         {Permission{Principal: "111122223333"}, "", front, nil, "because no identity-based policy allows the lambda:InvokeFunction action"},
		"a role without either":                        {Permission{Principal: elb}, "", front, nil, "because no identity-based policy allows the lambda:InvokeFunction action"},
		"an administrator":                             {Permission{Principal: elb}, "", operator, nil, ""},
		"a deny of the role's beats what it was given": {Permission{Principal: front}, document(deny("lambda:*", "*")), front, nil, "with an explicit deny in an identity-based policy"},
	} {
		t.Run(name, func(t *testing.T) {
			a := account(t, tt.policy)
			p := tt.permission
			p.Function = function
			if p.Action == "" {
				p.Action = "lambda:InvokeFunction"
			}
			if err := a.AddPermission(p); err != nil {
				t.Fatal(err)
			}
			want(t, a.Authorize(Request{Principal: tt.who, Action: "lambda:InvokeFunction", Resource: function, Context: tt.context}), tt.want)
			want(t, a.Authorize(Request{Principal: elb, Action: "lambda:InvokeFunction", Resource: function + "-beat", Context: tt.context}), none)
		})
	}
	for name, p := range map[string]Permission{
		"a function that is none":  {Function: "nightlatch", Action: "lambda:InvokeFunction", Principal: elb},
		"an action that is none":   {Function: function, Action: "invoke", Principal: elb},
		"another service's action": {Function: function, Action: "ec2:InvokeFunction", Principal: elb},
		"a principal that is none": {Function: function, Action: "lambda:InvokeFunction", Principal: "somebody"},
		"an account that is none":  {Function: function, Action: "lambda:InvokeFunction", Principal: elb, SourceAccount: "1"},
	} {
		if err := account(t, "").AddPermission(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// withPolicy is an account whose one role has the policy.
func withPolicy(document string) (*Account, error) {
	return New(Config{Roles: []Role{{ARN: front, Trust: byLambda, Policies: map[string]string{"p": document}}}})
}

// TestStrict: what is wrong, or not played, is said when the policy is read.
func TestStrict(t *testing.T) {
	good := allow("ec2:*", "*")
	for name, tt := range map[string]struct{ document, want string }{
		"nothing":                        {"", "want a JSON object"},
		"a list":                         {"[]", "want a JSON object"},
		"something behind it":            {document(good) + "x", "something follows"},
		"a second object behind it":      {document(good) + "{}", "something follows"},
		"no version":                     {`{"Statement": ` + good + `}`, "Version"},
		"the old version":                {strings.Replace(document(good), "2012", "2008", 1), "Version"},
		"no statement":                   {`{"Version": "2012-10-17"}`, "Statement is missing"},
		"no statement in the list":       {document(), "Statement is empty"},
		"an element that nobody knows":   {`{"Version": "2012-10-17", "Statement": ` + good + `, "Comment": "x"}`, "Comment"},
		"statements in small letters":    {`{"Version": "2012-10-17", "statement": ` + good + `}`, "statement is not played"},
		"a name twice":                   {`{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": ` + good + `}`, "Version stands there twice"},
		"an element twice":               {document(strings.Replace(good, `"Action"`, `"Action": "s3:*", "Action"`, 1)), "Action stands there twice"},
		"a Sid twice":                    {document(strings.Replace(good, "{", `{"Sid": "a", `, 1), strings.Replace(good, "{", `{"Sid": "a", `, 1)), "the Sid a is used twice"},
		"a Sid with a space":             {document(strings.Replace(good, "{", `{"Sid": "a b", `, 1)), "Sid"},
		"an effect that is none":         {document(strings.Replace(good, "Allow", "allow", 1)), "Effect"},
		"no action":                      {document(`{"Effect": "Allow", "Resource": "*"}`), "Action is missing"},
		"both kinds of actions":          {document(`{"Effect": "Allow", "Action": "a:*", "NotAction": "a:*", "Resource": "*"}`), "exclude each other"},
		"an action without a service":    {document(allow("Describe", "*")), "is not an action"},
		"a service with a wildcard":      {document(allow("ec*:Describe", "*")), "is not an action"},
		"an empty list of actions":       {document(`{"Effect": "Allow", "Action": [], "Resource": "*"}`), "the list is empty"},
		"a number for an action":         {document(`{"Effect": "Allow", "Action": 1, "Resource": "*"}`), "want a string"},
		"no resource":                    {document(`{"Effect": "Allow", "Action": "ec2:*"}`), "Resource is missing"},
		"a resource that is no ARN":      {document(allow("ec2:*", "cvpn-endpoint-0a")), "is not an ARN"},
		"an ARN that is cut short":       {document(allow("ec2:*", "arn:aws:ec2:*")), "is not an ARN"},
		"an ARN of any service":          {document(allow("ec2:*", "arn:aws:*:us-east-1:111122223333:x")), "names its service"},
		"a policy variable":              {document(allow("s3:*", "arn:aws:s3:::b/${aws:username}")), "policy variables"},
		"a principal of its own":         {document(strings.Replace(good, "{", `{"Principal": "*", `, 1)), "Principal is not played here"},
		"an operator that is not played": {document(allow("*", "*", when("NumericLessThan", "aws:MultiFactorAuthAge", `"1"`))), "the operator NumericLessThan"},
		"an operator in small letters":   {document(allow("*", "*", when("stringEquals", "ec2:Region", `"x"`))), "the operator stringEquals"},
		"a set operator":                 {document(allow("*", "*", when("ForAllValues:StringEquals", "ec2:Region", `"x"`))), "the operator ForAllValues:StringEquals"},
		"a key that nobody provides":     {document(allow("*", "*", when("StringEquals", "aws:MultiFactorAuthPresent", `"x"`))), "the key aws:MultiFactorAuthPresent"},
		"a tag without a key":            {document(allow("*", "*", when("StringEquals", "aws:ResourceTag/", `"x"`))), "the key aws:ResourceTag/"},
		"a Bool that is none":            {document(allow("*", "*", when("Bool", "aws:SecureTransport", `"yes"`))), "true or false"},
		"an ArnLike that is no ARN":      {document(allow("*", "*", when("ArnLike", "aws:SourceArn", `"*"`))), "is not an ARN"},
		"an operator without keys":       {document(allow("*", "*", `, "Condition": {"StringEquals": {}}`)), "StringEquals wants keys"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := withPolicy(tt.document); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "policy p of "+front) {
				t.Errorf("got %v, want an error with the policy, the role and %q", err, tt.want)
			}
		})
	}
	if _, err := withPolicy(document(good)); err != nil {
		t.Errorf("the document that these are made from: %v", err)
	}
	for name, tt := range map[string]struct{ trust, want string }{
		"no principal":             {document(`{"Effect": "Allow", "Action": "sts:AssumeRole"}`), "Principal is missing"},
		"a resource":               {document(`{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*", "Resource": "*"}`), "Resource is not played here"},
		"those who are not meant":  {document(`{"Effect": "Allow", "Action": "sts:AssumeRole", "NotPrincipal": "*"}`), "NotPrincipal"},
		"a federated one":          {document(`{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Federated": "x"}}`), "Federated"},
		"a service that is none":   {document(`{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "scheduler"}}`), "is not the name of a service"},
		"a wildcard in an ARN":     {document(`{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "arn:aws:iam::111122223333:role/*"}}`), "no wildcards"},
		"a principal that is none": {document(`{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {}}`), "Principal is empty"},
		"a name alone":             {document(`{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "alice"}`), `Principal must be`},
	} {
		t.Run("trust: "+name, func(t *testing.T) {
			_, err := New(Config{Roles: []Role{{ARN: front, Trust: tt.trust}}})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "trust policy of "+front) {
				t.Errorf("got %v, want an error with the role and %q", err, tt.want)
			}
		})
	}
	for name, c := range map[string]Config{
		"an administrator that is none": {Administrators: []string{"alice"}},
		"a role that is a user":         {Roles: []Role{{ARN: operator, Trust: byLambda}}},
		"a role twice":                  {Roles: []Role{{ARN: front, Trust: byLambda}, {ARN: front, Trust: byLambda}}},
		"a policy that is none":         {Roles: []Role{{ARN: front, Trust: byLambda, Policies: map[string]string{"p": "x"}}}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzPolicy: no document makes the reader panic, and what it accepts can be decided by.
func FuzzPolicy(f *testing.F) {
	f.Add(document(allow("ec2:*", endpoint, when("StringLikeIfExists", "ec2:Region", `["us-*", "eu-?"]`))))
	f.Add(document(`{"Effect": "Deny", "NotAction": "a:b", "NotResource": ["` + endpoint + `"]}`))
	f.Add(`{"Version":"2012-10-17","Statement":[{]}`)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := withPolicy(text)
		if err != nil {
			return
		}
		_ = a.Authorize(Request{Principal: front, Action: "ec2:DescribeClientVpnRoutes", Resource: endpoint, Context: map[string]string{"ec2:Region": "us-east-1"}})
	})
}
