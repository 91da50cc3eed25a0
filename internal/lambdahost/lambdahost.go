// Package lambdahost serves an http.Handler inside AWS Lambda, behind an Application Load Balancer or an API Gateway HTTP
// API.
//
//	event ─▶ *http.Request ─▶ handler ─▶ recorder ─▶ answer
//
// The front turns a request into a JSON event, and the JSON that the function answers into a response. ALB and HTTPAPI do
// the two conversions between these events and net/http, each for one kind of front: an event of another kind is an
// error, because the fronts are trusted in different things.
//
// It knows nothing about the handler it serves, holds no state between events and starts no goroutine: after the
// function's answer Lambda freezes the process, and a goroutine might never run again.
package lambdahost

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// hopByHop are the headers that belong to one connection and mean nothing in an event (RFC 9110, "Connection"). The
// names that a Connection header lists are not dropped with them: it comes from the client, who could so remove a header
// that the front added.
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

// sender says whose event this is, for the person who reads the error that it is not ours; empty where that cannot be told.
func sender(raw []byte) string {
	var e struct {
		Source         string
		RequestContext struct {
			ELB, HTTP *struct{}
			Stage     string
		}
	}
	json.Unmarshal(raw, &e) // what fits is enough
	switch {
	case e.RequestContext.ELB != nil:
		return "; it is a load balancer's"
	case e.RequestContext.HTTP != nil:
		return "; it is an HTTP API's, or a function URL's"
	case e.RequestContext.Stage != "":
		return "; it is a REST API's, or an HTTP API's with payload format version 1.0"
	case e.Source != "":
		return "; its source is " + e.Source
	}
	return ""
}

// bodyOf is a request's body in an event.
func bodyOf(text string, encoded bool) ([]byte, error) {
	if !encoded {
		return []byte(text), nil
	}
	return base64.StdEncoding.DecodeString(text)
}

// newRequest makes the request that net/http's server would have made of the same bytes on the wire. Target is path and
// query, percent-encoded. An error is the client's fault, and says what was wrong.
func newRequest(ctx context.Context, method, target string, header http.Header, body []byte) (*http.Request, error) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, errors.New("the request's path or query is malformed")
	}
	r, err := http.NewRequestWithContext(ctx, method, "/", bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the request's method is malformed")
	}
	for _, name := range hopByHop {
		header.Del(name)
	}
	hosts := header.Values("Host")
	if len(hosts) != 1 {
		return nil, errors.New("the request must have one Host header")
	}
	r.Host, r.Header, r.RequestURI = hosts[0], header, target
	header.Del("Host") // as in net/http's server
	u.Scheme, u.Host, r.URL = "https", r.Host, u
	return r, nil
}

// address is s as RemoteAddr: an address with the port that it came with, or port 0. What is no address is nothing.
func address(s string) string {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.String()
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, 0).String()
	}
	return ""
}

// response is what a front is to be told.
type response struct {
	status  int
	header  http.Header
	body    string
	encoded bool // the body is base64
}

// format is a front's own form of an answer.
type format struct {
	front string // in words
	most  int    // bytes of JSON that it takes
	size  string // the same, in words
	form  func(response) any
}

// answer serves r with h. An err in its place is the client's, and answered with 400; a panic of h becomes a 500 and is
// logged with its stack, and the process lives on.
func (f format) answer(ctx context.Context, h http.Handler, log *slog.Logger, r *http.Request, err error) (json.RawMessage, error) {
	w := &recorder{header: http.Header{}}
	if err != nil {
		w.problem(ctx, http.StatusBadRequest, err.Error())
	} else {
		w.head = r.Method == http.MethodHead
		serve(h, w, r, log)
	}
	out, err := encode(f.form(w.response()))
	if err != nil || len(out) <= f.most {
		return out, err
	}
	log.Error("response too large for the "+f.front, "request_id", RequestID(ctx), "bytes", len(out), "limit", f.most)
	w.problem(ctx, http.StatusBadGateway, "The answer is larger than the "+f.size+" that the "+f.front+" takes from a function. Ask for less at once.")
	return encode(f.form(w.response()))
}

func encode(answer any) (json.RawMessage, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // six bytes for each "<" would count against the limit
	if err := enc.Encode(answer); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
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

// response is what was written, as it can be told in an event.
func (w *recorder) response() response {
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
	w.sent.Del("Content-Length") // the front counts for itself
	// A line break would end the header early; net/http's server puts a space in its place, too.
	oneLine := strings.NewReplacer("\r", " ", "\n", " ")
	for _, values := range w.sent {
		for i := range values {
			values[i] = oneLine.Replace(values[i])
		}
	}
	a := response{status: w.status, header: w.sent}
	if utf8.Valid(body) {
		a.body = string(body)
	} else {
		a.body, a.encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return a
}
