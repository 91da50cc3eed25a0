package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"testing"
)

// Each mutant still finds its guard, is another program than the real one, and is Go. That a test fails for it takes
// minutes to show, and is what the command is for.
func TestMutants(t *testing.T) {
	names := map[string]bool{}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			if names[m.name] {
				t.Error("two mutants have this name")
			}
			names[m.name] = true
			raw, err := os.ReadFile(filepath.Join("..", "..", "..", m.file))
			if err != nil {
				t.Fatal(err)
			}
			broken, err := m.apply(string(raw))
			if err != nil {
				t.Fatal(err)
			}
			if broken == string(raw) {
				t.Error("nothing is broken")
			}
			if _, err := parser.ParseFile(token.NewFileSet(), m.file, broken, parser.SkipObjectResolution); err != nil {
				t.Errorf("not Go: %v", err)
			}
		})
	}
	if len(mutants) < 12 {
		t.Errorf("%d mutants, want at least a dozen", len(mutants))
	}
}
