// Package proxy is the way out of the demo's Lambda functions: a CONNECT proxy on loopback that knows the AWS names the
// demo plays and no other. The functions are the build that runs in AWS; they are given HTTPS_PROXY, dial
// ec2.us-east-1.amazonaws.com as ever, and reach the stand-in that holds a certificate for that name.
//
// It looks into no tunnel, resolves no name and never leaves loopback: what is not in Routes is refused, so a call that
// the demo does not play fails loudly instead of reaching somebody's AWS account. It is not a general proxy: only
// CONNECT (RFC 9110, "CONNECT"), no authentication, no plain requests.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// dialTimeout is how long a stand-in may take to accept; on loopback more means that it is not there.
const dialTimeout = 2 * time.Second

// Config is what a Server works with.
type Config struct {
	// Routes maps the authority a client asks for, "ec2.us-east-1.amazonaws.com:443", to the loopback address that
	// answers for it, "127.0.0.1:8443".
	Routes map[string]string
	Log    *slog.Logger
}

// Server is the proxy. Nothing runs until its Handler is served.
type Server struct {
	routes map[string]string
	log    *slog.Logger

	mu      sync.Mutex // guards the two below
	conns   map[net.Conn]struct{}
	closed  bool
	tunnels sync.WaitGroup
}

// New checks that every route ends on loopback.
func New(c Config) (*Server, error) {
	s := &Server{routes: map[string]string{}, log: c.Log, conns: map[net.Conn]struct{}{}}
	for name, to := range c.Routes {
		if _, _, err := net.SplitHostPort(name); err != nil {
			return nil, fmt.Errorf("proxy: route %q: want name:port: %w", name, err)
		}
		addr, err := netip.ParseAddrPort(to)
		if err != nil {
			return nil, fmt.Errorf("proxy: route %q: %w", name, err)
		}
		if !addr.Addr().IsLoopback() {
			return nil, fmt.Errorf("proxy: route %q leads to %s, which is not loopback", name, to)
		}
		s.routes[strings.ToLower(name)] = to
	}
	return s, nil
}

// Handler serves CONNECT. A tunnel outlives its http.Server, which forgets hijacked connections: end it by cancelling
// the server's base context, or by Close.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Close ends every tunnel, waits until they have ended, and refuses new ones.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.tunnels.Wait()
	return nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	if r.Method != http.MethodConnect {
		w.Header().Set("Allow", http.MethodConnect)
		s.refuse(w, r, http.StatusMethodNotAllowed, "this proxy opens tunnels only: send CONNECT, not "+r.Method)
		return
	}
	to, ok := s.routes[strings.ToLower(r.Host)]
	if !ok {
		s.refuse(w, r, http.StatusForbidden, r.Host+" is not a name that this demo plays, and the demo lets nothing else out")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), dialTimeout)
	defer cancel()
	upstream, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		s.refuse(w, r, http.StatusBadGateway, fmt.Sprintf("nothing answers for %s at %s: %v", r.Host, to, err))
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		upstream.Close()
		s.refuse(w, r, http.StatusHTTPVersionNotSupported, "a tunnel needs a connection of its own: speak HTTP/1.1")
		return
	}
	if !s.track(client, upstream) {
		return // Close came first and both are closed
	}
	defer s.untrack(client, upstream)
	defer context.AfterFunc(r.Context(), func() { client.Close(); upstream.Close() })()
	client.SetDeadline(time.Time{}) // the http.Server's time-outs were for the request, which is over
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	s.log.Info("hop", "to", "proxy", "what", "CONNECT "+r.Host, "status", http.StatusOK, "took", time.Since(began))

	var out sync.WaitGroup
	// The client may have sent the first bytes of TLS with its CONNECT: they are in the buffer, not in the socket. No more
	// than these come from the buffer, because net/http cancels the request's context when a read through it ends.
	early := io.LimitReader(buffered, int64(buffered.Reader.Buffered()))
	out.Go(func() { pass(upstream, io.MultiReader(early, client), client) })
	pass(client, upstream, upstream)
	out.Wait()
}

// pass copies one direction. At its end it tells the receiver that nothing more comes; after an error it closes both
// ends, so that the other direction does not wait for a peer that is gone.
func pass(to net.Conn, from io.Reader, source net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		source.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return
	}
	to.Close()
}

func (s *Server) track(conns ...net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		for _, c := range conns {
			c.Close()
		}
		return false
	}
	for _, c := range conns {
		s.conns[c] = struct{}{}
	}
	s.tunnels.Add(1)
	return true
}

func (s *Server) untrack(conns ...net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conns {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.log.Warn("close tunnel", "to", "proxy", "err", err)
		}
		delete(s.conns, c)
	}
	s.tunnels.Done()
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	s.log.Warn("refused", "to", "proxy", "why", why, "host", r.Host, "status", status)
	http.Error(w, why, status)
}
