// Package statefile keeps one stand-in's state in one JSON file: read strictly, replaced atomically, and never
// touched when it is not ours or was cut short.
//
// A file is an envelope around the stand-in's own data:
//
//	{"format": "nightlatch-demo", "kind": "ec2", "version": 1, "data": {…}}
//
// It is not a database: the whole state is written at each Save, which suits the few kilobytes a demo holds.
package statefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	format  = "nightlatch-demo"
	version = 1
)

type envelope struct {
	Format  string          `json:"format"`
	Kind    string          `json:"kind"`
	Version int             `json:"version"`
	Data    json.RawMessage `json:"data"`
}

// File is one state file. The zero path keeps nothing: Load finds nothing and Save forgets, which is what a test
// without a folder wants. Methods may be called from several goroutines.
type File struct {
	path, kind string
	mu         sync.Mutex // guards the file on disk
}

// New names the file; it neither reads nor writes. Kind is the stand-in's name and must match what the file says.
func New(path, kind string) *File { return &File{path: path, kind: kind} }

// Load decodes the file's data into the value that into points to, refusing unknown keys. It reports false, and no
// error, when there is no file yet. An error names the file and says what to do; the file stays as it was.
func (f *File) Load(into any) (bool, error) {
	if f.path == "" {
		return false, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	raw, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("state file: %w", err)
	}
	var e envelope
	if err := decode(raw, &e); err != nil {
		return false, f.refuse("is cut short or damaged", err)
	}
	if e.Format != format || e.Kind != f.kind {
		return false, f.refuse(fmt.Sprintf("is not the %s state of a nightlatch demo", f.kind), nil)
	}
	if e.Version != version {
		return false, f.refuse(fmt.Sprintf("has version %d, this program knows version %d", e.Version, version), nil)
	}
	if err := decode(e.Data, into); err != nil {
		return false, f.refuse("does not hold what this program writes", err)
	}
	return true, nil
}

// Save replaces the file by data in one rename, so that a crash leaves the old state or the new one, never half.
func (f *File) Save(data any) error {
	if f.path == "" {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	inner, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("state file %s: %w", f.path, err)
	}
	raw, err := json.MarshalIndent(envelope{format, f.kind, version, inner}, "", " ")
	if err != nil {
		return fmt.Errorf("state file %s: %w", f.path, err)
	}
	return replace(f.path, append(raw, '\n'))
}

func replace(path string, raw []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	defer os.Remove(tmp.Name()) // no-op once renamed
	_, err = tmp.Write(raw)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("state file %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	return nil
}

func (f *File) refuse(what string, cause error) error {
	hint := "nothing was changed; move the file away to start afresh, or choose another folder with --dir"
	if cause != nil {
		return fmt.Errorf("state file %s %s (%w): %s", f.path, what, cause, hint)
	}
	return fmt.Errorf("state file %s %s: %s", f.path, what, hint)
}

func decode(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the end")
	}
	return nil
}
