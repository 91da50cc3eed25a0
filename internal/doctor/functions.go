package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/survey"
)

const (
	again       = "nightlatch deploy apply"
	runtimeWant = "provided.al2023"
	eventAge    = 60 * time.Second
	answerShown = 200 // bytes of an answer that is not understood
)

// lambdaArchitecture is Lambda's word for Go's.
var lambdaArchitecture = map[string]string{"arm64": "arm64", "amd64": "x86_64"}

func (x *examination) functions(ctx context.Context) (out []Check) {
	if out := x.needs(true, "front function", "beat function"); out != nil {
		return out
	}
	for _, f := range []struct{ name, output string }{{"front function", "FrontFunctionName"}, {"beat function", "BeatFunctionName"}} {
		out = append(out, x.function(ctx, f.name, x.output(f.output)))
	}
	return out
}

func (x *examination) function(ctx context.Context, name, function string) Check {
	if function == "" {
		return notChecked(name, "the stack does not say its name")
	}
	f, err := x.Account.Function(ctx, function)
	if err != nil {
		return unread(name, function, err, again)
	}
	var warnings []string
	warn := func(bad bool, format string, args ...any) {
		if bad {
			warnings = append(warnings, fmt.Sprintf(format, args...))
		}
	}
	// Lambda lets a function that was not used for long become Inactive, and wakes it when it is invoked.
	if f.State == "Failed" || f.Update == "Failed" {
		return check(name, Failure, again, "%s is %s, its last update %s: %s", function, f.State, f.Update, f.Reason)
	}
	if want := x.output("FunctionRoleArn"); want != "" && f.Role != want {
		return check(name, Failure, again, "%s acts as %s, and the stack's role is %s", function, f.Role, want)
	}
	warn(f.State != "Active" && f.State != "Inactive" || f.Update != "Successful", "is %s, its last update %s", f.State, f.Update)
	warn(f.Runtime != runtimeWant, "its runtime is %s, and the program is built for %s", f.Runtime, runtimeWant)
	warn(f.Architecture != lambdaArchitecture[x.deploy().Architecture], "it is %s, and the configuration says %s", f.Architecture, x.deploy().Architecture)
	warn(f.Retries != 0, "Lambda repeats events that nobody waits for; a late beat is of no use")
	warn(f.EventAge != 0 && f.EventAge != eventAge, "events may be %v old, and %v is enough", f.EventAge, eventAge)
	if len(warnings) > 0 {
		return check(name, Warning, again, "%s: %s", function, strings.Join(warnings, "; "))
	}
	return ok(name, "%s is active: %s, %s", function, f.Runtime, f.Architecture)
}

var placeholder = regexp.MustCompile(`\$\{([A-Za-z:]+)(\.Arn)?\}`)

// resolve puts in what stands for a placeholder, and a value for each wildcard of an ARN, because the simulation wants
// one thing. It reports whether everything is known.
func (x *examination) resolve(resource string) (string, bool) {
	if resource == "*" {
		return resource, true
	}
	known := true
	out := placeholder.ReplaceAllStringFunc(resource, func(p string) string {
		m := placeholder.FindStringSubmatch(p)
		v := x.known(m[1])
		known = known && v != ""
		return v
	})
	parts := strings.SplitN(out, ":", 6)
	if len(parts) != 6 {
		return out, false
	}
	for i, v := range map[int]string{3: x.File.Region, 4: x.identity.Account} {
		if parts[i] == "*" {
			parts[i] = v
		}
	}
	parts[5] = strings.ReplaceAll(parts[5], "*", "0")
	return strings.Join(parts, ":"), known
}

// known is what a name in a resource stands for.
func (x *examination) known(name string) string {
	id := x.resource(name)
	switch name {
	case "AWS::Partition":
		return x.partition()
	case "AWS::Region":
		return x.File.Region
	case "AWS::AccountId":
		return x.identity.Account
	case "Table":
		if t := x.tableName(); t != "" {
			return x.arn("dynamodb", "table/"+t)
		}
	case "FrontLogGroup", "BeatLogGroup":
		if id != "" {
			return x.arn("logs", "log-group:"+id+":log-stream:0")
		}
	case "DeadmanRole":
		return x.output("DeadmanRoleArn")
	case "DeadLetterQueue":
		return x.output("DeadLetterArn")
	}
	return ""
}

