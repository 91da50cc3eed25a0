package console_test

import (
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/console"
)

type hops struct {
	Last uint64
	Hops []console.Hop
}

func TestRingKeepsHopsAndNothingElse(t *testing.T) {
	w := newWorld(t, nil)
	log := slog.New(w.ring)
	log.Info("started", "to", "alb", "what", "SECRET-1")
	log.Debug("hop", "to", "alb", "what", "SECRET-2")
	log.With("to", "ec2", "token", "SECRET-3").Info("hop", "what", "POST / DescribeClientVpnEndpoints", "status", 200, "took", 1500*time.Microsecond, "detail", "1 endpoint", "cookie", "SECRET-4")
	log.Warn("refused", "to", "directory", "why", "bind as bob: "+strings.Repeat("é", 1200), "password", "SECRET-5", slog.Group("what", "x", "SECRET-6"))
	log.WithGroup("inner").With("to", "SECRET-7").Info("hop", "to", "SECRET-8")
	rec := w.do("GET", "/api/hops", "")
	if body := rec.Body.String() + w.do("GET", "/api/state", "").Body.String(); strings.Contains(body, "SECRET") {
		t.Errorf("the ring keeps what it must not: %s", rec.Body)
	}
	var got hops
	w.json("GET", "/api/hops", "", &got)
	if got.Last != 3 || len(got.Hops) != 3 {
		t.Fatalf("got %+v, want three", got)
	}
	h := got.Hops[0]
	if h.Seq != 1 || h.To != "ec2" || h.What != "POST / DescribeClientVpnEndpoints" || *h.Status != 200 || h.TookMS != 1.5 || h.Detail != "1 endpoint" || h.Refused || h.At.IsZero() {
		t.Errorf("the first is %+v", h)
	}
	if h := got.Hops[1]; !h.Refused || h.Status != nil || len([]rune(h.Why)) != 1101 {
		t.Errorf("the second is %+v, want a refusal cut at 1100 letters", h)
	}
	if h := got.Hops[2]; h.To != "" {
		t.Errorf("the third is %+v, want nothing from within a group", h)
	}
}

func TestRingForgetsTheOldest(t *testing.T) {
	w := newWorld(t, nil)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			log := slog.New(w.ring).With("to", fmt.Sprintf("to-%d", i))
			for range 150 {
				log.Info("hop", "what", "x")
			}
		})
	}
	wg.Wait()
	for after, want := range map[uint64]struct {
		n     int
		first uint64
	}{0: {500, 101}, 50: {500, 101}, 598: {2, 599}, 600: {0, 0}, 1000: {0, 0}} {
		var got hops
		w.json("GET", fmt.Sprintf("/api/hops?after=%d", after), "", &got)
		if got.Last != 600 || len(got.Hops) != want.n || (want.n > 0 && got.Hops[0].Seq != want.first) {
			t.Errorf("after %d: %d hops up to %d, want %d from %d up to 600", after, len(got.Hops), got.Last, want.n, want.first)
		}
	}
	var s struct {
		Chain struct {
			Others []struct {
				Name     string
				Messages int
			}
		}
	}
	w.json("GET", "/api/state", "", &s)
	if len(s.Chain.Others) != 4 || s.Chain.Others[0].Messages != 150 {
		t.Errorf("counted %+v, want 150 each, though the ring holds 500 of them", s.Chain.Others)
	}
}

func TestChainBeginsWithTheFrontThatThereIs(t *testing.T) {
	w := newWorld(t, func(c *console.Config) { c.Front = "httpapi" })
	slog.New(w.ring).Info("hop", "to", "httpapi", "what", "GET /", "status", 303)
	chain := strings.Join(strings.Fields(w.page().Find("section.chain").Text()), " ")
	if !strings.Contains(chain, "Your browserhttps://vpn.localhost:8443/ HTTP API GET /") || !strings.Contains(chain, "HTTP APIpasses every request on") || strings.Contains(chain, "ALB") {
		t.Errorf("the chain is %q, want it to begin with the HTTP API, and no load balancer in it", chain)
	}
	c := w.config
	c.Front = "nginx"
	if _, err := console.New(c); err == nil || !strings.Contains(err.Error(), "nginx") {
		t.Errorf("an unknown front: %v, want an error that names it", err)
	}
}

