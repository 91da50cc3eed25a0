// Package secret has a text that does not tell itself: a client's secret, a webhook's address. Whatever prints, logs or
// encodes it, by itself or inside of something else, writes Redacted. It hides a secret from accidents, and not from code
// that wants to have it.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Redacted stands where a secret would.
const Redacted = "[redacted]"

// String is a secret text; the zero value is none. It is not comparable by ==: two of the same text are two.
type String struct {
	// A pointer, because fmt prints the fields of a struct that it may not ask, and of a pointer only where it points.
	text *string
}

// New keeps s.
func New(s string) String { return String{&s} }

// Reveal is the text itself. Each call should be where the secret is used, and nowhere before.
func (s String) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Empty says that there is no secret.
func (s String) Empty() bool { return s.Reveal() == "" }

// String implements fmt.Stringer.
func (String) String() string { return Redacted }

// GoString implements fmt.GoStringer.
func (String) GoString() string { return Redacted }

// Format implements fmt.Formatter, whatever the verb: %d and %x would go around String.
func (String) Format(w fmt.State, _ rune) { io.WriteString(w, Redacted) }

// LogValue implements slog.LogValuer. It is not enough: slog's JSON asks a struct that holds a secret for its JSON.
func (String) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json, encoding/xml and YAML ask.
func (String) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
