package identitycenter

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// RFC 6238 with what authenticator apps assume: SHA-1, six digits, 30 seconds.
const (
	stepSeconds = 30
	codeSkew    = 1 // steps before and after the present one (RFC 6238 section 5.2)

	codeTries   = 5 // wrong codes
	codeLockout = 5 * time.Minute
)

// enrolment is a person's authenticator.
type enrolment struct {
	Username string    `json:"username"`
	Secret   string    `json:"secret"` // base32
	LastStep int64     `json:"lastStep"`
	Enrolled time.Time `json:"enrolled"`
	Wrong    int       `json:"wrong,omitempty"`
	Locked   time.Time `json:"locked,omitzero"` // until
}

type verdict int

const (
	codeRight verdict = iota
	codeWrong
	codeUsed
	codeLocked
)

// try judges a code and keeps count, unless guesses are unlimited. A code is good once: its step and all before it are
// spent (RFC 6238 section 5.2). While locked no code is looked at, so that a guesser learns nothing. A lock-out that the
// clock says to last longer than any can was begun while the clock was ahead, and is over.
func (e *enrolment) try(code string, now time.Time, unlimited bool) verdict {
	if now.Before(e.Locked) && e.Locked.Sub(now) <= codeLockout && !unlimited {
		return codeLocked
	}
	step, v := judge(e.Secret, code, e.LastStep, now)
	switch v {
	case codeRight:
		e.LastStep, e.Wrong, e.Locked = step, 0, time.Time{}
	case codeWrong:
		if e.Wrong++; e.Wrong >= codeTries && !unlimited {
			e.Wrong, e.Locked = 0, now.Add(codeLockout)
			return codeLocked
		}
	}
	return v
}

// judge compares a code with those of the steps around now; last is the last step that was accepted.
func judge(secret, code string, last int64, now time.Time) (int64, verdict) {
	v, at := codeWrong, int64(0)
	present := now.Unix() / stepSeconds
	for step := present - codeSkew; step <= present+codeSkew; step++ {
		want, err := totp.GenerateCode(secret, time.Unix(step*stepSeconds, 0))
		if err != nil || subtle.ConstantTimeCompare([]byte(want), []byte(code)) != 1 {
			continue
		}
		if step > last {
			return step, codeRight
		}
		v = codeUsed
	}
	return at, v
}

// newKey makes the secret of a new authenticator and the address that apps read from its QR code.
func newKey(upn string) (*otp.Key, error) {
	return totp.Generate(totp.GenerateOpts{Issuer: "AWS SSO (stand-in)", AccountName: upn})
}

// qrImage draws the address as a PNG in a data: URL, with the quiet zone of four modules that readers need (ISO 18004).
func qrImage(address string) (template.URL, error) {
	code, err := qr.Encode(address, qr.M, qr.Auto)
	if err != nil {
		return "", err
	}
	const quiet, scale = 4, 4 // modules; pixels a module
	n := code.Bounds().Dx()
	side := (n + 2*quiet) * scale
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range n * scale {
		for x := range n * scale {
			if r, _, _, _ := code.At(x/scale, y/scale).RGBA(); r == 0 {
				img.SetColorIndex(x+quiet*scale, y+quiet*scale, 1)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return "", err
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil
}
