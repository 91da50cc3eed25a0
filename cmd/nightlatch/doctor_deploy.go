//go:build !lambda

package main

import (
	"maps"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/doctor"
)

// functionCalls are those of the functions' role, of which the template's policy is made.
func functionCalls(c *config.Config) (all []doctor.Call) {
	for _, s := range deploy.FunctionStatements(c) {
		conditions := map[string]string{}
		for _, of := range s.Condition {
			maps.Copy(conditions, of)
		}
		all = append(all, doctor.Call{Actions: s.Actions, Resources: s.Resources, Conditions: conditions})
	}
	return all
}

// checkMetadata checks an identity provider's metadata: it is good until the last of its certificates ends, or it does.
func checkMetadata(raw []byte, now time.Time) (doctor.Metadata, error) {
	m, err := deploy.CheckMetadata(raw, now)
	out := doctor.Metadata{Warnings: m.Warnings}
	for _, c := range m.Certificates {
		if c.NotAfter.After(out.Until) {
			out.Until = c.NotAfter
		}
	}
	if !m.ValidUntil.IsZero() && (out.Until.IsZero() || m.ValidUntil.Before(out.Until)) {
		out.Until = m.ValidUntil
	}
	return out, err
}
