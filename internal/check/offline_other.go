//go:build !linux

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
)

const offlineVerb = "offline-exec"

func offlineCommand(context.Context, []string) (*exec.Cmd, error) {
	return nil, errors.New("only Linux has network namespaces, and this is " + runtime.GOOS)
}

func offlineExec([]string) { os.Exit(1) }
