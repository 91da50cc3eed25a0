package console

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// mailMax is how many of the last messages are shown.
const mailMax = 10

// mailbox holds what people were told by the webhook, the newest first.
type mailbox struct {
	mu   sync.Mutex // guards all
	all  []mail
	last uint64
}

type mail struct {
	seq  uint64
	at   time.Time
	text string
}

// mailView is a message that people got.
type mailView struct {
	Seq  uint64 `json:"seq"`
	Time string `json:"time"`
	Text string `json:"text"`
}

func (m *mailbox) add(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	m.all = slices.Insert(m.all, 0, mail{m.last, time.Now(), clip(text)})
	m.all = m.all[:min(len(m.all), mailMax)]
}

func (m *mailbox) view() []mailView {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []mailView{}
	for _, x := range m.all {
		out = append(out, mailView{x.seq, x.at.Local().Format(time.TimeOnly), x.text})
	}
	return out
}

// postWebhook is an incoming webhook as Slack's: it takes {"text": …}.
func (s *Console) postWebhook(r *http.Request) (int, any, error) {
	var q struct{ Text string }
	if err := readJSON(r, &q); err != nil {
		return 0, nil, err
	}
	if s.c.Deaf() {
		return 0, nil, &fault{http.StatusServiceUnavailable, "out of order, on purpose"}
	}
	if q.Text == "" {
		return 0, nil, &fault{http.StatusBadRequest, "no_text"}
	}
	s.mail.add(q.Text)
	return http.StatusNoContent, nil, nil
}
