// Pictures makes docs/pictures: it starts a demo, walks the journey in headless Chromium, and takes the pages as they
// are on a phone and a desktop, by day and by night, and the product's own in three languages.
//
//	go run -C e2e ./pictures
//
// Times and throw-away keys in the pictures are those of the run, so each run makes slightly different files.
package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"

	"github.com/nightlatch/nightlatch/e2e/browser"
	"github.com/nightlatch/nightlatch/e2e/demo"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, filepath.Join("..", "docs", "pictures")); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, into string) (err error) {
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "nightlatch-pictures-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := demo.Build(ctx, dir)
	if err != nil {
		return err
	}
	// Long enough in each state for a dozen pictures of it.
	d, err := demo.Start(ctx, program, filepath.Join(dir, "demo"), "--port", "0", "--associate-takes", "20s")
	if err != nil {
		return err
	}
	defer func() {
		if stop := d.Stop(); err == nil {
			err = stop
		}
	}()
	b, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer b.Stop()
	p, err := b.Person(browser.Options{})
	if err != nil {
		return err
	}
	defer p.Leave()
	operator, err := b.Person(browser.Options{Window: browser.Desktop})
	if err != nil {
		return err
	}
	defer operator.Leave()
	return (&album{p, into}).journey(d, &album{operator, into})
}

type album struct {
	p    *browser.Person
	into string
}

var languages = []string{"en", "ko", "ja"}

// journey is that of somebody who opens, and of an operator who looks on.
func (a *album) journey(d *demo.Demo, operator *album) error {
	user := d.Users[0]
	var link string
	steps := []func() error{
		func() error { return a.p.Visit(d.URL) },
		func() error { return a.p.Until(`document.querySelector("input[name=password]")`) },
		func() error { return a.take("sign-in", "") },
		func() error { return a.p.Password(user.Username, user.Password) },
		func() error { return a.p.Until(`document.querySelector("#qr")?.complete`) },
		func() error { return a.take("enrolment", "") },
		func() (err error) { link, err = a.p.Enrol(); return err },
		a.p.Arrive,
		func() error { return a.state("off", languages...) },
		func() error { return a.p.Follow("#form-open button[type=submit]") },
		func() error { return a.state("opening", languages...) },
		func() error { return a.p.State("open") },
		func() error { _, err := d.Connect(context.Background(), user.Username); return err },
		func() error { return a.state("open", languages...) },
		func() error { return operator.administration(d) },
		func() error {
			return d.Console(context.Background(), "POST", "authenticator", map[string]string{"uri": link}, nil)
		},
		func() error { return a.p.Visit(d.ConsoleURL) },
		func() error { return a.take("console", "") },
		func() error { return a.p.Visit(d.URL) },
		func() error { return a.p.Follow("#form-done button[type=submit]") },
		func() error { return a.state("closing", "en") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// administration takes what whoever may administer sees while the other is on.
func (a *album) administration(d *demo.Demo) error {
	accounts, err := d.Accounts(context.Background())
	if err != nil {
		return err
	}
	who := accounts[d.Operator]
	if _, err := a.p.SignIn(d.URL, who.Username, who.Password); err != nil {
		return err
	}
	for page, path := range map[string]string{"admin": "admin", "admin-endpoint": "admin/endpoints/office", "admin-audit": "admin/audit"} {
		if err := a.p.Visit(d.URL + path); err != nil {
			return err
		}
		if err := a.take(page, ""); err != nil {
			return err
		}
	}
	return nil
}

// state takes the product's page in each language.
func (a *album) state(state string, languages ...string) error {
	name := map[string]string{"open": "ready"}[state]
	if name == "" {
		name = state
	}
	for _, lang := range languages {
		if err := a.p.Change(browser.Options{Window: browser.Desktop, Language: lang}); err != nil {
			return err
		}
		if err := a.p.Reload(); err != nil {
			return err
		}
		if err := a.p.State(state); err != nil {
			return err
		}
		if err := a.take("page-"+name, lang); err != nil {
			return err
		}
	}
	return a.p.Change(browser.Options{Window: browser.Desktop, Language: "en"})
}

// take takes what is on the screen in both windows and both lights.
func (a *album) take(name, lang string) error {
	for _, w := range []browser.Window{browser.Phone, browser.Desktop} {
		for _, dark := range []bool{false, true} {
			o := browser.Options{Window: w, Language: lang, Dark: dark}
			if lang == "" {
				o.Language = "en"
			}
			if err := a.p.Change(o); err != nil {
				return err
			}
			raw, err := a.p.Picture(1.5)
			if err != nil {
				return err
			}
			light := "light"
			if dark {
				light = "dark"
			}
			file := name + "-" + w.Name + "-" + light
			if lang != "" {
				file += "-" + lang
			}
			if raw, err = small(raw); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(a.into, file+".png"), raw, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// small packs a picture as PNG with a palette: the 256 colours that cover most stay as they are, and the rest, which
// only smooth letters, become the nearest of them.
func small(raw []byte) ([]byte, error) {
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	b := img.Bounds()
	covers := map[color.Color]int{}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			covers[img.At(x, y)]++
		}
	}
	palette := color.Palette(slices.SortedFunc(maps.Keys(covers), func(a, b color.Color) int {
		return cmp.Or(covers[b]-covers[a], cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	}))
	palette = palette[:min(256, len(palette))]
	nearest := map[color.Color]uint8{}
	for c := range covers {
		nearest[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(b, palette)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			out.Pix[out.PixOffset(x, y)] = nearest[img.At(x, y)]
		}
	}
	var packed bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&packed, out)
	return packed.Bytes(), err
}
