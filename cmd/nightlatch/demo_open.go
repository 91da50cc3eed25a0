//go:build !lambda

package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// browsers are the programs that take Chromium's switches, in the order in which they are looked for.
var browsers = map[string][]string{
	"darwin": {
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
		"/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge", "/Applications/Brave Browser.app/Contents/MacOS/Brave Browser",
	},
	"windows": {
		`C:\Program Files\Google\Chrome\Application\chrome.exe`, `C:\Program Files (x86)\Google\Chrome\Application\chrome.exe`,
		`C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe`, `C:\Program Files\Microsoft\Edge\Application\msedge.exe`,
	},
	"": {"google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "microsoft-edge", "brave-browser"},
}

// openBrowser starts a browser with a profile of its own that accepts the demo's certificate and no other that is
// broken. The function it returns ends the browser and throws the profile away.
func openBrowser(url string, sites *tls.Config) (func(), error) {
	program, err := findBrowser()
	if err != nil {
		return nil, err
	}
	pin, err := spki(sites)
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "nightlatch-browser-")
	if err != nil {
		return nil, err
	}
	args := []string{"--user-data-dir=" + profile, "--no-first-run", "--no-default-browser-check", "--ignore-certificate-errors-spki-list=" + pin}
	if runtime.GOOS == "linux" && os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium refuses to run as root with its sandbox
	}
	c := exec.Command(program, append(args, url)...)
	if err := c.Start(); err != nil {
		os.RemoveAll(profile)
		return nil, err
	}
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	return func() {
		c.Process.Kill()
		<-ended
		os.RemoveAll(profile)
	}, nil
}

func findBrowser() (string, error) {
	names, ok := browsers[runtime.GOOS]
	if !ok {
		names = browsers[""]
	}
	for _, n := range names {
		if p, err := exec.LookPath(filepath.FromSlash(n)); err == nil {
			return p, nil
		}
	}
	return "", errors.New("--open: no Chrome, Chromium, Edge or Brave found; open the address by hand")
}

// spki is the hash that Chromium's --ignore-certificate-errors-spki-list takes: SHA-256 of the leaf's public key.
func spki(c *tls.Config) (string, error) {
	leaf, err := x509.ParseCertificate(c.Certificates[0].Certificate[0])
	if err != nil {
		return "", fmt.Errorf("the demo's certificate: %w", err)
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}
