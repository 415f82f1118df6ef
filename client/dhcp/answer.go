package dhcp

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// A message is a host's, with what it says in our words.
type message struct {
	*dhcpv4.DHCPv4
	host      hostKey
	requested netip.Addr // option 50
	has       netip.Addr // ciaddr: the address that the host uses already
	server    netip.Addr // option 54
}

// parse reads a datagram; reason says why it is none for us.
func parse(octets []byte) (m message, reason string) {
	d, err := dhcpv4.FromBytes(octets)
	switch {
	case err != nil || d.OpCode != dhcpv4.OpcodeBootRequest || d.MessageType() == dhcpv4.MessageTypeNone:
		return m, "malformed"
	case d.HWType != iana.HWTypeEthernet || len(d.ClientHWAddr) != 6 || d.ClientHWAddr[0]&1 != 0:
		return m, "malformed"
	case !d.GatewayIPAddr.IsUnspecified():
		return m, "relayed"
	}
	m = message{DHCPv4: d, requested: addrOf(d.RequestedIPAddress()), has: addrOf(d.ClientIPAddr), server: addrOf(d.ServerIdentifier())}
	m.host = hostKey("hw:" + string(d.ClientHWAddr))
	// RFC 2132 section 9.14: a client identifier has at least two octets; 255 is what an option holds.
	if id := d.GetOneOption(dhcpv4.OptionClientIdentifier); len(id) >= 2 && len(id) <= 255 {
		m.host = hostKey("id:" + string(id))
	}
	return m, ""
}

func addrOf(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// lease is what the host would have.
func (m message) lease(a netip.Addr) lease {
	return lease{address: a, host: m.host, hardware: m.ClientHWAddr, clientID: m.GetOneOption(dhcpv4.OptionClientIdentifier), name: printable(m.HostName())}
}

// printable is a host's name as it may go to a terminal.
func printable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), 64)], "")
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return -1
	}, s)
}

// receive takes a datagram from a host. What it answers goes to reply, perhaps later from another
// goroutine: an address is probed before it is offered.
func (p *server) receive(ctx context.Context, octets []byte, reply func(*dhcpv4.DHCPv4)) {
	now := time.Now()
	m, reason := parse(octets)
	if reason == "" && !p.admit(m, now) {
		reason = "overload"
	}
	if reason != "" {
		p.totals.drop(reason)
		return
	}
	p.totals.count(m.MessageType())
	send := func(d *dhcpv4.DHCPv4, why string) {
		p.cfg.Trace(m.ClientHWAddr.String(), func() string { return line(p.pool, m, d, why) })
		if d != nil {
			p.totals.count(d.MessageType())
			reply(d)
		}
	}
	if m.MessageType() == dhcpv4.MessageTypeDiscover {
		p.discover(ctx, m, now, send)
		return
	}
	p.mu.Lock()
	d, why := p.answer(m, now)
	p.mu.Unlock()
	send(d, why)
}

// admit bounds what hosts can cause. Hosts that have a lease have a budget of their own, so that a flood
// of strangers does not keep them from renewing.
func (p *server) admit(m message, now time.Time) bool {
	p.mu.Lock()
	l := p.book.hosts[m.host]
	known := l != nil && !l.offered
	p.mu.Unlock()
	if known {
		return p.known.take(now)
	}
	return p.unknown.take(now)
}

// discover offers an address, after a probe if nobody vouches for it.
func (p *server) discover(ctx context.Context, m message, now time.Time, send func(*dhcpv4.DHCPv4, string)) {
	p.mu.Lock()
	c, ok := p.book.choose(m.host, m.ClientHWAddr, m.requested, p.own, now)
	if ok {
		p.book.offer(m.lease(c.address), now) // nobody else is offered it meanwhile
	}
	p.mu.Unlock()
	switch {
	case !ok:
		p.totals.drop("exhausted")
		send(nil, "no address is free")
		return
	case !c.fresh:
		send(p.offer(m, c.address), "")
		return
	}
	select {
	case p.probes <- struct{}{}:
	default:
		p.totals.drop("overload")
		send(nil, "too many addresses are being probed")
		return
	}
	p.flying.Go(func() {
		defer func() { <-p.probes }()
		if d, why := p.probed(ctx, m, c.address); ctx.Err() == nil {
			send(d, why)
		}
	})
}