func TestChainShowsTheLastMessageOfEachHop(t *testing.T) {
	w := newWorld(t, nil)
	log := slog.New(w.ring)
	log.Info("hop", "to", "alb", "what", "GET /", "status", 302, "took", 2*time.Millisecond)
	log.Info("hop", "to", "alb", "what", "GET /oauth2/idpresponse", "status", 561, "took", time.Second)
	log.Info("hop", "to", "directory", "what", "bind", "status", 0)
	log.Info("hop", "to", "ec2", "what", "POST / X", "status", 400)
	log.Info("hop", "to", "ec2", "what", "POST / DescribeClientVpnEndpoints", "status", 200)
	log.Info("hop", "to", "cognito", "what", "GET /oauth2/authorize", "status", 302)
	log.Warn("refused", "to", "cognito", "why", "the state does not match")
	log.Warn("refused", "to", "proxy", "why", "example.org is not a name that this demo plays")
	type hop struct {
		Name, Mark, What, Why, Counts string
		Recent                        bool
	}
	var s struct {
		Chain struct{ SignIn, Act, Targets, Others []hop }
	}
	w.json("GET", "/api/state", "", &s)
	order, got := "", map[string]hop{}
	for _, row := range [][]hop{s.Chain.SignIn, s.Chain.Act, s.Chain.Targets, s.Chain.Others} {
		for _, h := range row {
			order += h.Name + " "
			got[h.Name] = h
		}
	}
	if want := "alb cognito identity-center directory lambda ec2 dynamodb scheduler proxy "; order != want {
		t.Errorf("the chain is %q, want %q", order, want)
	}
	for name, want := range map[string]hop{
		"alb":       {"alb", "bad", "GET /oauth2/idpresponse", "", "2 messages", true},
		"directory": {"directory", "good", "bind", "", "1 message", true},
		"ec2":       {"ec2", "good", "POST / DescribeClientVpnEndpoints", "", "2 messages", true},
		"cognito":   {"cognito", "bad", "GET /oauth2/authorize", "the state does not match", "1 message, 1 refused", true},
		"lambda":    {"lambda", "idle", "no message yet", "", "0 messages", false},
		"proxy":     {"proxy", "bad", "message", "example.org is not a name that this demo plays", "0 messages, 1 refused", true},
	} {
		if got[name] != want {
			t.Errorf("%s is %+v, want %+v", name, got[name], want)
		}
	}
}

func TestLastMessageDecoded(t *testing.T) {
	heard := map[string]string{"alb": "GET /\n<script>alert(1)</script>"}
	w := newWorld(t, func(c *console.Config) { c.Decoded = func(hop string) string { return heard[hop] } })
	log := slog.New(w.ring)
	log.Info("hop", "to", "alb", "what", "GET /", "status", 302)
	log.Info("hop", "to", "directory", "what", "search", "detail", "base DC=corp,DC=example", "status", 0)
	log.Info("hop", "to", "cognito", "what", "POST /oauth2/token", "status", 200)
	log.Warn("refused", "to", "cognito", "why", "the state does not match")
	for hop, want := range map[string]string{
		"alb":       heard["alb"],
		"directory": "search\nbase DC=corp,DC=example\nLDAP 0",
		"cognito":   "the state does not match\nrefused",
		"ec2":       "No message yet.",
	} {
		var got struct{ Name, Label, At, Text string }
		w.json("GET", "/api/hops/"+hop+"/last", "", &got)
		if got.Name != hop || got.Text != want || got.Label == "" || (got.At == "") != (hop == "ec2") {
			t.Errorf("%s: %+v, want the text %q, and a time if there was a message", hop, got, want)
		}
		page := w.do("GET", "/hops/"+hop, "")
		if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), html.EscapeString(want)) || strings.Contains(page.Body.String(), "<script") {
			t.Errorf("the page of %s is %d without %q, or holds markup of a message: %s", hop, page.Code, want, page.Body)
		}
	}
	if rec := w.do("GET", "/hops/nobody", ""); rec.Code != http.StatusNotFound || !strings.Contains(rec.Body.String(), `no hop "nobody"`) {
		t.Errorf("a hop that is none: %d %s", rec.Code, rec.Body)
	}
	var s struct {
		Chain struct{ SignIn []struct{ Name, Last string } }
	}
	w.json("GET", "/api/state", "", &s)
	for _, h := range s.Chain.SignIn {
		if want := map[string]string{"alb": "/hops/alb", "cognito": "/hops/cognito", "directory": "/hops/directory"}[h.Name]; h.Last != want {
			t.Errorf("%s links to %q, want %q", h.Name, h.Last, want)
		}
	}
}
