package ec2

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
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
	apiVersion = "2016-11-15"
	namespace  = "http://ec2.amazonaws.com/doc/" + apiVersion + "/"
	maxBody    = 1 << 20
)

// fault is an answer that is an error: EC2's HTTP status, code and message.
type fault struct {
	status        int
	code, message string
}

// refuse is a client error, which is status 400 for all codes but a few.
func refuse(code, format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// reply is what every answer of EC2 carries. Results embed it.
type reply struct {
	RequestID string `xml:"requestId"`
}

func (r *reply) stamp(id string) { r.RequestID = id }

// result is the answer of an action that went well.
type result interface{ stamp(requestID string) }

// set is a list in EC2's XML. It is written even when empty, as EC2 does; clients tell [] from nothing.
type set[T any] struct {
	Items []T `xml:"item"`
}

// serve answers one request: who, what, how often, then the action. A request without a valid signature learns nothing
// else.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	id := newUUID()
	action, res, f := s.answer(w, r)
	status := http.StatusOK
	var body bytes.Buffer
	body.WriteString(xml.Header)
	if f == nil {
		res.stamp(id)
		root := xml.StartElement{Name: xml.Name{Space: namespace, Local: action + "Response"}}
		if err := xml.NewEncoder(&body).EncodeElement(res, root); err != nil {
			f = &fault{http.StatusInternalServerError, "InternalError", "An internal error has occurred"}
			s.cfg.Log.Error("no answer could be written", "to", "ec2", "err", err)
			body.Truncate(len(xml.Header))
		}
	}
	detail := ""
	if f != nil {
		status, detail = f.status, f.code
		fmt.Fprintf(&body, "<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>",
			escape(f.code), escape(f.message), id)
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-cache, no-store")
	w.Header().Set("X-Amzn-Requestid", id)
	w.WriteHeader(status)
	w.Write(body.Bytes())
	s.cfg.Log.Info("hop", "to", "ec2", "what", strings.TrimSpace(r.Method+" / "+action), "status", status, "took", time.Since(start), "detail", detail)
}

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) (name string, res result, f *fault) {
	var why any
	defer func() {
		if f != nil {
			if why == nil {
				why = f.code + ": " + f.message
			}
			s.cfg.Log.Warn("refused", "to", "ec2", "action", name, "why", why)
		}
	}()
	if r.URL.Path != "/" && r.URL.Path != "" {
		return "", nil, &fault{http.StatusNotFound, "InvalidAction", "EC2's Query API is at /."}
	}
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET, POST")
		return "", nil, &fault{http.StatusMethodNotAllowed, "UnsupportedProtocol", "The Query API takes GET and POST."}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return "", nil, &fault{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Request entity is too large"}
		}
		return "", nil, refuse("InvalidQueryParameter", "The request's body could not be read.")
	}
	if _, err := s.auth.Verify(r, body); err != nil {
		why = err // the log says which check failed; EC2's answer does not
		return "", nil, authFault(err)
	}
	p, f := parse(r.URL.RawQuery, string(body))
	if f != nil {
		return "", nil, f
	}
	name = p["Action"]
	if name == "" {
		return "", nil, refuse("MissingAction", "The request must contain the parameter Action")
	}
	act, ok := actions[name]
	if !ok {
		unknown := name
		name = name[:min(len(name), 64)] // for the log
		return name, nil, refuse("InvalidAction", "The action %s is not valid for this web service.", unknown)
	}
	switch v := p["Version"]; v {
	case apiVersion:
	case "":
		return name, nil, refuse("MissingParameter", "The request must contain the parameter Version")
	default:
		return name, nil, refuse("InvalidParameterValue", "Value (%s) for parameter Version is invalid. This service speaks %s.", v, apiVersion)
	}
	if f := p.check(act); f != nil {
		return name, nil, f
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	if f := s.throttled(name, now); f != nil {
		return name, nil, f
	}
	if p["DryRun"] == "true" {
		return name, nil, &fault{http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."}
	}
	s.settle(now)
	res, f = act.run(s, p, now)
	if f == nil && act.changes {
		if err := s.file.Save(s.state); err != nil {
			why = err
			return name, nil, &fault{http.StatusInternalServerError, "InternalError", "An internal error has occurred"}
		}
	}
	return name, res, f
}

// settle forgets what is over. The caller holds s.mu.
func (s *Server) settle(now time.Time) {
	for _, e := range s.state.Endpoints {
		e.settle(now, s.cfg.Unconfirmed)
	}
}

// authFault spells a refused signature as EC2 does: an unknown key and a wrong signature look the same from outside.
// SignatureDoesNotMatch, which other services answer, is not in EC2's list of errors.
func authFault(err error) *fault {
	e, ok := errors.AsType[*sigv4.Error](err)
	if !ok {
		return &fault{http.StatusInternalServerError, "InternalError", "An internal error has occurred"}
	}
	switch e.Code {
	case sigv4.MissingAuthenticationToken:
		return &fault{http.StatusForbidden, string(e.Code), e.Message}
	case sigv4.IncompleteSignature:
		return refuse(string(e.Code), "%s", e.Message)
	case sigv4.RequestExpired:
		return refuse(string(e.Code), "Request has expired.")
	}
	return &fault{http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials"}
}

// params are a request's parameters under their names on the wire, "Filter.1.Value.2" for one.
type params map[string]string

func parse(sources ...string) (params, *fault) {
	p := params{}
	for _, source := range sources {
		values, err := url.ParseQuery(source)
		if err != nil {
			return nil, refuse("MalformedQueryString", "The query string contains a syntax error.")
		}
		for name, v := range values {
			if _, twice := p[name]; twice || len(v) != 1 {
				return nil, refuse("InvalidQueryParameter", "The parameter %s may be given only once.", name)
			}
			p[name] = v[0]
		}
	}
	return p, nil
}

// kind is how a parameter is spelled on the wire.
type kind int

const (
	text    kind = iota
	boolean      // true or false
	count        // MaxResults: 5 to 1000 for every Client VPN describe
	list         // Name.1, Name.2, …
	filters      // Filter.1.Name, Filter.1.Value.1, …
)

var listIndex = regexp.MustCompile(`^([A-Za-z]+)\.[1-9][0-9]{0,3}$`)
var filterIndex = regexp.MustCompile(`^Filter\.[1-9][0-9]{0,3}\.(Name|Value\.[1-9][0-9]{0,3})$`)

// check refuses what the action does not know, misses what it needs, and reads what is not text.
func (p params) check(a action) *fault {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if name == "Action" || name == "Version" {
			continue
		}
		base := name
		want := text
		if m := listIndex.FindStringSubmatch(name); m != nil {
			base, want = m[1], list
		} else if filterIndex.MatchString(name) {
			base, want = "Filter", filters
		}
		kind, known := a.params[base]
		spelled := kind
		if kind == boolean || kind == count {
			spelled = text
		}
		if !known || spelled != want {
			return refuse("UnknownParameter", "The parameter %s is not recognized", name)
		}
		switch value := p[name]; kind {
		case boolean:
			if value != "true" && value != "false" {
				return refuse("InvalidParameterValue", "Invalid value '%s' for boolean parameter %s", value, name)
			}
		case count:
			if n, err := strconv.Atoi(value); err != nil || n < 5 || n > 1000 {
				return refuse("InvalidParameterValue", "Value ( %s ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.", value)
			}
		}
	}
	for _, name := range a.required {
		if p[name] == "" {
			return refuse("MissingParameter", "The request must contain the parameter %s", name)
		}
	}
	// EC2's ClientToken: at most 64 ASCII characters ("Ensuring idempotency in Amazon EC2 API requests").
	if token := p["ClientToken"]; len(token) > 64 || strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return refuse("InvalidParameterValue", "Invalid value for parameter ClientToken: at most 64 ASCII characters are allowed")
	}
	return nil
}

