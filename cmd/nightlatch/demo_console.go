//go:build !lambda

package main

import (
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/console"
)

func (w *world) consoleEndpoints() []console.Endpoint {
	var out []console.Endpoint
	for _, e := range w.ec2.Snapshot().Endpoints {
		c := console.Endpoint{ID: e.ID, Description: e.Description, Status: e.Status}
		for _, a := range e.Associations {
			if a.Ended.IsZero() || a.Status == "disassociating" {
				c.Associations = append(c.Associations, console.Association{ID: a.ID, SubnetID: a.SubnetID, Status: a.Status, Message: a.Message, Since: a.Since})
			}
		}
		for _, r := range e.Routes {
			c.Routes = append(c.Routes, console.Route{Destination: r.Destination, SubnetID: r.SubnetID, Origin: r.Origin, Status: r.Status, Description: r.Description})
		}
		for _, x := range e.Connections {
			if x.Ended.IsZero() {
				c.Connections = append(c.Connections, console.Connection{ID: x.ID, User: x.User, Status: x.Status, Since: x.Since, IngressBytes: x.IngressBytes, EgressBytes: x.EgressBytes})
			}
		}
		out = append(out, c)
	}
	return out
}

func (w *world) consoleBill() console.Bill {
	s := w.ec2.Snapshot()
	b := console.Bill{Associations: seconds(s.AssociationSeconds), Connections: seconds(s.ConnectionSeconds)}
	for _, e := range s.Endpoints {
		for _, a := range e.Associations {
			// Every started hour in full: the reading that costs more.
			b.AssociationsRounded += (seconds(a.BilledSeconds) + time.Hour - 1).Truncate(time.Hour)
		}
	}
	return b
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (w *world) consoleSchedules() []console.Schedule {
	var out []console.Schedule
	for _, s := range w.scheduler.Snapshot() {
		out = append(out, console.Schedule{Name: s.Name, Expression: s.Expression, Target: s.Target, Next: s.Next})
	}
	return out
}
