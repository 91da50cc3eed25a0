package deploy_test

import (
	"archive/zip"
	"bytes"
	"debug/buildinfo"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/deploy"
)

// The same source makes the same bytes, wherever it is, and they are what Lambda starts.
func TestPackageIsReproducible(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		raw, err := os.ReadFile(filepath.Join(root, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(elsewhere, name), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"cmd", "internal"} {
		if err := os.CopyFS(filepath.Join(elsewhere, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	architecture := runtime.GOARCH // one of the two, which other tests have compiled before
	if architecture != "arm64" {
		architecture = "amd64"
	}
	t.Setenv("GOFLAGS", "-tags=lambda.other") // what a person has set
	t.Setenv("GOAMD64", "v3")
	a, err := deploy.Build(t.Context(), deploy.Source{Folder: root}, architecture, []byte(settings))
	if err != nil {
		t.Fatal(err)
	}
	b, err := deploy.Build(t.Context(), deploy.Source{Folder: elsewhere}, architecture, []byte(settings))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Zip, b.Zip) || a.SHA256 != b.SHA256 {
		t.Errorf("the same source in two folders made different packages: %d and %d bytes", len(a.Zip), len(b.Zip))
	}
	z, err := zip.NewReader(bytes.NewReader(a.Zip), int64(len(a.Zip)))
	if err != nil || len(z.File) != 2 || z.File[0].Name != "bootstrap" || z.File[0].Mode() != 0o755 || z.File[1].Name != "nightlatch.yaml" || z.File[1].Mode() != 0o644 {
		t.Fatalf("the zip holds %+v, %v", z.File, err)
	}
	if read(t, z.File[1]) != settings {
		t.Error("nightlatch.yaml is not the file as it is")
	}
	info, err := buildinfo.Read(strings.NewReader(read(t, z.File[0])))
	if err != nil || !strings.Contains(info.String(), "-tags=lambda,lambda.norpc") || !strings.Contains(info.String(), "GOOS=linux") || strings.Contains(info.String(), "GOAMD64=v3") {
		t.Errorf("the program was built so: %v, %v", info, err)
	}

	// Taken from a file, it is the same again; with another configuration it is another.
	same, err := deploy.Take(a.Zip, architecture, []byte(settings))
	if err != nil || same.SHA256 != a.SHA256 {
		t.Errorf("a package taken from a file is another: %v", err)
	}
	other, err := deploy.Take(a.Zip, architecture, []byte(settings+"\n"))
	if err != nil || other.SHA256 == a.SHA256 {
		t.Errorf("the configuration in a package counts, and not the given one: %v", err)
	}
	wrong := map[string]string{"arm64": "amd64", "amd64": "arm64"}[architecture]
	if _, err := deploy.Take(a.Zip, wrong, nil); err == nil || !strings.Contains(err.Error(), "deploy.architecture says "+wrong) {
		t.Errorf("a package for another architecture: %v", err)
	}
}

func read(t *testing.T, f *zip.File) string {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTakeRefuses(t *testing.T) {
	pack := func(files ...string) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, f := range files {
			name, body, _ := strings.Cut(f, "=")
			w, err := z.Create(name)
			if err == nil {
				_, err = w.Write([]byte(body))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	own, err := os.Executable() // a program, but not nightlatch
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	for want, raw := range map[string][]byte{
		"is not a zip":           []byte("x"),
		"holds no bootstrap":     pack("nightlatch.yaml=x"),
		"is no Linux program":    pack("bootstrap=#!/bin/sh"),
		`holds "secrets.txt"`:    pack("bootstrap=x", "secrets.txt=x"),
		`holds "../bootstrap"`:   pack("../bootstrap=x"),
		"bootstrap is not night": pack("bootstrap=" + string(binary)),
	} {
		if runtime.GOOS != "linux" && strings.HasPrefix(want, "bootstrap is not") {
			continue
		}
		if _, err := deploy.Take(raw, runtime.GOARCH, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestNothingToBuildWith(t *testing.T) {
	if _, err := deploy.Build(t.Context(), deploy.Source{Version: "(devel)"}, "arm64", nil); !errors.Is(err, deploy.ErrNoToolchain) {
		t.Errorf("no source: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := deploy.Build(t.Context(), deploy.Source{Folder: "."}, "arm64", nil); !errors.Is(err, deploy.ErrNoToolchain) {
		t.Errorf("no toolchain: %v", err)
	}
}
