package ec2_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/nightlatch/nightlatch/internal/standin/ec2"
)

func TestTerminate(t *testing.T) {
	terminate := func(g rig, connection, user *string) (string, error) {
		out, err := g.aws.TerminateClientVpnConnections(g.Context(), &awsec2.TerminateClientVpnConnectionsInput{
			ClientVpnEndpointId: new(id), ConnectionId: connection, Username: user})
		if err != nil {
			return "", err
		}
		s := aws.ToString(out.Username)
		for _, x := range out.ConnectionStatuses {
			s += fmt.Sprintf(" %s>%s", x.PreviousStatus.Code, x.CurrentStatus.Code)
		}
		return s, nil
	}
	open := func(c *ec2.Config) {
		c.AssociateTakes, c.TerminateTakes, c.Unconfirmed.NamesFederatedUsers = 0, 10*time.Second, true
	}
	bubble(t, open, func(t *testing.T, g rig) {
		g.associate(subnetA)
		var alice []string
		for range 6 {
			c, err := g.Connect(id, "alice")
			if err != nil {
				t.Fatal(err)
			}
			alice = append(alice, c)
		}
		_, err := terminate(g, nil, nil)
		g.refused("nobody", err, "MissingParameter")
		_, err = terminate(g, &alice[0], new("alice"))
		g.refused("both", err, "InvalidParameterCombination")
		_, err = terminate(g, new("cvpn-connection-0"), nil)
		g.refused("a connection that is not there", err, "InvalidClientVpnConnection.IdNotFound")
		_, err = terminate(g, nil, new("bob"))
		g.refused("a user who is not there", err, "InvalidClientVpnConnection.UserNotFound")
		_, err = terminate(g, nil, new("alice"))
		g.refused("six by name", err, "ClientVpnTerminateConnectionsLimitExceeded")
		if got, err := terminate(g, &alice[0], nil); got != " active>terminating" || err != nil {
			t.Errorf("one by its id: %q, %v", got, err)
		}
		if got, err := terminate(g, &alice[0], nil); got != " terminating>terminating" || err != nil {
			t.Errorf("the same again: %q, %v", got, err)
		}
		if got, err := terminate(g, nil, new("alice")); got != "alice"+strings.Repeat(" active>terminating", 5) || err != nil {
			t.Errorf("the other five by name: %q, %v", got, err)
		}
		if err := g.Send(alice[0], 1, 1); err == nil {
			t.Error("a connection carried traffic while it was terminating")
		}
		g.want("it takes its time", "available; subnet-0a associated; 10.0.0.0/16>subnet-0a associate creating; terminating terminating terminating terminating terminating terminating")
		time.Sleep(10 * time.Second)
		out, err := g.aws.DescribeClientVpnConnections(t.Context(), &awsec2.DescribeClientVpnConnectionsInput{ClientVpnEndpointId: new(id)})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range out.Connections {
			if c.Status.Code != types.ClientVpnConnectionStatusCodeTerminated || aws.ToString(c.ConnectionEndTime) != time.Now().UTC().Format("2006-01-02 15:04:05") {
				t.Errorf("after ten seconds %s ended %q", c.Status.Code, aws.ToString(c.ConnectionEndTime))
			}
		}
		_, err = terminate(g, nil, new("alice"))
		g.refused("a user who has gone", err, "InvalidClientVpnConnection.UserNotFound")
	})
	bubble(t, func(c *ec2.Config) { open(c); c.Unconfirmed.NamesFederatedUsers = false }, func(t *testing.T, g rig) {
		g.associate(subnetA)
		if _, err := g.Connect(id, "alice"); err != nil {
			t.Fatal(err)
		}
		_, err := terminate(g, nil, new("alice"))
		g.refused("a federated user whom EC2 does not name", err, "InvalidClientVpnConnection.UserNotFound")
	})
}

// The longest session ends a connection that somebody forgot.
func TestSessionTimeout(t *testing.T) {
	bubble(t, func(c *ec2.Config) { c.AssociateTakes = 0 }, func(t *testing.T, g rig) {
		g.associate(subnetA)
		if _, err := g.Connect(id, "alice"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Hour)
		if _, err := g.aws.ModifyClientVpnEndpoint(t.Context(), &awsec2.ModifyClientVpnEndpointInput{ClientVpnEndpointId: new(id), SessionTimeoutHours: new(int32(8))}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - time.Second)
		if got := g.Snapshot().Endpoints[0].Connections[0].Status; got != "active" {
			t.Errorf("before eight hours: %s", got)
		}
		time.Sleep(minute)
		if got := g.Snapshot().ConnectionSeconds; got != (8 * time.Hour).Seconds() {
			t.Errorf("billed %v seconds of a session that may last eight hours", got)
		}
	})
}
