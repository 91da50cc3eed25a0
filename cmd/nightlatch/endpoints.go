package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// vpns is latch.VPN for endpoints of several Regions and accounts: each call goes to the adapter of its endpoint's.
type vpns map[latch.EndpointID]latch.VPN

// deadmen is the same for latch.Deadman.
type deadmen map[latch.EndpointID]latch.Deadman

// of is the adapter for an endpoint, or latch.ErrNotFound when it is not configured.
func of[A any](adapters map[latch.EndpointID]A, id latch.EndpointID) (A, error) {
	a, ok := adapters[id]
	if !ok {
		return a, fmt.Errorf("endpoint %s is not configured: %w", id, latch.ErrNotFound)
	}
	return a, nil
}

func (m vpns) Observe(ctx context.Context, id latch.EndpointID) (latch.Observation, error) {
	v, err := of(m, id)
	if err != nil {
		return latch.Observation{}, err
	}
	return v.Observe(ctx, id)
}

func (m vpns) Associate(ctx context.Context, id latch.EndpointID, subnet latch.SubnetID, token string) (latch.Association, error) {
	v, err := of(m, id)
	if err != nil {
		return latch.Association{}, err
	}
	return v.Associate(ctx, id, subnet, token)
}

func (m vpns) Disassociate(ctx context.Context, id latch.EndpointID, association latch.AssociationID) error {
	v, err := of(m, id)
	if err != nil {
		return err
	}
	return v.Disassociate(ctx, id, association)
}

func (m vpns) CreateRoute(ctx context.Context, id latch.EndpointID, r latch.Route) error {
	v, err := of(m, id)
	if err != nil {
		return err
	}
	return v.CreateRoute(ctx, id, r)
}

func (m vpns) ApplyGroups(ctx context.Context, id latch.EndpointID, vpc latch.VPCID, groups []latch.GroupID) error {
	v, err := of(m, id)
	if err != nil {
		return err
	}
	return v.ApplyGroups(ctx, id, vpc, groups)
}

func (m deadmen) Arm(ctx context.Context, id latch.EndpointID, association latch.AssociationID, at time.Time) error {
	d, err := of(m, id)
	if err != nil {
		return err
	}
	return d.Arm(ctx, id, association, at)
}

func (m deadmen) Disarm(ctx context.Context, id latch.EndpointID, association latch.AssociationID) error {
	d, err := of(m, id)
	if err != nil {
		return err
	}
	return d.Disarm(ctx, id, association)
}
