// Package lambdahost serves an http.Handler inside AWS Lambda, behind an Application Load Balancer.
//
// The load balancer turns a request into a JSON event, and the JSON that the function answers into a response. ALB does
// the two conversions between these events and net/http, in both forms that a target group can be set to: single-value
// (one string for each name) and multi-value (a list for each name), and answers in the form that was asked in.
//
// It knows nothing about the handler it serves, holds no state between events and starts no goroutine: after the
// function's answer Lambda freezes the process, and a goroutine might never run again.
//
// Source: "Use Lambda functions as targets of an Application Load Balancer", Elastic Load Balancing user guide.
package lambdahost

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// maxResponse bounds the JSON that the load balancer accepts. AWS says "1 MB" and not which; the smaller one is safe.
const maxResponse = 1_000_000

// hopByHop are the headers that belong to one connection and mean nothing in an event (RFC 9110, "Connection"). The
// names that a Connection header lists are not dropped with them: it comes from the client, who could so remove a header
// that the load balancer added.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// Start runs handler under the Lambda Runtime API of this process. It does not return.
func Start(handler func(context.Context, json.RawMessage) (any, error)) { lambda.Start(handler) }

// RequestID is the id that Lambda gave the invocation; it is what CloudWatch Logs is searched by. Empty outside Lambda.
func RequestID(ctx context.Context) string {
	lc, ok := lambdacontext.FromContext(ctx)
	if !ok {
		return ""
	}
	return lc.AwsRequestID
}

// ALB returns a Lambda handler that serves load balancer events with h. The request's context carries RequestID and the
// invocation's deadline. RemoteAddr is the peer of the load balancer, with port 0 where that is not told. A panic of h
// becomes a 500 and is logged with its stack; the process lives on.
//
// The handler's error is for an event that no load balancer sent; what a client got wrong is answered with 400.
func ALB(h http.Handler, log *slog.Logger) func(context.Context, json.RawMessage) (any, error) {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		e, err := parse(raw)
		if err != nil {
			return nil, err
		}
		w := &recorder{header: http.Header{}}
		r, err := request(ctx, e)
		switch {
		case errors.Is(err, errEvent):
			return nil, err
		case err != nil:
			w.problem(ctx, http.StatusBadRequest, err.Error())
		default:
			w.head = r.Method == http.MethodHead
			serve(h, w, r, log)
		}
		return w.response(ctx, e.MultiValueHeaders != nil, log)
	}
}

// errEvent marks what a load balancer never sends. Its text is for the person who invoked the function by hand.
var errEvent = errors.New("not a load balancer event")

func parse(raw []byte) (events.ALBTargetGroupRequest, error) {
	var e events.ALBTargetGroupRequest
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, fmt.Errorf("%w: %w", errEvent, err)
	}
	if e.RequestContext.ELB.TargetGroupArn == "" {
		return e, fmt.Errorf("%w: it has no requestContext.elb.targetGroupArn; this function serves a web page, so open the load balancer's address instead of invoking it", errEvent)
	}
	if e.HTTPMethod == "" || e.Headers == nil && e.MultiValueHeaders == nil {
		return e, fmt.Errorf("%w: httpMethod, or headers and multiValueHeaders, are missing", errEvent)
	}
	return e, nil
}

func request(ctx context.Context, e events.ALBTargetGroupRequest) (*http.Request, error) {
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, fmt.Errorf("%w: body: %w", errEvent, err)
		}
	}
	// Path and query arrive as they were on the wire, percent-encoding included, so they are put together unchanged. In a
	// path that is not a target of origin form ("/…"), or that holds a "?", a part would change its meaning.
	target := e.Path
	if !strings.HasPrefix(target, "/") && target != "*" || strings.Contains(target, "?") {
		return nil, errors.New("the request's path is malformed")
	}
	if q := query(e); q != "" {
		target += "?" + q
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, errors.New("the request's path or query is malformed")
	}
	r, err := http.NewRequestWithContext(ctx, e.HTTPMethod, "/", bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the request's method is malformed")
	}
	for name, value := range e.Headers {
		r.Header.Add(name, value)
	}
	for name, values := range e.MultiValueHeaders {
		for _, value := range values {
			r.Header.Add(name, value)
		}
	}
	for _, name := range hopByHop {
		r.Header.Del(name)
	}
	hosts := r.Header.Values("Host")
	if len(hosts) != 1 {
		return nil, errors.New("the request must have one Host header")
	}
	r.Host = hosts[0]
	r.Header.Del("Host") // as in net/http's server
	u.Scheme, u.Host = "https", r.Host
	if p := r.Header.Get("X-Forwarded-Proto"); p == "http" {
		u.Scheme = p
	}
	r.URL, r.RequestURI, r.RemoteAddr = u, target, peer(r.Header.Values("X-Forwarded-For"))
	return r, nil
}

