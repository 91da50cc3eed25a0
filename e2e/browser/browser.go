// Package browser is a person at headless Chromium: a window of some size, in some language, with or without
// JavaScript, and an authenticator app that reads QR codes from the screen. It sees the pages only as people do, and
// notes what people do not see: errors on the console and requests that leave this machine.
package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// Patience bounds each wait for something to appear.
const Patience = 60 * time.Second

// programs are what Debian, other systems and Google call it.
var programs = []string{"chromium-headless-shell", "headless_shell", "chromium", "chromium-browser", "google-chrome"}

// ErrNone means that no Chromium is in PATH.
var ErrNone = errors.New("no Chromium in PATH (Debian: apt-get install chromium-headless-shell)")

// Browser is one process with a throw-away profile. Each Person has a cookie jar of their own in it.
type Browser struct {
	ctx   context.Context
	stop  context.CancelFunc
	agent string
}

// Start starts the first Chromium that is in PATH.
func Start(ctx context.Context) (*Browser, error) {
	var program string
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		return nil, ErrNone
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.NoSandbox,        // root, as in CI, has no choice
		chromedp.IgnoreCertErrors, // each demo has a CA of its own, which the demo package's client does check
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-pings", true),
		chromedp.Flag("lang", "en"),
		// A test that leaves this machine by mistake must fail, not work.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE *.localhost, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
	)
	allocator, freeAllocator := chromedp.NewExecAllocator(ctx, options...)
	b := &Browser{}
	var cancel context.CancelFunc
	b.ctx, cancel = chromedp.NewContext(allocator)
	b.stop = func() { chromedp.Cancel(b.ctx); cancel(); freeAllocator() }
	// The first action owns the process, so it gets no time limit.
	v, err := chromedp.CallBrowser(b.ctx, cdpbrowser.GetVersion, cdp.Empty{})
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	b.agent = strings.ReplaceAll(v.UserAgent, "HeadlessChrome", "Chrome")
	return b, nil
}

// Stop ends the process and removes its profile.
func (b *Browser) Stop() { b.stop() }

// Window is what a person looks at.
type Window struct {
	Name          string
	Width, Height int64
	Scale         float64
	Mobile        bool
}

// The two windows that everything is shown in.
var (
	Phone   = Window{"phone", 390, 844, 2, true}
	Desktop = Window{"desktop", 1280, 900, 1, false}
)

// Options say who sits there. The zero value is an English desktop with JavaScript, in daylight.
type Options struct {
	Window   Window
	Language string // as in Accept-Language
	Dark     bool
	NoScript bool
}

// Person is somebody with a tab.
type Person struct {
	ctx   context.Context
	quit  context.CancelFunc
	o     Options
	agent string

	mu         sync.Mutex // guards what follows
	complaints []string
	requests   []Request
	// spent is the last time step whose code was typed, for each key: a code is good once.
	spent map[string]int64
}

// Request is one that the browser made.
type Request struct {
	Method, URL string
	Kind        string            // Document, Fetch, Script …
	Headers     map[string]string // as far as the page's process knows them, and then as sent; names in lower case
	id          network.RequestID
}

// Person opens a window for somebody nobody knows yet.
func (b *Browser) Person(o Options) (*Person, error) {
	if o.Window.Width == 0 {
		o.Window = Desktop
	}
	if o.Language == "" {
		o.Language = "en"
	}
	p := &Person{o: o, agent: b.agent, spent: map[string]int64{}}
	p.ctx, p.quit = chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.notice))
	return p, p.Change(o)
}

// Change gives the person another window, language or light. What is on the page already keeps its language.
func (p *Person) Change(o Options) error {
	p.o = o
	w := o.Window
	viewport := []chromedp.EmulateViewportOption{chromedp.EmulateScale(w.Scale)}
	if w.Mobile {
		viewport = append(viewport, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	scheme := "light"
	if o.Dark {
		scheme = "dark"
	}
	// Not with a time limit: a tab lives as long as the context of its first action.
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(w.Width, w.Height, viewport...)); err != nil {
		return err
	}
	if _, err := chromedp.Call(p.ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: p.agent, AcceptLanguage: o.Language}); err != nil {
		return err
	}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme},
		{Name: "prefers-reduced-motion", Value: "reduce"}, // pictures must not depend on the moment
	}}); err != nil {
		return err
	}
	_, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: o.NoScript})
	return err
}

