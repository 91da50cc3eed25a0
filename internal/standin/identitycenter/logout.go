package identitycenter

import (
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxLogout is how long a posted LogoutRequest may be, because it goes on in an address.
const maxLogout = 8 << 10 // octets

// logoutRequest is the part of a LogoutRequest (SAML Core section 3.7.1) that is acted on.
type logoutRequest struct {
	XMLName xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol LogoutRequest"`
	head
	NotOnOrAfter string   `xml:"NotOnOrAfter,attr"`
	NameID       string   `xml:"urn:oasis:names:tc:SAML:2.0:assertion NameID"`
	SessionIndex []string `xml:"urn:oasis:names:tc:SAML:2.0:protocol SessionIndex"`
}

// logoutPost takes a LogoutRequest by the HTTP-POST binding. A browser sends no Lax cookie with it, so it goes on by the
// redirect binding.
func (s *Server) logoutPost(w http.ResponseWriter, r *http.Request) {
	raw, _, err := posted(r)
	if err == nil && len(raw) > maxLogout {
		err = errors.New("too long")
	}
	if err != nil {
		s.refuseLogout(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, s.logoutURL()+"?SAMLRequest="+url.QueryEscape(deflate(raw)), http.StatusSeeOther)
}

// logoutRedirect takes a LogoutRequest by the HTTP-Redirect binding and ends the session that it names, if it is this
// browser's. Without a request it shows the portal, where people sign out by a button: a mere link of another site must
// not do it for them. There is no LogoutResponse, because the console asks for no address to send it to.
func (s *Server) logoutRedirect(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	raw, _, err := redirected(r)
	var q logoutRequest
	now := s.now()
	if err == nil {
		err = decode(raw, &q)
	}
	if err == nil {
		err = q.check(s, s.logoutURL(), now)
	}
	if err == nil && q.NotOnOrAfter != "" {
		if until, bad := time.Parse(time.RFC3339Nano, q.NotOnOrAfter); bad != nil || !now.Before(until) {
			err = errors.New("the LogoutRequest is over")
		}
	}
	if err != nil {
		s.refuseLogout(w, r, err)
		return
	}
	if ses, key, ok := s.theSession(r); ok {
		p := s.known(ses.User)
		if p == nil || strings.TrimSpace(q.NameID) != p.mapped(s.cfg.Application.Mappings[0].Value) || len(q.SessionIndex) > 0 && !slices.Contains(q.SessionIndex, ses.Index) {
			s.refuseLogout(w, r, errors.New("the LogoutRequest is about another session"))
			return
		}
		s.mu.Lock()
		ignored := s.cfg.Unconfirmed.LogoutIgnored
		s.mu.Unlock()
		if !ignored {
			s.endSession(key)
			setCookie(w, sessionCookie, "", -time.Second)
			s.log.Info("signed out", "to", "identity-center", "user", p.username)
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) refuseLogout(w http.ResponseWriter, r *http.Request, err error) {
	s.refuse(w, r, http.StatusBadRequest, err.Error(), "The application sent a sign-out request that is not valid here. Open the access portal and sign out there.")
}
