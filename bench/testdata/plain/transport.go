package main

import (
	"context"
	"net"
	"net/http"
	"time"
)

// httpClient takes the place of cmd/nightlatch/transport.go's in a build that only bench/ makes: every connection goes to
// BENCH_AWS and has no TLS, and so no roots are parsed for it, as the founding function parses none there. All else is as
// in the functions that are deployed.
func httpClient(env func(string) string) (_ *http.Client, trusted func() error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.DialTLSContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, env("BENCH_AWS"))
	}
	t.MaxIdleConnsPerHost = 10
	return &http.Client{Transport: t, Timeout: 20 * time.Second}, func() error { return nil }
}
