package cloudformation

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// find is the stack of a name or id. A deleted one is found by its id alone.
func (s *Server) find(nameOrID string) *stack {
	for _, st := range slices.Backward(s.stacks) {
		if st.id == nameOrID || st.name == nameOrID && st.status != "DELETE_COMPLETE" {
			return st
		}
	}
	return nil
}

func (s *Server) known(nameOrID string) (*stack, *fault) {
	if st := s.find(nameOrID); st != nil {
		return st, nil
	}
	return nil, invalid("Stack with id %s does not exist", nameOrID)
}

// findSet is the change set that a request names.
func (s *Server) findSet(r request) (*stack, *changeSet, *fault) {
	name, of := r.p["ChangeSetName"], r.p["StackName"]
	if name == "" {
		return nil, nil, invalid("1 validation error detected: Value null at 'changeSetName' failed to satisfy constraint: Member must not be null")
	}
	missing := &fault{404, "ChangeSetNotFound", "ChangeSet [" + name + "] does not exist"}
	if strings.HasPrefix(name, "arn:") {
		for _, st := range s.stacks {
			for _, c := range st.sets {
				if c.id == name {
					return st, c, nil
				}
			}
		}
		return nil, nil, missing
	}
	if of == "" {
		return nil, nil, invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
	}
	st := s.find(of)
	if st == nil {
		return nil, nil, invalid("Stack [%s] does not exist", of)
	}
	for _, c := range slices.Backward(st.sets) {
		if c.name == name {
			return st, c, nil
		}
	}
	return st, nil, missing
}

// template is the one that a request means, and its text.
func (s *Server) template(ctx context.Context, r request, st *stack) (*Template, string, *fault) {
	body, at, previous := r.p["TemplateBody"], r.p["TemplateURL"], r.p["UsePreviousTemplate"] == "true"
	switch {
	case previous && (body != "" || at != ""):
		return nil, "", invalid("You cannot specify both usePreviousTemplate and Template Body/Template URL.")
	case body != "" && at != "":
		return nil, "", invalid("You must specify either Template URL or Template Body, not both.")
	case previous && (st == nil || st.current == nil):
		return nil, "", invalid("There is no previous template to use.")
	case previous:
		return st.current.template, st.current.body, nil
	case body == "" && at == "":
		return nil, "", invalid("Either Template URL or Template Body must be specified.")
	case at != "":
		u, err := url.Parse(at)
		if err != nil || u.Scheme != "https" || !strings.Contains(u.Host, ".amazonaws.com") {
			return nil, "", invalid("TemplateURL must be a supported URL.")
		}
		if s.cfg.Fetch == nil {
			return nil, "", invalid("the stand-in was given no way to fetch a template")
		}
		raw, err := s.cfg.Fetch(ctx, at)
		if err != nil {
			return nil, "", invalid("S3 error: %v", err)
		}
		body = string(raw)
	}
	t, err := Parse([]byte(body))
	if err != nil {
		return nil, "", invalid("%s", err.Error())
	}
	return t, body, nil
}

