package radius

import (
	"encoding/binary"
	"errors"
	"fmt"

	"layeh.com/radius"

	"flexvpn/authz"
	"flexvpn/secret"
)

// Bounds of one EAP conversation. EAP-TLS with long chains takes some twenty rounds.
const (
	maxRounds = 50
	maxEAP    = 3500 // octets of a packet that fits a request with everything else
	framedMTU = 1100 // what servers should send in one piece: IKE fragments above 1280
)

// EAP passes EAP through to a group of servers (RFC 3579). It implements authz.EAPAuthenticator.
type EAP struct {
	client *Client
	group  *group
	lists  authz.ListNetworks
}

// EAP makes an authenticator of the group called name, which must be configured.
func (c *Client) EAP(name string, lists authz.ListNetworks) *EAP {
	return &EAP{client: c, group: c.groups[name], lists: lists}
}

// Begin implements authz.EAPAuthenticator.
func (e *EAP) Begin(peer authz.EAPPeer) authz.EAPConversation {
	return &conversation{by: e, peer: peer, ports: e.group.auth}
}

// A conversation is one peer's. Its fields are touched by one call of Respond at a time and by the
// callback that ends it.
type conversation struct {
	by     *EAP
	peer   authz.EAPPeer
	ports  []*port // after the first answer the one server that keeps the state
	state  []byte
	rounds int
}

// Respond implements authz.EAPConversation.
func (c *conversation) Respond(packet []byte, done func(authz.EAPResult)) {
	c.rounds++
	if err := c.check(packet); err != nil {
		c.by.client.countUnusable(c.ports[0], err)
		done(authz.EAPResult{Err: err})
		return
	}
	id := packet[1]
	c.by.client.send(radius.CodeAccessRequest, c.request(packet), secret.Bytes{}, c.ports, requestLimit, func(a *answer, err error) {
		r := c.result(id, a, err)
		if a != nil {
			c.by.client.countUnusable(a.from, r.Err)
		}
		done(r)
	})
}

// check holds what a peer may send to the bounds.
func (c *conversation) check(packet []byte) error {
	switch n := len(packet); {
	case c.rounds > maxRounds:
		return label(unusableRounds, fmt.Errorf("the conversation has not ended after %d rounds", maxRounds))
	case n > maxEAP:
		return label(unusableOversized, fmt.Errorf("%w: an EAP packet of %d octets, at most %d are carried", authz.ErrEAPRejected, n, maxEAP))
	case n < 4:
		return fmt.Errorf("%w: an EAP packet of %d octets", authz.ErrEAPRejected, n)
	}
	return nil
}

// request is an Access-Request with an EAP packet in pieces (RFC 3579 section 3.1).
func (c *conversation) request(packet []byte) radius.Attributes {
	var a attrs
	a.text(attrUserName, c.peer.Identity)
	a.number(attrServiceType, serviceLogin)
	a.number(attrFramedMTU, framedMTU)
	c.by.client.session(&a, c.peer.Facts)
	for rest := packet; len(rest) > 0; {
		n := min(len(rest), maxAttr)
		a.Add(attrEAPMessage, append(radius.Attribute(nil), rest[:n]...))
		rest = rest[n:]
	}
	if c.state != nil {
		a.Add(attrState, c.state)
	}
	return a.Attributes
}

// result is what the server's answer means for the conversation.
func (c *conversation) result(id byte, a *answer, err error) authz.EAPResult {
	if err != nil {
		return authz.EAPResult{Err: err}
	}
	packet, err := eapOf(a.Packet)
	if err != nil {
		return authz.EAPResult{Err: err}
	}
	switch a.Code {
	case radius.CodeAccessChallenge:
		return c.challenged(a, packet)
	case radius.CodeAccessAccept:
		return c.accepted(id, a, packet)
	}
	reply, err := readReply(a.Packet, a.request)
	why := authz.ErrEAPRejected
	if err == nil && reply.Message != "" {
		why = fmt.Errorf("%w: %s", why, reply.Message)
	}
	if len(packet) == 0 || packet[0] != eapFailure {
		packet = nil
	}
	return authz.EAPResult{Packet: packet, Err: fmt.Errorf("server %s: %w", a.server, why)}
}

// Codes of EAP (RFC 3748 section 4).
const (
	eapRequest = 1
	eapSuccess = 3
	eapFailure = 4
)

var errNoEAP = label(unusableEAP, errors.New("the server answers EAP without EAP-Message: enable EAP for this user there"))

// eapOf joins the pieces of an answer's EAP packet; it is empty when there is none.
func eapOf(p *radius.Packet) ([]byte, error) {
	var packet []byte
	for _, a := range p.Attributes {
		if a.Type == attrEAPMessage {
			packet = append(packet, a.Attribute...)
		}
	}
	if len(packet) > 0 && (len(packet) < 4 || int(binary.BigEndian.Uint16(packet[2:])) != len(packet)) {
		return nil, label(unusableEAP, fmt.Errorf("the server's EAP packet of %d octets has another length inside", len(packet)))
	}
	return packet, nil
}

func (c *conversation) challenged(a *answer, packet []byte) authz.EAPResult {
	if len(packet) == 0 || packet[0] != eapRequest {
		return authz.EAPResult{Err: errNoEAP}
	}
	c.state = nil
	if state, ok := a.Lookup(attrState); ok {
		c.state = append([]byte{}, state...)
	}
	c.ports = []*port{a.from}
	return authz.EAPResult{Packet: packet}
}

func (c *conversation) accepted(id byte, a *answer, packet []byte) authz.EAPResult {
	reply, err := readReply(a.Packet, a.request)
	if err != nil {
		return authz.EAPResult{Err: fmt.Errorf("the answer of server %s cannot be used: %w", a.server, err)}
	}
	msk, err := sessionKey(a.Packet, a.request)
	if err != nil {
		return authz.EAPResult{Err: fmt.Errorf("server %s: %w", a.server, err)}
	}
	given, err := authz.FromRADIUS(reply, authz.Origin("radius eap "+safe([]byte(c.peer.Identity))), c.by.lists)
	if err != nil {
		return authz.EAPResult{Err: err}
	}
	if len(packet) == 0 { // RFC 3579 section 2.6.3 has it there; some servers leave it out
		packet = []byte{eapSuccess, id, 0, 4}
	}
	if packet[0] != eapSuccess {
		return authz.EAPResult{Err: label(unusableEAP, fmt.Errorf("server %s accepts, but its EAP packet is no success", a.server))}
	}
	return authz.EAPResult{Packet: packet, Done: true, MSK: msk, Identity: reply.UserName, Attributes: given, Notes: reply.Notes, Server: a.server}
}

// Close implements authz.EAPConversation. A request under way ends by itself.
func (c *conversation) Close() {}
