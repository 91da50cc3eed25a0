package alb

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// maxPayload bounds the request's body and the function's answer, each ("Lambda functions as targets", ELB user guide).
const maxPayload = 1 << 20

// event is what the function gets. Of each pair of maps one is nil, as the target group's attribute says.
type event struct {
	RequestContext struct {
		ELB struct {
			TargetGroupARN string `json:"targetGroupArn"`
		} `json:"elb"`
	} `json:"requestContext"`
	Method       string              `json:"httpMethod"`
	Path         string              `json:"path"`
	MultiQuery   map[string][]string `json:"multiValueQueryStringParameters,omitzero"`
	Query        map[string]string   `json:"queryStringParameters,omitzero"`
	MultiHeaders map[string][]string `json:"multiValueHeaders,omitzero"`
	Headers      map[string]string   `json:"headers,omitzero"`
	Body         string              `json:"body"`
	Base64       bool                `json:"isBase64Encoded"`
}

// forward invokes the function with the request, and who's claims if there are any, and turns its answer into ours.
func (s *Server) forward(r *http.Request, from io.Reader, who *session) answer {
	if httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		return refuse(http.StatusBadRequest, "LambdaBadRequest", "a Lambda target cannot upgrade a connection")
	}
	body, err := io.ReadAll(io.LimitReader(from, maxPayload+1))
	if timedOut(err) {
		// net/http closes the connection, of which nothing more can be read.
		return refuse(http.StatusRequestTimeout, "RequestTimeout", "the client sent nothing of the body that is due")
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "LambdaBadRequest", "the request's body broke off")
	}
	if len(body) > maxPayload {
		return refuse(http.StatusRequestEntityTooLarge, "LambdaRequestTooLarge", "the request's body has more than 1 MB")
	}
	headers := s.targetHeaders(r, s.now())
	if who != nil {
		token, err := s.oidcData(who.Claims, s.now())
		if err != nil {
			return refuse(http.StatusInternalServerError, "AuthUnhandledException", err.Error())
		}
		var claims struct{ Sub string }
		if err := json.Unmarshal(who.Claims, &claims); err != nil {
			return refuse(http.StatusInternalServerError, "AuthUnhandledException", "claims of the session are not readable")
		}
		headers["x-amzn-oidc-accesstoken"] = []string{who.Access}
		headers["x-amzn-oidc-identity"] = []string{claims.Sub}
		headers["x-amzn-oidc-data"] = []string{token}
	}
	e, err := s.event(r, headers, body)
	u := s.unconfirmed()
	if err != nil {
		status := http.StatusBadRequest
		if u.NotUTF8Is502 {
			status = http.StatusBadGateway
		}
		return refuse(status, "LambdaBadRequest", err.Error())
	}
	if u.InvokesTwice {
		s.invoke(r.Context(), e)
	}
	return s.invoke(r.Context(), e)
}

// targetHeaders are the client's headers with lower-case names, without anything that speaks for the load balancer,
// and with what it adds.
func (s *Server) targetHeaders(r *http.Request, now time.Time) map[string][]string {
	h := map[string][]string{}
	for name, values := range r.Header {
		lower := strings.ToLower(name)
		// Always, on every rule: a client must never speak for the load balancer.
		if strings.HasPrefix(lower, "x-amzn-oidc-") {
			continue
		}
		if s.c.DropInvalidHeaderFields && strings.Trim(lower, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			continue
		}
		h[lower] = append(h[lower], values...)
	}
	if r.Host != "" {
		h["host"] = []string{r.Host}
	}
	h["x-forwarded-for"] = []string{strings.Join(append(h["x-forwarded-for"], clientIP(r)), ", ")}
	proto, port := "https", "443"
	if r.TLS == nil {
		proto, port = "http", "80"
	}
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if _, p, err := net.SplitHostPort(at.String()); err == nil {
			port = p
		}
	}
	h["x-forwarded-proto"], h["x-forwarded-port"] = []string{proto}, []string{port}
	h["x-amzn-trace-id"] = []string{traceID(strings.Join(h["x-amzn-trace-id"], ";"), now)}
	return h
}