// updatable are the statuses in which a stack may be changed.
var updatable = []string{"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}

type createdSet struct {
	Id, StackId string
}

func (s *Server) createChangeSet(ctx context.Context, r request) (any, *fault) {
	name, of := r.p["ChangeSetName"], r.p["StackName"]
	create := r.p["ChangeSetType"] == "CREATE"
	st := s.find(of)
	switch {
	case name == "":
		return nil, invalid("1 validation error detected: Value null at 'changeSetName' failed to satisfy constraint: Member must not be null")
	case len(name) > 128 || strings.Contains(name, ":"):
		return nil, invalid("1 validation error detected: Value '%s' at 'changeSetName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*", name)
	case st == nil && len(of) > 128:
		return nil, invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: Member must have length less than or equal to 128", of)
	case create && st != nil && st.status != "REVIEW_IN_PROGRESS":
		return nil, invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].", of, name)
	case (!create || strings.HasPrefix(of, "arn:")) && (st == nil || st.status == "DELETE_COMPLETE" || !create && st.status == "REVIEW_IN_PROGRESS"):
		return nil, invalid("Stack [%s] does not exist", of)
	case !create && !slices.Contains(updatable, st.status):
		return nil, invalid("Stack:%s is in %s state and can not be updated.", st.id, st.status)
	case !create && r.p["OnStackFailure"] != "" && r.p["OnStackFailure"] != "ROLLBACK":
		return nil, invalid("the stand-in supports OnStackFailure for new stacks only")
	}
	if st != nil && slices.ContainsFunc(st.sets, func(c *changeSet) bool {
		return c.name == name && c.execution != "EXECUTE_COMPLETE" && c.execution != "EXECUTE_FAILED"
	}) {
		return nil, refuse("AlreadyExistsException", "ChangeSet [%s] already exists", name)
	}
	t, body, f := s.template(ctx, r, st)
	if f != nil {
		return nil, f
	}
	target := &revision{template: t, body: body}
	given := map[string]string{}
	for _, at := range r.indexes("Parameters") {
		key, value := r.p[at+".ParameterKey"], r.p[at+".ParameterValue"]
		_, has := r.p[at+".ParameterValue"]
		if _, twice := given[key]; twice || key == "" {
			return nil, invalid("Parameter key '%s' is missing or given twice", key)
		}
		if r.p[at+".UsePreviousValue"] == "true" {
			var ok bool
			if st != nil && st.current != nil {
				value, ok = st.current.parameters[key]
			}
			if has {
				return nil, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true and a value at the same time.", key)
			}
			if !ok {
				return nil, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true for a parameter key not in the previous template", key)
			}
			has = true
		}
		if !has {
			return nil, invalid("Invalid input for parameter key %s. Need to specify either usePreviousValue as true or a value for the parameter", key)
		}
		given[key] = value
	}
	var err error
	if target.parameters, err = t.arguments(given); err != nil {
		return nil, invalid("%s", err.Error())
	}
	if st != nil && st.current != nil {
		target.tags = st.current.tags // unless others are given
	}
	if at := r.indexes("Tags"); len(at) > 0 {
		target.tags = map[string]string{}
		for _, at := range at {
			key := r.p[at+".Key"]
			if _, twice := target.tags[key]; twice || key == "" || strings.HasPrefix(key, "aws:") {
				return nil, invalid("Tag key '%s' is missing, given twice or reserved", key)
			}
			target.tags[key] = r.p[at+".Value"]
		}
	}
	if len(target.tags) > 50 {
		return nil, invalid("1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50")
	}
	for _, at := range r.indexes("Capabilities") {
		target.capabilities = append(target.capabilities, r.p[at])
	}
	if need := t.capability(); need != "" && !slices.Contains(target.capabilities, need) && !slices.Contains(target.capabilities, "CAPABILITY_NAMED_IAM") {
		return nil, refuse("InsufficientCapabilitiesException", "Requires capabilities : [%s]", need)
	}
	fresh := st == nil
	if fresh {
		st = &stack{name: of, id: s.arn("stack", of), created: r.now}
	}
	changes, other, err := s.plan(st, target)
	if err != nil {
		return nil, invalid("%s", err.Error())
	}
	if fresh {
		s.stacks = append(s.stacks, st)
		s.is(st, r.now, "REVIEW_IN_PROGRESS", "User Initiated")
	}
	c := &changeSet{name: name, id: s.arn("changeSet", name), description: r.p["Description"], create: create, target: target, made: r.now,
		begins: r.now.Add(s.cfg.ChangeSetTakes / 2), ready: r.now.Add(s.cfg.ChangeSetTakes), status: "CREATE_PENDING", execution: "UNAVAILABLE",
		changes: changes, finalStatus: "CREATE_COMPLETE", finalState: "AVAILABLE", onFailure: r.p["OnStackFailure"]}
	if len(changes) == 0 && !other {
		c.finalStatus, c.finalWhy, c.finalState = "FAILED", noChanges, "UNAVAILABLE"
	}
	st.sets = append(st.sets, c)
	return createdSet{c.id, st.id}, nil
}

