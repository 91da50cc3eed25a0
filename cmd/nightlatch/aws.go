package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// awsConfig is what the SDK's clients need in Lambda: the execution role's credentials, which Lambda puts into the
// environment, and the Region. The SDK's config package would find the same and cost 1.8 MB and a millisecond of every
// cold start.
func awsConfig(env func(string) string, region string, client *http.Client) (aws.Config, error) {
	id, secret := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
	if id == "" || secret == "" {
		return aws.Config{}, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set: Lambda sets them from the function's role")
	}
	return aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, env("AWS_SESSION_TOKEN")),
		HTTPClient:  client,
	}, nil
}

// httpClient honours HTTPS_PROXY and, on every system, SSL_CERT_FILE, which Go's verifier ignores on some. The roots
// are parsed here, at start, and not in the first request, where a small function has a fraction of the processor.
func httpClient(env func(string) string) (*http.Client, error) {
	var roots *x509.CertPool
	if file := env("SSL_CERT_FILE"); file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("SSL_CERT_FILE: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("SSL_CERT_FILE: %s holds no certificate", file)
		}
	} else {
		var err error
		if roots, err = x509.SystemCertPool(); err != nil {
			return nil, err
		}
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	t.MaxIdleConnsPerHost = 10
	return &http.Client{Transport: t, Timeout: 20 * time.Second}, nil
}
