package latch_test

import (
	"testing"

	"github.com/nightlatch/nightlatch/internal/latch"
)

func TestUnprintable(t *testing.T) {
	for name, tt := range map[string]struct {
		r    rune
		want bool
	}{
		"a letter":                      {'a', false},
		"a Korean syllable":             {'가', false},
		"an ideographic space":          {0x3000, false},
		"what joins an emoji's parts":   {0x200d, false},
		"a line feed":                   {'\n', true},
		"what begins a terminal's word": {0x1b, true},
		"the same in one byte of C1":    {0x9b, true},
		"a line separator":              {0x2028, true},
		"a paragraph separator":         {0x2029, true},
		"right-to-left override":        {0x202e, true},
		"right-to-left isolate":         {0x2067, true},
		"delete":                        {0x7f, true},
	} {
		if got := latch.Unprintable(tt.r); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