type pair struct {
	Key, Value string
}

func pairs(m map[string]string) []pair {
	var out []pair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, pair{k, m[k]})
	}
	return out
}

type parameterShown struct {
	ParameterKey, ParameterValue string
}

func (r *revision) shown() []parameterShown {
	var out []parameterShown
	for _, k := range slices.Sorted(maps.Keys(r.parameters)) {
		v := r.parameters[k]
		if r.template.parameters[k].noEcho {
			v = "****"
		}
		out = append(out, parameterShown{k, v})
	}
	return out
}

type targetShown struct {
	Attribute          string
	Name               string `xml:",omitempty"`
	RequiresRecreation string
}

type detailShown struct {
	Target                   targetShown
	Evaluation, ChangeSource string
	CausingEntity            string `xml:",omitempty"`
}

type resourceChange struct {
	PolicyAction       string `xml:",omitempty"`
	Action             string
	LogicalResourceId  string
	PhysicalResourceId string `xml:",omitempty"`
	ResourceType       string
	Replacement        string        `xml:",omitempty"`
	Scope              []string      `xml:"Scope>member"`
	Details            []detailShown `xml:"Details>member"`
}

type changeShown struct {
	Type           string
	ResourceChange resourceChange
}

type describedSet struct {
	ChangeSetName, ChangeSetId, StackId, StackName string
	Description                                    string           `xml:",omitempty"`
	Parameters                                     []parameterShown `xml:"Parameters>member"`
	CreationTime                                   string
	ExecutionStatus, Status                        string
	StatusReason                                   string        `xml:",omitempty"`
	Capabilities                                   []string      `xml:"Capabilities>member"`
	Tags                                           []pair        `xml:"Tags>member"`
	Changes                                        []changeShown `xml:"Changes>member"`
	NextToken                                      string        `xml:",omitempty"`
	IncludeNestedStacks                            bool
	OnStackFailure                                 string `xml:",omitempty"`
}

func (s *Server) describeChangeSet(_ context.Context, r request) (any, *fault) {
	st, c, f := s.findSet(r)
	if f != nil {
		return nil, f
	}
	out := describedSet{ChangeSetName: c.name, ChangeSetId: c.id, StackId: st.id, StackName: st.name, Description: c.description, Parameters: c.target.shown(), CreationTime: stamp(c.made),
		ExecutionStatus: c.execution, Status: c.status, StatusReason: c.reason, Capabilities: c.target.capabilities, Tags: pairs(c.target.tags), OnStackFailure: c.onFailure}
	if c.status != "CREATE_COMPLETE" {
		return out, nil
	}
	changes, next, f := page(c.changes, r.p["NextToken"], s.cfg.PageSize, func(x change) string { return c.id + x.logical })
	if f != nil {
		return nil, f
	}
	out.NextToken = next
	for _, x := range changes {
		shown := resourceChange{PolicyAction: x.policy, Action: x.action, LogicalResourceId: x.logical, PhysicalResourceId: x.physical, ResourceType: x.kind, Replacement: x.replacement, Scope: x.scope}
		for _, d := range x.details {
			shown.Details = append(shown.Details, detailShown{targetShown{d.attribute, d.name, d.recreation}, d.evaluation, d.source, d.entity})
		}
		out.Changes = append(out.Changes, changeShown{"Resource", shown})
	}
	return out, nil
}

type empty struct{}

