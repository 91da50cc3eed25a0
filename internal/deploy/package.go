package deploy

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	modulePath  = "github.com/nightlatch/nightlatch"
	commandPath = modulePath + "/cmd/nightlatch"

	fileProgram  = "bootstrap" // what provided.al2023 starts ("Building a custom runtime for AWS Lambda", Lambda Developer Guide)
	fileSettings = "nightlatch.yaml"

	// zipMost is the largest package, in bytes: it is fetched at every cold start.
	zipMost = 8_000_000
	// unpackedMost is the largest program that a package made elsewhere is searched for.
	unpackedMost = 64 << 20
)

// ErrNoToolchain: there is nothing here to build the functions' program with.
var ErrNoToolchain = errors.New("the functions' program cannot be built here")

// Program is what the functions run: a zip that holds bootstrap and nightlatch.yaml. The same source, Go toolchain and
// configuration make the same bytes.
type Program struct {
	Zip    []byte
	SHA256 string // of Zip, in hexadecimal
}

// Key is the program's key in the bucket. It names what the program is, so that an unchanged one is no change to the stack.
func (p *Program) Key() string { return prefix + p.SHA256 + ".zip" }

// Source is what the program is built from: the checkout in Folder, or without one the module in Version, as
// debug.BuildInfo has it.
type Source struct{ Folder, Version string }

// Build makes the program for an architecture, "arm64" or "amd64", with the Go toolchain of this machine, whatever its own
// system is. Settings is nightlatch.yaml. ErrNoToolchain when there is no Go, or no source.
func Build(ctx context.Context, from Source, architecture string, settings []byte) (*Program, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, fmt.Errorf("%w: there is no Go toolchain", ErrNoToolchain)
	}
	folder, err := os.MkdirTemp("", "nightlatch-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, fileProgram)
	where := from.Folder
	if where == "" {
		if where, err = fetch(ctx, folder, from.Version); err != nil {
			return nil, err
		}
	}
	// What else a person may have set changes nothing: each variable that changes the program has its value here.
	if err := goTool(ctx, where, []string{"GOOS=linux", "GOARCH=" + architecture}, "build", "-trimpath", "-buildvcs=false", "-tags", "lambda,lambda.norpc",
		"-ldflags", "-s -w -buildid=", "-o", program, commandPath); err != nil {
		return nil, err
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	compressed, err := deflate(binary)
	if err != nil {
		return nil, err
	}
	return pack(binary, compressed, settings)
}

// fetch makes a module that requires ours in a version, with the sums that Go's checksum database has.
func fetch(ctx context.Context, folder, version string) (string, error) {
	if version == "" || strings.HasPrefix(version, "(devel)") || strings.Contains(version, "+dirty") {
		return "", fmt.Errorf("%w: this nightlatch was built from changed source, and there is no checkout of it here", ErrNoToolchain)
	}
	module := filepath.Join(folder, "module")
	if err := os.Mkdir(module, 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte("module nightlatch.invalid/package\n\ngo 1.26.0\n"), 0o600); err != nil {
		return "", err
	}
	if err := goTool(ctx, module, nil, "get", commandPath+"@"+version); err != nil {
		return "", fmt.Errorf("nightlatch %s: %w", version, err)
	}
	return module, nil
}

func goTool(ctx context.Context, folder string, env []string, args ...string) error {
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = folder
	mod := "-mod=readonly"
	if args[0] == "get" {
		mod = "-mod=mod"
	}
	c.Env = append(c.Environ(), append([]string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=" + mod, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFIPS140=off"}, env...)...)
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(out))
	}
	return nil
}

// Take checks a package that was made elsewhere, and packs its program anew with settings in it: what the package says
// of the configuration does not count, nor do its modes, which some systems do not write.
func Take(raw []byte, architecture string, settings []byte) (*Program, error) {
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, fmt.Errorf("is not a zip: %w", err)
	}
	var binary, compressed []byte
	for _, f := range z.File {
		switch f.Name {
		case fileProgram:
			if binary, compressed, err = unpack(f); err != nil {
				return nil, fmt.Errorf("holds a %s that cannot be read: %w", f.Name, err)
			}
		case fileSettings:
		default:
			return nil, fmt.Errorf("holds %q: a package is %s and %s, as nightlatch deploy package makes it", f.Name, fileProgram, fileSettings)
		}
	}
	if binary == nil {
		return nil, fmt.Errorf("holds no %s: make the package with nightlatch deploy package --out FILE", fileProgram)
	}
	if err := checkProgram(binary, architecture); err != nil {
		return nil, fmt.Errorf("%s %w", fileProgram, err)
	}
	return pack(binary, compressed, settings)
}

// unpack reads a file of a zip, and what it is compressed to: there already, or made.
func unpack(f *zip.File) (binary, compressed []byte, err error) {
	r, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	if binary, err = io.ReadAll(io.LimitReader(r, unpackedMost+1)); err == nil && len(binary) > unpackedMost {
		err = fmt.Errorf("it is larger than %d MB", unpackedMost>>20)
	}
	if err != nil {
		return nil, nil, err
	}
	if f.Method != zip.Deflate {
		compressed, err = deflate(binary)
		return binary, compressed, err
	}
	raw, err := f.OpenRaw()
	if err == nil {
		compressed, err = io.ReadAll(raw)
	}
	return binary, compressed, err
}

var machines = map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64}

func checkProgram(binary []byte, architecture string) error {
	program, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("is no Linux program: %w", err)
	}
	defer program.Close()
	if program.Type != elf.ET_EXEC && program.Type != elf.ET_DYN {
		return fmt.Errorf("is no Linux program but an ELF file of type %s", program.Type)
	}
	if program.Machine != machines[architecture] {
		return fmt.Errorf("is for %s, and deploy.architecture says %s", program.Machine, architecture)
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil || info.Path != commandPath {
		return errors.New("is not nightlatch: make the package with nightlatch deploy package --out FILE")
	}
	return nil
}

// deflate compresses as the zip holds it. The best level takes three times as long for three thousandths.
func deflate(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}

// pack makes the zip of a program, which is compressed already, and the configuration: fixed order, times and modes, and
// the sizes in front, where every reader finds them.
func pack(binary, compressed, settings []byte) (*Program, error) {
	small, err := deflate(settings)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range []struct {
		name             string
		mode             fs.FileMode
		body, compressed []byte
	}{{fileProgram, 0o755, binary, compressed}, {fileSettings, 0o644, settings, small}} {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(f.body), UncompressedSize64: uint64(len(f.body)), CompressedSize64: uint64(len(f.compressed))}
		//lint:ignore SA1019 CreateRaw writes this field and not Modified; it is 1980-01-01, the first day there is
		h.ModifiedDate = 1<<5 | 1
		h.SetMode(f.mode)
		w, err := z.CreateRaw(h)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.compressed); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if out.Len() > zipMost {
		return nil, fmt.Errorf("the package has %d bytes, and %d are allowed", out.Len(), zipMost)
	}
	sum := sha256.Sum256(out.Bytes())
	return &Program{Zip: out.Bytes(), SHA256: hex.EncodeToString(sum[:])}, nil
}
