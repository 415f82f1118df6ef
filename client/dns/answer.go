package dns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// An asker is the host that asks.
type asker struct {
	addr   netip.Addr
	device string // the interface it is behind
	tcp    bool
}

// respond is the reply to the octets of a query, nil when there must be none.
func (p *Proxy) respond(ctx context.Context, octets []byte, from asker) []byte {
	q := new(dns.Msg)
	if err := q.Unpack(octets); err != nil {
		p.totals.drop("malformed")
		return formatError(octets)
	}
	if q.Response {
		p.totals.drop("response") // answering answers would let two servers talk for ever
		return nil
	}
	reply := p.reply(ctx, q, from)
	size := dns.MaxMsgSize
	if !from.tcp {
		size = udpSize(q)
	}
	reply.Truncate(size)
	b, err := reply.Pack()
	if err != nil {
		reply = header(q, dns.RcodeServerFailure)
		b, _ = reply.Pack() // the question was unpacked from octets
	}
	return b
}

// formatError answers what cannot be read, if it has a header that says who asks: RFC 1035 section 4.1.1.
func formatError(octets []byte) []byte {
	const headerSize = 12
	if len(octets) < headerSize || octets[2]&0x80 != 0 {
		return nil
	}
	m := new(dns.Msg)
	m.Id = uint16(octets[0])<<8 | uint16(octets[1])
	m.Response, m.Rcode = true, dns.RcodeFormatError
	b, _ := m.Pack() // a bare header
	return b
}

// udpSize is how much the asker takes: 512 octets without EDNS (RFC 1035 section 4.2.1).
func udpSize(q *dns.Msg) int {
	if opt := q.IsEdns0(); opt != nil {
		return int(min(max(opt.UDPSize(), dns.MinMsgSize), ednsSize))
	}
	return dns.MinMsgSize
}

// header is a reply without records, with EDNS where the query has it (RFC 6891 section 6.1.1).
func header(q *dns.Msg, rcode int) *dns.Msg {
	m := new(dns.Msg)
	m.Id, m.Response, m.Opcode, m.Rcode = q.Id, true, q.Opcode, rcode
	m.RecursionDesired, m.RecursionAvailable, m.CheckingDisabled = q.RecursionDesired, true, q.CheckingDisabled
	if len(q.Question) == 1 {
		m.Question = q.Question
	}
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(ednsSize, opt.Do())
	}
	return m
}

// refuse says why a query is not taken on at all.
func refuse(q *dns.Msg) (rcode int, refused bool) {
	opt := q.IsEdns0()
	switch {
	case q.Opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented, true
	case len(q.Question) != 1:
		return dns.RcodeFormatError, true
	case opt != nil && opt.Version() != 0: // RFC 6891 section 6.1.3
		return dns.RcodeBadVers, true
	}
	switch t := q.Question[0].Qtype; {
	case t == dns.TypeAXFR || t == dns.TypeIXFR || q.Question[0].Qclass != dns.ClassINET:
		return dns.RcodeRefused, true
	case t == dns.TypeOPT || t == dns.TypeTSIG || t == dns.TypeTKEY: // meta types, no questions
		return dns.RcodeFormatError, true
	}
	return 0, false
}

func (p *Proxy) reply(ctx context.Context, q *dns.Msg, from asker) *dns.Msg {
	if rcode, refused := refuse(q); refused {
		p.totals.drop("refused")
		return header(q, rcode)
	}
	began := time.Now()
	opt := q.IsEdns0()
	do := opt != nil && opt.Do()
	asked := q.Question[0]
	full := p.complete(asked, from.device)
	m, found, way, err := p.find(ctx, full, do, q.CheckingDisabled, from.device)
	reply := header(q, dns.RcodeServerFailure)
	if m != nil {
		fill(reply, m, q.AuthenticatedData || do)
		if full.Name != asked.Name && len(m.Answer) > 0 {
			reply.Answer = slices.Insert(reply.Answer, 0, alias(asked, full, m.Answer[0].Header().Ttl))
		}
	}
	explain(reply, found, err)
	p.totals.answered(way.view != "" || found == fromStale, found)
	p.cfg.Trace(from.addr.String(), func() string {
		return line(asked, full, from, way, found, reply.Rcode, len(reply.Answer), err, time.Since(began))
	})
	return reply
}

// find resolves a question the way the table says.
func (p *Proxy) find(ctx context.Context, q dns.Question, do, cd bool, device string) (*dns.Msg, origin, path, error) {
	way, away := p.table.Load().match(q.Name, device)
	if way.view == "" && len(away) > 0 {
		if m := p.remembered(q, do, cd, away); m != nil {
			return m, fromStale, way, nil
		}
	}
	if way.view == "" {
		for _, a := range p.cfg.Default() {
			way.servers = append(way.servers, server{addr: a})
		}
	}
	m, found, err := p.resolve(ctx, q, do, cd, way)
	return m, found, way, err
}

// complete makes a full name of a host's short one with the hub's default domain, for those who ask for
// addresses: hosts with static settings have no search list.
func (p *Proxy) complete(q dns.Question, device string) dns.Question {
	if q.Qtype != dns.TypeA && q.Qtype != dns.TypeAAAA || dns.CountLabel(q.Name) != 1 {
		return q
	}
	t := p.table.Load()
	if way, _ := t.match(q.Name, device); way.view != "" {
		return q // the label itself is a domain of a view
	}
	if suffix := t.suffix(device); suffix != "" && len(q.Name)+len(suffix) < 255 {
		q.Name += suffix
	}
	return q
}

func alias(short, full dns.Question, ttl uint32) dns.RR {
	return &dns.CNAME{Hdr: dns.RR_Header{Name: short.Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: ttl}, Target: full.Name}
}

// fill takes the records of an answer over; what belongs to the hop to the server stays there.
func fill(reply, m *dns.Msg, authentic bool) {
	reply.Rcode = m.Rcode
	reply.AuthenticatedData = m.AuthenticatedData && authentic
	reply.Answer, reply.Ns = m.Answer, m.Ns
	for _, rr := range m.Extra {
		switch rr.Header().Rrtype {
		case dns.TypeOPT, dns.TypeTSIG, dns.TypeSIG:
		default:
			reply.Extra = append(reply.Extra, rr)
		}
	}
	if reply.Rcode > 0xf && reply.IsEdns0() == nil {
		reply.Rcode = dns.RcodeServerFailure // an extended code needs EDNS to be told
	}
}

// explain adds why an answer is what it is, for those who can read it (RFC 8914).
func explain(reply *dns.Msg, found origin, err error) {
	opt := reply.IsEdns0()
	switch {
	case opt == nil:
	case found == fromStale:
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeStaleAnswer})
	case err != nil:
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeNoReachableAuthority, ExtraText: clip(err.Error())})
	}
}

// clip keeps an explanation short enough for a datagram.
func clip(s string) string { return s[:min(len(s), 200)] }

// line is what debug shows of a query; names are printed in presentation format, which escapes whatever
// is not printable.
func line(asked, full dns.Question, from asker, way path, found origin, rcode, answers int, err error, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", from.device, dns.Type(asked.Qtype), asked.Name)
	if full.Name != asked.Name {
		fmt.Fprintf(&b, " as %s", full.Name)
	}
	view := "default"
	if way.view != "" {
		view = way.view
	}
	fmt.Fprintf(&b, ": view %s, from %s, %s, %d answers, %s", view, found, dns.RcodeToString[rcode], answers, took.Round(100*time.Microsecond))
	if err != nil {
		fmt.Fprintf(&b, ": %v", err)
	}
	return b.String()
}
