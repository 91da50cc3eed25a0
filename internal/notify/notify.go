// Package notify sends latch's notices to a webhook, so that people hear of them with no page open. It decides nothing
// and keeps nothing: when to send, how often to try and what is still true is latch's business.
//
// Two formats: "slack", an incoming webhook's {"text": …}, which Slack, Mattermost and Rocket.Chat take; and "json", with
// the parts of the notice beside the text, for programs. A webhook's address is a secret: whoever knows it can post there.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/secret"
)

// Formats are what a webhook can be sent.
const (
	FormatSlack = "slack"
	FormatJSON  = "json"
)

// Config is what New needs.
type Config struct {
	URL      secret.String // https, or http on this machine
	Format   string        // FormatSlack or FormatJSON
	Language string        // "en", "ko" or "ja"
	Page     string        // the product's address, which messages lead to; empty: none
	// Endpoints are those that messages can be about.
	Endpoints map[latch.EndpointID]Endpoint
	// Reason says why an endpoint was closed, in the Language.
	Reason func(latch.Code) string
	Client *http.Client // nil: http.DefaultClient; redirects are not followed
}

// Endpoint is what a message calls one.
type Endpoint struct {
	Name, Title string // Name is for addresses
	Location    *time.Location
}

// Sender sends messages. It may be used by several goroutines.
type Sender struct {
	c      Config
	client *http.Client
	lang   int
	secret []string // parts of the address
}

// New checks c and sends nothing.
func New(c Config) (*Sender, error) {
	u, err := url.Parse(c.URL.Reveal())
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return nil, errors.New("notify: the webhook's address must be an https URL") // it is a secret: not quoted
	}
	if c.Format != FormatSlack && c.Format != FormatJSON {
		return nil, fmt.Errorf("notify: format %q is neither %s nor %s", c.Format, FormatSlack, FormatJSON)
	}
	s := &Sender{c: c, lang: -1, secret: secretParts(u)}
	for i, l := range languages {
		if l == c.Language {
			s.lang = i
		}
	}
	if s.lang < 0 {
		return nil, fmt.Errorf("notify: language %q is none of %s", c.Language, strings.Join(languages[:], ", "))
	}
	if c.Reason == nil || len(c.Endpoints) == 0 {
		return nil, errors.New("notify: Reason and Endpoints are required")
	}
	client := http.Client{}
	if c.Client != nil {
		client = *c.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client = &client
	return s, nil
}

func isLoopback(host string) bool { return host == "127.0.0.1" || host == "::1" || host == "localhost" }

// Send posts one notice. An error that latch.Never marks is one that a later try would meet too: the address does not
// exist, or the message is not taken. No error holds the webhook's address.
func (s *Sender) Send(ctx context.Context, n latch.Notice) error {
	e, ok := s.c.Endpoints[n.Endpoint]
	if !ok {
		return latch.Never(fmt.Errorf("webhook: endpoint %s is not configured any more", n.Endpoint))
	}
	text, err := s.text(n, e)
	if err != nil {
		return latch.Never(err)
	}
	var payload any = map[string]string{"text": text}
	if s.c.Format == FormatJSON {
		payload = message{n.ID, n.Kind, e.Name, n.Endpoint, e.Title, n.At, n.Until, n.Reason, n.Phase, n.Who, n.Words, s.page(e), text}
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return latch.Never(fmt.Errorf("webhook: %w", err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.c.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return latch.Never(errors.New("webhook: the address cannot be used"))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", n.ID) // for receivers that want to see each message once
	resp, err := s.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the address
		}
		return fmt.Errorf("webhook: %w: %w", latch.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, saidMost)) // a receiver's words help, and are not needed
	said := s.clean(raw)
	switch {
	case resp.StatusCode < 300:
		return nil
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode >= 500:
		return fmt.Errorf("webhook: %w: %s %s", latch.ErrBusy, resp.Status, said)
	}
	return latch.Never(fmt.Errorf("webhook: %w: %s %s", latch.ErrRefused, resp.Status, said))
}

// saidMost is how much of a receiver's words is read, and saidKept how much is kept, in bytes.
const saidMost, saidKept = 4 << 10, 200

// clean takes the webhook's address out of what a receiver says, which many repeat in their page for 404: it ends in the
// log and in the audit.
func (s *Sender) clean(said []byte) string {
	if len(said) == saidMost && len(s.secret) > 0 { // a part may be cut in two
		said = said[:max(0, saidMost-len(s.secret[0]))]
	}
	text := strings.TrimSpace(string(said))
	for _, part := range s.secret {
		text = strings.ReplaceAll(text, part, "…")
	}
	if len(text) > saidKept {
		text = strings.ToValidUTF8(text[:saidKept], "")
	}
	return text
}

// secretParts are what of an address must not be repeated: all behind the host, as a whole and piece by piece, the longest
// first.
func secretParts(u *url.URL) []string {
	parts := []string{u.RequestURI(), u.Path, u.RawQuery, u.Fragment, u.User.String()}
	for _, text := range []string{u.Path, u.EscapedPath()} {
		parts = append(parts, strings.Split(text, "/")...)
	}
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	// Short pieces are words like "api", and no secret.
	parts = slices.DeleteFunc(parts, func(p string) bool { return len(p) < 6 })
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	return parts
}

// message is the "json" format.
type message struct {
	ID         string           `json:"id"`
	Kind       latch.NoticeKind `json:"kind"`
	Endpoint   string           `json:"endpoint"`
	EndpointID latch.EndpointID `json:"endpointId"`
	Title      string           `json:"title"`
	At         time.Time        `json:"at"`
	Until      time.Time        `json:"until,omitzero"`
	Reason     latch.Code       `json:"reason,omitempty"`
	Phase      latch.Phase      `json:"phase,omitempty"`
	Who        string           `json:"who,omitempty"`   // of a break-glass
	Words      string           `json:"words,omitempty"` // AWS's own, or the reason that Who gave
	Page       string           `json:"page,omitempty"`
	Text       string           `json:"text"`
}

func (s *Sender) page(e Endpoint) string {
	if s.c.Page == "" {
		return ""
	}
	return strings.TrimSuffix(s.c.Page, "/") + "/endpoints/" + url.PathEscape(e.Name) + "?look"
}
