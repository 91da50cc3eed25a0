//go:build !lambda

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/nightlatch/nightlatch/internal/standin/statefile"
)

// checkFolder refuses a folder that a demo cannot go on with, all of its faults at once, and returns what the state
// files hold.
func (w *world) checkFolder() (map[string][]byte, error) {
	before := map[string][]byte{}
	var bad error
	for _, kind := range stateFiles {
		found, err := statefile.New(w.file(kind), kind).Load(new(json.RawMessage))
		if err == nil && found {
			before[w.file(kind)], err = os.ReadFile(w.file(kind))
		}
		bad = errors.Join(bad, err)
	}
	if bad != nil {
		return nil, bad
	}
	if len(before) == 0 {
		// A first run writes its state before these, which hold nothing that says whose they are.
		for _, name := range []string{"ca.pem", "demo.log"} {
			if _, err := os.Stat(filepath.Join(w.o.dir, name)); err == nil {
				return nil, fmt.Errorf("%s has a %s but no state of a demo, so it is not a demo's folder: nothing was changed; choose an empty or a new one with --dir",
					w.o.dir, name)
			}
		}
	}
	if before[w.file("demo")] == nil && before[w.file("directory")] != nil {
		return nil, fmt.Errorf("state file %s is there, but not %s, which holds its passwords: nothing was changed; move it away too, or choose another folder with --dir",
			w.file("directory"), w.file("demo"))
	}
	return before, nil
}

// putBack restores the files that hold something else now.
func putBack(before map[string][]byte) (bad error) {
	for path, raw := range before {
		if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, raw) {
			continue
		}
		err := os.WriteFile(path+".back", raw, 0o600)
		if err == nil {
			err = os.Rename(path+".back", path)
		}
		bad = errors.Join(bad, err)
	}
	return bad
}

// logFile is demo.log. What is written before it is opened waits in memory, so that a start that is refused leaves the
// log of the last run alone.
type logFile struct {
	mu    sync.Mutex // guards the rest
	file  *os.File
	early bytes.Buffer
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return l.early.Write(p)
	}
	return l.file.Write(p)
}

func (l *logFile) open(path string) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	_, err = l.early.WriteTo(l.file)
	return err
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
