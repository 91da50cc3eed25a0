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
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// Formats are what a webhook can be sent.
const (
	FormatSlack = "slack"
	FormatJSON  = "json"
)

// Config is what New needs.
type Config struct {
	URL      string // https, or http on this machine
	Format   string // FormatSlack or FormatJSON
	Language string // "en", "ko" or "ja"
	Page     string // the product's address, which messages lead to; empty: none
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
}

// New checks c and sends nothing.
func New(c Config) (*Sender, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return nil, errors.New("notify: the webhook's address must be an https URL") // it is a secret: not quoted
	}
	if c.Format != FormatSlack && c.Format != FormatJSON {
		return nil, fmt.Errorf("notify: format %q is neither %s nor %s", c.Format, FormatSlack, FormatJSON)
	}
	s := &Sender{c: c, lang: -1}
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
		payload = message{n.ID, n.Kind, e.Name, n.Endpoint, e.Title, n.At, n.Until, n.Reason, n.Phase, n.Words, s.page(e), text}
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return latch.Never(fmt.Errorf("webhook: %w", err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.c.URL, bytes.NewReader(body))
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
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // a receiver's words help, and are not needed
	switch {
	case resp.StatusCode < 300:
		return nil
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode >= 500:
		return fmt.Errorf("webhook: %w: %s %s", latch.ErrBusy, resp.Status, bytes.TrimSpace(said))
	}
	return latch.Never(fmt.Errorf("webhook: %w: %s %s", latch.ErrRefused, resp.Status, bytes.TrimSpace(said)))
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
	Words      string           `json:"words,omitempty"` // AWS's own
	Page       string           `json:"page,omitempty"`
	Text       string           `json:"text"`
}

func (s *Sender) page(e Endpoint) string {
	if s.c.Page == "" {
		return ""
	}
	return strings.TrimSuffix(s.c.Page, "/") + "/endpoints/" + url.PathEscape(e.Name) + "?look"
}
