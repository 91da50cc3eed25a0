//go:build !lambda

package main

import (
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/doctor"
)

// TestChecksInWords: a line for each check, what to do about it beneath, and how many there are of each kind.
func TestChecksInWords(t *testing.T) {
	var b strings.Builder
	writeChecks(&b, []doctor.Check{
		{Name: "clock", Result: doctor.OK, Detail: "within 30s of AWS's", Fix: "nothing"},
		{Name: "configuration", Result: doctor.Failure, Detail: "nightlatch.yaml:1: no\nnightlatch.yaml:2: no", Fix: "correct it"},
		{Name: "cost", Result: doctor.Warning, Detail: "too much"},
		{Name: "zone", Result: doctor.NotChecked, Detail: "your credentials may not", Fix: "have somebody"},
		{Name: "table", Result: doctor.NotChecked, Detail: "the stack could not be read"},
	})
	const want = `✓ clock          within 30s of AWS's
✗ configuration  nightlatch.yaml:1: no
    nightlatch.yaml:2: no
    fix: correct it
! cost           too much
– zone           your credentials may not
    fix: have somebody
– table          the stack could not be read

1 ok, 1 warnings, 1 failures, 2 not checked
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}
