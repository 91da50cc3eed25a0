package wiretap

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	shownMax = 12 << 10 // of a whole exchange, in bytes
	valueMax = 1000     // of one value, in characters
	stateMin = 16       // characters of the shortest OAuth state; a shorter "state" is a word like "open"
)

// secret are the names of fields and headers, in lower case, whose values sign somebody in or bind a sign-in to a browser.
// A JSON Web Token is no secret by its claims, so the names of tokens that are always one are not here.
var secret = map[string]bool{
	"password": true, "newpassword": true, "code": true, "code_verifier": true, "client_secret": true, "refresh_token": true, "token": true,
	"state": true, "nonce": true, "relaystate": true, "csrf": true, "secret": true, "flow": true, "authorization": true,
	"x-amz-security-token": true, "x-amzn-oidc-accesstoken": true, "access_token": true, "id_token": true, "x-amzn-oidc-data": true,
}

// headers are those that are shown, of requests and of answers.
var headers = []string{
	"Content-Type", "Content-Encoding", "Authorization", "Cookie", "Set-Cookie", "Location", "Origin", "Referer", "Sec-Fetch-Site",
	"X-Amz-Target", "X-Amz-Date", "X-Amz-Invocation-Type", "X-Amz-Function-Error", "X-Amzn-Errortype", "X-Amzn-Requestid", "Www-Authenticate", "Retry-After",
}

func (e exchange) decode() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\nHost: %s\n", e.method, e.path, e.host)
	writeHeaders(&b, e.in)
	writeFields(&b, e.query)
	writeBody(&b, e.in, e.asked)
	fmt.Fprintf(&b, "\n%d %s\n", e.status, http.StatusText(e.status))
	writeHeaders(&b, e.out)
	writeBody(&b, e.out, e.said)
	s := b.String()
	if len(s) > shownMax {
		s = strings.ToValidUTF8(s[:shownMax], "") + "…\n"
	}
	return s
}

func writeHeaders(b *strings.Builder, h http.Header) {
	for _, name := range headers {
		for _, v := range h.Values(name) {
			fmt.Fprintf(b, "%s: %s\n", name, headerValue(name, v))
		}
	}
}

func headerValue(name, v string) string {
	switch strings.ToLower(name) {
	case "authorization":
		scheme, rest, _ := strings.Cut(v, " ")
		if key, signature, ok := strings.Cut(rest, "Signature="); ok { // Signature Version 4
			return scheme + " " + key + "Signature=" + hidden(signature)
		}
		return scheme + " " + token(rest)
	case "cookie":
		var names []string
		for pair := range strings.SplitSeq(v, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			names = append(names, name+"="+hidden(value))
		}
		return strings.Join(names, "; ")
	case "set-cookie":
		pair, attributes, some := strings.Cut(v, ";")
		name, value, _ := strings.Cut(pair, "=")
		if value != "" {
			value = hidden(value)
		}
		if some {
			attributes = ";" + attributes
		}
		return name + "=" + value + attributes
	case "location", "referer":
		u, err := url.Parse(v)
		if err != nil {
			return hidden(v)
		}
		q := u.RawQuery
		u.RawQuery, u.Fragment = "", ""
		var b strings.Builder
		b.WriteString(u.String())
		if q != "" {
			b.WriteString("\n")
			writeFields(&b, q)
		}
		return strings.TrimRight(b.String(), "\n")
	}
	return value(name, v)
}

// writeFields shows a query or a form, one field a line, in their order.
func writeFields(b *strings.Builder, raw string) {
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, v, _ := strings.Cut(pair, "=")
		n, err1 := url.QueryUnescape(name)
		text, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil {
			fmt.Fprintf(b, "  %s\n", hidden(pair))
			continue
		}
		fmt.Fprintf(b, "  %s = %s\n", clip(n), indented(value(n, text), "    "))
	}
}

func writeBody(b *strings.Builder, h http.Header, body *body) {
	if body.size == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", bodyText(h.Get("Content-Type"), body.Bytes(), body.size))
}

func bodyText(contentType string, raw []byte, size int64) string {
	kind, _, _ := mime.ParseMediaType(contentType)
	plain := fmt.Sprintf("(%s, %d bytes)", kind, size)
	if size > int64(len(raw)) {
		return plain
	}
	switch {
	case kind == "application/x-www-form-urlencoded":
		var b strings.Builder
		writeFields(&b, string(raw))
		return strings.TrimRight(b.String(), "\n")
	case strings.Contains(kind, "json") || json.Valid(raw): // Lambda's callers need not say what they send
		return jsonText(raw)
	case strings.Contains(kind, "xml"):
		return xmlText(raw)
	case kind == "text/plain" && utf8.Valid(raw) && !bytes.Contains(raw, []byte("PRIVATE")):
		return clip(string(raw))
	}
	return plain // pages are for eyes, and one of them holds an authenticator's key
}

func jsonText(raw []byte) string {
	v, ok := parseJSON(raw)
	if !ok {
		return fmt.Sprintf("(no JSON: %d bytes)", len(raw))
	}
	return jsonIndented(shown("", v))
}

func parseJSON(raw []byte) (v any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err := d.Decode(&v)
	return v, err == nil
}

func jsonIndented(v any) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return "(no JSON: " + err.Error() + ")"
	}
	return strings.TrimRight(out.String(), "\n")
}

