package console_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/PuerkitoBio/goquery"
	"golang.org/x/net/html"
)

// busy is a world in which every list of the page has a row.
func busy(t *testing.T) *world {
	w := newWorld(t, nil)
	log := slog.New(w.ring)
	log.Info("hop", "to", "alb", "what", "GET /<script>", "status", 200)
	log.Info("hop", "to", "proxy", "what", "CONNECT ec2", "status", 200)
	log.Warn("refused", "to", "directory", "why", "wrong password")
	w.do("POST", "/api/authenticator", `{"key":"`+base32+`","account":"alice"}`)
	w.do("POST", "/api/clients", `{"endpoint":"`+endpoint+`","user":"alice"}`)
	w.do("POST", "/api/webhook", `{"text":"Office <1>: the VPN is ready."}`)
	return w
}

func (w *world) page() *goquery.Document {
	w.Helper()
	rec := w.do("GET", "/", "")
	doc, err := goquery.NewDocumentFromReader(rec.Body)
	if err != nil || rec.Code != http.StatusOK {
		w.Fatalf("page: %d %v", rec.Code, err)
	}
	return doc
}

// TestPageAndStateAgree walks the page as console.js does and compares: every path that the HTML names must be in the
// state, and what the server rendered must be what the script would put there.
func TestPageAndStateAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that both are of the same second
		w := busy(t)
		var state any
		w.json("GET", "/api/state", "", &state)
		k := walker{T: t}
		k.fill(w.page().Find("body").Nodes[0], state, true)
		if k.rows < 15 || k.texts < 60 {
			t.Errorf("walked %d rows and %d texts only: the walk does not see the page", k.rows, k.texts)
		}
	})
}

type walker struct {
	*testing.T
	rows, texts int
}

func (k *walker) at(data any, path string) any {
	k.Helper()
	for name := range strings.SplitSeq(path, ".") {
		if list, ok := data.([]any); ok && name == "length" {
			return float64(len(list))
		}
		m, ok := data.(map[string]any)
		v, there := m[name]
		if !ok || !there {
			k.Errorf("the page names %q, which the state has not", path)
			return nil
		}
		data = v
	}
	return data
}

// truth is JavaScript's.
func truth(v any) bool { return v != nil && v != "" && v != false && v != float64(0) }

