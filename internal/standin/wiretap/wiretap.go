// Package wiretap shows what passes between the parts of the chain: the last exchange of each hop, decoded, and without
// its secrets. It knows no stand-in; the demo puts it in front of each, and the console shows what it heard.
//
// Nothing that signs anybody in is shown: passwords, codes, cookies, states and nonces, opaque tokens, and the signatures
// of tokens, assertions and requests. What a token or an assertion says is shown, because that is what one looks for.
package wiretap

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// heardMax bounds what is remembered of one body, in bytes. A message that is longer is shown by its size.
const heardMax = 64 << 10

// Tap remembers the last exchange of each hop. The zero value is ready; it may be used by several goroutines.
type Tap struct {
	mu   sync.Mutex // guards last
	last map[string]exchange
}

// exchange is a request and its answer as they were on the wire.
type exchange struct {
	method, host, path, query string
	in, out                   http.Header
	asked, said               *body
	status                    int
}

// body is what was heard of one, and how long it was.
type body struct {
	bytes.Buffer
	size int64
}

// Write never fails: what is beyond heardMax is counted only.
func (b *body) Write(p []byte) (int, error) {
	b.size += int64(len(p))
	b.Buffer.Write(p[:min(len(p), max(0, heardMax-b.Len()))])
	return len(p), nil
}

// Hear passes requests on to h and remembers the exchange under the hop's name.
func (t *Tap) Hear(name string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := exchange{method: r.Method, host: r.Host, path: r.URL.Path, query: r.URL.RawQuery, in: r.Header.Clone(), asked: &body{}, said: &body{}}
		r.Body = listened{io.TeeReader(r.Body, e.asked), r.Body}
		rec := &recorder{ResponseWriter: w, said: e.said}
		defer func() {
			e.out, e.status = w.Header().Clone(), rec.status
			if e.status == 0 {
				e.status = http.StatusOK
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.last == nil {
				t.last = map[string]exchange{}
			}
			t.last[name] = e
		}()
		h.ServeHTTP(rec, r)
	})
}

// Last is the last exchange of the hop, decoded; empty when there was none.
func (t *Tap) Last(name string) string {
	t.mu.Lock()
	e, ok := t.last[name]
	t.mu.Unlock()
	if !ok {
		return ""
	}
	return e.decode()
}

type listened struct {
	io.Reader
	io.Closer
}

type recorder struct {
	http.ResponseWriter
	said   *body
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.said.Write(p)
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.MaxBytesReader and http.ResponseController reach the server's own writer.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
