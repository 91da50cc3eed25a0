package sts

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
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
	apiVersion = "2011-06-15"
	namespace  = "https://sts.amazonaws.com/doc/" + apiVersion + "/"
	maxBody    = 64 << 10
)

// fault is an answer that is an error: STS's HTTP status, code and message.
type fault struct {
	status        int
	code, message string
}

// invalid is what most wrong requests are answered with.
func invalid(format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, "ValidationError", fmt.Sprintf(format, args...)}
}

// action is one of STS's: the parameters it takes, and what it does.
type action struct {
	params []string
	run    func(s *Server, caller Key, p map[string]string, now time.Time) (any, *fault)
}

var actions = map[string]action{
	"AssumeRole":        {[]string{"RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId"}, (*Server).assumeRole},
	"GetCallerIdentity": {nil, (*Server).getCallerIdentity},
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	id := requestID()
	name, result, f := s.answer(w, r)
	status, detail := http.StatusOK, ""
	var body bytes.Buffer
	if f == nil {
		fmt.Fprintf(&body, "<%sResponse xmlns=%q>", name, namespace)
		if err := xml.NewEncoder(&body).EncodeElement(result, xml.StartElement{Name: xml.Name{Local: name + "Result"}}); err != nil {
			s.log.Error("no answer could be written", "to", "sts", "err", err)
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
	s.log.Info("hop", "to", "sts", "what", strings.TrimSpace(r.Method+" / "+name), "status", status, "took", time.Since(start), "detail", detail)
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

func requestID() string {
	var b [16]byte
	rand.Read(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// answer says who calls, then what they want. A request without a valid signature learns nothing else.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) (name string, result any, f *fault) {
	var why any
	defer func() {
		if f != nil {
			if why == nil {
				why = f.code + ": " + f.message
			}
			s.log.Warn("refused", "to", "sts", "action", name, "why", why)
		}
	}()
	if r.URL.Path != "/" && r.URL.Path != "" {
		return "", nil, &fault{http.StatusNotFound, "InvalidAction", "STS's Query API is at /."}
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return "", nil, &fault{http.StatusMethodNotAllowed, "InvalidAction", "The stand-in takes POST only, as every SDK sends it."}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return "", nil, &fault{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request's body is too long, or cut short."}
	}
	id, err := s.verifier.Verify(r, body)
	if err != nil {
		why = err // the log says which check failed
		return "", nil, unsigned(err)
	}
	now := time.Now()
	caller, known := s.of(id)
	if !known || caller.expired(now) {
		return "", nil, &fault{http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired"}
	}
	if r.URL.RawQuery != "" {
		return "", nil, invalid("the stand-in takes parameters in the body only")
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return "", nil, &fault{http.StatusBadRequest, "MalformedQueryString", "The query string contains a syntax error."}
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
		return "", nil, &fault{http.StatusBadRequest, "MissingAction", "The request must contain the parameter Action"}
	}
	act, ok := actions[name]
	if !ok || p["Version"] != apiVersion {
		unknown := name
		name = name[:min(len(name), 64)] // for the log
		return name, nil, &fault{http.StatusBadRequest, "InvalidAction", fmt.Sprintf("Could not find operation %s for version %s", unknown, cmp.Or(p["Version"], "NO_VERSION_SPECIFIED"))}
	}
	for param := range p {
		if param != "Action" && param != "Version" && !slices.Contains(act.params, param) {
			return name, nil, invalid("the stand-in does not support the parameter %s", param)
		}
	}
	result, f = act.run(s, caller.Key, p, now)
	return name, result, f
}

// unsigned spells a refused signature as STS does.
func unsigned(err error) *fault {
	e, _ := errors.AsType[*sigv4.Error](err)
	switch e.Code {
	case sigv4.IncompleteSignature:
		return &fault{http.StatusBadRequest, string(e.Code), e.Message}
	case sigv4.UnrecognizedClient:
		return &fault{http.StatusForbidden, "InvalidClientTokenId", e.Message}
	case sigv4.RequestExpired:
		return &fault{http.StatusForbidden, "SignatureDoesNotMatch", e.Message}
	}
	return &fault{http.StatusForbidden, string(e.Code), e.Message}
}

// The patterns of AssumeRole's parameters ("AssumeRole", STS API Reference).
var (
	sessionForm  = regexp.MustCompile(`^[\w+=,.@-]*$`)
	externalForm = regexp.MustCompile(`^[\w+=,.@:/-]*$`)
)

// member checks a text parameter as STS's model describes it.
func member(p map[string]string, param, name string, least, most int, form *regexp.Regexp) *fault {
	v, given := p[param]
	broken := func(constraint string, args ...any) *fault {
		shown := "null"
		if given {
			shown = "'" + v + "'"
		}
		return invalid("1 validation error detected: Value %s at '%s' failed to satisfy constraint: Member must %s", shown, name, fmt.Sprintf(constraint, args...))
	}
	switch {
	case !given:
		return broken("not be null")
	case len(v) < least:
		return broken("have length greater than or equal to %d", least)
	case len(v) > most:
		return broken("have length less than or equal to %d", most)
	case form != nil && !form.MatchString(v):
		return broken("satisfy regular expression pattern: %s", strings.Trim(form.String(), "^$"))
	}
	return nil
}

type assumed struct {
	AssumedRoleUser struct{ AssumedRoleId, Arn string }
	Credentials     struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
}

func (s *Server) assumeRole(caller Key, p map[string]string, now time.Time) (any, *fault) {
	if f := member(p, "RoleArn", "roleArn", 20, 2048, nil); f != nil {
		return nil, f
	}
	if f := member(p, "RoleSessionName", "roleSessionName", 2, 64, sessionForm); f != nil {
		return nil, f
	}
	if _, given := p["ExternalId"]; given {
		if f := member(p, "ExternalId", "externalId", 2, 1224, externalForm); f != nil {
			return nil, f
		}
	}
	lasts := defaultSession
	if text, given := p["DurationSeconds"]; given {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, &fault{http.StatusBadRequest, "MalformedInput", "DurationSeconds is not an integer"}
		}
		const broken = "1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value %s than or equal to %d"
		switch {
		case n < 900:
			return nil, invalid(broken, n, "greater", 900)
		case n > 43200:
			return nil, invalid(broken, n, "less", 43200)
		}
		lasts = time.Duration(n) * time.Second
	}
	arn := p["RoleArn"]
	if !strings.HasPrefix(arn, "arn:") || strings.Count(arn, ":") < 5 {
		return nil, invalid("%s is invalid", arn)
	}
	// A role that does not exist is told from one that may not be assumed by nobody.
	role, ok := s.roles[arn]
	if !ok || !s.may(caller, role, p) {
		return nil, &fault{http.StatusForbidden, "AccessDenied",
			fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", caller.reported(), arn)}
	}
	if lasts > role.longest(caller) {
		if caller.Session != "" {
			return nil, invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
		}
		return nil, invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	k := s.issue(role, p["RoleSessionName"], lasts, now)
	var out assumed
	out.AssumedRoleUser.AssumedRoleId, out.AssumedRoleUser.Arn = k.userID(), k.reported()
	out.Credentials.AccessKeyId, out.Credentials.SecretAccessKey, out.Credentials.SessionToken = k.AccessKeyID, k.SecretAccessKey, k.SessionToken
	out.Credentials.Expiration = k.ends.UTC().Format(time.RFC3339)
	return out, nil
}

type identity struct{ Arn, UserId, Account string }

// getCallerIdentity needs no permission.
func (s *Server) getCallerIdentity(caller Key, _ map[string]string, _ time.Time) (any, *fault) {
	return identity{caller.reported(), caller.userID(), caller.account()}, nil
}
