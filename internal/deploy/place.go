package deploy

import (
	"errors"
	"fmt"
	"strings"

	_ "embed"

	"github.com/nightlatch/nightlatch/internal/config"
)

//go:embed place.yaml
var placeText string

// placed is what place.yaml sees.
type placed struct {
	Stack, Home, Names string
	Group, ExternalID  string
	Role, Deadman      *roleName // nil where the functions' own role acts
	May, DeadmanMay    []Statement
	ScheduleGroups     []scheduleGroup
}

type roleName struct{ Path, Name string }

// RenderPlace makes the template for where an endpoint is, if that is another Region or account than the deployment's: the
// schedule group for its dead-man's switches and, in another account, the roles that the configuration names. It is for all
// endpoints of that Region and role.
func RenderPlace(c *config.Config, name string) ([]byte, error) {
	if c.Deploy == nil {
		return nil, errors.New("the configuration has no deploy section: nightlatch init writes one")
	}
	at, err := c.Endpoint(name)
	if err != nil {
		return nil, err
	}
	if at.RoleARN == "" && at.Region == c.Region {
		return nil, fmt.Errorf("endpoint %s is where the deployment is, whose stack has all that it needs", name)
	}
	v := placed{Stack: c.Deploy.Stack, Home: c.Region, Group: switchGroup(c, at), ExternalID: at.ExternalID, ScheduleGroups: []scheduleGroup{{at.Region, switchGroup(c, at)}}}
	var here []config.Endpoint
	var names []string
	for _, e := range c.Endpoints {
		if e.Region == at.Region && e.RoleARN == at.RoleARN {
			if g := switchGroup(c, e); g != v.Group {
				return nil, fmt.Errorf("endpoints %s and %s are in one place and name two schedule groups, %s and %s: name one", name, e.Name, v.Group, g)
			}
			here, names = append(here, e), append(names, e.Name)
		}
	}
	v.Names = strings.Join(names, ", ")
	if at.RoleARN != "" {
		v.Role, v.Deadman = named(at.RoleARN), named(at.Deadman.RoleARN)
		v.May, v.DeadmanMay = keeping(c, here), disassociating(here)
		if q := queues(here); q != nil {
			v.DeadmanMay = append(v.DeadmanMay, Statement{Sid: "DeadLetters", Actions: []string{"sqs:SendMessage"}, Resources: q})
		}
	}
	return execute("place.yaml", placeText, v)
}

// named splits a role's ARN, arn:aws:iam::ACCOUNT:role/PATH/NAME.
func named(arn string) *roleName {
	_, rest, _ := strings.Cut(arn, ":role")
	i := strings.LastIndex(rest, "/")
	return &roleName{rest[:i+1], rest[i+1:]}
}
