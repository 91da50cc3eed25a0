package deploy

import (
	"strings"
	"testing"
	"time"
)

func TestFirstCause(t *testing.T) {
	at := func(id, status, reason string) Event { return Event{ID: id, Status: status, Reason: reason} }
	whole := Event{ID: "nightlatch", Status: "ROLLBACK_IN_PROGRESS", Reason: "The following resource(s) failed to create: [UserPool].", whole: true}
	for want, all := range map[string][]Event{
		"Certificate": {at("Table", "CREATE_FAILED", "Resource creation cancelled"), at("Certificate", "CREATE_FAILED", "no"), at("Api", "CREATE_FAILED", "later"), whole},
		"UserPool":    {at("UserPool", "UPDATE_FAILED", "no"), at("Table", "UPDATE_FAILED", "Resource update cancelled")},
		"nightlatch":  {at("Table", "CREATE_FAILED", "Resource creation cancelled"), whole},
	} {
		if got := firstCause(all); got == nil || got.ID != want {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
	if got := firstCause([]Event{at("Table", "CREATE_COMPLETE", "")}); got != nil {
		t.Errorf("got %+v, and nothing failed", got)
	}
}

func TestACertificateThatWaits(t *testing.T) {
	event := func(status string, ago time.Duration) Event {
		return Event{ID: "Certificate", Type: "AWS::CertificateManager::Certificate", Status: status, At: time.Now().Add(-ago)}
	}
	for _, tt := range []struct {
		all  []Event
		want bool
	}{
		{nil, false},
		{[]Event{event("CREATE_IN_PROGRESS", time.Minute)}, false},
		{[]Event{event("CREATE_IN_PROGRESS", 10*time.Minute), event("CREATE_IN_PROGRESS", time.Minute)}, true},
		{[]Event{event("CREATE_IN_PROGRESS", 10*time.Minute), event("CREATE_COMPLETE", time.Minute)}, false},
	} {
		if got := certificateWaits(tt.all); (got != "") != tt.want {
			t.Errorf("%+v: %q", tt.all, got)
		}
	}
}

// No part begins or ends with white space or within a character: either might not survive.
func TestParts(t *testing.T) {
	for _, gap := range []string{" ", "\n\n", "한"} {
		for before := range 6 {
			text := strings.Repeat("a", pieceSize-3+before) + gap + strings.Repeat("b", 100)
			out, err := parts([]byte(text), true)
			if err != nil || strings.Join(out, "") != text {
				t.Errorf("%q after %d: %d parts, %v", gap, before, len(out), err)
			}
			for _, p := range out {
				if len(p) > pieceSize || strings.TrimSpace(p) != p || !strings.HasPrefix(text, out[0]) || strings.ToValidUTF8(p, "") != p {
					t.Errorf("%q after %d: a part of %d bytes, …%q", gap, before, len(p), p[max(0, len(p)-4):])
				}
			}
		}
	}
}
