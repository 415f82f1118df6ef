package dns

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Whatever a host sends, the proxy lives, and what it answers is a reply with the query's id that can be
// read and fits.
func FuzzQuery(f *testing.F) {
	for _, q := range []*dns.Msg{
		new(dns.Msg).SetQuestion("a.example.net.", dns.TypeA), new(dns.Msg).SetAxfr("example.net."),
		new(dns.Msg).SetUpdate("example.net."), new(dns.Msg).SetEdns0(4096, true),
		{},
	} {
		b, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	p := New(Config{
		Default: func() []netip.Addr { return addrs("192.0.2.53") },
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
		Dial: func(context.Context, string, netip.AddrPort, string) (net.Conn, error) {
			return nil, errors.New("no network")
		},
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		got := p.respond(t.Context(), b, host)
		if got == nil {
			return
		}
		m := new(dns.Msg)
		if err := m.Unpack(got); err != nil {
			t.Fatalf("the reply %x cannot be read: %v", got, err)
		}
		if !m.Response || m.Id != uint16(b[0])<<8|uint16(b[1]) || len(got) > ednsSize {
			t.Errorf("the reply to %x is %v", b, m)
		}
	})
}

// Whatever a server sends, it is no answer unless it matches, and then it can be handed on.
func FuzzReply(f *testing.F) {
	q := query(dns.Question{Name: "a.example.net.", Qtype: dns.TypeA, Qclass: dns.ClassINET}, true, false)
	q.Id = 4711
	for _, m := range []*dns.Msg{gives("10.0.0.1", 60)(q, "udp")[0], q, new(dns.Msg).SetRcode(q, dns.RcodeNameError)} {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	c := newCache(16)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil || !replies(m, q) {
			return
		}
		reply := header(new(dns.Msg).SetQuestion("A.example.NET.", dns.TypeA), 0)
		fill(reply, m, true)
		reply.Truncate(dns.MinMsgSize)
		if out, err := reply.Pack(); err == nil && len(out) > dns.MinMsgSize {
			t.Errorf("%d octets for a host that takes 512", len(out))
		}
		c.put(key{name: "a.example.net."}, m, t0)
		c.get(key{name: "a.example.net."}, t0)
	})
}

var t0 = time.Unix(1<<30, 0)