// Leave closes the tab, and with a person's first tab all that the browser knew of them.
func (p *Person) Leave() { p.quit() }

// notice runs on the tab's own goroutine: it must be quick and ask nothing.
func (p *Person) notice(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	complain := func(format string, args ...any) { p.complaints = append(p.complaints, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		r := Request{Method: e.Request.Method, URL: e.Request.URL, Kind: string(e.Type), Headers: map[string]string{}, id: e.RequestID}
		for name, value := range headers(e.Request.Headers) {
			r.Headers[name] = value
		}
		p.requests = append(p.requests, r)
		if u, err := url.Parse(r.URL); err == nil && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "ws" || u.Scheme == "wss") &&
			u.Hostname() != "127.0.0.1" && !strings.HasSuffix(u.Hostname(), ".localhost") {
			complain("request to %s, which is not on this machine", u.Host)
		}
	case *network.EventRequestWillBeSentExtraInfo:
		// One id is one chain of redirects; the first of it that has no headers yet is meant.
		for i := range p.requests {
			if r := &p.requests[i]; r.id == e.RequestID && r.Headers["host"] == "" {
				for name, value := range headers(e.Headers) {
					r.Headers[name] = value
				}
				if r.Headers["host"] == "" {
					r.Headers["host"] = r.Headers[":authority"]
				}
				break
			}
		}
	case *runtime.EventExceptionThrown:
		complain("exception: %s", e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			var said []string
			for _, a := range e.Args {
				said = append(said, string(a.Value)+a.Description)
			}
			complain("console.%s: %s", e.Type, strings.Join(said, " "))
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			complain("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	}
}

func headers(h network.Headers) map[string]string {
	out := map[string]string{}
	raw, err := json.Marshal(h)
	if err != nil {
		return out
	}
	var all map[string]any
	if json.Unmarshal(raw, &all) == nil {
		for name, value := range all {
			out[strings.ToLower(name)] = fmt.Sprint(value)
		}
	}
	return out
}

// Complaints are console errors and requests to elsewhere since the last call.
func (p *Person) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.complaints
	p.complaints = nil
	return c
}

// Requests are all that this tab made, in order.
func (p *Person) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// limited is for one action.
func (p *Person) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.ctx, Patience)
}

// Visit types an address and waits until the page that it leads to is there.
func (p *Person) Visit(address string) error {
	ctx, cancel := p.limited()
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		return fmt.Errorf("visit %s: %w", address, err)
	}
	return nil
}

// Reload presses the browser's own button.
func (p *Person) Reload() error {
	ctx, cancel := p.limited()
	defer cancel()
	return chromedp.Do(ctx, chromedp.Reload())
}

// Eval asks the page, and waits for what it promises. The answer is converted to T.
func Eval[T any](p *Person, expression string) (T, error) {
	ctx, cancel := p.limited()
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Until waits until the expression is true in the page, across navigations. It asks from outside, because a page whose
// scripts are switched off cannot wait by itself.
func (p *Person) Until(expression string) error {
	ctx, cancel := p.limited()
	defer cancel()
	return p.until(ctx, expression, 50*time.Millisecond, func() error { return nil })
}

func (p *Person) until(ctx context.Context, expression string, pace time.Duration, meanwhile func() error) error {
	var last error
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if ok && err == nil {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			last = err // between two pages there is nothing to ask
		} else if err == nil {
			if err := meanwhile(); err != nil {
				last = err
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("never true: %s\non the page:\n%s", expression, p.Sees()), last)
		case <-time.After(pace):
		}
	}
}

// Sees is the page's text, with its address.
func (p *Person) Sees() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href.split("?")[0] + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return s
}

// Text is what an element says.
func (p *Person) Text(css string) (string, error) {
	quoted, err := json.Marshal(css)
	if err != nil {
		return "", err
	}
	if err := p.Until(fmt.Sprintf("document.querySelector(%s)", quoted)); err != nil {
		return "", err
	}
	s, err := Eval[string](p, fmt.Sprintf("document.querySelector(%s).innerText", quoted))
	return strings.TrimSpace(s), err
}

