package cloudformation

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

const (
	apiVersion = "2010-05-15"
	namespace  = "http://cloudformation.amazonaws.com/doc/" + apiVersion + "/"
	maxBody    = 2 << 20
)

// fault is an answer that is an error: CloudFormation's HTTP status, code and message.
type fault struct {
	status        int
	code, message string
}

func refuse(code, format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// invalid is what most wrong requests are answered with.
func invalid(format string, args ...any) *fault { return refuse("ValidationError", format, args...) }

// request is one call with its parameters.
type request struct {
	p   map[string]string
	now time.Time
}

// action is one of CloudFormation's: the parameters it takes, with their numbers as N, and what it does. One without a
// result answers nothing but that it went well.
type action struct {
	params []string
	run    func(s *Server, ctx context.Context, r request) (any, *fault)
}

var actions = map[string]action{
	"CreateChangeSet": {[]string{"StackName", "ChangeSetName", "ChangeSetType", "TemplateBody", "TemplateURL", "UsePreviousTemplate", "Description", "ClientToken", "OnStackFailure",
		"Parameters.member.N.ParameterKey", "Parameters.member.N.ParameterValue", "Parameters.member.N.UsePreviousValue",
		"Tags.member.N.Key", "Tags.member.N.Value", "Capabilities.member.N"}, (*Server).createChangeSet},
	"DescribeChangeSet":           {[]string{"StackName", "ChangeSetName", "NextToken"}, (*Server).describeChangeSet},
	"ExecuteChangeSet":            {[]string{"StackName", "ChangeSetName", "ClientRequestToken"}, (*Server).executeChangeSet},
	"DeleteChangeSet":             {[]string{"StackName", "ChangeSetName"}, (*Server).deleteChangeSet},
	"ListChangeSets":              {[]string{"StackName", "NextToken"}, (*Server).listChangeSets},
	"DescribeStacks":              {[]string{"StackName", "NextToken"}, (*Server).describeStacks},
	"DescribeStackEvents":         {[]string{"StackName", "NextToken"}, (*Server).describeStackEvents},
	"DescribeStackResources":      {[]string{"StackName", "LogicalResourceId"}, (*Server).describeStackResources},
	"ListStackResources":          {[]string{"StackName", "NextToken"}, (*Server).listStackResources},
	"GetTemplate":                 {[]string{"StackName", "ChangeSetName", "TemplateStage"}, (*Server).getTemplate},
	"DeleteStack":                 {[]string{"StackName", "ClientRequestToken", "RetainResources.member.N"}, (*Server).deleteStack},
	"UpdateTerminationProtection": {[]string{"StackName", "EnableTerminationProtection"}, (*Server).updateTerminationProtection},
	"CancelUpdateStack":           {[]string{"StackName", "ClientRequestToken"}, (*Server).cancelUpdateStack},
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	id := newUUID()
	name, result, f := s.answer(w, r)
	status, detail := http.StatusOK, ""
	var body bytes.Buffer
	if f == nil {
		fmt.Fprintf(&body, "<%sResponse xmlns=%q>", name, namespace)
		if result != nil {
			if err := xml.NewEncoder(&body).EncodeElement(result, xml.StartElement{Name: xml.Name{Local: name + "Result"}}); err != nil {
				s.cfg.Log.Error("no answer could be written", "to", "cloudformation", "err", err)
			}
		}
		fmt.Fprintf(&body, "<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>", id, name)
	} else {
		status, detail = f.status, f.code
		fmt.Fprintf(&body, "<ErrorResponse xmlns=%q><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>",
			namespace, f.code, escape(f.message), id)
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-Requestid", id)
	w.WriteHeader(status)
	w.Write(body.Bytes())
	s.cfg.Log.Info("hop", "to", "cloudformation", "what", strings.TrimSpace(r.Method+" / "+name), "status", status, "took", time.Since(start), "detail", detail)
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// answer says who calls, then what they want. A request without a valid signature learns nothing else.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) (name string, result any, f *fault) {
	var why any
	defer func() {
		if f != nil {
			if why == nil {
				why = f.code + ": " + f.message[:min(len(f.message), 512)]
			}
			s.cfg.Log.Warn("refused", "to", "cloudformation", "action", name, "why", why)
		}
	}()
	if r.URL.Path != "/" && r.URL.Path != "" {
		return "", nil, &fault{http.StatusNotFound, "InvalidAction", "CloudFormation's Query API is at /."}
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return "", nil, &fault{http.StatusMethodNotAllowed, "InvalidAction", "The stand-in takes POST only, as every SDK sends it."}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return "", nil, &fault{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request's body is too long, or cut short."}
	}
	if _, err := s.auth.Verify(r, body); err != nil {
		why = err // the log says which check failed
		return "", nil, unsigned(err)
	}
	if r.URL.RawQuery != "" {
		return "", nil, invalid("the stand-in takes parameters in the body only")
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return "", nil, refuse("MalformedQueryString", "The query string contains a syntax error.")
	}
	p := map[string]string{}
	for name, v := range values {
		if len(v) != 1 {
			return "", nil, invalid("the parameter %s may be given only once", name)
		}
		p[name] = v[0]
	}
	name = p["Action"]
	if name == "" {
		return "", nil, refuse("MissingAction", "The request must contain the parameter Action")
	}
	act, ok := actions[name]
	if !ok || p["Version"] != apiVersion {
		unknown := name
		name = name[:min(len(name), 64)] // for the log
		return name, nil, refuse("InvalidAction", "Could not find operation %s for version %s", unknown, cmp.Or(p["Version"], "NO_VERSION_SPECIFIED"))
	}
	for _, param := range slices.Sorted(maps.Keys(p)) {
		if param != "Action" && param != "Version" && !slices.Contains(act.params, shape(param)) && !(p[param] == "" && slices.Contains(emptyLists, param)) {
			return name, nil, invalid("the stand-in does not support the parameter %s", param)
		}
	}
	if f := limits(p); f != nil {
		return name, nil, f
	}
	if act.params[0] == "StackName" && p["StackName"] == "" && slices.Contains(needStack, name) {
		return name, nil, invalid("1 validation error detected: Value null at 'stackName' failed to satisfy constraint: Member must not be null")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	s.settle(r.Context(), now)
	result, f = act.run(s, r.Context(), request{p, now})
	return name, result, f
}

// emptyLists are lists that an SDK sends by their name alone when they are empty.
var emptyLists = []string{"Parameters", "Tags", "Capabilities", "RetainResources"}

var needStack = []string{"CreateChangeSet", "ListChangeSets", "DescribeStackEvents", "ListStackResources", "DeleteStack", "UpdateTerminationProtection", "CancelUpdateStack"}

// unsigned spells a refused signature as the Query services do.
func unsigned(err error) *fault {
	e, ok := errors.AsType[*sigv4.Error](err)
	if !ok {
		return &fault{http.StatusInternalServerError, "InternalFailure", "An internal error has occurred"}
	}
	switch e.Code {
	case sigv4.IncompleteSignature:
		return refuse(string(e.Code), "%s", e.Message)
	case sigv4.UnrecognizedClient:
		return &fault{http.StatusForbidden, "InvalidClientTokenId", e.Message}
	case sigv4.RequestExpired:
		return &fault{http.StatusForbidden, "SignatureDoesNotMatch", e.Message}
	}
	return &fault{http.StatusForbidden, string(e.Code), e.Message}
}

// shape is a parameter's name with its index as N. Indexes begin at 1.
func shape(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if n, err := strconv.Atoi(part); err == nil && n >= 1 && part[0] != '0' && part[0] != '+' {
			parts[i] = "N"
		}
	}
	return strings.Join(parts, ".")
}

// constraint is what the API's model says of a parameter.
type constraint struct {
	most int
	form *regexp.Regexp
	set  []string
}

var (
	stackForm   = regexp.MustCompile(`^(?:([a-zA-Z][-a-zA-Z0-9]*)|(arn:\b(aws|aws-us-gov|aws-cn)\b:[-a-zA-Z0-9:/._+]*))$`)
	setForm     = regexp.MustCompile(`^(?:[a-zA-Z][-a-zA-Z0-9]*|arn:[-a-zA-Z0-9:/]*)$`)
	tokenForm   = regexp.MustCompile(`^[a-zA-Z0-9][-a-zA-Z0-9]*$`)
	truth       = []string{"true", "false"}
	constraints = map[string]constraint{
		"StackName": {2048, stackForm, nil}, "ChangeSetName": {1600, setForm, nil}, "ClientRequestToken": {128, tokenForm, nil}, "ClientToken": {128, nil, nil},
		"ChangeSetType": {0, nil, []string{"CREATE", "UPDATE"}}, "OnStackFailure": {0, nil, []string{"DO_NOTHING", "ROLLBACK", "DELETE"}},
		"UsePreviousTemplate": {0, nil, truth}, "EnableTerminationProtection": {0, nil, truth}, "Parameters.member.N.UsePreviousValue": {0, nil, truth},
		"Capabilities.member.N": {0, nil, []string{"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"}}, "TemplateStage": {0, nil, []string{"Original", "Processed"}},
		"Description": {1024, nil, nil}, "TemplateBody": {maxInline, nil, nil}, "TemplateURL": {5120, nil, nil}, "NextToken": {1024, nil, nil},
		"Tags.member.N.Key": {128, nil, nil}, "Tags.member.N.Value": {256, nil, nil},
	}
)

// limits checks what the API's model says.
func limits(p map[string]string) *fault {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		c, ok := constraints[shape(name)]
		if !ok {
			continue
		}
		v, member := p[name], strings.ToLower(name[:1])+name[1:]
		bad := func(why string, args ...any) *fault {
			return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must %s", v, member, fmt.Sprintf(why, args...))
		}
		switch {
		case v == "":
			return bad("have length greater than or equal to 1")
		case c.most > 0 && len(v) > c.most:
			return bad("have length less than or equal to %d", c.most)
		case c.form != nil && !c.form.MatchString(v):
			return bad("satisfy regular expression pattern: %s", strings.TrimSuffix(strings.TrimPrefix(c.form.String(), "^(?:"), ")$"))
		case c.set != nil && !slices.Contains(c.set, v):
			return bad("satisfy enum value set: [%s]", strings.Join(c.set, ", "))
		}
	}
	return nil
}

// indexes are the numbers under a list's name, in their order.
func (r request) indexes(list string) []string {
	var out []int
	for name := range r.p {
		if rest, ok := strings.CutPrefix(name, list+".member."); ok {
			number, _, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(number); err == nil && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	texts := make([]string, len(out))
	for i, n := range out {
		texts[i] = list + ".member." + strconv.Itoa(n)
	}
	return texts
}

// page cuts a list: what follows after the token, and the token of what is left.
func page[T any](items []T, token string, size int, mark func(T) string) ([]T, string, *fault) {
	if token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		i := slices.IndexFunc(items, func(x T) bool { return mark(x) == string(raw) })
		if err != nil || i < 0 {
			return nil, "", invalid("Invalid NextToken")
		}
		items = items[i:]
	}
	if len(items) <= size {
		return items, "", nil
	}
	return items[:size], base64.RawURLEncoding.EncodeToString([]byte(mark(items[size]))), nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