// probed is the offer of an address that nobody else has. The host asks again if somebody has.
func (p *server) probed(ctx context.Context, m message, a netip.Addr) (*dhcpv4.DHCPv4, string) {
	taken, err := p.cfg.Probe(ctx, p.pool.Interface, a, m.ClientHWAddr)
	if err != nil {
		p.cfg.Log.Warn("dhcp probe", "pool", p.pool.Name, "address", a.String(), "err", err)
	}
	if !taken {
		return p.offer(m, a), ""
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conflict(a, "arp", now)
	if l := p.book.leases[a]; l != nil && l.host == m.host {
		_ = p.book.drop(l) // an old lease, or an offer that is not in the store
	}
	return nil, fmt.Sprintf("%s is used by somebody else", a)
}

// conflict puts an address aside; p.mu is held.
func (p *server) conflict(a netip.Addr, method string, now time.Time) {
	p.book.putAside(a, method, now)
	p.totals.drop("conflict")
	p.cfg.Log.Warn("dhcp address conflict", "pool", p.pool.Name, "address", a.String(), "method", method, "hint", "a host has it as a static address: exclude it from the pool")
}

// answer is the reply to what is no DISCOVER; p.mu is held.
func (p *server) answer(m message, now time.Time) (d *dhcpv4.DHCPv4, why string) {
	switch m.MessageType() {
	case dhcpv4.MessageTypeRequest:
		return p.request(m, now)
	case dhcpv4.MessageTypeDecline:
		l := p.book.hosts[m.host]
		if m.server != p.own || l == nil || l.address != m.requested {
			return nil, "not its address to decline"
		}
		p.conflict(l.address, "decline", now)
		return nil, p.noted(p.book.drop(l))
	case dhcpv4.MessageTypeRelease:
		l := p.book.hosts[m.host]
		if m.server != p.own || l == nil || l.address != m.has || l.offered {
			return nil, "not its address to release"
		}
		return nil, p.noted(p.book.release(l, now))
	case dhcpv4.MessageTypeInform:
		if !p.pool.Network.Contains(m.has) {
			return nil, "not of this network"
		}
		return p.reply(m, dhcpv4.MessageTypeAck), "" // RFC 2131 section 4.3.5: no address, no lease time
	}
	return nil, "not for a server"
}

// noted logs that the store failed.
func (p *server) noted(err error) string {
	if err == nil {
		return ""
	}
	p.totals.drop("store")
	p.cfg.Log.Error("dhcp lease", "pool", p.pool.Name, "err", err)
	return err.Error()
}

// request is RFC 2131 section 4.3.2: a host that takes an offer, comes back, or renews.
func (p *server) request(m message, now time.Time) (*dhcpv4.DHCPv4, string) {
	l := p.book.hosts[m.host]
	wanted := m.requested
	switch {
	case m.server.IsValid(): // SELECTING
		if m.server != p.own {
			if l != nil && l.offered {
				_ = p.book.drop(l) // it took another server's offer; ours was not in the store
			}
			return nil, "it takes the offer of " + m.server.String()
		}
		if l == nil || l.address != wanted || !l.live(now) {
			return p.nak(m, "offer a new one first: discover")
		}
	case !m.has.IsValid(): // INIT-REBOOT
		if !p.pool.Network.Contains(wanted) {
			return p.nak(m, "not of this network")
		}
		if l == nil || l.offered {
			return nil, "unknown here" // RFC 2131: "it MUST remain silent"
		}
		if l.address != wanted {
			return p.nak(m, "another address is leased to it")
		}
	default: // RENEWING, REBINDING
		wanted = m.has
		if (l == nil || l.address != wanted) && !p.book.free(wanted, m.ClientHWAddr, p.own, now) {
			return p.nak(m, "not its address to renew")
		}
	}
	if !p.book.allows(wanted, m.ClientHWAddr) || p.book.inConflict(wanted, now) {
		return p.nak(m, "the pool no longer has this address for it")
	}
	if why := p.noted(p.book.bind(m.lease(wanted), now)); why != "" {
		return nil, why
	}
	d := p.reply(m, dhcpv4.MessageTypeAck)
	p.lend(d, wanted)
	return d, ""
}

func (p *server) offer(m message, a netip.Addr) *dhcpv4.DHCPv4 {
	d := p.reply(m, dhcpv4.MessageTypeOffer)
	p.lend(d, a)
	return d
}

func (p *server) nak(m message, why string) (*dhcpv4.DHCPv4, string) {
	d, err := dhcpv4.NewReplyFromRequest(m.DHCPv4, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(p.own.AsSlice())), dhcpv4.WithOption(dhcpv4.OptMessage(why)))
	if err != nil {
		return nil, err.Error()
	}
	return d, why
}

