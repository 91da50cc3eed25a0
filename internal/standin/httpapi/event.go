package httpapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// event is what the function gets, in payload format version 2.0. What there is none of is not in it.
type event struct {
	Version        string            `json:"version"`
	RouteKey       string            `json:"routeKey"`
	RawPath        string            `json:"rawPath"`
	RawQueryString string            `json:"rawQueryString"`
	Cookies        []string          `json:"cookies,omitempty"`
	Headers        map[string]string `json:"headers"`
	Query          map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext requestContext    `json:"requestContext"`
	Body           string            `json:"body,omitempty"`
	Base64         bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         httpContext `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`
	TimeEpoch    int64       `json:"timeEpoch"` // milliseconds
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// hopByHop headers are the connection's (RFC 9110, "Connection"). No captured event has one.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func (s *Server) event(r *http.Request, body []byte, id string, now time.Time, u Unconfirmed) (event, error) {
	path, err := rawPath(r, u)
	if err != nil {
		return event{}, err
	}
	if !utf8.ValidString(path) || !utf8.ValidString(r.URL.RawQuery) {
		return event{}, errors.New("the request's path or query is not UTF-8")
	}
	e := event{Version: "2.0", RouteKey: route, RawPath: path, RawQueryString: r.URL.RawQuery, Query: query(r.URL.RawQuery)}
	if e.Headers, e.Cookies, err = s.headers(r, len(body), now, u); err != nil {
		return event{}, err
	}
	prefix, _, _ := strings.Cut(s.c.Domain, ".")
	e.RequestContext = requestContext{
		AccountID: s.c.AccountID, APIID: s.c.APIID, DomainName: s.c.Domain, DomainPrefix: prefix,
		HTTP:      httpContext{Method: r.Method, Path: path, Protocol: r.Proto, SourceIP: clientIP(r), UserAgent: r.UserAgent()},
		RequestID: id, RouteKey: route, Stage: stage, Time: now.UTC().Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
	}
	if u.SourceHasPort {
		e.RequestContext.HTTP.SourceIP = r.RemoteAddr
	}
	switch {
	case len(body) == 0:
	case r.Header.Get("Content-Encoding") == "" && isText(r.Header.Get("Content-Type"), u) && utf8.Valid(body):
		e.Body = string(body)
	default:
		e.Base64, e.Body = true, base64.StdEncoding.EncodeToString(body)
	}
	return e, nil
}

// rawPath is decoded twice: a path is cut where the first decoding shows a "?", and refused where the second finds
// a "%" that begins no escape. That is what ten paths sent to a real HTTP API came to (hotsock/voker, ingress-paths.json).
func rawPath(r *http.Request, u Unconfirmed) (string, error) {
	sent := r.URL.EscapedPath()
	if !strings.HasPrefix(sent, "/") {
		return "", errors.New("the request has no path")
	}
	if u.PathsEncoded {
		return sent, nil
	}
	once, err := url.PathUnescape(sent)
	if err != nil {
		return "", errors.New("the request's path is malformed")
	}
	once, _, _ = strings.Cut(once, "?")
	twice, err := url.PathUnescape(once)
	if err != nil {
		return "", errors.New("the request's path holds a percent sign that begins no escape once it is decoded")
	}
	return twice, nil
}

// query decodes the parameters, and joins the values of one that came several times.
func query(raw string) map[string]string {
	all := map[string]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		for _, s := range []*string{&name, &value} {
			if plain, err := url.QueryUnescape(*s); err == nil && utf8.ValidString(plain) {
				*s = plain
			}
		}
		if before, twice := all[name]; twice {
			value = before + "," + value
		}
		all[name] = value
	}
	return all
}

// headers are the client's, with names in lower case, and with what API Gateway adds. Nothing else is taken out but what
// is the connection's: X-Forwarded-Host, Forwarded and whatever else a client makes up reach the function.
func (s *Server) headers(r *http.Request, length int, now time.Time, u Unconfirmed) (h map[string]string, cookies []string, err error) {
	h = map[string]string{}
	between := ","
	if u.HeadersSpaced {
		between = ", "
	}
	for name, values := range r.Header {
		for _, v := range values {
			if !utf8.ValidString(v) {
				return nil, nil, errors.New("a request header is not UTF-8")
			}
		}
		switch {
		case name == "Cookie":
			for _, v := range values {
				for c := range strings.SplitSeq(v, ";") {
					if c = strings.Trim(c, " \t"); c != "" { // other spaces are part of a cookie's name (RFC 6265 section 5.2)
						cookies = append(cookies, c)
					}
				}
			}
		case !slices.Contains(hopByHop, name):
			h[strings.ToLower(name)] = strings.Join(values, between)
		}
	}
	h["host"], h["content-length"] = r.Host, fmt.Sprint(length)
	if before := h["x-forwarded-for"]; before != "" && !u.ForwardedReplaced {
		h["x-forwarded-for"] = before + ", " + clientIP(r)
	} else {
		h["x-forwarded-for"] = clientIP(r)
	}
	h["x-forwarded-proto"], h["x-forwarded-port"] = "https", "443"
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if _, p, err := net.SplitHostPort(at.String()); err == nil {
			h["x-forwarded-port"] = p
		}
	}
	if h["x-amzn-trace-id"] == "" { // undocumented: what becomes of the client's
		h["x-amzn-trace-id"] = fmt.Sprintf("Root=1-%08x-%016x%08x", now.Unix(), rand.Uint64(), rand.Uint32())
	}
	return h, cookies, nil
}

