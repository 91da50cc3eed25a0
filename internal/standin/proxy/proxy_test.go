package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// serve runs a proxy over real connections; hosts other than the route are nobody's.
func serve(t *testing.T, routes map[string]string, log io.Writer) (*Server, *httptest.Server) {
	t.Helper()
	p, err := New(Config{Routes: routes, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(p.Handler())
	t.Cleanup(func() { p.Close(); srv.Close() })
	return p, srv
}

func connect(t *testing.T, proxy, authority string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(proxy, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	return c, r, resp
}

// echo accepts connections and sends back what it gets until the other side ends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	return l.Addr().String()
}

func TestHTTPSClientReachesTheStandInThroughHTTPSProxy(t *testing.T) {
	ec2 := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "host "+r.Host) }))
	defer ec2.Close()
	_, srv := serve(t, map[string]string{"example.com:443": ec2.Listener.Addr().String()}, io.Discard)
	proxyURL, _ := url.Parse(srv.URL)
	transport := ec2.Client().Transport.(*http.Transport).Clone() // its certificate names example.com
	transport.Proxy = http.ProxyURL(proxyURL)
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("https://EXAMPLE.com/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "host EXAMPLE.com" {
		t.Errorf("got %q, want the stand-in's answer to the AWS name", body)
	}
}

func TestRefusals(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, tc := range map[string]struct {
		method, authority string
		status            int
		says              string
	}{
		"a name that is not played is refused, naming it":      {"CONNECT", "s3.us-east-1.amazonaws.com:443", 403, "s3.us-east-1.amazonaws.com:443"},
		"another port of a played name is refused":             {"CONNECT", "ec2.us-east-1.amazonaws.com:80", 403, "ec2.us-east-1.amazonaws.com:80"},
		"the stand-in's own loopback address is refused":       {"CONNECT", gone.Addr().String(), 403, "not a name"},
		"a plain GET through the proxy is refused":             {"GET", "ec2.us-east-1.amazonaws.com:443", 405, "CONNECT"},
		"a played name behind which nobody listens is a fault": {"CONNECT", "ec2.us-east-1.amazonaws.com:443", 502, gone.Addr().String()},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			p, err := New(Config{Routes: map[string]string{"ec2.us-east-1.amazonaws.com:443": gone.Addr().String()}, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(tc.method, "/", nil)
			r.Host = tc.authority
			w := httptest.NewRecorder()
			p.Handler().ServeHTTP(w, r)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
				t.Errorf("got %d %q, want %d saying %q", w.Code, w.Body, tc.status, tc.says)
			}
			if !strings.Contains(log.String(), tc.authority) || !strings.Contains(log.String(), "refused") {
				t.Errorf("log %q does not name the host that was refused", log.String())
			}
		})
	}
}

func TestTunnelPassesBothWaysAndHalfCloses(t *testing.T) {
	_, srv := serve(t, map[string]string{"a.example:443": echo(t)}, io.Discard)
	c, r, resp := connect(t, srv.URL, "a.example:443")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s, want 200", resp.Status)
	}
	io.WriteString(c, "to the end")
	c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(r); err != nil || string(got) != "to the end" {
		t.Errorf("got %q, %v: what was sent before the half close must come back", got, err)
	}
}

func TestBytesSentWithTheConnectReachTheStandIn(t *testing.T) {
	_, srv := serve(t, map[string]string{"a.example:443": echo(t)}, io.Discard)
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\nearly")
	want := "HTTP/1.1 200 Connection established\r\n\r\nearly"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("got %q, %v: want %q, the early bytes echoed after the 200", got, err, want)
	}
}

func TestStop(t *testing.T) {
	to := echo(t)
	t.Run("Close ends an open tunnel and refuses the next", func(t *testing.T) {
		p, srv := serve(t, map[string]string{"a.example:443": to}, io.Discard)
		_, r, _ := connect(t, srv.URL, "a.example:443")
		began := time.Now()
		p.Close()
		if took := time.Since(began); took > time.Second {
			t.Errorf("Close took %v with an idle tunnel open", took)
		}
		p.mu.Lock()
		if n := len(p.conns); n != 0 {
			t.Errorf("Close returned before %d connections had ended", n)
		}
		p.mu.Unlock()
		if _, err := r.ReadByte(); err == nil {
			t.Error("the tunnel is still open after Close")
		}
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
		if b, _ := io.ReadAll(c); len(b) != 0 {
			t.Errorf("after Close a tunnel was answered %q", b)
		}
	})
	t.Run("the server's base context ends a tunnel", func(t *testing.T) {
		p, err := New(Config{Routes: map[string]string{"a.example:443": to}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		srv := httptest.NewUnstartedServer(p.Handler())
		srv.Config.BaseContext = func(net.Listener) context.Context { return ctx }
		srv.Start()
		defer srv.Close()
		_, r, _ := connect(t, srv.URL, "a.example:443")
		cancel()
		if _, err := r.ReadByte(); err == nil {
			t.Error("the tunnel outlived the context")
		}
		p.tunnels.Wait()
	})
}

func TestNewRefusesRoutesThatLeaveLoopback(t *testing.T) {
	for name, routes := range map[string]map[string]string{
		"an address elsewhere":      {"ec2.us-east-1.amazonaws.com:443": "192.0.2.1:443"},
		"a name, which may move":    {"ec2.us-east-1.amazonaws.com:443": "localhost:443"},
		"an authority without port": {"ec2.us-east-1.amazonaws.com": "127.0.0.1:443"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(Config{Routes: routes, Log: slog.New(slog.DiscardHandler)}); err == nil {
				t.Errorf("New accepted %v", routes)
			}
		})
	}
}
