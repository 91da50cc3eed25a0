package cognito

import (
	"html/template"
	"net/http"
)

// content is an error, or the button of the sign-in page.
type content struct{ Title, Message, Advice, Provider, Href string }

// page is what a person sees when there is nowhere safe to send the browser, or a provider to choose. It loads nothing.
var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto; padding: 0 1rem }
#provider { display: inline-block; padding: .75rem 1.5rem; border: 2px solid; border-radius: .5rem; text-decoration: none }
</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
{{if .Href}}<p><a id="provider" href="{{.Href}}">Continue with {{.Provider}}</a></p>
{{else}}<p id="error" role="alert">{{.Message}}</p>
<p>{{.Advice}}</p>
{{end}}</main>
</body>
</html>
`))

func showError(w http.ResponseWriter, status int, title, message, advice string) {
	show(w, status, content{Title: title, Message: message, Advice: advice})
}

// showSignIn shows the page of a client with one provider: nothing to choose, one button to press.
func showSignIn(w http.ResponseWriter, provider, href string) {
	show(w, http.StatusOK, content{Title: "Sign in", Provider: provider, Href: href})
}

func show(w http.ResponseWriter, status int, c content) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	// A failed write means that the browser is gone; there is nobody left to tell.
	_ = page.Execute(w, c)
}
