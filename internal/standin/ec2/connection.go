package ec2

import (
	"strconv"
	"time"
)

// connectionXML has strings where one would expect numbers and times: so has EC2.
type connectionXML struct {
	EndpointID     string      `xml:"clientVpnEndpointId"`
	Timestamp      string      `xml:"timestamp"`
	ID             string      `xml:"connectionId"`
	Username       string      `xml:"username,omitempty"`
	Established    string      `xml:"connectionEstablishedTime"`
	IngressBytes   string      `xml:"ingressBytes"`
	EgressBytes    string      `xml:"egressBytes"`
	IngressPackets string      `xml:"ingressPackets"`
	EgressPackets  string      `xml:"egressPackets"`
	ClientIP       string      `xml:"clientIp"`
	CommonName     string      `xml:"commonName,omitempty"`
	Status         statusXML   `xml:"status"`
	Ended          string      `xml:"connectionEndTime,omitempty"`
	Postures       set[string] `xml:"postureComplianceStatusSet"`
}

func (v connectionXML) field(name string) []string {
	switch name {
	case "connection-id":
		return []string{v.ID}
	case "username":
		return []string{v.Username}
	}
	return nil
}

func (s *Server) describeConnections(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	const stamp = "2006-01-02 15:04:05" // UTC, as in the API Reference's example
	packets := func(bytes uint64) string { return strconv.FormatUint((bytes+1399)/1400, 10) }
	var views []connectionXML
	for _, c := range e.Connections {
		v := connectionXML{
			EndpointID:     e.ID,
			Timestamp:      now.Format(stamp),
			ID:             c.ID,
			Established:    c.Since.Format(stamp),
			IngressBytes:   strconv.FormatUint(c.Ingress, 10),
			EgressBytes:    strconv.FormatUint(c.Egress, 10),
			IngressPackets: packets(c.Ingress),
			EgressPackets:  packets(c.Egress),
			ClientIP:       c.ClientIP,
			Status:         statusXML{Code: c.status(now)},
		}
		if v.Status.Code == "terminated" {
			v.Ended = c.Ended.Format(stamp)
			v.Timestamp = v.Ended
		}
		if s.cfg.Unconfirmed.NamesFederatedUsers {
			v.Username, v.CommonName = c.User, c.User
		}
		views = append(views, v)
	}
	return describe(p, views, connectionXML.field, func(page []connectionXML, next string) result {
		return &struct {
			reply
			Items set[connectionXML] `xml:"connections"`
			Next  string             `xml:"nextToken,omitempty"`
		}{Items: set[connectionXML]{page}, Next: next}
	})
}

// byName is how many connections TerminateClientVpnConnections ends by the name of their user.
const byName = 5

type terminatedXML struct {
	ID       string    `xml:"connectionId"`
	Previous statusXML `xml:"previousStatus"`
	Current  statusXML `xml:"currentStatus"`
}

// terminate ends one connection, or all of one user. It knows users by name as far as DescribeClientVpnConnections does.
// That the two parameters exclude each other is not in AWS's documents.
func (s *Server) terminate(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	id, user := p["ConnectionId"], p["Username"]
	if id != "" && user != "" {
		return nil, refuse("InvalidParameterCombination", "ConnectionId and Username cannot be specified together")
	}
	if id == "" && user == "" {
		return nil, refuse("MissingParameter", "The request must contain the parameter ConnectionId or Username")
	}
	var chosen []*connection
	for _, c := range e.Connections {
		if c.ID == id || user != "" && s.cfg.Unconfirmed.NamesFederatedUsers && c.User == user && c.active() {
			chosen = append(chosen, c)
		}
	}
	switch {
	case len(chosen) == 0 && id != "":
		return nil, refuse("InvalidClientVpnConnection.IdNotFound", "Connection %s does not exist at endpoint %s", id, e.ID)
	case len(chosen) == 0:
		return nil, refuse("InvalidClientVpnConnection.UserNotFound", "User %s does not have an active connection to endpoint %s", user, e.ID)
	case len(chosen) > byName:
		return nil, refuse("ClientVpnTerminateConnectionsLimitExceeded", "User %s has %d connections to endpoint %s; at most %d can be terminated by name", user, len(chosen), e.ID, byName)
	}
	out := &struct {
		reply
		EndpointID string             `xml:"clientVpnEndpointId"`
		Username   string             `xml:"username,omitempty"`
		Statuses   set[terminatedXML] `xml:"connectionStatuses"`
	}{EndpointID: e.ID, Username: user}
	for _, c := range chosen {
		before, after := c.status(now), c.status(now)
		if c.active() {
			c.Ended, after = now.Add(s.cfg.TerminateTakes), "terminating"
		}
		out.Statuses.Items = append(out.Statuses.Items, terminatedXML{c.ID, statusXML{Code: before}, statusXML{Code: after}})
	}
	return out, nil
}