// reply is an answer with everything but an address.
func (p *server) reply(m message, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	v := p.settings()
	options := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(p.own.AsSlice())),
		dhcpv4.WithNetmask(net.CIDRMask(p.pool.Network.Bits(), 32)),
	}
	list := func(option func(...net.IP) dhcpv4.Option, addrs []netip.Addr) {
		if len(addrs) > 0 {
			options = append(options, dhcpv4.WithOption(option(ips(addrs)...)))
		}
	}
	list(dhcpv4.OptRouter, v.routers)
	list(dhcpv4.OptDNS, v.dns)
	list(dhcpv4.OptNetBIOSNameServers, v.wins)
	if v.domain != "" {
		options = append(options, dhcpv4.WithOption(dhcpv4.OptDomainName(v.domain)))
	}
	d, err := dhcpv4.NewReplyFromRequest(m.DHCPv4, options...)
	if err != nil {
		return nil // no randomness for an id that the request's replaces anyway
	}
	if m.has.IsValid() {
		d.ClientIPAddr = m.has.AsSlice()
	}
	return d
}

// lend adds the address and its times, RFC 2131 section 4.4.5.
func (p *server) lend(d *dhcpv4.DHCPv4, a netip.Addr) {
	if d == nil {
		return
	}
	d.YourIPAddr = a.AsSlice()
	d.UpdateOption(dhcpv4.OptIPAddressLeaseTime(p.pool.Lease))
	d.UpdateOption(dhcpv4.OptRenewTimeValue(p.pool.Lease / 2))
	d.UpdateOption(dhcpv4.OptRebindingTimeValue(p.pool.Lease * 7 / 8))
}

func ips(addrs []netip.Addr) []net.IP {
	out := make([]net.IP, len(addrs))
	for i, a := range addrs {
		out[i] = a.AsSlice()
	}
	return out
}

// line is what debug shows of a message and its answer.
func line(pool Pool, m message, d *dhcpv4.DHCPv4, why string) string {
	parts := []string{pool.Interface, m.MessageType().String()}
	for _, a := range []netip.Addr{m.requested, m.has} {
		if a.IsValid() && !slices.Contains(parts, a.String()) {
			parts = append(parts, a.String())
		}
	}
	if name := printable(m.HostName()); name != "" {
		parts = append(parts, fmt.Sprintf("(%s)", name))
	}
	answer := "no answer"
	if d != nil {
		answer = d.MessageType().String()
		if a := addrOf(d.YourIPAddr); a.IsValid() {
			answer += " " + a.String()
		}
	}
	text := strings.Join(parts, " ") + ": " + answer
	if why != "" {
		text += ": " + why
	}
	return text
}

func hexText(b []byte) string { return hex.EncodeToString(b) }
