package latchtest

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
)

// InProcess carries HTTP requests to a handler without a socket: each is written out and read again as a server
// would, so what a signature covers is what went over the wire. No goroutine is involved, which is what a
// testing/synctest bubble needs. It is an http.RoundTripper and an HTTP client of the AWS SDK.
type InProcess struct{ Handler http.Handler }

// Do answers one request.
func (p InProcess) Do(req *http.Request) (*http.Response, error) {
	if req.Context().Err() != nil {
		return nil, context.Cause(req.Context())
	}
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return nil, err
	}
	received, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		return nil, err
	}
	received.RemoteAddr = "127.0.0.1:50000"
	answer := httptest.NewRecorder()
	p.Handler.ServeHTTP(answer, received.WithContext(req.Context()))
	response := answer.Result()
	response.Request = req
	return response, nil
}

// RoundTrip makes it a transport.
func (p InProcess) RoundTrip(req *http.Request) (*http.Response, error) { return p.Do(req) }
