package lambdahost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// maxALB bounds the JSON that a load balancer accepts. AWS says "1 MB" and not which; the smaller one is safe.
const maxALB = 1_000_000

// ALB returns a Lambda handler that serves load balancer events with h, in both forms that a target group can be set to:
// single-value (one string for each name) and multi-value (a list for each name). It answers in the form that was asked
// in. The request's context carries RequestID and the invocation's deadline. RemoteAddr is the peer of the load balancer,
// with port 0 where that is not told.
//
// The handler's error is for an event that no load balancer sent; what a client got wrong is answered with 400.
//
// Source: "Use Lambda functions as targets of an Application Load Balancer", Elastic Load Balancing user guide.
func ALB(h http.Handler, log *slog.Logger) func(context.Context, json.RawMessage) (any, error) {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		e, body, err := parseALB(raw)
		if err != nil {
			return nil, err
		}
		r, err := albRequest(ctx, e, body)
		f := format{front: "load balancer", most: maxALB, size: "1 MB", form: func(a response) any {
			out := events.ALBTargetGroupResponse{
				StatusCode: a.status, StatusDescription: strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))),
				Body: a.body, IsBase64Encoded: a.encoded,
			}
			if e.MultiValueHeaders != nil {
				out.MultiValueHeaders = a.header
			} else {
				out.Headers = oneEach(ctx, a.header, log)
			}
			return out
		}}
		return f.answer(ctx, h, log, r, err)
	}
}

// errALB marks what a load balancer never sends. Its text is for the person who invoked the function by hand.
var errALB = errors.New("not a load balancer event")

func parseALB(raw []byte) (e events.ALBTargetGroupRequest, body []byte, err error) {
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, nil, fmt.Errorf("%w: %w", errALB, err)
	}
	if e.RequestContext.ELB.TargetGroupArn == "" {
		return e, nil, fmt.Errorf("%w: it has no requestContext.elb.targetGroupArn%s; this function serves a web page behind a load balancer, so open its address instead of invoking it", errALB, sender(raw))
	}
	if e.HTTPMethod == "" || e.Headers == nil && e.MultiValueHeaders == nil {
		return e, nil, fmt.Errorf("%w: httpMethod, or headers and multiValueHeaders, are missing", errALB)
	}
	if body, err = bodyOf(e.Body, e.IsBase64Encoded); err != nil {
		return e, nil, fmt.Errorf("%w: body: %w", errALB, err)
	}
	return e, body, nil
}

func albRequest(ctx context.Context, e events.ALBTargetGroupRequest, body []byte) (*http.Request, error) {
	// Path and query arrive as they were on the wire, percent-encoding included, so they are put together unchanged. In a
	// path that is not a target of origin form ("/…"), or that holds a "?", a part would change its meaning.
	target := e.Path
	if !strings.HasPrefix(target, "/") && target != "*" || strings.Contains(target, "?") {
		return nil, errors.New("the request's path is malformed")
	}
	if q := albQuery(e); q != "" {
		target += "?" + q
	}
	header := http.Header{}
	for name, value := range e.Headers {
		header.Add(name, value)
	}
	for name, values := range e.MultiValueHeaders {
		for _, value := range values {
			header.Add(name, value)
		}
	}
	r, err := newRequest(ctx, e.HTTPMethod, target, header, body)
	if err != nil {
		return nil, err
	}
	if p := header.Get("X-Forwarded-Proto"); p == "http" { // the load balancer's word: it replaces the client's
		r.URL.Scheme = p
	}
	r.RemoteAddr = peer(header.Values("X-Forwarded-For"))
	return r, nil
}

// albQuery joins the parameters without encoding them again. The event has lost their order; names are sorted so that
// equal events make equal requests. A parameter without "=" has got one.
func albQuery(e events.ALBTargetGroupRequest) string {
	multi := e.MultiValueQueryStringParameters
	if multi == nil {
		multi = map[string][]string{}
		for name, value := range e.QueryStringParameters {
			multi[name] = []string{value}
		}
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(multi)) {
		for _, value := range multi[name] {
			pairs = append(pairs, name+"="+value)
		}
	}
	return strings.Join(pairs, "&")
}

// peer is the last address of X-Forwarded-For: the one that the load balancer appended, where those before it are the
// client's own claims. It carries a port when the load balancer is set to preserve it.
func peer(forwardedFor []string) string {
	if len(forwardedFor) == 0 {
		return ""
	}
	last := forwardedFor[len(forwardedFor)-1]
	return address(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]))
}

// oneEach makes one value of each header's values. That may be done to lists, but not to Set-Cookie (RFC 9110, "Field
// Order"): of several cookies only the last can be sent.
func oneEach(ctx context.Context, header http.Header, log *slog.Logger) map[string]string {
	one := map[string]string{}
	for name, values := range header {
		if name == "Set-Cookie" && len(values) > 1 {
			log.Error("cookies lost: set the target group's lambda.multi_value_headers.enabled to true", "request_id", RequestID(ctx), "lost", len(values)-1)
			values = values[len(values)-1:]
		}
		one[name] = strings.Join(values, ", ")
	}
	return one
}