// shown is v, which stands under name, without its secrets.
func shown(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = shown(k, x)
		}
		if text, ok := v["body"].(string); ok { // an event for a function, or its answer
			out["body"] = eventBody(v, text)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = shown(name, x)
		}
		return out
	case string:
		switch strings.ToLower(name) {
		case "cookies": // of an HTTP API's event, or set by the answer to one
			return headerValue("set-cookie", v)
		case "rawquerystring":
			var b strings.Builder
			writeFields(&b, v)
			return strings.TrimSpace(b.String())
		}
		if slices.ContainsFunc(headers, func(h string) bool { return strings.EqualFold(h, name) }) {
			return headerValue(name, v)
		}
		if t, ok := parseToken(v); ok {
			return t
		}
		return value(name, v)
	}
	if secret[strings.ToLower(name)] {
		return hidden(fmt.Sprint(v))
	}
	return v
}

// eventBody decodes the body of a front's event or of a function's answer, in every form of header values.
func eventBody(event map[string]any, text string) any {
	raw := []byte(text)
	if encoded, _ := event["isBase64Encoded"].(bool); encoded {
		var err error
		if raw, err = base64.StdEncoding.DecodeString(text); err != nil {
			return hidden(text)
		}
	}
	if len(raw) == 0 {
		return ""
	}
	if v, ok := parseJSON(raw); ok {
		return shown("", v)
	}
	kind := ""
	for _, all := range []string{"headers", "multiValueHeaders"} {
		h, _ := event[all].(map[string]any)
		for name, v := range h {
			if strings.EqualFold(name, "content-type") {
				kind = strings.Trim(fmt.Sprint(v), "[]")
			}
		}
	}
	return bodyText(kind, raw, int64(len(raw)))
}

// value is what may be shown of a field's value.
func value(name, v string) string {
	name = strings.ToLower(name)
	switch {
	case v == "":
		return ""
	case name == "samlrequest" || name == "samlresponse":
		return saml(v)
	case strings.HasPrefix(v, "eyJ"):
		return token(v)
	case name == "state" && len(v) < stateMin:
		return v
	case secret[name] || strings.HasPrefix(strings.ToLower(v), "otpauth:"):
		return hidden(v)
	}
	return clip(v)
}

// webToken is a JSON Web Token without its signature, and so without its use.
type webToken struct {
	Header    any    `json:"header"`
	Claims    any    `json:"claims"`
	Signature string `json:"signature"`
}

func parseToken(v string) (webToken, bool) {
	parts := strings.Split(v, ".")
	if len(parts) != 3 || !strings.HasPrefix(v, "eyJ") {
		return webToken{}, false
	}
	var read [2]any
	for i := range read {
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		var claims map[string]any
		if err != nil || json.Unmarshal(raw, &claims) != nil {
			return webToken{}, false
		}
		read[i] = shown("", claims)
	}
	return webToken{read[0], read[1], hidden(parts[2])}, true
}

// token is what a JSON Web Token says, or nothing of a string that is none.
func token(v string) string {
	t, ok := parseToken(v)
	if !ok {
		return hidden(v)
	}
	return jsonIndented(t)
}

// saml is a SAML message of the POST binding, or of the Redirect binding, which deflates (SAML bindings, sections 3.4.4.1
// and 3.5.4).
func saml(v string) string {
	raw, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return hidden(v)
	}
	if inflated, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(raw)), heardMax)); err == nil {
		raw = inflated
	}
	return "\n" + xmlText(raw)
}

// unread are XML elements whose text is a signature or signs, or is long and known to everybody.
var unread = []string{"SignatureValue", "DigestValue", "X509Certificate", "EncryptedAssertion", "CipherValue", "SecretAccessKey", "SessionToken"}

// xmlText indents a document, an element a line.
func xmlText(raw []byte) string {
	d := xml.NewDecoder(bytes.NewReader(raw))
	var b strings.Builder
	depth, closing := 0, false
	var open []string
	for {
		tok, err := d.RawToken()
		if err == io.EOF && depth == 0 {
			return strings.TrimLeft(b.String(), "\n")
		}
		if err != nil {
			return fmt.Sprintf("(no XML: %d bytes)", len(raw))
		}
		switch t := tok.(type) {
		case xml.StartElement:
			fmt.Fprintf(&b, "\n%s<%s", strings.Repeat("  ", depth), full(t.Name))
			for _, a := range t.Attr {
				fmt.Fprintf(&b, " %s=%q", full(a.Name), clip(a.Value))
			}
			b.WriteByte('>')
			open = append(open, t.Name.Local)
			depth, closing = depth+1, false
		case xml.EndElement:
			if depth == 0 {
				return fmt.Sprintf("(no XML: %d bytes)", len(raw))
			}
			depth--
			open = open[:depth]
			if closing {
				fmt.Fprintf(&b, "\n%s", strings.Repeat("  ", depth))
			}
			fmt.Fprintf(&b, "</%s>", full(t.Name))
			closing = true
		case xml.CharData:
			text := strings.TrimSpace(string(t))
			switch {
			case text == "":
			case slices.ContainsFunc(open, func(name string) bool { return slices.Contains(unread, name) }):
				b.WriteString(hidden(text))
			default:
				b.WriteString(clip(text))
			}
		}
	}
}

func full(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

func hidden(v string) string {
	return fmt.Sprintf("(hidden, %d characters)", utf8.RuneCountInString(v))
}

func clip(v string) string {
	if r := []rune(v); len(r) > valueMax {
		return string(r[:valueMax]) + "…"
	}
	return v
}

func indented(v, by string) string { return strings.ReplaceAll(v, "\n", "\n"+by) }