// isText says whether a body of this type goes into the event as it is. JSON is seen to, forms and multipart forms are
// seen not to (middyjs/middy#603, dherault/serverless-offline#1776); the rest is undocumented.
func isText(contentType string, u Unconfirmed) bool {
	t, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	t = strings.TrimSpace(t)
	return strings.HasPrefix(t, "text/") || slices.Contains([]string{"application/json", "application/javascript", "application/xml"}, t) ||
		u.FormsAreText && t == "application/x-www-form-urlencoded"
}

// clientIP is the address of the connection, without its port.
func clientIP(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// invoke calls the function through the Lambda API.
func (s *Server) invoke(ctx context.Context, e event, u Unconfirmed) answer {
	payload, err := json.Marshal(e)
	if err != nil {
		return refuse(http.StatusInternalServerError, "IntegrationError", err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.IntegrationTimeout)
	defer cancel()
	target := strings.TrimSuffix(s.c.LambdaURL, "/") + "/2015-03-31/functions/" + url.QueryEscape(s.c.FunctionARN) + "/invocations"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(payload))
	if err != nil {
		return refuse(http.StatusInternalServerError, "IntegrationError", err.Error())
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Amz-Invocation-Type", "RequestResponse")
	sigv4.Sign(req, payload, s.c.Caller, "lambda", s.c.Region, time.Now())

	resp, err := s.client.Do(req)
	var body []byte
	if err == nil {
		defer resp.Body.Close()
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		status := http.StatusServiceUnavailable
		if u.TimeoutsAre504 {
			status = http.StatusGatewayTimeout
		}
		return refuse(status, "IntegrationTimeout", fmt.Sprintf("the function did not answer within %v", s.c.IntegrationTimeout))
	case errors.Is(err, context.Canceled):
		return refuse(http.StatusInternalServerError, "ClientClosedConnection", "the client went away before the function answered")
	case err != nil:
		return refuse(http.StatusInternalServerError, "IntegrationError", err.Error())
	case resp.StatusCode == http.StatusRequestEntityTooLarge: // Lambda's own limit of 6 MB for the event
		return refuse(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the event has more than Lambda takes")
	case resp.StatusCode == http.StatusTooManyRequests && u.BusyIs503:
		return refuse(http.StatusServiceUnavailable, "IntegrationThrottled", "Lambda has no instance free")
	case resp.StatusCode != http.StatusOK:
		return refuse(http.StatusInternalServerError, "IntegrationError", fmt.Sprintf("Lambda answered %d %s", resp.StatusCode, clip(resp.Header.Get("X-Amzn-ErrorType"))))
	case resp.Header.Get("X-Amz-Function-Error") != "":
		return refuse(http.StatusInternalServerError, "IntegrationError", "the function failed or ran out of time; its own log says why")
	case len(body) > maxBody:
		return refuse(http.StatusInternalServerError, "IntegrationError", "the function's answer has more than 10 MB")
	}
	a, err := response(body)
	if err != nil {
		return refuse(http.StatusInternalServerError, "IntegrationError", err.Error())
	}
	return a
}

// response reads the function's answer. One without a statusCode is inferred to be a body of JSON, whatever it is; one
// with it must be right in every part. The errors never quote the answer: it may hold cookies.
//
// What a null in the place of a value means is undocumented; here it is no value.
func response(raw []byte) (answer, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields["statusCode"] == nil {
		return inferred(raw), nil
	}
	var faults []error
	take := func(name string, into any) {
		if v, ok := fields[name]; ok && (string(v) == "null" || json.Unmarshal(v, into) != nil) {
			faults = append(faults, fmt.Errorf("%s is not of the type that it should be", name))
		}
	}
	var (
		status  int
		body    string
		encoded bool
		headers map[string]*string
		cookies []*string
	)
	take("statusCode", &status)
	take("body", &body)
	take("isBase64Encoded", &encoded)
	take("headers", &headers)
	take("cookies", &cookies)
	if len(faults) > 0 {
		return answer{}, errors.Join(faults...)
	}
	if status < 200 || status > 599 {
		return answer{}, fmt.Errorf("statusCode is %d", status)
	}
	a := answer{status: status, header: http.Header{}, body: []byte(body), detail: "forwarded"}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		v := headers[name]
		if !httpguts.ValidHeaderFieldName(name) || v == nil || !httpguts.ValidHeaderFieldValue(*v) {
			return answer{}, errors.New("a header's name or value is not valid")
		}
		if canonical := http.CanonicalHeaderKey(name); canonical != "Content-Length" && !slices.Contains(hopByHop, canonical) {
			a.header.Add(name, *v)
		}
	}
	for _, c := range cookies {
		if c == nil || !httpguts.ValidHeaderFieldValue(*c) {
			return answer{}, errors.New("a cookie is not valid")
		}
		a.header.Add("Set-Cookie", *c)
	}
	if encoded {
		var err error
		if a.body, err = base64.StdEncoding.DecodeString(body); err != nil {
			return answer{}, errors.New("isBase64Encoded is true, but the body is not base64")
		}
	}
	if a.header.Get("Content-Type") == "" {
		a.header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	return a, nil
}

// inferred is what becomes of an answer without a statusCode. The guide says that it must be JSON; it is seen to pass in
// any case, and a string of JSON to be unquoted (aws/aws-lambda-dotnet, InvokeResponseExtensions.cs).
func inferred(raw []byte) answer {
	var text string
	if json.Unmarshal(raw, &text) == nil && string(raw) != "null" {
		raw = []byte(text)
	}
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: raw, detail: "forwarded, its form inferred"}
}
