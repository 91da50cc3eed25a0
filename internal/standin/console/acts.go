package console

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// What the page's buttons send, in bytes. A megabyte down is somebody working; a keep-alive is what an idle OpenVPN
// client sends by itself (its "ping"), and must not count as use.
const (
	workIngress, workEgress = 20_000, 1_000_000
	pingIngress, pingEgress = 60, 60
)

func (s *Console) connect(endpoint, user string) (string, error) {
	if endpoint == "" {
		return "", &fault{http.StatusBadRequest, "say which endpoint to connect to: endpoint is missing"}
	}
	user = strings.TrimSpace(user)
	if err := checkName("user", user); err != nil {
		return "", err
	}
	id, err := s.c.Connect(endpoint, user)
	if err != nil {
		return "", conflict(err)
	}
	s.c.Log.Info("client connected", "endpoint_id", endpoint, "connection_id", id, "user", user)
	return id, nil
}

func (s *Console) send(connection string, ingress, egress uint64) error {
	switch {
	case ingress == 0 && egress == 0:
		return &fault{http.StatusBadRequest, "nothing to send: give ingress, egress or both, in bytes"}
	case ingress > bytesMax || egress > bytesMax:
		return &fault{http.StatusBadRequest, fmt.Sprintf("that is too much at once: at most %d bytes each way", int64(bytesMax))}
	}
	if err := s.c.Send(connection, ingress, egress); err != nil {
		return conflict(err)
	}
	return nil
}

func (s *Console) disconnect(connection string) error {
	if err := s.c.Disconnect(connection); err != nil {
		return conflict(err)
	}
	s.c.Log.Info("client disconnected", "connection_id", connection)
	return nil
}

// conflict passes the stand-in's sentence on: what was asked for is fine, the chain is not in a state for it.
func conflict(err error) error { return &fault{http.StatusConflict, err.Error()} }

// enrol takes an enrolment link, or a text key and whose it is.
func (s *Console) enrol(address, text, account string) (key, error) {
	var k key
	var err error
	switch {
	case (address == "") == (text == ""):
		return k, &fault{http.StatusBadRequest, "give either the enrolment link or the text key"}
	case address != "":
		k, err = fromAddress(address)
	default:
		k, err = fromText(text, account)
	}
	if err != nil {
		return k, err
	}
	if err := s.keys.add(k); err != nil {
		return k, err
	}
	s.c.Log.Info("authenticator enrolled", "account", k.Account)
	return k, nil
}

func (s *Console) forget(account string) error {
	found, err := s.keys.remove(account)
	if err == nil && !found {
		err = &fault{http.StatusNotFound, fmt.Sprintf("the authenticator has no account %q", account)}
	}
	return err
}

func (s *Console) breakNamed(name string) (switches.Switch, error) {
	for _, b := range slices.Concat(s.c.Breaks, s.c.Unconfirmed) {
		if b.Name == name {
			return b, nil
		}
	}
	return switches.Switch{}, &fault{http.StatusNotFound, fmt.Sprintf("there is no switch %q; /api/state lists them under breaks and unconfirmed", name)}
}

func (s *Console) chore(ctx context.Context, name string) error {
	for _, c := range s.c.Chores {
		if c.Name == name {
			err := c.Do(ctx)
			s.c.Log.Info("chore done", "name", name, "err", err)
			if err != nil {
				return &fault{http.StatusConflict, err.Error()}
			}
			return nil
		}
	}
	return &fault{http.StatusNotFound, fmt.Sprintf("there is no chore %q; /api/state lists them under chores", name)}
}

func (s *Console) postChore(r *http.Request) (int, any, error) {
	if err := readJSON(r, &struct{}{}); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.chore(r.Context(), r.PathValue("name"))
}

func (s *Console) setBreak(b switches.Switch, on bool) {
	b.Set(on)
	s.c.Log.Info("break switched", "name", b.Name, "on", on)
}

func (s *Console) postClient(r *http.Request) (int, any, error) {
	var q struct{ Endpoint, User string }
	if err := readJSON(r, &q); err != nil {
		return 0, nil, err
	}
	id, err := s.connect(q.Endpoint, q.User)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, map[string]string{"id": id}, nil
}

func (s *Console) postTraffic(r *http.Request) (int, any, error) {
	var q struct{ Ingress, Egress uint64 }
	if err := readJSON(r, &q); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, s.send(r.PathValue("id"), q.Ingress, q.Egress)
}

func (s *Console) deleteClient(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.disconnect(r.PathValue("id"))
}

func (s *Console) postKey(r *http.Request) (int, any, error) {
	var q struct{ URI, Key, Account string }
	if err := readJSON(r, &q); err != nil {
		return 0, nil, err
	}
	if q.URI != "" && q.Account != "" {
		return 0, nil, &fault{http.StatusBadRequest, "the enrolment link says whose it is: leave account out"}
	}
	k, err := s.enrol(q.URI, q.Key, q.Account)
	if err != nil {
		return 0, nil, err
	}
	for _, c := range s.keys.codes(time.Now()) {
		if c.Account == k.Account {
			return http.StatusCreated, c, nil
		}
	}
	return 0, nil, &fault{http.StatusConflict, "the account was removed again at once"}
}

func (s *Console) deleteKey(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, s.forget(r.PathValue("account"))
}

func (s *Console) getBreak(w http.ResponseWriter, r *http.Request) {
	b, err := s.breakNamed(r.PathValue("name"))
	if err != nil {
		s.failJSON(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, viewBreak(b))
}

func (s *Console) postBreak(r *http.Request) (int, any, error) {
	var q struct{ On *bool }
	if err := readJSON(r, &q); err != nil {
		return 0, nil, err
	}
	if q.On == nil {
		return 0, nil, &fault{http.StatusBadRequest, `say which way: {"on": true} or {"on": false}`}
	}
	b, err := s.breakNamed(r.PathValue("name"))
	if err != nil {
		return 0, nil, err
	}
	s.setBreak(b, *q.On)
	return http.StatusOK, viewBreak(b), nil
}

// form is the page's own way, which needs no script: it acts and sends the browser back to the page. The script posts
// the same forms and asks for a failure as JSON.
func (s *Console) form(w http.ResponseWriter, r *http.Request) {
	err := r.ParseForm()
	f := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	if err == nil {
		switch what := r.PathValue("what"); what {
		case "connect":
			_, err = s.connect(f("endpoint"), f("user"))
		case "work":
			err = s.send(f("connection"), workIngress, workEgress)
		case "ping":
			err = s.send(f("connection"), pingIngress, pingEgress)
		case "disconnect":
			err = s.disconnect(f("connection"))
		case "enrol":
			if text := f("key"); strings.HasPrefix(strings.ToLower(text), "otpauth:") {
				_, err = s.enrol(text, "", "")
			} else {
				_, err = s.enrol("", text, f("account"))
			}
		case "forget":
			err = s.forget(f("account"))
		case "break":
			var b switches.Switch
			if b, err = s.breakNamed(f("name")); err == nil {
				s.setBreak(b, f("on") == "true")
			}
		case "chore":
			err = s.chore(r.Context(), f("name"))
		default:
			err = &fault{http.StatusNotFound, fmt.Sprintf("there is no act %q; reload the page", what)}
		}
	}
	if err == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if r.Header.Get("Accept") == "application/json" {
		s.failJSON(w, r, err)
		return
	}
	v := s.judge(r, err)
	s.render(w, v.status, v.say)
}