func (x *examination) permissions(ctx context.Context) []Check {
	const name = "permissions"
	if out := x.needs(true, name); out != nil {
		return out
	}
	role := x.output("FunctionRoleArn")
	if x.Calls == nil || role == "" {
		return []Check{notChecked(name, "what the functions call, or as which role, is not known")}
	}
	var refused, open []string
	asked, allowed := 0, 0
	for _, c := range x.Calls(x.File) {
		var resources []string
		for _, r := range c.Resources {
			if arn, known := x.resolve(r); known {
				if !slices.Contains(resources, arn) {
					resources = append(resources, arn)
				}
			} else {
				asked += len(c.Actions)
				open = append(open, strings.Join(c.Actions, ", ")+" on "+r+": the stack does not say which that is")
			}
		}
		if len(resources) == 0 {
			continue
		}
		decisions, err := x.Account.Simulate(ctx, role, c.Actions, resources, c.Conditions)
		if err != nil {
			return []Check{unread(name, "what "+role+" may", err, again)}
		}
		for _, d := range decisions {
			asked++
			text := d.Action + " on " + d.Resource
			switch {
			case d.Allowed && !d.Organization && !d.Boundary:
				allowed++
			case len(d.Missing) > 0:
				open = append(open, text+": depends on "+strings.Join(d.Missing, ", "))
			default:
				refused = append(refused, text+because(d))
			}
		}
	}
	switch {
	case len(refused) > 0:
		return []Check{check(name, Failure, again+"; what the organization or a boundary takes away, who keeps these must give", "the functions' role may not %s", strings.Join(refused, "; "))}
	case len(open) > 0:
		return []Check{notChecked(name, "%d of %d are allowed; not decided: %s", allowed, asked, strings.Join(open, "; "))}
	}
	return []Check{ok(name, "the functions' role may do all of it, %s, as far as IAM's simulation knows: it does not know every rule of an organization", count(asked, "permission"))}
}

func because(d survey.Decision) string {
	switch {
	case d.Organization:
		return " (the organization does not let it)"
	case d.Boundary:
		return " (its permissions boundary does not let it)"
	case d.Explicit:
		return " (a statement denies it)"
	}
	return ""
}

