package console

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// lastView is the last message at one hop.
type lastView struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	At    string `json:"at"` // when it was answered, on this machine's clock; empty while there is none
	Text  string `json:"text"`
}

// last looks up the hop of the request.
func (s *Console) last(r *http.Request) (lastView, error) {
	name := r.PathValue("name")
	t, known := s.c.Ring.tallies()[name]
	if _, ours := labels[name]; !known && !ours {
		return lastView{}, &fault{http.StatusNotFound, fmt.Sprintf("there is no hop %q; /api/state lists them under chain", name)}
	}
	h := t.hop
	if t.refusal.Seq > h.Seq {
		h = t.refusal
	}
	v := lastView{Name: name, Label: label(name), Text: "No message yet."}
	if h.Seq == 0 {
		return v, nil
	}
	heard := ""
	if s.c.Decoded != nil {
		heard = s.c.Decoded(name)
	}
	v.At = h.At.Local().Format(time.TimeOnly)
	v.Text = cmp.Or(heard, strings.Join(filled(h.What, h.Detail, h.Why, statusWords(h)), "\n"))
	return v, nil
}

func (s *Console) getLast(w http.ResponseWriter, r *http.Request) {
	v, err := s.last(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// showLast is a page of its own: what is being read must not be replaced by the next message.
func (s *Console) showLast(w http.ResponseWriter, r *http.Request) {
	v, err := s.last(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.write(w, http.StatusOK, "last.html", struct {
		lastView
		CSS string
	}{v, s.css})
}