// Has tells whether an element is there and visible.
func (p *Person) Has(css string) (bool, error) {
	quoted, err := json.Marshal(css)
	if err != nil {
		return false, err
	}
	return Eval[bool](p, fmt.Sprintf("!!document.querySelector(%s)?.checkVisibility()", quoted))
}

// Press clicks, or taps on a phone, once the element can be seen.
func (p *Person) Press(css string) error {
	ctx, cancel := p.limited()
	defer cancel()
	var err error
	for range 5 {
		// A page that refreshes itself may take the element away between finding it and pressing it.
		if err = chromedp.Do(ctx, p.press(css)); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("press %s: %w\non the page:\n%s", css, err, p.Sees())
	}
	return nil
}

// Follow presses what leads to another page, and waits until that is there: whoever presses something else meanwhile
// takes the first press back.
func (p *Person) Follow(css string) error {
	ctx, cancel := p.limited()
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.WaitEvent(page.LoadEventFired, nil, p.press(css))); err != nil {
		return fmt.Errorf("follow %s: %w\non the page:\n%s", css, err, p.Sees())
	}
	return nil
}

func (p *Person) press(css string) chromedp.Action[chromedp.Void] {
	if p.o.Window.Mobile {
		return chromedp.Steps(chromedp.WaitVisible(chromedp.CSS(css)), chromedp.ScrollIntoView(chromedp.CSS(css)), chromedp.Tap(chromedp.CSS(css)))
	}
	return chromedp.Click(chromedp.CSS(css))
}

// Type fills a field.
func (p *Person) Type(css, text string) error {
	ctx, cancel := p.limited()
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitVisible(chromedp.CSS(css)), chromedp.Clear(chromedp.CSS(css)), chromedp.SendKeys(chromedp.CSS(css), text)); err != nil {
		return fmt.Errorf("type into %s: %w\non the page:\n%s", css, err, p.Sees())
	}
	return nil
}

// Scan reads the QR code in the element from the screen, as a phone's camera would. Cameras take many frames until one
// can be read; here the distance changes, because the reader misjudges some codes at some sizes.
func (p *Person) Scan(css string) (string, error) {
	ctx, cancel := p.limited()
	defer cancel()
	var faults error
	for _, scale := range []float64{1, 2, 3} {
		raw, err := chromedp.Run(ctx, chromedp.ScreenshotScale(chromedp.CSS(css), scale))
		if err != nil {
			return "", err
		}
		img, err := png.Decode(bytes.NewReader(raw))
		if err != nil {
			return "", err
		}
		bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
		if err != nil {
			return "", err
		}
		for _, hint := range []gozxing.DecodeHintType{gozxing.DecodeHintType_TRY_HARDER, gozxing.DecodeHintType_PURE_BARCODE} {
			found, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{hint: true})
			if err == nil {
				return found.GetText(), nil
			}
			faults = errors.Join(faults, err)
		}
	}
	return "", fmt.Errorf("no QR code in the picture of %s: %w", css, faults)
}

// Picture is the page from its top to its end, as PNG and as wide as the window, but not higher than so many windows.
func (p *Person) Picture(windows float64) ([]byte, error) {
	ctx, cancel := p.limited()
	defer cancel()
	height, err := chromedp.Run(ctx, chromedp.Evaluate[float64]("Math.max(innerHeight, document.documentElement.scrollHeight)"))
	if err != nil {
		return nil, err
	}
	height = min(height, windows*float64(p.o.Window.Height))
	shot, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: "png", CaptureBeyondViewport: new(true), Clip: &page.Viewport{Width: float64(p.o.Window.Width), Height: height, Scale: 1},
	})
	if err != nil {
		return nil, err
	}
	return shot.Data, nil
}

// Scrolls tells by how many pixels the page is wider than the window.
func (p *Person) Scrolls() (int, error) {
	return Eval[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
}

// ForgetCookies removes the cookies of a host whose names begin so, as their end of life does.
func (p *Person) ForgetCookies(address, prefix string) (int, error) {
	ctx, cancel := p.limited()
	defer cancel()
	all, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{address}})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range all.Cookies {
		if !strings.HasPrefix(c.Name, prefix) {
			continue
		}
		if _, err := chromedp.Call(ctx, network.DeleteCookies, network.DeleteCookiesParams{Name: c.Name, URL: address}); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
