package cognito

import (
	"html/template"
	"net/http"
)

// errorPage is what a person sees when there is nowhere safe to send the browser. It loads nothing.
var errorPage = template.Must(template.New("error").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto; padding: 0 1rem }
</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
<p id="error" role="alert">{{.Message}}</p>
<p>{{.Advice}}</p>
</main>
</body>
</html>
`))

func showError(w http.ResponseWriter, status int, title, message, advice string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	// A failed write means that the browser is gone; there is nobody left to tell.
	_ = errorPage.Execute(w, struct{ Title, Message, Advice string }{title, message, advice})
}