func (s *Server) executeChangeSet(_ context.Context, r request) (any, *fault) {
	st, c, f := s.findSet(r)
	switch {
	case f != nil:
		return nil, f
	case c.status != "CREATE_COMPLETE":
		return nil, refuse("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current status of [%s]", c.id, c.status)
	case c.execution != "AVAILABLE":
		return nil, refuse("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current execution status of [%s]", c.id, c.execution)
	case !c.create && !slices.Contains(updatable, st.status), c.create && st.status != "REVIEW_IN_PROGRESS":
		return nil, invalid("Stack:%s is in %s state and can not be updated.", st.id, st.status)
	}
	if c.create {
		st.onFailure = c.onFailure
	}
	if err := s.execute(st, c, r.now); err != nil {
		return nil, invalid("%s", err.Error())
	}
	c.execution = "EXECUTE_IN_PROGRESS"
	st.ran = c.id
	// "CloudFormation deletes all other change sets associated with the stack" (ExecuteChangeSet).
	st.sets = slices.DeleteFunc(st.sets, func(x *changeSet) bool {
		return x != c && x.execution != "EXECUTE_COMPLETE" && x.execution != "EXECUTE_FAILED"
	})
	return empty{}, nil
}

func (s *Server) deleteChangeSet(_ context.Context, r request) (any, *fault) {
	st, c, f := s.findSet(r)
	if f != nil {
		if f.code == "ChangeSetNotFound" { // as AWS, which has no such error for this action
			return empty{}, nil
		}
		return nil, f
	}
	if strings.HasPrefix(c.execution, "EXECUTE_") {
		return nil, refuse("InvalidChangeSetStatus", "ChangeSet [%s] cannot be deleted in its current execution status of [%s]", c.id, c.execution)
	}
	st.sets = slices.DeleteFunc(st.sets, func(x *changeSet) bool { return x == c })
	return empty{}, nil
}

type summary struct {
	StackId, StackName, ChangeSetId, ChangeSetName, ExecutionStatus, Status string
	StatusReason                                                            string `xml:",omitempty"`
	CreationTime                                                            string
	Description                                                             string `xml:",omitempty"`
	IncludeNestedStacks                                                     bool
}

type listedSets struct {
	Summaries []summary `xml:"Summaries>member"`
	NextToken string    `xml:",omitempty"`
}

func (s *Server) listChangeSets(_ context.Context, r request) (any, *fault) {
	st := s.find(r.p["StackName"])
	if st == nil {
		return nil, invalid("Stack [%s] does not exist", r.p["StackName"])
	}
	var all []summary
	for _, c := range st.sets {
		if c.execution != "EXECUTE_COMPLETE" && c.execution != "EXECUTE_FAILED" {
			all = append(all, summary{st.id, st.name, c.id, c.name, c.execution, c.status, c.reason, stamp(c.made), c.description, false})
		}
	}
	list, next, f := page(all, r.p["NextToken"], s.cfg.PageSize, func(x summary) string { return x.ChangeSetId })
	return listedSets{list, next}, f
}

type outputShown struct {
	OutputKey, OutputValue string
	Description            string `xml:",omitempty"`
}

type stackShown struct {
	StackId, StackName          string
	ChangeSetId                 string           `xml:",omitempty"`
	Description                 string           `xml:",omitempty"`
	Parameters                  []parameterShown `xml:"Parameters>member"`
	CreationTime                string
	DeletionTime                string `xml:",omitempty"`
	LastUpdatedTime             string `xml:",omitempty"`
	StackStatus                 string
	StackStatusReason           string `xml:",omitempty"`
	DisableRollback             bool
	Capabilities                []string      `xml:"Capabilities>member"`
	Outputs                     []outputShown `xml:"Outputs>member"`
	Tags                        []pair        `xml:"Tags>member"`
	EnableTerminationProtection bool
	DriftStatus                 string `xml:"DriftInformation>StackDriftStatus"`
}

type describedStacks struct {
	Stacks    []stackShown `xml:"Stacks>member"`
	NextToken string       `xml:",omitempty"`
}

