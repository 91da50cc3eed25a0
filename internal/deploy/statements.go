package deploy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// Statement is one statement of a role's policy, always an Allow. Resources are ARNs for Fn::Sub, or "*".
type Statement struct {
	Sid       string
	Actions   []string
	Resources []string
	Condition map[string]map[string]string
}

// FunctionStatements are what the functions may do: the calls that their code makes, a test holds the two together, on what
// the configuration names. Which calls take which resources is from the Service Authorization Reference.
func FunctionStatements(c *config.Config) []Statement {
	var own []config.Endpoint
	var roles []string
	for _, e := range c.Endpoints {
		if e.RoleARN == "" {
			own = append(own, e)
		} else {
			add(&roles, e.RoleARN) // everything about the endpoint is done as that role
		}
	}
	out := append([]Statement{
		{Sid: "Logs", Actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"}, Resources: []string{"${FrontLogGroup.Arn}", "${BeatLogGroup.Arn}"}},
		{Sid: "Table", Actions: []string{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Query"}, Resources: []string{"${Table.Arn}"}},
	}, keeping(c, own)...)
	if len(roles) > 0 {
		out = append(out, Statement{Sid: "OtherAccounts", Actions: []string{"sts:AssumeRole"}, Resources: roles})
	}
	return out
}

// keeping is what keeping some endpoints of one account takes.
func keeping(c *config.Config, these []config.Endpoint) []Statement {
	var endpoints, subnets, groups, switches, passed []string
	for _, e := range these {
		add(&endpoints, ec2ARN(e.Region, "${AWS::AccountId}", "client-vpn-endpoint/"+string(e.ID)))
		for _, s := range subnetsOf(e) {
			// A subnet that is shared by another account has that account in its ARN.
			add(&subnets, ec2ARN("*", "*", "subnet/"+string(s)))
		}
		for _, g := range e.Policy.Groups {
			add(&groups, ec2ARN(e.Region, "*", "security-group/"+string(g)))
		}
		if len(e.Policy.Groups) == 0 { // those of the last opening, whichever they were
			add(&groups, ec2ARN(e.Region, "*", "security-group/*"))
		}
		add(&groups, ec2ARN(e.Region, "*", "vpc/*")) // the subnets decide the VPC, and the configuration does not name it
		add(&switches, fmt.Sprintf("arn:${AWS::Partition}:scheduler:%s:${AWS::AccountId}:schedule/%s/nightlatch-cvpn-assoc-*", e.Region, switchGroup(c, e)))
		add(&passed, cmp.Or(e.Deadman.RoleARN, "${DeadmanRole.Arn}"))
	}
	if len(these) == 0 {
		return nil
	}
	return []Statement{
		{Sid: "Look", Actions: []string{"ec2:DescribeClientVpnEndpoints"}, Resources: []string{"*"}}, // the one call that knows no resources
		{Sid: "Endpoints", Actions: []string{"ec2:DescribeClientVpnTargetNetworks", "ec2:DescribeClientVpnRoutes", "ec2:DescribeClientVpnConnections",
			"ec2:AssociateClientVpnTargetNetwork", "ec2:DisassociateClientVpnTargetNetwork", "ec2:CreateClientVpnRoute", "ec2:ApplySecurityGroupsToClientVpnTargetNetwork"},
			Resources: endpoints},
		{Sid: "Subnets", Actions: []string{"ec2:AssociateClientVpnTargetNetwork", "ec2:CreateClientVpnRoute"}, Resources: subnets},
		{Sid: "Groups", Actions: []string{"ec2:ApplySecurityGroupsToClientVpnTargetNetwork"}, Resources: groups},
		{Sid: "Switches", Actions: []string{"scheduler:CreateSchedule", "scheduler:GetSchedule", "scheduler:DeleteSchedule"}, Resources: switches},
		{Sid: "PassRole", Actions: []string{"iam:PassRole"}, Resources: passed, Condition: map[string]map[string]string{"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}},
	}
}

// DeadmanStatements are what a dead-man's switch may do.
func DeadmanStatements(c *config.Config) []Statement {
	var own []config.Endpoint
	for _, e := range c.Endpoints {
		if e.RoleARN == "" {
			own = append(own, e)
		}
	}
	return append(disassociating(own), Statement{Sid: "DeadLetters", Actions: []string{"sqs:SendMessage"}, Resources: append([]string{"${DeadLetterQueue.Arn}"}, queues(own)...)})
}

// disassociating is what the switches of some endpoints of one account do.
func disassociating(these []config.Endpoint) []Statement {
	var endpoints []string
	for _, e := range these {
		add(&endpoints, ec2ARN(e.Region, "${AWS::AccountId}", "client-vpn-endpoint/"+string(e.ID)))
	}
	if len(endpoints) == 0 {
		return nil
	}
	return []Statement{{Sid: "Disassociate", Actions: []string{"ec2:DisassociateClientVpnTargetNetwork"}, Resources: endpoints}}
}

// queues are the dead-letter queues that endpoints name for themselves.
func queues(these []config.Endpoint) []string {
	var out []string
	for _, e := range these {
		if e.Deadman.DeadLetterARN != "" {
			add(&out, e.Deadman.DeadLetterARN)
		}
	}
	return out
}

// beatStatements are what the beat's schedule may do.
func beatStatements() []Statement {
	return []Statement{
		{Sid: "Invoke", Actions: []string{"lambda:InvokeFunction"}, Resources: []string{"${BeatFunction.Arn}"}},
	}
}

// subnetsOf are the subnets that may be associated, and those that a declared route names.
func subnetsOf(e config.Endpoint) []latch.SubnetID {
	out := slices.Clone(e.Policy.Subnets)
	for _, r := range e.Policy.Routes {
		if r.Subnet != "" && !strings.EqualFold(string(r.Subnet), "local") && !slices.Contains(out, r.Subnet) {
			out = append(out, r.Subnet)
		}
	}
	return out
}

func ec2ARN(region, account, resource string) string {
	return "arn:${AWS::Partition}:ec2:" + region + ":" + account + ":" + resource
}

func add(to *[]string, s string) {
	if !slices.Contains(*to, s) {
		*to = append(*to, s)
	}
}

// policyLength is about how long a policy becomes, once names are put in.
func policyLength(statements []Statement) int {
	raw, err := json.Marshal(statements)
	if err != nil {
		return 0 // a statement is strings
	}
	return len(strings.NewReplacer("${AWS::Partition}", "aws", "${AWS::AccountId}", "111122223333").Replace(string(raw)))
}