func words(v any) string {
	if n, ok := v.(float64); ok {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// fill compares when rendered, and only looks paths up within a template.
func (k *walker) fill(n *html.Node, data any, rendered bool) {
	k.Helper()
	s := goquery.NewDocumentFromNode(n)
	same := func(what, got, want string) {
		if rendered && got != want {
			h, _ := goquery.OuterHtml(s.Selection)
			k.Errorf("%s is %q on the page and %q in the state: %.200s", what, got, want, h)
		}
	}
	for _, a := range n.Attr {
		name, isData := strings.CutPrefix(a.Key, "data-")
		set, isSet := strings.CutPrefix(name, "set-")
		switch {
		case !isData:
		case name == "list":
			k.list(n, k.at(data, a.Val), rendered)
			return
		case name == "text":
			k.texts++
			same("text", s.Text(), words(k.at(data, a.Val)))
		case name == "value", name == "initial":
			same("value", s.AttrOr("value", ""), words(k.at(data, a.Val)))
		case name == "href":
			same("href", s.AttrOr("href", ""), words(k.at(data, a.Val)))
		case name == "if", name == "unless":
			_, hidden := s.Attr("hidden")
			same("hidden", fmt.Sprint(hidden), fmt.Sprint(truth(k.at(data, a.Val)) == (name == "unless")))
		case isSet:
			same(a.Key, s.AttrOr("data-"+set, ""), words(k.at(data, a.Val)))
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == html.ElementNode && c.Data != "template" {
			k.fill(c, data, rendered)
		}
	}
}

func (k *walker) list(n *html.Node, data any, rendered bool) {
	k.Helper()
	items, _ := data.([]any)
	list := goquery.NewDocumentFromNode(n)
	template := list.ChildrenFiltered("template").Children()
	if len(items) == 0 || template.Length() != 1 {
		k.Errorf("list %q has %d items and %d templates, want some and one", list.AttrOr("data-list", ""), len(items), template.Length())
		return
	}
	id := template.AttrOr("data-id", "")
	k.fill(template.Nodes[0], items[0], false)
	rows := list.ChildrenFiltered("[data-key]")
	if rendered && rows.Length() != len(items) {
		k.Errorf("list %q has %d rows on the page and %d in the state", list.AttrOr("data-list", ""), rows.Length(), len(items))
		return
	}
	for i, row := range rows.EachIter() {
		k.rows++
		if want := words(k.at(items[i], id)); rendered && row.AttrOr("data-key", "") != want {
			k.Errorf("row %d has the key %q, the script would give %q", i, row.AttrOr("data-key", ""), want)
		}
		k.fill(row.Nodes[0], items[i], rendered)
	}
}

func TestPageNeedsNothingFromElsewhere(t *testing.T) {
	w := busy(t)
	doc := w.page()
	doc.Find("*").Each(func(_ int, s *goquery.Selection) {
		for _, a := range s.Nodes[0].Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("<%s %s=…>: the policy forbids it", s.Nodes[0].Data, a.Key)
			}
			if (a.Key == "src" || (a.Key == "href" && s.Is("link")) || strings.HasSuffix(a.Key, "action")) && !strings.HasPrefix(a.Val, "/") && a.Val != "data:," {
				t.Errorf("<%s %s=%q> is not ours", s.Nodes[0].Data, a.Key, a.Val)
			}
		}
	})
	if n := doc.Find("style, script:not([src])").Length(); n > 0 {
		t.Errorf("%d inline scripts or styles", n)
	}
	for _, path := range []string{doc.Find("link[rel=stylesheet]").AttrOr("href", ""), doc.Find("script").AttrOr("src", "")} {
		rec := w.do("GET", path, "")
		if rec.Code != http.StatusOK || !strings.Contains(rec.Header().Get("Cache-Control"), "immutable") || rec.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", path, rec.Code, rec.Header())
		}
		for _, bad := range []string{"innerHTML", "insertAdjacentHTML", "eval(", "@import", "://"} {
			if body := strings.ReplaceAll(rec.Body.String(), "otpauth://", ""); strings.Contains(body, bad) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
	}
	if html := w.do("GET", "/", "").Body.String(); strings.Contains(html, "GET /<script>") || !strings.Contains(html, "office &lt;1&gt;") {
		t.Error("what a stand-in said is not escaped")
	}
}

func TestEverythingHasAName(t *testing.T) {
	doc := busy(t).page()
	ids := map[string]int{}
	doc.Find("[id]").Each(func(_ int, s *goquery.Selection) { ids[s.AttrOr("id", "")]++ })
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements have the id %q", n, id)
		}
	}
	doc.Find("input:not([type=hidden])").Each(func(_ int, s *goquery.Selection) {
		if id := s.AttrOr("id", "-"); doc.Find("label[for='"+id+"']").Length() == 0 && s.Closest("label").Length() == 0 {
			t.Errorf("input %q has no label", s.AttrOr("name", ""))
		}
	})
	names := map[string]bool{}
	doc.Find("button").Not("template button, .copy").Each(func(_ int, s *goquery.Selection) {
		name := strings.Join(strings.Fields(s.Text()), " ")
		if name == "" || names[name] {
			t.Errorf("button %q: the name is empty, or another button has it too", name)
		}
		names[name] = true
	})
	if !names["Disconnect alice"] {
		t.Errorf("the buttons are %v, want one that names whom it disconnects", names)
	}
	doc.Find("[aria-labelledby], nav a[href^='#'], .skip").Each(func(_ int, s *goquery.Selection) {
		id := s.AttrOr("aria-labelledby", strings.TrimPrefix(s.AttrOr("href", ""), "#"))
		if ids[id] == 0 {
			t.Errorf("nothing has the id %q", id)
		}
	})
	if doc.Find("html").AttrOr("lang", "") == "" || doc.Find("h1").Length() != 1 || doc.Find("main").Length() != 1 {
		t.Error("want a language, one h1 and one main")
	}
	if text := doc.Find("#authenticator").Text(); !strings.Contains(text, "Pocket authenticator") || !strings.Contains(text, "Stands in for the authenticator app on your phone") {
		t.Error("the authenticator does not say what it is")
	}
}