// list returns Name.1, Name.2, … in the order of their numbers, which may have gaps.
func (p params) list(name string) []string {
	numbered := map[int]string{}
	for key, value := range p {
		if rest, ok := strings.CutPrefix(key, name+"."); ok {
			if n, err := strconv.Atoi(rest); err == nil {
				numbered[n] = value
			}
		}
	}
	out := make([]string, 0, len(numbered))
	for _, n := range slices.Sorted(maps.Keys(numbered)) {
		out = append(out, numbered[n])
	}
	return out
}

// filter keeps the items that every filter lets through. Of gives an item's value for each filter name that the action
// knows. A filter's values are alternatives, with * and ? as wildcards ("List and filter your resources", EC2 User Guide).
func filter[T any](p params, items []T, of map[string]func(T) string) ([]T, *fault) {
	for _, key := range slices.Sorted(maps.Keys(p)) {
		prefix, ok := strings.CutSuffix(key, ".Name")
		if !ok && strings.HasPrefix(key, "Filter.") {
			prefix, _, _ = strings.Cut(key, ".Value.")
			if _, named := p[prefix+".Name"]; !named {
				return nil, refuse("InvalidParameterValue", "The filter 'null' is invalid")
			}
			continue
		}
		if !ok {
			continue
		}
		value, known := of[p[key]]
		if !known {
			return nil, refuse("InvalidParameterValue", "The filter '%s' is invalid", p[key])
		}
		wanted := p.list(prefix + ".Value")
		if len(wanted) == 0 {
			return nil, refuse("InvalidParameterValue", "The filter '%s' has no value", p[key])
		}
		items = slices.DeleteFunc(items, func(item T) bool {
			return !slices.ContainsFunc(wanted, func(pattern string) bool { return wildcard(pattern, value(item)) })
		})
	}
	return items, nil
}

func wildcard(pattern, s string) bool {
	quoted := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	ok, err := regexp.MatchString("^(?s:"+quoted+")$", s)
	return ok && err == nil
}

// page cuts one page out of items. A token is opaque, and good only for the request that it was given for: it holds the
// offset of the next page and a digest of the other parameters.
func page[T any](p params, items []T) ([]T, string, *fault) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if name != "NextToken" && name != "MaxResults" {
			fmt.Fprintf(h, "%q=%q\n", name, p[name])
		}
	}
	same := h.Sum(nil)[:12]
	start := 0
	if token, ok := p["NextToken"]; ok {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(raw) != 16 || !bytes.Equal(raw[:12], same) {
			return nil, "", refuse("InvalidPaginationToken", "The specified pagination token is not valid or is expired.")
		}
		start = min(int(binary.BigEndian.Uint32(raw[12:])), len(items))
	}
	size := 1000
	if n, ok := p["MaxResults"]; ok {
		size, _ = strconv.Atoi(n) // checked before
	}
	end := min(start+size, len(items))
	if end == len(items) {
		return items[start:], "", nil
	}
	return items[start:end], base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(same, uint32(end))), nil
}