func (x *examination) inside(ctx context.Context) []Check {
	const name, prefix = "inside", "inside: "
	if out := x.needs(true, name); out != nil {
		return out
	}
	function := x.output("BeatFunctionName")
	if function == "" {
		return []Check{notChecked(name, "the stack does not say the beat function's name")}
	}
	ctx, cancel := context.WithTimeout(ctx, insideWithin)
	defer cancel()
	raw, failure, err := x.Account.Invoke(ctx, function, []byte(`{"source":"nightlatch.doctor"}`))
	if err != nil {
		return []Check{unread(name, function, err, again)}
	}
	logs := "aws logs tail " + x.resource("BeatLogGroup")
	if failure != "" {
		var said struct {
			Message string `json:"errorMessage"`
		}
		if json.Unmarshal(raw, &said) != nil || said.Message == "" {
			said.Message = string(raw[:min(len(raw), answerShown)])
		}
		return []Check{check(name, Failure, logs, "%s failed (%s): %s", function, failure, said.Message)}
	}
	var answer struct {
		Checks []Check `json:"checks"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || len(answer.Checks) == 0 {
		return []Check{check(name, Warning, again, "%s does not answer as a doctor would: it is of another version", function)}
	}
	for i, c := range answer.Checks {
		answer.Checks[i].Name = prefix + c.Name
		if !slices.Contains([]Result{OK, Warning, Failure, NotChecked}, c.Result) {
			answer.Checks[i].Result = NotChecked
		}
	}
	return answer.Checks
}

func (x *examination) tableName() string {
	if c := x.File; c != nil && c.Table != "" {
		return c.Table
	}
	return x.output("TableName")
}

func (x *examination) table(ctx context.Context) []Check {
	const name = "table"
	if out := x.needs(false, name); out != nil {
		return out
	}
	table := x.tableName()
	if table == "" {
		return []Check{notChecked(name, "%s", x.unknown())}
	}
	t, err := x.Account.Table(ctx, table)
	if err != nil && t.Status == "" {
		return []Check{unread(name, "table "+table, err, again)}
	}
	if t.Status != "ACTIVE" {
		return []Check{check(name, Failure, "look at it in the DynamoDB console", "%s is %s", table, t.Status)}
	}
	if !slices.Equal(t.Keys, []string{"pk HASH S", "sk RANGE S"}) {
		return []Check{check(name, Failure, "name Nightlatch's own table", "%s has the keys %s, and pk and sk are wanted: it is another's", table, strings.Join(t.Keys, ", "))}
	}
	if err != nil {
		return []Check{unread(name, "what is set for table "+table, err, again)}
	}
	var warnings []string
	if t.Expires != "expires" {
		warnings = append(warnings, "sessions and old entries are never removed: its time to live is not by the attribute expires")
	}
	if !t.Recovery {
		warnings = append(warnings, "it has no point-in-time recovery, and holds the audit")
	}
	if len(warnings) > 0 {
		return []Check{check(name, Warning, again, "%s: %s", table, strings.Join(warnings, "; "))}
	}
	return []Check{ok(name, "%s is active, with recovery and expiry", table)}
}

func (x *examination) beat(ctx context.Context) []Check {
	const name = "beat schedule"
	if out := x.needs(true, name); out != nil {
		return out
	}
	// The physical id is the name; in case it ever comes with its group, that is before a separator.
	id := x.resource("BeatSchedule")
	id = id[strings.LastIndexAny(id, "/|")+1:]
	if id == "" {
		return []Check{check(name, Failure, again, "the stack has none: nothing closes an endpoint")}
	}
	s, err := x.Account.Schedule(ctx, x.output("DeadmanGroup"), id)
	if err != nil {
		return []Check{unread(name, "schedule "+id, err, again+": nothing closes an endpoint without it")}
	}
	function := x.arn("lambda", "function:"+x.output("BeatFunctionName"))
	switch {
	case !s.Enabled:
		return []Check{check(name, Failure, "enable it, or "+again, "%s is disabled: nothing closes an endpoint but its dead-man's switch", id)}
	case s.Target != function && !strings.HasPrefix(s.Target, function+":"):
		return []Check{check(name, Failure, again, "%s invokes %s, and the beat function is %s", id, s.Target, function)}
	case s.Expression != "rate(1 minute)":
		return []Check{check(name, Warning, again, "%s runs by %s, and rate(1 minute) is wanted", id, s.Expression)}
	case s.Role == "":
		return []Check{check(name, Failure, again, "%s has no role to invoke the function with", id)}
	}
	return []Check{ok(name, "%s invokes %s each minute", id, x.output("BeatFunctionName"))}
}

func (x *examination) deadLetters(ctx context.Context) []Check {
	const name = "dead letters"
	if out := x.needs(true, name); out != nil {
		return out
	}
	url := x.resource("DeadLetterQueue")
	if url == "" {
		return []Check{notChecked(name, "the stack has no queue for them")}
	}
	n, err := x.Account.QueueLength(ctx, url)
	switch {
	case err != nil:
		return []Check{unread(name, "the queue", err, again)}
	case n > 0:
		return []Check{check(name, Warning, "aws sqs receive-message --queue-url "+url+" shows them; purge the queue when it is understood",
			"about %d: dead-man's switches that could not be delivered", n)}
	}
	return []Check{ok(name, "none")}
}

func (x *examination) alarms(ctx context.Context) []Check {
	const name = "alarms"
	if out := x.needs(true, name); out != nil {
		return out
	}
	var names []string
	for _, logical := range sorted(x.stack.Resources) {
		if strings.HasSuffix(logical, "Alarm") && x.stack.Resources[logical] != "" {
			names = append(names, x.stack.Resources[logical])
		}
	}
	if len(names) == 0 {
		return []Check{notChecked(name, "the stack has none")}
	}
	alarms, err := x.Account.Alarms(ctx, names)
	if err != nil {
		return []Check{unread(name, "the alarms", err, again)}
	}
	var on []string
	for _, a := range alarms {
		if a.State == "ALARM" {
			on = append(on, a.Name+" ("+a.Reason+")")
		}
	}
	topic := ""
	if x.deploy().AlarmTopic == "" {
		topic = "; nobody is told of them: deploy.alarm_topic is not set"
	}
	switch {
	case len(on) > 0:
		return []Check{check(name, Warning, "each says in CloudWatch's console what it is about", "on: %s", strings.Join(on, "; "))}
	case len(alarms) < len(names):
		return []Check{check(name, Warning, again, "%d of %d are there", len(alarms), len(names))}
	}
	return []Check{ok(name, "none of %d is on%s", len(alarms), topic)}
}