// TestFormsWorkWithoutScript plays everything by the forms of the page alone.
func TestFormsWorkWithoutScript(t *testing.T) {
	w := newWorld(t, nil)
	// submit fills the first form that has the button, with the page's own hidden fields.
	submit := func(button string, typed url.Values) *httptest.ResponseRecorder {
		t.Helper()
		b := w.page().Find("button").Not("template button").FilterFunction(func(_ int, s *goquery.Selection) bool {
			return strings.Join(strings.Fields(s.Text()), " ") == button
		})
		if b.Length() != 1 {
			t.Fatalf("%d buttons %q on the page, want one", b.Length(), button)
		}
		form := b.Closest("form")
		fields := url.Values{}
		form.Find("input").Each(func(_ int, s *goquery.Selection) { fields.Set(s.AttrOr("name", ""), s.AttrOr("value", "")) })
		for name, v := range typed {
			fields[name] = v
		}
		return w.do("POST", b.AttrOr("formaction", form.AttrOr("action", "")), fields.Encode(), "Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin")
	}
	for _, step := range []struct {
		button string
		typed  url.Values
		want   string // in the page afterwards
	}{
		{"Connect", nil, "alice active"},
		{"Send 1 MB as alice", nil, "20.0 kB sent, 1.0 MB received"},
		{"Send a keep-alive as alice", nil, "20.1 kB sent, 1.0 MB received"},
		{"Disconnect alice", nil, "alice terminated"},
		{"Add the account", url.Values{"key": {"otpauth://totp/AWS%20SSO:alice?secret=" + base32}}, "alice AWS SSO"},
		{"Add the account", url.Values{"key": {base32}, "account": {"dave"}}, "Remove dave"},
		{"Remove alice", nil, "Remove dave"},
		{"Break: fail-association", nil, "fail-association is broken"},
		{"Mend: fail-association", nil, "fail-association is working"},
	} {
		rec := submit(step.button, step.typed)
		if rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != "/" {
			t.Fatalf("%s: %d %s, want back to the page", step.button, rec.Code, rec.Body)
		}
		if text := strings.Join(strings.Fields(w.page().Text()), " "); !strings.Contains(text, step.want) {
			t.Errorf("after %q the page does not say %q", step.button, step.want)
		}
	}
	if text := w.page().Text(); strings.Contains(text, "AWS SSO") {
		t.Error("alice's key was not removed")
	}
	w.open = false
	rec := submit("Connect", nil)
	doc, _ := goquery.NewDocumentFromReader(rec.Body)
	alert := doc.Find("#error[role=alert]")
	if _, hidden := alert.Attr("hidden"); rec.Code != http.StatusConflict || hidden || !strings.Contains(alert.Text(), "open it first") {
		t.Errorf("connecting to a closed endpoint: %d, %q, want the page with the stand-in's sentence", rec.Code, alert.Text())
	}
	rec = w.do("POST", "/act/connect", "endpoint="+endpoint+"&user=alice", "Content-Type: application/x-www-form-urlencoded", "Accept: application/json")
	var e struct{ Error string }
	if json.Unmarshal(rec.Body.Bytes(), &e); rec.Code != http.StatusConflict || !strings.Contains(e.Error, "open it first") {
		t.Errorf("the script's failure is %d %s, want JSON", rec.Code, rec.Body)
	}
}

func TestEmptyWorldSaysSo(t *testing.T) {
	w := newWorld(t, nil)
	w.open = false
	doc := w.page()
	text := strings.Join(strings.Fields(doc.Find("main").Text()), " ")
	for _, want := range []string{"Off: no subnet is associated. AWS bills nothing.", "Nobody is connected.", "no message yet", "No account yet."} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestContrast computes WCAG 2.2's contrast (1.4.3, 1.4.11) of the pairs of colours that the style sheet uses.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("assets/console.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, ok := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark scheme")
	}
	dark, _, _ = strings.Cut(dark, "\n}")
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		tokens := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6})`).FindAllStringSubmatch(text, -1) {
			tokens[m[1]] = luminance(m[2])
		}
		for _, pair := range []struct {
			fore, back string
			least      float64
		}{
			{"ink", "bg", 4.5}, {"ink", "panel", 4.5}, {"ink", "bad-panel", 4.5}, {"dim", "bg", 4.5}, {"dim", "panel", 4.5}, {"accent", "bg", 4.5}, {"accent", "panel", 4.5},
			{"on-accent", "accent", 4.5}, {"good", "panel", 4.5}, {"warn", "panel", 4.5}, {"bad", "panel", 4.5}, {"line", "panel", 3},
		} {
			a, b := tokens[pair.fore], tokens[pair.back]
			if got := (max(a, b) + 0.05) / (min(a, b) + 0.05); len(tokens) < 11 || got < pair.least {
				t.Errorf("%s: %s on %s has %.2f:1, want %.1f:1", scheme, pair.fore, pair.back, got, pair.least)
			}
		}
	}
}

func luminance(hex string) float64 {
	n, _ := strconv.ParseUint(hex, 16, 32)
	l := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(n>>(16-8*i)&0xff) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		l += weight * c
	}
	return l
}