func (s *Server) describeStacks(_ context.Context, r request) (any, *fault) {
	which := slices.DeleteFunc(slices.Clone(s.stacks), func(st *stack) bool { return st.status == "DELETE_COMPLETE" })
	if name, ok := r.p["StackName"]; ok {
		st, f := s.known(name)
		if f != nil {
			return nil, f
		}
		which = []*stack{st}
	}
	which, next, f := page(which, r.p["NextToken"], s.cfg.PageSize, func(st *stack) string { return st.id })
	if f != nil {
		return nil, f
	}
	out := describedStacks{NextToken: next}
	for _, st := range which {
		x := stackShown{StackId: st.id, StackName: st.name, ChangeSetId: st.ran, CreationTime: stamp(st.created), DeletionTime: stamp(st.deleted), LastUpdatedTime: stamp(st.updated),
			StackStatus: st.status, StackStatusReason: st.reason, DisableRollback: st.onFailure == "DO_NOTHING", EnableTerminationProtection: st.protected, DriftStatus: "NOT_CHECKED"}
		c := st.current
		if st.op != nil && st.op.phase == updating {
			c = st.op.target
		}
		if c != nil {
			x.Description, x.Parameters, x.Capabilities, x.Tags = c.template.description, c.shown(), c.capabilities, pairs(c.tags)
		}
		for _, o := range st.outputs {
			x.Outputs = append(x.Outputs, outputShown{o.Key, o.Value, o.Description})
		}
		out.Stacks = append(out.Stacks, x)
	}
	return out, nil
}

type eventShown struct {
	StackId, EventId, StackName, LogicalResourceId string
	PhysicalResourceId                             string `xml:",omitempty"`
	ResourceType, Timestamp, ResourceStatus        string
	ResourceStatusReason                           string `xml:",omitempty"`
	mark                                           string
}

type describedEvents struct {
	StackEvents []eventShown `xml:"StackEvents>member"`
	NextToken   string       `xml:",omitempty"`
}

func (s *Server) describeStackEvents(_ context.Context, r request) (any, *fault) {
	st := s.find(r.p["StackName"])
	if st == nil {
		return nil, invalid("Stack [%s] does not exist", r.p["StackName"])
	}
	var all []eventShown
	for _, e := range slices.Backward(st.events) {
		all = append(all, eventShown{st.id, e.id, st.name, e.logical, e.physical, e.kind, stamp(e.at), e.status, e.why, strconv.Itoa(e.serial)})
	}
	list, next, f := page(all, r.p["NextToken"], s.cfg.PageSize, func(e eventShown) string { return e.mark })
	return describedEvents{list, next}, f
}

type resourceShown struct {
	StackName, StackId     string
	LogicalResourceId      string
	PhysicalResourceId     string `xml:",omitempty"`
	ResourceType           string
	Timestamp              string
	ResourceStatus         string
	ResourceStatusReason   string `xml:",omitempty"`
	StackResourceDriftInfo string `xml:"DriftInformation>StackResourceDriftStatus"`
}

type describedResources struct {
	StackResources []resourceShown `xml:"StackResources>member"`
}

func (s *Server) describeStackResources(_ context.Context, r request) (any, *fault) {
	st, f := s.known(r.p["StackName"])
	if f != nil {
		return nil, f
	}
	var out describedResources
	for _, x := range st.rows {
		if want, ok := r.p["LogicalResourceId"]; !ok || want == x.logical {
			out.StackResources = append(out.StackResources, resourceShown{st.name, st.id, x.logical, x.physical.Ref, x.kind, stamp(x.at), x.status, x.reason, "NOT_CHECKED"})
		}
	}
	if want, ok := r.p["LogicalResourceId"]; ok && len(out.StackResources) == 0 {
		return nil, invalid("Resource %s does not exist for stack %s", want, st.name)
	}
	return out, nil
}

type resourceSummary struct {
	LogicalResourceId    string
	PhysicalResourceId   string `xml:",omitempty"`
	ResourceType         string
	LastUpdatedTimestamp string
	ResourceStatus       string
	ResourceStatusReason string `xml:",omitempty"`
}

