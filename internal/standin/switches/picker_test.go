package switches

import (
	"fmt"
	"testing"
)

func TestAPickedRequestPassesWhenItIsRepeated(t *testing.T) {
	var p Picker
	for i, want := range []bool{true, false, true, false} { // once repeated, it is a new one
		if got := p.Pick(1, "PutItem", []byte("{}")); got != want {
			t.Errorf("time %d: picked: got %v, want %v", i+1, got, want)
		}
	}
}

func TestTheRequestsThatArePickedAreForgotten(t *testing.T) {
	var p Picker
	for i := range 10 * pickedMost {
		p.Pick(1, "PutItem", fmt.Append(nil, i))
	}
	if len(p.picked) > pickedMost {
		t.Errorf("%d requests are remembered, want at most %d", len(p.picked), pickedMost)
	}
}
