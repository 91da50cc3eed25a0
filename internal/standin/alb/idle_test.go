package alb

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is a listener of one connection, which its other end writes to.
type pipe struct {
	near   chan net.Conn
	closed chan struct{}
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.near:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error   { close(p.closed); return nil }
func (p *pipe) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8443} }

// connect serves w to one client for the time of the test, as the demo does: with a ReadTimeout of a minute.
func (w *world) connect(t *testing.T) net.Conn {
	near, far := net.Pipe()
	p := &pipe{make(chan net.Conn, 1), make(chan struct{})}
	p.near <- near
	server := &http.Server{Handler: w.Handler(), ReadTimeout: time.Minute, ErrorLog: log.New(t.Output(), "", 0)}
	done := make(chan error)
	go func() { done <- server.Serve(p) }()
	t.Cleanup(func() {
		server.Close()
		far.Close()
		<-done
	})
	return far
}

func TestSlowBodies(t *testing.T) {
	for name, tc := range map[string]struct {
		idle   time.Duration
		waits  []time.Duration // before each byte of the body
		status int
		after  time.Duration // since the last byte, or the header
	}{
		"nothing comes for a minute":              {0, nil, 408, time.Minute},
		"it stops half-way":                       {0, []time.Duration{time.Second, time.Second}, 408, time.Minute},
		"a byte every 59 seconds":                 {0, []time.Duration{59 * time.Second, 59 * time.Second, 59 * time.Second, 59 * time.Second}, 200, 0},
		"nothing comes for a shorter time-out":    {5 * time.Second, []time.Duration{4 * time.Second}, 408, 5 * time.Second},
		"a longer time-out than the server's own": {10 * time.Minute, []time.Duration{9 * time.Minute, time.Second, time.Second, time.Second}, 200, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.IdleTimeout, c.SessionTimeout = tc.idle, 2*time.Hour })
				b := w.signIn(t)
				conn := w.connect(t)
				const body = "slow"
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nCookie: AWSELBAuthSessionCookie-0=%s\r\n\r\n",
					host, len(body), b.cookies["AWSELBAuthSessionCookie-0"])
				for i, d := range tc.waits {
					time.Sleep(d)
					io.WriteString(conn, body[i:i+1])
				}
				last := time.Now()
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatalf("%v\n%s", err, w.log)
				}
				if resp.StatusCode != tc.status || time.Since(last) != tc.after {
					t.Errorf("got %d after %v, want %d after %v\n%s", resp.StatusCode, time.Since(last), tc.status, tc.after, w.log)
				}
				if tc.status == 408 {
					if page := text(t, resp); !resp.Close || !strings.Contains(page, "<h1>408 Request Time-out</h1>") || len(w.fn.events) > 0 {
						t.Errorf("connection closed: %v, %d invocations, page %q; want the load balancer's page, a closed connection and no invocation", resp.Close, len(w.fn.events), page)
					}
				} else if got := w.fn.last(t)["body"]; got != body {
					t.Errorf("the function got %q, want %q", got, body)
				}
			})
		})
	}
}

func TestFunctionMayTakeLongerThanTheIdleTimeout(t *testing.T) {
	for _, request := range []string{"GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Length: 4\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			b := w.signIn(t)
			w.fn.answer = func(rw http.ResponseWriter) {
				time.Sleep(5 * time.Minute)
				io.WriteString(rw, `{"statusCode":200,"statusDescription":"200 OK","isBase64Encoded":false,"multiValueHeaders":{},"body":"late"}`)
			}
			conn := w.connect(t)
			fmt.Fprintf(conn, "%sHost: %s\r\nCookie: AWSELBAuthSessionCookie-0=%s\r\n\r\n", request, host, b.cookies["AWSELBAuthSessionCookie-0"])
			if strings.HasPrefix(request, "POST") {
				io.WriteString(conn, "body")
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, w.log)
			}
			if got := text(t, resp); resp.StatusCode != 200 || got != "late" {
				t.Errorf("%q: got %d %q, want 200 and the late answer: a load balancer waits for the function\n%s", request, resp.StatusCode, got, w.log)
			}
		})
	}
}

func TestSlowBodyOverHTTP2(t *testing.T) {
	w := newWorld(t, nil)
	w.Server.c.IdleTimeout = 50 * time.Millisecond // real time: no connection of a bubble speaks HTTP/2
	b := w.signIn(t)
	front := newTLSFront(t, w)
	body, feed := io.Pipe()
	r, err := http.NewRequest("POST", front.URL, io.MultiReader(bytes.NewReader([]byte("x")), body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Cookie", "AWSELBAuthSessionCookie-0="+b.cookies["AWSELBAuthSessionCookie-0"])
	resp, err := front.Client().Do(r)
	feed.Close()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 408 || resp.ProtoMajor != 2 {
		t.Errorf("got %d over HTTP/%d, want 408 over HTTP/2\n%s", resp.StatusCode, resp.ProtoMajor, w.log)
	}
}