// traceID adds to the client's trace: Root if it has none, else Self ("Request tracing", ELB user guide).
func traceID(client string, now time.Time) string {
	id := fmt.Sprintf("1-%08x-%s", now.Unix(), randomHex(12))
	var fields []string
	root := false
	for field := range strings.SplitSeq(client, ";") {
		name, _, _ := strings.Cut(field, "=")
		root = root || name == "Root"
		if field != "" && name != "Self" {
			fields = append(fields, field)
		}
	}
	if !root {
		return strings.Join(append([]string{"Root=" + id}, fields...), ";")
	}
	return strings.Join(append([]string{"Self=" + id}, fields...), ";")
}

func (s *Server) event(r *http.Request, headers map[string][]string, body []byte) (event, error) {
	e := event{Method: r.Method, Path: r.URL.EscapedPath()}
	e.RequestContext.ELB.TargetGroupARN = s.c.TargetGroupARN
	if !utf8.ValidString(r.RequestURI) {
		return e, errors.New("the request's path or query is not UTF-8")
	}
	query := map[string][]string{}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if pair != "" {
			name, value, _ := strings.Cut(pair, "=")
			query[name] = append(query[name], value) // as sent: decoding is the function's business
		}
	}
	for name, values := range headers {
		for _, v := range append([]string{name}, values...) {
			if !utf8.ValidString(v) {
				return e, errors.New("a request header is not UTF-8")
			}
		}
	}
	if s.c.MultiValueHeaders {
		e.MultiQuery, e.MultiHeaders = query, headers
	} else {
		e.Query, e.Headers = last(query), last(headers)
	}
	switch {
	case len(body) == 0:
	case r.Header.Get("Content-Encoding") != "" || !isText(r.Header.Get("Content-Type")):
		e.Base64, e.Body = true, base64.StdEncoding.EncodeToString(body)
	case !utf8.Valid(body):
		return e, errors.New("the request's body is not UTF-8")
	default:
		e.Body = string(body)
	}
	return e, nil
}

// isText says whether a body of this type goes into the event as it is. Forms are not among them.
func isText(contentType string) bool {
	t, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	t = strings.TrimSpace(t)
	return strings.HasPrefix(t, "text/") || slices.Contains([]string{"application/json", "application/javascript", "application/xml"}, t)
}

// last is what single-value mode makes of repeated headers and parameters.
func last(multi map[string][]string) map[string]string {
	single := make(map[string]string, len(multi))
	for name, values := range multi {
		if len(values) > 0 {
			single[name] = values[len(values)-1]
		}
	}
	return single
}

// invoke calls the function through the Lambda API and waits for it as long as it takes: the function's own timeout
// is the limit.
func (s *Server) invoke(ctx context.Context, e event) answer {
	payload, err := json.Marshal(e)
	if err != nil {
		return refuse(http.StatusBadGateway, "LambdaBadRequest", err.Error())
	}
	target := strings.TrimSuffix(s.c.LambdaURL, "/") + "/2015-03-31/functions/" + url.QueryEscape(s.c.FunctionARN) + "/invocations"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(payload))
	if err != nil {
		return refuse(http.StatusBadGateway, "LambdaServiceException", err.Error())
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Amz-Invocation-Type", "RequestResponse")
	sigv4.Sign(req, payload, s.c.Caller, "lambda", s.c.Region, time.Now())

	resp, err := s.client.Do(req)
	var body []byte
	if err == nil {
		defer resp.Body.Close()
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxPayload+1))
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return refuse(460, "ClientClosedConnection", "the client went away before the function answered")
	case err != nil && timedOut(err):
		return refuse(http.StatusGatewayTimeout, "LambdaConnectionTimeout", err.Error())
	case err != nil:
		return refuse(http.StatusBadGateway, "LambdaServiceException", err.Error())
	case resp.StatusCode != http.StatusOK:
		return refuse(http.StatusBadGateway, invokeReason(resp.StatusCode), fmt.Sprintf("Lambda answered %d %s", resp.StatusCode, clip(resp.Header.Get("X-Amzn-ErrorType"))))
	case resp.Header.Get("X-Amz-Function-Error") != "":
		return refuse(http.StatusBadGateway, "LambdaUnhandled", "the function failed or ran out of time; its own log says why")
	case len(body) > maxPayload:
		return refuse(http.StatusBadGateway, "LambdaResponseTooLarge", "the function's answer has more than 1 MB")
	}
	a, err := s.response(body)
	if err != nil {
		return refuse(http.StatusBadGateway, "LambdaInvalidResponse", err.Error())
	}
	return a
}

