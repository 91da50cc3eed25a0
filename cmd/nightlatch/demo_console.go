//go:build !lambda

package main

import (
	"context"
	"slices"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/console"
	"github.com/nightlatch/nightlatch/internal/standin/directory"
	"github.com/nightlatch/nightlatch/internal/standin/switches"
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

// chores are what the administrators of the real systems do by hand.
func (w *world) chores() []console.Chore {
	chores := []console.Chore{{Name: "sync", About: "Identity Center syncs with the directory now", Do: w.idc.SyncNow}}
	if w.alb != nil {
		chores = append(chores, console.Chore{Name: "rotate-key", About: "The load balancer signs with a new key from now on",
			Do: func(context.Context) error { return w.alb.RotateKey() }})
	}
	_, _, welcome := w.known()
	for _, u := range welcome {
		chores = append(chores, console.Chore{Name: "reset-" + u.Username, About: "Identity Center forgets " + u.Username + "’s authenticator: a new one at the next sign-in",
			Do: func(context.Context) error { return w.idc.ResetMFA(u.Username) }})
	}
	return chores
}

// accountSwitches disable people's accounts in the stand-in directory, as an administrator of the real one does.
func (w *world) accountSwitches() []switches.Switch {
	var out []switches.Switch
	if w.directory == nil {
		return nil
	}
	for _, a := range w.directory.Accounts() {
		out = append(out, switches.Switch{
			Name: "account-" + a.Username, About: "the directory’s administrator has disabled the account of " + a.Name,
			On: func() bool {
				accounts := w.directory.Accounts()
				i := slices.IndexFunc(accounts, func(x directory.Account) bool { return x.Username == a.Username })
				return i >= 0 && accounts[i].Disabled
			},
			Set: func(on bool) {
				if err := w.directory.SetDisabled(a.Username, on); err != nil {
					w.log.Error("account not changed", "user", a.Username, "err", err)
				}
			},
		})
	}
	return out
}
