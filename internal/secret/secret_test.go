package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/nightlatch/nightlatch/internal/secret"
)

const canary = "canary-5up3r"

// holder has one where everybody may ask it, and one where fmt and reflection may not.
type holder struct {
	Open   secret.String
	hidden secret.String
	Deep   map[string][]secret.String
}

func newHolder() holder {
	return holder{secret.New(canary), secret.New(canary), map[string][]secret.String{"k": {secret.New(canary)}}}
}

// Every way in which a value becomes text by accident.
func TestNothingTellsIt(t *testing.T) {
	s, h := secret.New(canary), newHolder()
	said := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%-20v", "% x"} {
		said["a secret by "+verb] = fmt.Sprintf(verb, s)
		said["a secret's address by "+verb] = fmt.Sprintf(verb, &s)
		said["a struct by "+verb] = fmt.Sprintf(verb, h)
		said["a struct's address by "+verb] = fmt.Sprintf(verb, &h)
	}
	said["print"] = fmt.Sprint(s, h) + fmt.Sprintln(s, &h)
	said["String"], said["GoString"] = s.String(), s.GoString()
	said["an error"] = fmt.Errorf("call %v: %w", s, errors.New(fmt.Sprint(h))).Error()
	for name, encode := range map[string]func(any) ([]byte, error){"JSON": json.Marshal, "YAML": yaml.Marshal} {
		for what, v := range map[string]any{"a secret": s, "a secret's address": &s, "a struct": h, "a struct's address": &h} {
			raw, err := encode(v)
			if err != nil {
				t.Fatalf("%s of %s: %v", name, what, err)
			}
			said[name+" of "+what] = string(raw)
		}
	}
	raw, err := xml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	said["XML"] = string(raw)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog's text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog's JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).With("with", s, "holder", h).Info(s.String(), "secret", s, "pointer", &s, "struct", h, "address", &h, slog.Group("group", "secret", s))
		said[name] = b.String()
	}
	for name, text := range said {
		if strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) || strings.Contains(text, fmt.Sprintf("%X", canary)) {
			t.Errorf("%s tells the secret: %s", name, text)
		}
		if !strings.Contains(text, secret.Redacted) {
			t.Errorf("%s does not say that something is missing: %s", name, text)
		}
	}
}

func TestRevealTellsIt(t *testing.T) {
	s := secret.New(canary)
	if s.Reveal() != canary || s.Empty() {
		t.Errorf("got %q, want what was put in", s.Reveal())
	}
	for name, none := range map[string]secret.String{"the zero value": {}, "an empty text": secret.New("")} {
		if !none.Empty() || none.Reveal() != "" || none.String() != secret.Redacted {
			t.Errorf("%s: want none, and no sign of that", name)
		}
	}
}
