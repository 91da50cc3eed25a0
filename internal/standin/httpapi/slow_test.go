package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
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
		limit  time.Duration
		waits  []time.Duration // before each byte of the body
		status int
		after  time.Duration // since the header
	}{
		"nothing comes":                          {0, nil, 408, 30 * time.Second},
		"it stops half-way":                      {0, []time.Duration{time.Second, time.Second}, 408, 30 * time.Second},
		"a byte now and then, and never the end": {0, []time.Duration{9 * time.Second, 9 * time.Second, 9 * time.Second}, 408, 30 * time.Second},
		"slow, and in time":                      {0, []time.Duration{7 * time.Second, 7 * time.Second, 7 * time.Second, 7 * time.Second}, 200, 28 * time.Second},
		"nothing comes for a shorter time":       {5 * time.Second, []time.Duration{4 * time.Second}, 408, 5 * time.Second},
		"longer than the server's own":           {10 * time.Minute, []time.Duration{9 * time.Minute, 0, 0, 0}, 200, 9 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(c *Config) { c.BodyTimeout = tc.limit })
				conn := w.connect(t)
				const body = "slow"
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", host, len(body))
				began := time.Now()
				for i, d := range tc.waits {
					time.Sleep(d)
					io.WriteString(conn, body[i:i+1])
				}
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatalf("%v\n%s", err, w.log)
				}
				if resp.StatusCode != tc.status || time.Since(began) != tc.after {
					t.Errorf("got %d after %v, want %d after %v\n%s", resp.StatusCode, time.Since(began), tc.status, tc.after, w.log)
				}
				if tc.status == 408 {
					if !resp.Close || len(w.fn.events) > 0 {
						t.Errorf("connection closed: %v, %d invocations; want it closed, and no invocation", resp.Close, len(w.fn.events))
					}
					w.refused(t, name, resp, 408, "RequestTimeout")
				} else if got := w.fn.last(t).Body; got != body {
					t.Errorf("the function got %q, want %q", got, body)
				}
			})
		})
	}
}

func TestTheFunctionMayTakeLongerThanABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.BodyTimeout = time.Second })
		w.fn.answer = func(rw http.ResponseWriter) { time.Sleep(29 * time.Second); io.WriteString(rw, `"late"`) }
		conn := w.connect(t)
		answers := bufio.NewReader(conn)
		for range 2 { // the second finds the connection as the first did
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 4\r\n\r\n", host)
			io.WriteString(conn, "body")
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, w.log)
			}
			if got := text(t, resp); resp.StatusCode != 200 || got != "late" {
				t.Errorf("got %d %q, want 200 and the late answer\n%s", resp.StatusCode, got, w.log)
			}
		}
	})
}

func TestSlowBodyOverHTTP2(t *testing.T) {
	w := newWorld(t, nil)
	w.c.BodyTimeout = 50 * time.Millisecond // real time: no connection of a bubble speaks HTTP/2
	front := httptest.NewUnstartedServer(w.Handler())
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	client := front.Client()
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com" // httptest's certificate
	w.c.Domain = "example.com"
	body, feed := io.Pipe()
	r, err := http.NewRequest("POST", front.URL, io.MultiReader(strings.NewReader("x"), body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "example.com"
	resp, err := client.Do(r)
	feed.Close()
	if err != nil {
		t.Fatal(err)
	}
	if resp.ProtoMajor != 2 {
		t.Errorf("over HTTP/%d, want HTTP/2", resp.ProtoMajor)
	}
	w.refused(t, "over HTTP/2", resp, 408, "RequestTimeout")
	resp.Body.Close()
}
