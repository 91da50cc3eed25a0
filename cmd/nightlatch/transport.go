package main

import (
	"crypto/tls"
	"net/http"
	"time"
)

// httpClient honours HTTPS_PROXY and, on every system, SSL_CERT_FILE. The roots are parsed at start, and not in the first
// request, where a small function has a fraction of the processor; and beside the rest of the start, because they are as
// much work as all of that. Until trusted has returned, the client must not be used.
//
// It has a file of its own because bench/ builds the functions with another one in its place.
func httpClient(env func(string) string) (_ *http.Client, trusted func() error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	t.MaxIdleConnsPerHost = 10
	done := make(chan error, 1)
	go func() {
		var err error
		t.TLSClientConfig.RootCAs, err = roots(env, lambdaRoots)
		done <- err
	}()
	return &http.Client{Transport: t, Timeout: 20 * time.Second}, func() error { return <-done }
}
