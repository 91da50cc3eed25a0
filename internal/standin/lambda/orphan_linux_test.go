package lambda

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// host is a demo reduced to this stand-in, for TestNoFunctionOutlivesAKilledDemo to kill.
func host() {
	self, err := os.Executable()
	if err != nil {
		os.Exit(97)
	}
	s, err := New(Config{Region: "us-east-1", AccountID: "111122223333", Log: slog.New(slog.DiscardHandler), Output: os.Stdout,
		Credentials: func(string) (sigv4.Credentials, bool) { return sigv4.Credentials{}, false },
		Functions:   []Function{{Name: "f", Bootstrap: self, Env: map[string]string{modeVariable: "init-hang"}}}})
	if err != nil {
		os.Exit(97)
	}
	go s.Run(context.Background())
	for !s.begin() {
		<-time.After(time.Millisecond)
	}
	s.invoke(s.functions["f"], invocation{id: uuid(), payload: []byte("{}")})
}

func TestNoFunctionOutlivesAKilledDemo(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := newOutput()
	demo := exec.Command(self)
	demo.Env = []string{modeVariable + "=host"}
	demo.Stdout = out
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(out.await(t, `pids (\d+)`)[1])
	if err != nil {
		t.Fatal(err)
	}
	demo.Process.Kill()
	demo.Wait()
	for late := time.After(5 * time.Second); alive(pid); {
		select {
		case <-late:
			t.Fatalf("function %d lives on, though the demo was killed", pid)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