// query joins the parameters without encoding them again. The event has lost their order; names are sorted so that equal
// events make equal requests. A parameter without "=" has got one.
func query(e events.ALBTargetGroupRequest) string {
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
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if ap, err := netip.ParseAddrPort(last); err == nil {
		return ap.String()
	}
	if a, err := netip.ParseAddr(strings.Trim(last, "[]")); err == nil {
		return netip.AddrPortFrom(a, 0).String()
	}
	return ""
}

func serve(h http.Handler, w *recorder, r *http.Request, log *slog.Logger) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p != http.ErrAbortHandler { // which asks net/http, too, for no stack
			log.Error("panic", "request_id", RequestID(r.Context()), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		w.problem(r.Context(), http.StatusInternalServerError, "Something went wrong here; it was logged under the request id.")
	}()
	h.ServeHTTP(w, r)
}

// recorder is the http.ResponseWriter. It holds the whole response, because an event cannot be streamed.
type recorder struct {
	header, sent http.Header // sent is header as it was when the status was written
	status       int
	body         bytes.Buffer
	head         bool // the answer to HEAD has no body
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if status < 100 || status > 599 {
		panic(fmt.Sprintf("lambdahost: invalid status %d", status))
	}
	if w.status == 0 && status >= 200 { // informational responses cannot be told in an event
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.status == http.StatusNoContent || w.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	return w.body.Write(p)
}

// problem replaces whatever was written by a problem document (RFC 9457).
func (w *recorder) problem(ctx context.Context, status int, detail string) {
	w.header, w.status = http.Header{"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}}, 0
	w.body.Reset()
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail, "requestId": RequestID(ctx)})
}

func (w *recorder) response(ctx context.Context, multi bool, log *slog.Logger) (json.RawMessage, error) {
	out, err := w.encode(ctx, multi, log)
	if err != nil || len(out) <= maxResponse {
		return out, err
	}
	log.Error("response too large for the load balancer", "request_id", RequestID(ctx), "bytes", len(out), "limit", maxResponse)
	w.problem(ctx, http.StatusBadGateway, "The answer is larger than the 1 MB that the load balancer takes from a function. Ask for less at once.")
	return w.encode(ctx, multi, log)
}

func (w *recorder) encode(ctx context.Context, multi bool, log *slog.Logger) (json.RawMessage, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	body := w.body.Bytes()
	if _, set := w.sent["Content-Type"]; !set && len(body) > 0 {
		w.sent.Set("Content-Type", http.DetectContentType(body))
	}
	if w.head {
		body = nil
	}
	for _, name := range hopByHop {
		w.sent.Del(name)
	}
	w.sent.Del("Content-Length") // the load balancer counts for itself
	a := events.ALBTargetGroupResponse{
		StatusCode:        w.status,
		StatusDescription: strings.TrimSpace(fmt.Sprintf("%d %s", w.status, http.StatusText(w.status))),
	}
	if utf8.Valid(body) {
		a.Body = string(body)
	} else {
		a.Body, a.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	// A line break would end the header early; net/http's server puts a space in its place, too.
	oneLine := strings.NewReplacer("\r", " ", "\n", " ")
	for _, values := range w.sent {
		for i := range values {
			values[i] = oneLine.Replace(values[i])
		}
	}
	if multi {
		a.MultiValueHeaders = w.sent
	} else {
		a.Headers = w.single(ctx, log)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // six bytes for each "<" would count against the limit
	if err := enc.Encode(a); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// single makes one value of each header's values. That may be done to lists, but not to Set-Cookie (RFC 9110, "Field
// Order"): of several cookies only the last can be sent.
func (w *recorder) single(ctx context.Context, log *slog.Logger) map[string]string {
	one := map[string]string{}
	for name, values := range w.sent {
		if name == "Set-Cookie" && len(values) > 1 {
			log.Error("cookies lost: set the target group's lambda.multi_value_headers.enabled to true", "request_id", RequestID(ctx), "lost", len(values)-1)
			values = values[len(values)-1:]
		}
		one[name] = strings.Join(values, ", ")
	}
	return one
}
