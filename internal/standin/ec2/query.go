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
	key, err := s.auth.Verify(r, body)
	if err != nil {
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

	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	// Requests that turn out to be wrong cost a token as well.
	if f := s.throttled(name, p, now); f != nil {
		return name, nil, f
	}
	if f := p.check(act); f != nil {
		return name, nil, f
	}
	if f := s.unauthorized(key, name, p); f != nil {
		return name, nil, f
	}
	if p["DryRun"] == "true" {
		return name, nil, &fault{http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."}
	}
	delete(p, "DryRun") // false says nothing
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

// shape is a parameter's name with its indexes as #: "Filter.#.Value.#" for "Filter.1.Value.2". Indexes begin at 1.
func shape(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if n, err := strconv.Atoi(part); err == nil && n >= 1 && n <= 9999 && part[0] != '0' && part[0] != '+' {
			parts[i] = "#"
		}
	}
	return strings.Join(parts, ".")
}

// check refuses what the action does not know, misses what it needs, and reads what is not text.
func (p params) check(a action) *fault {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if name == "Action" || name == "Version" {
			continue
		}
		kind, known := a.params[shape(name)]
		if !known {
			return refuse("UnknownParameter", "The parameter %s is not recognized", name)
		}
		switch value := p[name]; kind {
		case boolean:
			if value != "true" && value != "false" {
				return refuse("InvalidParameterValue", "Invalid value '%s' for boolean parameter %s", value, name)
			}
		case integer:
			if _, err := strconv.ParseInt(value, 10, 32); err != nil {
				return refuse("InvalidParameterValue", "Invalid value '%s' for integer parameter %s", value, name)
			}
		case pageSize:
			if n, err := strconv.Atoi(value); err != nil || n < 5 || n > 1000 {
				return refuse("InvalidParameterValue", "Value ( %s ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.", value)
			}
		case clientToken:
			// At most 64 ASCII characters ("Ensuring idempotency in Amazon EC2 API requests").
			if len(value) > 64 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				return refuse("InvalidParameterValue", "Invalid value for parameter ClientToken: at most 64 ASCII characters are allowed")
			}
		}
	}
	for _, name := range a.required {
		if p[name] == "" && !names(p, name+".") {
			return refuse("MissingParameter", "The request must contain the parameter %s", name)
		}
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

// numbers are the indexes under name: 1 and 3 for "Tag.1.Key" and "Tag.3.Value" under "Tag".
func (p params) numbers(name string) []int {
	var out []int
	for key := range p {
		if rest, ok := strings.CutPrefix(key, name+"."); ok {
			number, _, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(number); err == nil && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out
}

// filter keeps the items that every filter lets through. Values gives an item's values under a filter's name, nil for a
// name that the action does not know. A filter's own values are alternatives, with * and ? as wildcards ("List and filter
// your resources", EC2 User Guide, which also has the limits).
func filter[T any](p params, items []T, values func(T, string) []string) ([]T, *fault) {
	filters := p.numbers("Filter")
	if len(filters) > 50 {
		return nil, refuse("FilterLimitExceeded", "The maximum number of filters is 50")
	}
	for _, n := range filters {
		prefix := "Filter." + strconv.Itoa(n)
		name, named := p[prefix+".Name"]
		if !named {
			return nil, refuse("InvalidParameterValue", "The filter 'null' is invalid")
		}
		var none T
		if values(none, name) == nil {
			return nil, refuse("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		wanted := p.list(prefix + ".Value")
		if len(wanted) == 0 {
			return nil, refuse("InvalidParameterValue", "The filter '%s' has no value", name)
		}
		if len(wanted) > 200 {
			return nil, refuse("FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200")
		}
		items = slices.DeleteFunc(items, func(item T) bool {
			return !slices.ContainsFunc(values(item, name), func(value string) bool {
				return slices.ContainsFunc(wanted, func(pattern string) bool { return wildcard(pattern, value) })
			})
		})
	}
	return items, nil
}

// byTag gives tags' values for the filters tag:<key> and tag-key, and nil for others.
func byTag(tags []tagXML, name string) []string {
	key, isTag := strings.CutPrefix(name, "tag:")
	if !isTag && name != "tag-key" {
		return nil
	}
	out := []string{}
	for _, t := range tags {
		switch {
		case !isTag:
			out = append(out, t.Key)
		case t.Key == key:
			out = append(out, t.Value)
		}
	}
	return out
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

// describe is what all describes end with: the filters, then one page.
func describe[T any](p params, items []T, values func(T, string) []string, wrap func([]T, string) result) (result, *fault) {
	items, f := filter(p, items, values)
	if f != nil {
		return nil, f
	}
	items, next, f := page(p, items)
	if f != nil {
		return nil, f
	}
	return wrap(items, next), nil
}

// done is the answer of an action that has nothing else to say.
type done struct {
	reply
	Return bool `xml:"return"`
}
