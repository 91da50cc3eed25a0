//go:build !lambda

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/latch"
)

const modulePath = "github.com/nightlatch/nightlatch"

// build makes the functions' program: from a checkout the Lambda build, else this very binary, which is a bootstrap too.
func (w *world) build(ctx context.Context) (string, error) {
	if w.o.program != "" {
		return w.o.program, nil
	}
	root, ok := checkout(ctx)
	if !ok {
		fmt.Fprintln(w.o.stderr, "nightlatch: no Go checkout of nightlatch here, so the functions run this same binary instead of the Lambda build")
		return os.Executable()
	}
	program := filepath.Join(w.function, "bootstrap")
	fmt.Fprintln(w.o.stderr, "nightlatch: building the functions (the first time this compiles the AWS SDK)")
	c := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-tags", "lambda,lambda.norpc", "-o", program, "./cmd/nightlatch")
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build -tags lambda: %w\n%s", err, bytes.TrimSpace(out))
	}
	return filepath.Abs(program)
}

// checkout finds the module's folder around the working directory, where there is a Go toolchain to build it with.
func checkout(ctx context.Context) (string, bool) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", false
	}
	file := strings.TrimSpace(string(out))
	raw, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(raw), "module "+modulePath+"\n") {
		return "", false
	}
	return filepath.Dir(file), true
}

// toldSection is what a deployment tells its functions, as the file says it where it is told here.
func (w *world) toldSection(plan *blueprint, signIn string) string {
	return fmt.Sprintf("table: %s\nsignin:\n%sdeadman:\n  group: %s\n  role_arn: %s\n  dead_letter_arn: %s\n", plan.table.Name, signIn, plan.groups[0],
		plan.stack.Outputs[deploy.OutputDeadmanRoleARN], plan.stack.Outputs[deploy.OutputDeadLetterARN])
}

// nightlatchYAML is the functions' configuration, with a section about what is around them. The policy is a real one in
// every way but its times: short enough to see everything in five minutes.
func (w *world) nightlatchYAML(around string) ([]byte, error) {
	visit, idle := latch.OnVisit(w.o.onVisit), 30*time.Second
	if w.o.tour {
		idle = 9 * time.Second
	}
	rules, err := w.accessRules()
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `# Written by "nightlatch demo" at every start.
region: %s
rehearsal: true # times that are too short for production
%snotify: {format: slack, page: %q}
# One beat lasts most of the scheduler's minute, here as in production (50s of 60s).
beat:
  for: %s
endpoints:
  - name: office
    title: Office network
    id: %s
    subnets: [%s, %s]
    associate: one
    routes:
      - {destination: 10.20.0.0/16, description: data centre}
    lease: {default: 3m, choices: [1m, 3m, 5m], max: 10m}
    idle: {after: %s, window: %s, floor: 2048, max: 1m}
    unused_after: 90s
    absolute_max: 15m
    look_every: 2s
    warn: [1m, 20s]
    typical: {associate: %s-%s, routes: 2s-10s, close: 2s-20s}
    on_visit: %s
%s`, demoRegion, around, w.url("https", demoSite, w.o.front.name)+"/", w.o.minute*5/6, demoEndpoint,
		demoSubnets[0].ID, demoSubnets[1].ID, idle, idle/3, w.o.associate, 2*w.o.associate+5*time.Second, visit, rules), nil
}
