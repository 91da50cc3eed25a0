// Package certs is the demo's own certificate authority: a root that is kept, and leaf certificates made anew at every
// start. The root may sign for the names it was made for and for nothing else, so that whoever trusts it trusts a demo
// on this machine and no more.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/statefile"
)

const (
	rootLife = 2 * 365 * 24 * time.Hour
	// leafLife stays under the 398 days that browsers accept (CA/Browser Forum Baseline Requirements 6.3.2).
	leafLife = 90 * 24 * time.Hour
)

// Authority is a root certificate with its key.
type Authority struct {
	root *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

type kept struct {
	Certificate []byte   `json:"certificate"` // DER
	Key         []byte   `json:"key"`         // PKCS #8
	Names       []string `json:"names"`
}

// New loads the authority from stateFile, or makes one that may sign for the DNS names and for 127.0.0.1. An authority
// that is about to expire, or was made for other names, is replaced.
func New(stateFile string, names []string) (*Authority, error) {
	f := statefile.New(stateFile, "certs")
	var k kept
	found, err := f.Load(&k)
	if err != nil {
		return nil, err
	}
	if found {
		a, err := k.authority()
		if err != nil {
			return nil, fmt.Errorf("state file %s: %w: nothing was changed; move the file away to start afresh", stateFile, err)
		}
		if fmt.Sprint(k.Names) == fmt.Sprint(names) && time.Until(a.root.NotAfter) > leafLife {
			return a, nil
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Nightlatch demo CA", Organization: []string{"nightlatch demo, this machine only"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(rootLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: names,
		PermittedIPRanges: []*net.IPNet{{IP: net.IPv4(127, 0, 0, 1).To4(), Mask: net.CIDRMask(32, 32)}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	k = kept{der, private, names}
	if err := f.Save(k); err != nil {
		return nil, err
	}
	return k.authority()
}

func (k kept) authority() (*Authority, error) {
	root, err := x509.ParseCertificate(k.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(k.Key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("key: of a kind that cannot sign")
	}
	return &Authority{root, signer, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate})}, nil
}

// WriteFile writes the root as PEM, for clients that take a file.
func (a *Authority) WriteFile(path string) error { return os.WriteFile(path, a.pem, 0o644) }

// Pool is the root alone, for clients in this process.
func (a *Authority) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.root)
	return p
}

// Server returns a TLS configuration for servers of the names and of 127.0.0.1.
func (a *Authority) Server(names ...string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der, a.root.Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, nil
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // the reader of crypto/rand never fails
	}
	return n
}
