package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/secret"
	"github.com/nightlatch/nightlatch/internal/store"
)

const frontEndpoints = `deadman: {group: nightlatch, role_arn: "arn:aws:iam::111122223333:role/nightlatch-deadman"}
endpoints:
  - {name: office, id: cvpn-endpoint-0a, subnets: [subnet-0a]}
`

const albFront = `region: us-east-1
table: nightlatch
signin:
  alb:
    arn: arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/nightlatch/0123456789abcdef
    client_id: 4abc
    issuer: https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEfGhI
    logout_url: https://vpn.auth.us-east-1.amazoncognito.com/logout?client_id=4abc
` + frontEndpoints

const oidcFront = `region: us-east-1
table: nightlatch
signin:
  oidc:
    issuer: https://login.example.com/corp
    client_id: nightlatch
    redirect_url: https://vpn.example.com/oauth2/callback
` + frontEndpoints

// functionOf starts a function with a configuration and an environment.
func functionOf(t *testing.T, text string, more map[string]string, log io.Writer) (func(context.Context, json.RawMessage) (any, error), error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nightlatch.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"NIGHTLATCH_CONFIG": path, "_HANDLER": handlerFront, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "canary-aws"}
	for name, value := range more {
		env[name] = value
	}
	return function(func(name string) string { return env[name] }, io.Discard, slog.New(slog.NewJSONHandler(log, nil)))
}

// Which events a front takes follows from who signs people in.
func TestTheFrontFollowsFromTheSignIn(t *testing.T) {
	event := json.RawMessage(`{"version":"2.0"}`)
	var log bytes.Buffer
	alb, err := functionOf(t, albFront, nil, &log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alb(t.Context(), event); err == nil || !strings.Contains(err.Error(), "not a load balancer event") {
		t.Errorf("behind a load balancer: got %v", err)
	}
	api, err := functionOf(t, oidcFront, map[string]string{clientSecretVariable: "canary-client"}, &log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api(t.Context(), json.RawMessage(`{"requestContext":{"elb":{"targetGroupArn":"x"}},"httpMethod":"GET","path":"/","headers":{"host":"x"}}`)); err == nil {
		t.Error("behind an HTTP API: took an event of a load balancer")
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("a secret is in the log: %s", log.String())
	}
}

func TestASecretForNobody(t *testing.T) {
	for variable, text := range map[string]string{clientSecretVariable: albFront, webhookVariable: oidcFront} {
		_, err := functionOf(t, text, map[string]string{variable: "canary"}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), variable+" is set") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want it said, and the secret not told", variable, err)
		}
	}
}

// Without a session nobody gets in, and nobody is asked for one.
func TestOwnSignInLetsNobodyInByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := config.Parse("nightlatch.yaml", []byte(oidcFront))
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: nobody{t}}
		cfg, err := awsConfig(func(name string) string { return "x" + name }, c.Region, client)
		if err != nil {
			t.Fatal(err)
		}
		keeper, err := newKeeper(c, cfg, false, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		people, err := store.New(store.Config{AWS: cfg, Table: c.Table})
		if err != nil {
			t.Fatal(err)
		}
		front, err := newFront(c, keeper, people, secret.New("s"), client, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range []string{"/", "/endpoints/office", "/api/v1/endpoints", "/api/v1/endpoints/office"} {
			r := httptest.NewRequest("GET", "https://vpn.example.com"+target, nil)
			// What a load balancer would have said in another front.
			r.Header.Set("X-Amzn-Oidc-Data", "e30.e30.AA")
			r.Header.Set("X-Amzn-Oidc-Identity", "admin")
			w := httptest.NewRecorder()
			front.ServeHTTP(w, r)
			if w.Code < 300 {
				t.Errorf("%s: got %d %s", target, w.Code, w.Body)
			}
		}
	})
}

// nobody answers, and says so.
type nobody struct{ t *testing.T }

func (n nobody) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("asked %s", r.URL)
	return nil, io.ErrUnexpectedEOF
}
