// Command dex runs dex, an OpenID Connect provider that nobody here wrote, on an address of this machine, for one client
// and one person, until it is told to end. It is a module of its own, because dex brings more modules than all else here.
//
//	dex SETTINGS    as JSON, see settings
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/server/authflow"
	"github.com/dexidp/dex/server/connectors"
	"github.com/dexidp/dex/server/signer"
	"github.com/dexidp/dex/server/tokens"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
)

// settings are what the suite tells each of its providers, as far as dex wants to know it.
type settings struct {
	Issuer       string `json:"issuer"`      // https, and with the address that it listens on
	Certificate  string `json:"certificate"` // file
	Key          string `json:"key"`         // file
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RedirectURL  string `json:"redirect_url"`
	Email        string `json:"email"`
	Name         string `json:"name"`
	Password     string `json:"password"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "dex:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 2 {
		return errors.New("say with which settings")
	}
	var s settings
	if err := json.Unmarshal([]byte(os.Args[1]), &s); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	issuer, err := url.Parse(s.Issuer)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	handler, err := provider(ctx, s)
	if err != nil {
		return err
	}
	srv := &http.Server{Addr: issuer.Host, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { srv.Close() })
	err = srv.ListenAndServeTLS(s.Certificate, s.Key)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// provider is dex as it comes, beside that it asks nobody for consent and insists on PKCE with S256. Sessions are off as
// they come: it knows nobody a second time, and announces no end_session_endpoint.
func provider(ctx context.Context, s settings) (http.Handler, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	hash, err := bcrypt.GenerateFromPassword([]byte(s.Password), bcrypt.DefaultCost)
	if err != nil {
		return nil, err
	}
	kept := storage.WithStaticClients(memory.New(log), []storage.Client{{
		ID: s.ClientID, Secret: s.ClientSecret, Name: "Nightlatch", RedirectURIs: []string{s.RedirectURL},
	}})
	kept = storage.WithStaticPasswords(kept, []storage.Password{{
		Email: s.Email, Username: s.Email, Name: s.Name, UserID: "d0b7a3c6-2f0e-4b8e-9f7b-0a6f5f1f6c11", Hash: hash,
	}}, log)
	kept = storage.WithStaticConnectors(kept, []storage.Connector{{ID: connectors.LocalConnector, Type: connectors.LocalConnector, Name: "Email"}})

	const tokensFor = 24 * time.Hour
	keys, err := (&signer.LocalConfig{KeysRotationPeriod: "6h"}).Open(ctx, kept, tokensFor, time.Now, log)
	if err != nil {
		return nil, err
	}
	refresh, err := tokens.NewRefreshTokenPolicy(log, false, "", "", "")
	if err != nil {
		return nil, err
	}
	return server.NewServer(ctx, server.Config{
		Issuer: s.Issuer, Storage: kept, Signer: keys, Logger: log, IDTokensValidFor: tokensFor, RefreshTokenPolicy: refresh,
		SkipApprovalScreen: true, PKCE: authflow.PKCEConfig{Enforce: true, CodeChallengeMethodsSupported: []string{"S256"}},
	})
}
