package browser

import (
	"fmt"
	"strings"
	"time"
)

// Password fills the sign-in form and sends it.
func (p *Person) Password(username, password string) error {
	if err := p.Type("input[name=username]", username); err != nil {
		return err
	}
	if err := p.Type("input[name=password]", password); err != nil {
		return err
	}
	return p.Follow("main form button")
}

// Enrol scans the QR code that is shown, checks that it says what the link beside it says, and types the first code.
// The link stands for the authenticator app that now has it.
func (p *Person) Enrol() (link string, err error) {
	if err := p.Until(`document.querySelector("#qr")?.complete`); err != nil {
		return "", err
	}
	scanned, err := p.Scan("#qr")
	if err != nil {
		return "", err
	}
	if link, err = Eval[string](p, `document.querySelector("#otpauth").href`); err != nil {
		return "", err
	}
	key, err := p.Text("#totp-key")
	if err != nil {
		return "", err
	}
	if scanned != link {
		return "", fmt.Errorf("the picture says %q and the link %q: phones that scan and phones that tap would differ", scanned, link)
	}
	if key = strings.ReplaceAll(key, " ", ""); !strings.Contains(link, "secret="+key) {
		return "", fmt.Errorf("the text key %q is not the one in the link", key)
	}
	return link, p.TypeCode(link)
}

// TypeCode types what the app shows.
func (p *Person) TypeCode(link string) error {
	code, err := p.Code(link)
	if err != nil {
		return err
	}
	return p.SendCode(code)
}

// SendCode types six digits and sends them.
func (p *Person) SendCode(code string) error {
	if err := p.Type("input[name=code]", code); err != nil {
		return err
	}
	return p.Follow("main form button")
}

// Arrive waits until the sign-in has led back to the product's page. Without scripts somebody must press Continue.
func (p *Person) Arrive() error {
	if p.o.NoScript {
		if err := p.Follow("form#saml button"); err != nil {
			return err
		}
	}
	return p.Until(`document.querySelector("main[data-api] h1#heading")`)
}

// SignIn is the whole sign-in of somebody who comes for the first time.
func (p *Person) SignIn(address, username, password string) (link string, err error) {
	if err := p.Visit(address); err != nil {
		return "", err
	}
	if err := p.Password(username, password); err != nil {
		return "", err
	}
	if link, err = p.Enrol(); err != nil {
		return "", err
	}
	return link, p.Arrive()
}

// State waits until the page shows the endpoint in one of the states. Without scripts that takes "Check again".
func (p *Person) State(states ...string) error {
	var any []string
	for _, s := range states {
		any = append(any, fmt.Sprintf(`document.querySelector("h1#heading")?.className === %q`, s))
	}
	condition := strings.Join(any, " || ")
	if !p.o.NoScript {
		return p.Until(condition)
	}
	ctx, cancel := p.limited()
	defer cancel()
	return p.until(ctx, condition, 300*time.Millisecond, func() error { return p.Follow("#again") })
}