// invokeReason maps the errors of the Invoke API action to the access log's codes.
func invokeReason(status int) string {
	switch status {
	case http.StatusForbidden:
		return "LambdaAccessDenied"
	case http.StatusNotFound:
		return "LambdaResourceNotFound"
	case http.StatusRequestEntityTooLarge:
		return "LambdaRequestTooLarge"
	case http.StatusTooManyRequests:
		return "LambdaThrottling"
	case http.StatusBadRequest, http.StatusUnsupportedMediaType:
		return "LambdaBadRequest"
	}
	return "LambdaServiceException"
}

// hopByHop headers of a function's answer are ignored, and Content-Length is computed.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length"}

// response reads the function's answer. Names are matched exactly, and null is no value: load balancers are seen to
// answer 502 to it. The errors never quote the answer: it may hold cookies.
func (s *Server) response(raw []byte) (answer, error) {
	u := s.unconfirmed()
	var fields map[string]json.RawMessage
	if !utf8.Valid(raw) || json.Unmarshal(raw, &fields) != nil {
		return answer{}, errors.New("the function's answer is not a JSON object in UTF-8")
	}
	var faults []error
	take := func(name string, into any, optional bool) {
		v, ok := fields[name]
		switch {
		case !ok && !optional:
			faults = append(faults, fmt.Errorf("no %s", name))
		case ok && (string(v) == "null" || json.Unmarshal(v, into) != nil):
			faults = append(faults, fmt.Errorf("%s is not of the type that it should be", name))
		}
	}
	var (
		status            int
		description, body string
		encoded           bool
		multi             = map[string][]*string{}
	)
	take("statusCode", &status, false)
	take("statusDescription", &description, u.ShortAnswersPass)
	take("isBase64Encoded", &encoded, u.ShortAnswersPass)
	take("body", &body, true)
	if s.c.MultiValueHeaders {
		take("multiValueHeaders", &multi, u.ShortAnswersPass)
	} else {
		var single map[string]*string
		take("headers", &single, u.ShortAnswersPass)
		for name, value := range single {
			multi[name] = []*string{value}
		}
	}
	if len(faults) > 0 {
		return answer{}, errors.Join(faults...)
	}
	if status < 200 || status > 599 {
		return answer{}, fmt.Errorf("statusCode is %d", status)
	}
	// net/http writes its own reason phrase: that of the description is checked and not sent.
	if _, told := fields["statusDescription"]; told {
		code, reason, _ := strings.Cut(description, " ")
		if code != strconv.Itoa(status) || reason == "" || strings.HasPrefix(reason, " ") {
			return answer{}, errors.New("statusDescription is not statusCode, a single space and a reason")
		}
	}
	a := answer{status: status, header: http.Header{}, body: []byte(body), detail: "forwarded"}
	total := len("HTTP/1.1 ") + len(description)
	for _, name := range slices.Sorted(maps.Keys(multi)) {
		if !httpguts.ValidHeaderFieldName(name) {
			return answer{}, errors.New("a header name is not valid")
		}
		values := multi[name]
		if values == nil || slices.Contains(values, nil) {
			return answer{}, fmt.Errorf("the value of header %s is null", clip(name))
		}
		if u.HeadersReversed {
			slices.Reverse(values)
		}
		for _, value := range values {
			v := *value
			field := len(name) + len(": ") + len(v)
			if total += field; field > maxHeaderField || total > maxResponseHeaders {
				// The quotas page gives no status for it.
				return answer{}, fmt.Errorf("header %s goes beyond the 16 KB of one header or the 32 KB of all", clip(name))
			}
			if !httpguts.ValidHeaderFieldValue(v) {
				return answer{}, fmt.Errorf("the value of header %s is not valid", clip(name))
			}
			if !slices.Contains(hopByHop, http.CanonicalHeaderKey(name)) {
				a.header.Add(name, v)
			}
		}
	}
	if u.ServerOnAnswers && a.header.Get("Server") == "" {
		a.header.Set("Server", ownServer)
	}
	if encoded {
		var err error
		if a.body, err = base64.StdEncoding.DecodeString(body); err != nil {
			return answer{}, errors.New("isBase64Encoded is true, but the body is not base64")
		}
	}
	return a, nil
}
