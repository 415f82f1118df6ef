package client

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"flexvpn/profile"
)

// The messages of IOS: as text for people and for the parsers of others, with the same facts as
// fields. Their order is that of a router: a session that is lost tells DOWN, then the line protocol;
// a new one the line protocol, then UP.

func (c *Client) sayLineProtocol(up bool) {
	name := c.cfg.Client.Tunnel.Name
	c.cfg.Log.Info(fmt.Sprintf("%%LINEPROTO-5-UPDOWN: Line protocol on Interface %s, changed state to %s", name, upDown(up)),
		"event", "LINEPROTO_UPDOWN", "client", c.Name(), "interface", name, "state", upDown(up))
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

// sayUp tells that a session carries the traffic; alone says that none did before.
func (s *session) sayUp(bool) {
	c := s.client
	s.said = true
	identity := profile.IdentityText(s.remote)
	c.cfg.Log.Info("session up", "client", c.Name(), "identity", identity, "peer", s.path.Remote.String(),
		"session", s.name(), "interface", c.tunnel.Name, "addresses", s.pushed.Addresses)
	s.saySession(true)
	fields := []any{
		"event", "FLEXVPN_CONNECTION_UP", "client", c.Name(), "client_public_addr", s.path.Local.Addr().String(),
		"server_public_addr", s.path.Remote.Addr().String(), "assigned", s.pushed.Addresses,
	}
	c.cfg.Log.Info("%FLEXVPN-6-FLEXVPN_CONNECTION_UP: "+s.connection()+assignedText(s.pushed.Addresses), fields...)
}

// sayDown tells that a session that was told to be up is no more, once.
func (s *session) sayDown() {
	if !s.said {
		return
	}
	s.said = false
	c := s.client
	c.totals.leftFor(cmp.Or(s.left, byOther))
	s.saySession(false)
	c.cfg.Log.Info("%FLEXVPN-6-FLEXVPN_CONNECTION_DOWN: "+s.connection(), "event", "FLEXVPN_CONNECTION_DOWN", "client", c.Name(),
		"client_public_addr", s.path.Local.Addr().String(), "server_public_addr", s.path.Remote.Addr().String())
}

func (s *session) saySession(up bool) {
	state := strings.ToUpper(upDown(up))
	identity := profile.IdentityText(s.remote)
	s.client.cfg.Log.Info(fmt.Sprintf("%%CRYPTO-5-IKEV2_SESSION_STATUS: Crypto tunnel v2 is %s.  Peer %s       Id: %s", state, s.path.Remote, identity),
		"event", "IKEV2_SESSION_STATUS", "client", s.client.Name(), "state", state, "peer", s.path.Remote.String(), "identity", identity)
}

func (s *session) connection() string {
	return fmt.Sprintf("FlexVPN(%s) Client_public_addr = %s Server_public_addr = %s", s.client.Name(), s.path.Local.Addr(), s.path.Remote.Addr())
}

func assignedText(addrs []netip.Addr) string {
	var b strings.Builder
	for _, a := range addrs {
		family := "v4"
		if a.Is6() {
			family = "v6"
		}
		fmt.Fprintf(&b, " Assigned_Tunnel_%s_addr = %s", family, a)
	}
	return b.String()
}
