package lambdahost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// maxHTTPAPI bounds the function's JSON. It is Lambda's limit on what a function answers, "6 MB" ("Lambda quotas", Lambda
// Developer Guide), and lower than the HTTP API's own of 10 MB. Of the two readings of MB the smaller one is safe.
const maxHTTPAPI = 6_000_000

// HTTPAPI returns a Lambda handler that serves, with h, the events of an API Gateway HTTP API whose integration has payload
// format version 2.0. The request's context carries RequestID and the invocation's deadline. RemoteAddr is what API
// Gateway says of its peer, with port 0 where that is not told; Host names the domain that the API was called by. A
// header that a client can send, X-Forwarded-For and X-Forwarded-Host among them, decides neither.
//
// The API's stage should be $default. The name of another is taken off the front of the path, so that such a name must
// not be the first segment of a path that h serves.
//
// The handler's error is for an event that no HTTP API sent; what a client got wrong is answered with 400.
//
// Source: "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway", API Gateway Developer Guide.
func HTTPAPI(h http.Handler, log *slog.Logger) func(context.Context, json.RawMessage) (any, error) {
	f := format{front: "HTTP API", most: maxHTTPAPI, size: "6 MB", form: httpAPIAnswer}
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		e, body, err := parseHTTPAPI(raw)
		if err != nil {
			return nil, err
		}
		r, err := httpAPIRequest(ctx, e, body)
		return f.answer(ctx, h, log, r, err)
	}
}

// errHTTPAPI marks what an HTTP API never sends. Its text is for the person who invoked the function by hand, or set the
// integration's format.
var errHTTPAPI = errors.New("not an HTTP API event")

func parseHTTPAPI(raw []byte) (e events.APIGatewayV2HTTPRequest, body []byte, err error) {
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, nil, fmt.Errorf("%w: %w", errHTTPAPI, err)
	}
	if e.RequestContext.HTTP.Method == "" {
		return e, nil, fmt.Errorf("%w: it has no requestContext.http.method%s; this function serves a web page behind an HTTP API with payload format version 2.0, so open its address instead of invoking it",
			errHTTPAPI, sender(raw))
	}
	if e.Version != "2.0" {
		return e, nil, fmt.Errorf("%w: version %q: set the integration's payload format version to 2.0", errHTTPAPI, e.Version)
	}
	if e.RequestContext.DomainName == "" || e.Headers == nil {
		return e, nil, fmt.Errorf("%w: requestContext.domainName, or headers, are missing", errHTTPAPI)
	}
	if body, err = bodyOf(e.Body, e.IsBase64Encoded); err != nil {
		return e, nil, fmt.Errorf("%w: body: %w", errHTTPAPI, err)
	}
	return e, body, nil
}

func httpAPIRequest(ctx context.Context, e events.APIGatewayV2HTTPRequest, body []byte) (*http.Request, error) {
	path := withoutStage(e.RawPath, e.RequestContext.Stage)
	if !strings.HasPrefix(path, "/") {
		return nil, errors.New("the request's path is malformed")
	}
	target := wirePath(path)
	if e.RawQueryString != "" {
		target += "?" + e.RawQueryString // as it was on the wire
	}
	// Values of a header that came twice are one string with a comma between them. Cookies are not among the headers.
	header := http.Header{}
	for name, value := range e.Headers {
		header.Add(name, value)
	}
	if len(e.Cookies) > 0 {
		header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	// The name is API Gateway's word; the port, if there is one, can only be the client's.
	if len(header.Values("Host")) == 0 {
		header.Set("Host", e.RequestContext.DomainName)
	}
	if !strings.EqualFold((&url.URL{Host: header.Get("Host")}).Hostname(), e.RequestContext.DomainName) {
		return nil, errors.New("the request's Host is not the domain that the API was called by")
	}
	r, err := newRequest(ctx, e.RequestContext.HTTP.Method, target, header, body)
	if err != nil {
		return nil, err
	}
	r.RemoteAddr = address(e.RequestContext.HTTP.SourceIP)
	return r, nil
}

// withoutStage takes off the stage's name, which stands before the path for every stage but $default.
func withoutStage(path, stage string) string {
	if stage == "" || stage == "$default" {
		return path
	}
	rest, ok := strings.CutPrefix(path, "/"+stage)
	switch {
	case ok && rest == "":
		return "/"
	case ok && rest[0] == '/':
		return rest
	}
	return path
}

// wirePath is a rawPath as it may have been on the wire. AWS's word for it is "raw", but HTTP APIs are seen to decode it,
// twice even (middleapi/standard-server#93). So it is taken for encoded where it can be, and for decoded where it holds
// what no encoded path does: a "%" that begins no escape, or a "?", which must not begin a query here.
func wirePath(raw string) string {
	if u, err := url.ParseRequestURI(raw); err == nil && !strings.Contains(raw, "?") {
		return u.EscapedPath()
	}
	return (&url.URL{Path: raw}).EscapedPath()
}

// httpAPIAnswer has a statusCode, without which API Gateway takes the whole answer for the body. A header has one value;
// only cookies are a list.
func httpAPIAnswer(a response) any {
	out := events.APIGatewayV2HTTPResponse{StatusCode: a.status, Body: a.body, IsBase64Encoded: a.encoded,
		Headers: map[string]string{}, MultiValueHeaders: map[string][]string{}, Cookies: []string{}}
	for name, values := range a.header {
		if name == "Set-Cookie" {
			out.Cookies = values
		} else {
			out.Headers[name] = strings.Join(values, ", ")
		}
	}
	return out
}
