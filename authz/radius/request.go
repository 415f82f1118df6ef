package radius

import (
	"fmt"
	"net/netip"

	"layeh.com/radius"

	"flexvpn/authz"
	"flexvpn/radiusdict"
)

// Values of Service-Type and NAS-Port-Type.
const (
	serviceLogin    = 1 // what IOS sends with EAP
	serviceOutbound = 5 // an authorization that authenticates nobody
	portVirtual     = 5
)

// a builds a list of attributes.
type attrs struct{ radius.Attributes }

func (a *attrs) number(t radius.Type, v uint32) { a.Add(t, radius.NewInteger(v)) }

// text adds what is there, cut to what an attribute can hold.
func (a *attrs) text(t radius.Type, v string) {
	if v != "" {
		a.Add(t, radius.Attribute(v[:min(len(v), maxAttr)]))
	}
}

// address adds an address under the type of its family.
func (a *attrs) address(four, six radius.Type, v netip.Addr) {
	if v = v.Unmap(); v.Is4() {
		a.Add(four, v.AsSlice())
	} else if v.Is6() {
		a.Add(six, v.AsSlice())
	}
}

// pair adds a Cisco-AVPair.
func (a *attrs) pair(name, value string) {
	text := name + "=" + value
	text = text[:min(len(text), maxAttr-6)]
	v := append([]byte{0, 0, 0, radiusdict.VendorCisco, radiusdict.CiscoAVPair, byte(2 + len(text))}, text...)
	a.Add(attrVendorSpecific, v)
}

// nasAttributes say which node asks.
func (c *Client) nasAttributes(p *port) radius.Attributes {
	var a attrs
	addr := c.nas.address
	if !addr.IsValid() && p != nil {
		addr = p.server.Source
	}
	if addr.IsValid() {
		a.address(attrNASIPAddress, attrNASIPv6Address, addr)
	}
	a.text(attrNASIdentifier, c.nas.identifier)
	return a.Attributes
}

// session adds what every request about a session tells.
func (c *Client) session(a *attrs, s authz.SessionFacts) {
	if c.nas.address.IsValid() {
		a.address(attrNASIPAddress, attrNASIPv6Address, c.nas.address)
	} else if s.Local.IsValid() {
		a.address(attrNASIPAddress, attrNASIPv6Address, s.Local.Addr())
	}
	a.text(attrNASIdentifier, c.nas.identifier)
	a.number(attrNASPortType, portVirtual)
	if s.Number != 0 {
		a.number(attrNASPort, s.Number)
	}
	a.text(attrNASPortID, s.Interface)
	if s.Local.IsValid() {
		a.text(attrCalledStationID, s.Local.Addr().Unmap().String())
	}
	if s.Remote.IsValid() {
		a.text(attrCallingStationID, s.Remote.Addr().Unmap().String())
	}
	a.text(attrAcctSessionID, s.ID)
	if s.AuditID != "" {
		a.pair("audit-session-id", s.AuditID)
	}
	if s.Identity != "" {
		a.pair("isakmp-phase1-id", s.Identity)
	}
}

// Ask asks a group for the attributes of a user or group, or for a key. done is called once, on any
// goroutine.
func (c *Client) Ask(q authz.Ask, done func(authz.Answer)) {
	var a attrs
	a.text(attrUserName, q.User)
	a.number(attrServiceType, serviceOutbound)
	c.session(&a, q.Session)
	g := c.groups[q.Group]
	if g == nil || len(q.User) > maxAttr {
		done(authz.Answer{Err: fmt.Errorf("server group %q cannot be asked for %q", q.Group, clipped(q.User))})
		return
	}
	c.send(radius.CodeAccessRequest, a.Attributes, q.Password, g.auth, requestLimit, func(got *answer, err error) {
		given := asAnswer(got, err)
		if got != nil {
			c.countUnusable(got.from, given.Err)
		}
		done(given)
	})
}

func clipped(s string) string { return s[:min(len(s), 80)] }

func asAnswer(got *answer, err error) authz.Answer {
	if err != nil {
		return authz.Answer{Err: err}
	}
	reply, err := readReply(got.Packet, got.request)
	out := authz.Answer{Server: got.server, Err: err}
	switch {
	case got.Code == radius.CodeAccessReject:
		out.Err = rejected(reply, err)
	case got.Code == radius.CodeAccessChallenge:
		out.Err = fmt.Errorf("%w: the server asks for more than a password (Access-Challenge)", authz.ErrRejected)
	case err != nil:
		out.Err = fmt.Errorf("the server's answer cannot be used: %w", err)
	default:
		out.Reply = reply
	}
	return out
}

// rejected is the error of an Access-Reject, with the server's own words when it says any.
func rejected(reply *radiusdict.Reply, err error) error {
	if err != nil || reply.Message == "" {
		return authz.ErrRejected
	}
	return fmt.Errorf("%w: %s", authz.ErrRejected, reply.Message)
}
