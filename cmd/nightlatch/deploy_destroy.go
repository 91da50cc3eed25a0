//go:build !lambda

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/latch"
)

const (
	// destroyHold is how long nobody can open an endpoint: for as long as the stack's deletion takes.
	destroyHold = time.Hour
	// closeMost is how long closing may take until it is given up; AWS takes minutes.
	closeMost = 30 * time.Minute
	// closeLook is the pause between two looks at what is closing.
	closeLook = 10 * time.Second
)

func (x *deployer) destroy(ctx context.Context) error {
	c, err := x.settings()
	if err != nil {
		return err
	}
	if err := x.canAsk("--yes deletes it unasked"); err != nil {
		return err
	}
	if c.Deploy.LoadBalancer.DeletionProtection {
		return &told{errDeclined, "the load balancer is protected against deletion", "set deploy.load_balancer.deletion_protection to false, nightlatch deploy apply, and then destroy"}
	}
	d, cfg, err := x.driver(ctx, c)
	if err != nil {
		return err
	}
	s, err := d.Stack(ctx)
	if errors.Is(err, deploy.ErrNoStack) {
		x.say("%v", err)
		return x.destroyBucket(ctx, d) // what an earlier destroy was stopped at
	}
	if err != nil {
		return err
	}
	if d.Protected(ctx, s) { // somebody may have set it in the console
		return &told{errDeclined, "the load balancer is protected against deletion, and all but it would be deleted", "take the protection away, of the load balancer's attributes in EC2's console or by deploy.load_balancer.deletion_protection and deploy apply, and then destroy"}
	}
	if err := x.ask(ctx, fmt.Sprintf("Delete %s in %s, at which people open %d endpoints? Type its name: ", s.Name, c.Region, len(c.Endpoints)), s.Name); err != nil {
		return err
	}
	if err := x.shut(ctx, c, cfg, d, s); err != nil {
		return err
	}
	kept, err := d.Destroy(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(x.stdout, "%s in %s is deleted\n", s.Name, c.Region)
	for _, k := range kept {
		fmt.Fprintf(x.stdout, "%s stays: %s (%s)\n", k.ID, k.Physical, k.Type)
	}
	return x.destroyBucket(ctx, d)
}

// destroyBucket deletes the bucket of Nightlatch's own.
func (x *deployer) destroyBucket(ctx context.Context, d *deploy.Driver) error {
	name, err := d.OwnBucket(ctx)
	if err != nil || name == "" {
		return err
	}
	if err := x.ask(ctx, fmt.Sprintf("Delete the bucket %s with its programs too? Type yes: ", name), "yes"); err != nil {
		fmt.Fprintf(x.stdout, "the bucket %s stays\n", name)
		return nil
	}
	if err := d.RemoveBucket(ctx); err != nil {
		return err
	}
	fmt.Fprintf(x.stdout, "the bucket %s is deleted\n", name)
	return nil
}

// shut closes every endpoint and sees at EC2 that it is. Nothing is closed before it is known that all can be.
func (x *deployer) shut(ctx context.Context, c *config.Config, cfg aws.Config, d *deploy.Driver, s *deploy.Stack) error {
	group := s.Outputs[deploy.OutputDeadmanGroup]
	var o *operator
	outputs := s.Outputs
	if outputs[deploy.OutputTableName] == "" {
		// It was never finished, or is half deleted: there is no keeper to close anything, and EC2 can be looked at all the same.
		x.say("%s is %s and says nothing of its table, so nothing can be closed by it", s.Name, s.Status)
		outputs = map[string]string{deploy.OutputTableName: "none", deploy.OutputDeadmanGroup: "none", deploy.OutputDeadmanRoleARN: "arn:aws:iam::000000000000:role/none"}
	}
	c, err := c.With(stackVariables(outputs))
	if err != nil {
		return err
	}
	vpn, _, err := connect(c.Endpoints, cfg, false, talk(x.stderr))
	if err != nil {
		return err
	}
	if group != "" {
		if o, err = operatorOf(c, cfg, x.stderr); err != nil {
			return err
		}
	}
	var close []config.Endpoint
	for _, e := range c.Endpoints {
		look, err := vpn.Observe(ctx, e.ID)
		if errors.Is(err, latch.ErrNotFound) {
			x.say("%s: EC2 knows no %s any more", e.Name, e.ID)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: whether it is closed cannot be seen, and nothing is deleted: %w", e.Name, err)
		}
		on := associated(look)
		switch {
		case e.Policy.Observe && len(on) > 0 && !x.force:
			return &told{errDeclined, fmt.Sprintf("%s is open, and Nightlatch only observes it (%s)", e.Name, strings.Join(on, ", ")),
				"close it yourself, or leave it as it is with --force: nothing closes it any more then"}
		case e.Policy.Observe && len(on) > 0:
			x.say("%s stays open, as it is only observed: %s", e.Name, strings.Join(on, ", "))
		case e.Policy.Observe:
		case o == nil && len(on) > 0:
			return &told{errDeclined, fmt.Sprintf("%s is open (%s), and there is no table by which it could be closed", e.Name, strings.Join(on, ", ")),
				fmt.Sprintf("aws ec2 disassociate-client-vpn-target-network --client-vpn-endpoint-id %s --association-id %s --region %s", e.ID, on[0], e.Region)}
		case o != nil:
			if !x.force {
				if err := x.unused(ctx, o, e); err != nil {
					return err
				}
			}
			close = append(close, e)
		}
	}
	for _, e := range close {
		if err := x.closeForGood(ctx, o, vpn, e); err != nil {
			return fmt.Errorf("%s: %w; nothing is deleted", e.Name, err)
		}
	}
	if group == "" {
		return nil
	}
	switch left, err := d.Switches(ctx, group); {
	case err != nil:
		return err
	case len(left) > 0:
		return &told{errDeclined, fmt.Sprintf("the schedule group %s holds dead-man's switches, which would go with it: %s", group, strings.Join(left, ", ")),
			"an endpoint that the configuration does not name may be open: close it, and delete its switch with aws scheduler delete-schedule, or wait until it has fired"}
	}
	return nil
}

// associated are the associations that are billed, or will be.
func associated(look latch.Observation) []string {
	var out []string
	for _, a := range look.Associations {
		if a.Status != latch.Disassociated && a.Status != latch.AssociationFailed {
			out = append(out, string(a.ID))
		}
	}
	return out
}

// unused refuses an endpoint that somebody has a lease on.
func (x *deployer) unused(ctx context.Context, o *operator, e config.Endpoint) error {
	seen, err := o.keeper.Explain(ctx, e.ID)
	if errors.Is(err, latch.ErrNotFound) {
		return nil // the table is gone: nobody has a lease
	}
	if err != nil {
		return fmt.Errorf("%s: who uses it cannot be seen, and nothing is deleted: %w", e.Name, err)
	}
	if n := len(seen.Leases); n > 0 {
		return &told{errDeclined, fmt.Sprintf("%s is in use: %d have a lease, the longest until %s", e.Name, n, seen.Leases[0].Until.Local().Format(time.DateTime)),
			"wait, or end them with --force; nightlatch why " + e.Name + " says whose they are"}
	}
	return nil
}

// closeForGood closes an endpoint by an order, so that nobody opens it again, and looks until EC2 has nothing associated.
// It takes the steps itself, also those that the beat would take: the beat may be what is broken.
func (x *deployer) closeForGood(ctx context.Context, o *operator, vpn vpns, e config.Endpoint) error {
	q, err := o.request(ctx, destroyHold, "Nightlatch is being taken down")
	if err != nil {
		return err
	}
	if _, err := o.keeper.Close(ctx, e.ID, q); err != nil && !errors.Is(err, latch.ErrNotFound) {
		return err
	}
	bar := newProgress(x.stderr, x.env("TERM"))
	defer bar.end()
	every := closeLook
	if x.every > 0 {
		every = x.every
	}
	for began := time.Now(); ; {
		// A pass after EC2 shows nothing any more takes the switches away.
		look, err := vpn.Observe(ctx, e.ID)
		d, passErr := o.keeper.Reconcile(ctx, e.ID)
		if ctx.Err() != nil {
			return &told{context.Canceled, "stopped; what closes goes on closing", "nightlatch deploy destroy goes on from here"}
		}
		if err == nil && len(associated(look)) == 0 && (passErr == nil && d.State == latch.StateOff || errors.Is(passErr, latch.ErrNotFound)) {
			return nil
		}
		err = errors.Join(passErr, err)
		if err != nil && !errors.Is(err, latch.ErrBusy) && !errors.Is(err, latch.ErrUnavailable) && !errors.Is(err, latch.ErrConflict) {
			return err
		}
		if time.Since(began) > closeMost {
			return errors.Join(fmt.Errorf("it is not closed after %v: %s", closeMost, strings.Join(associated(look), ", ")), err)
		}
		bar.show(fmt.Sprintf("nightlatch: %s: closing: %s", e.Name, strings.Join(associated(look), ", ")))
		t := time.NewTimer(every)
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
	}
}