type listedResources struct {
	StackResourceSummaries []resourceSummary `xml:"StackResourceSummaries>member"`
	NextToken              string            `xml:",omitempty"`
}

func (s *Server) listStackResources(_ context.Context, r request) (any, *fault) {
	st, f := s.known(r.p["StackName"])
	if f != nil {
		return nil, f
	}
	var all []resourceSummary
	for _, x := range st.rows {
		all = append(all, resourceSummary{x.logical, x.physical.Ref, x.kind, stamp(x.at), x.status, x.reason})
	}
	list, next, f := page(all, r.p["NextToken"], s.cfg.PageSize, func(x resourceSummary) string { return x.LogicalResourceId })
	return listedResources{list, next}, f
}

type gotTemplate struct {
	TemplateBody    string
	StagesAvailable []string `xml:"StagesAvailable>member"`
}

func (s *Server) getTemplate(_ context.Context, r request) (any, *fault) {
	stages := []string{"Original", "Processed"}
	if r.p["ChangeSetName"] != "" {
		_, c, f := s.findSet(r)
		if f != nil {
			return nil, f
		}
		return gotTemplate{c.target.body, stages}, nil
	}
	st, f := s.known(r.p["StackName"])
	if f != nil {
		return nil, f
	}
	if st.current == nil {
		return gotTemplate{"", stages}, nil
	}
	return gotTemplate{st.current.body, stages}, nil
}

func (s *Server) deleteStack(_ context.Context, r request) (any, *fault) {
	st := s.find(r.p["StackName"])
	if st == nil || st.status == "DELETE_COMPLETE" || st.status == "DELETE_IN_PROGRESS" {
		return nil, nil
	}
	var retain []string
	for _, at := range r.indexes("RetainResources") {
		retain = append(retain, r.p[at])
		if st.live(r.p[at]) == nil {
			return nil, invalid("The resource %s in the given list of RetainResources does not exist in the stack", r.p[at])
		}
	}
	switch {
	case st.protected:
		return nil, invalid("Stack [%s] cannot be deleted while TerminationProtection is enabled", st.name)
	case len(retain) > 0 && st.status != "DELETE_FAILED":
		return nil, invalid("Invalid operation on stack [%s]. You can only retain resources when stack is in DELETE_FAILED state.", st.id)
	case st.op != nil && st.status != "CREATE_IN_PROGRESS":
		return nil, invalid("Stack [%s] cannot be deleted while in status %s", st.id, st.status)
	}
	s.remove(st, r.now, retain)
	return nil, nil
}

type protection struct{ StackId string }

func (s *Server) updateTerminationProtection(_ context.Context, r request) (any, *fault) {
	st := s.find(r.p["StackName"])
	switch {
	case r.p["EnableTerminationProtection"] == "":
		return nil, invalid("1 validation error detected: Value null at 'enableTerminationProtection' failed to satisfy constraint: Member must not be null")
	case st == nil || st.status == "DELETE_COMPLETE":
		return nil, invalid("Stack [%s] does not exist", r.p["StackName"])
	case st.status == "DELETE_IN_PROGRESS":
		return nil, invalid("Stack [%s] is in %s state and its termination protection cannot be changed", st.name, st.status)
	}
	st.protected = r.p["EnableTerminationProtection"] == "true"
	return protection{st.id}, nil
}

func (s *Server) cancelUpdateStack(_ context.Context, r request) (any, *fault) {
	st := s.find(r.p["StackName"])
	if st == nil || st.status == "DELETE_COMPLETE" {
		return nil, invalid("Stack [%s] does not exist", r.p["StackName"])
	}
	if st.status != "UPDATE_IN_PROGRESS" {
		return nil, invalid("CancelUpdateStack cannot be called from current stack status")
	}
	st.op.at = later(st.op.at, r.now)
	s.cancel(st)
	return nil, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
