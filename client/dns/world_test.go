package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// A fakeServer answers a query with messages, in order; none is silence.
type fakeServer func(q *dns.Msg, network string) []*dns.Msg

// A world is a proxy with servers in memory, inside a bubble of virtual time.
type world struct {
	*Proxy
	t       *testing.T
	log     *strings.Builder
	mu      sync.Mutex
	servers map[string]fakeServer
	asked   []string // "device server network name"
	routes  map[string]string
}

func inWorld(t *testing.T, lists []List, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, log: &strings.Builder{}, servers: map[string]fakeServer{}, routes: map[string]string{}}
		w.Proxy = New(Config{
			Interfaces: func() []string { return nil }, Lists: lists,
			Default: func() []netip.Addr { return addrs("192.0.2.53") },
			RouteTo: func(a netip.Addr, _ string) (string, error) {
				if d, ok := w.routes[a.String()]; ok {
					return d, nil
				}
				return "", errors.New("network is unreachable")
			},
			Log: slog.New(slog.NewTextHandler(w.log, nil)), Dial: w.dial,
		})
		f(w)
		synctest.Wait()
	})
}

func addrs(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// packets is a pipe whose ends the dns library takes for datagram sockets.
type packets struct{ net.Conn }

func (packets) ReadFrom([]byte) (int, net.Addr, error) { panic("not used") }
func (packets) WriteTo([]byte, net.Addr) (int, error)  { panic("not used") }
func (w *world) dial(_ context.Context, network string, s netip.AddrPort, device string) (net.Conn, error) {
	w.mu.Lock()
	serve := w.servers[s.Addr().String()]
	w.mu.Unlock()
	ours, theirs := net.Pipe()
	a, b := net.Conn(ours), net.Conn(theirs)
	if network == "udp" {
		a, b = packets{ours}, packets{theirs}
	}
	go func() {
		defer func() { _ = theirs.Close() }()
		c := &dns.Conn{Conn: b, UDPSize: dns.MaxMsgSize}
		q, err := c.ReadMsg()
		if err != nil {
			return
		}
		w.mu.Lock()
		w.asked = append(w.asked, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", device, s.Addr(), network, q.Question[0].Name)))
		w.mu.Unlock()
		if serve != nil {
			for _, m := range serve(q, network) {
				if c.WriteMsg(m) != nil {
					return
				}
			}
		}
		_, _ = c.ReadMsg() // until the other end closes
	}()
	return a, nil
}

// takeAsked is what servers were asked since the last call.
func (w *world) takeAsked() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.asked
	w.asked = nil
	return out
}

func (w *world) serve(addr string, s fakeServer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers[addr] = s
}

// gives is a server that answers every A and AAAA query with an address, and nothing else.
func gives(addr string, ttl uint32) fakeServer {
	return func(q *dns.Msg, _ string) []*dns.Msg {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		m.Answer = []dns.RR{record(fmt.Sprintf("%s %d IN A %s", q.Question[0].Name, ttl, addr))}
		return []*dns.Msg{m}
	}
}

func record(s string) dns.RR {
	rr, err := dns.NewRR(s)
	if err != nil {
		panic(err)
	}
	return rr
}

func silent(*dns.Msg, string) []*dns.Msg { return nil }

var host = asker{addr: netip.MustParseAddr("172.16.1.10"), device: "eth1"}

// lookup asks for a name's address as a host behind eth1 with EDNS does.
func (w *world) lookup(name string) *dns.Msg {
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	q.SetEdns0(4096, false)
	return w.send(q, host)
}

func (w *world) send(q *dns.Msg, from asker) *dns.Msg {
	w.t.Helper()
	b, err := q.Pack()
	if err != nil {
		w.t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(w.respond(w.t.Context(), b, from)); err != nil {
		w.t.Fatal(err)
	}
	if m.Id != q.Id || !m.Response || len(q.Question) == 1 && (len(m.Question) != 1 || m.Question[0] != q.Question[0]) {
		w.t.Errorf("the reply %v does not belong to the query %v", m, q)
	}
	return m
}

// outcome is a reply in short: its code, its addresses and its extended error.
func outcome(m *dns.Msg) string {
	var parts []string
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			parts = append(parts, fmt.Sprintf("%s/%d", rr.A, rr.Hdr.Ttl))
		case *dns.CNAME:
			parts = append(parts, "cname "+rr.Target)
		}
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				parts = append(parts, fmt.Sprintf("ede %d %s", e.InfoCode, e.ExtraText))
			}
		}
	}
	return strings.TrimSpace(dns.RcodeToString[m.Rcode] + " " + strings.Join(parts, " "))
}

func (w *world) want(name, outcomeWanted string, asked ...string) {
	w.t.Helper()
	if got := outcome(w.lookup(name)); got != outcomeWanted {
		w.t.Errorf("%s: %s, want %s", name, got, outcomeWanted)
	}
	if got := w.takeAsked(); !slices.Equal(got, asked) {
		w.t.Errorf("%s: asked %q, want %q", name, got, asked)
	}
}

func flex1() Tunnel {
	return Tunnel{Client: "flex1", Device: "tunnel1", Servers: addrs("192.168.10.5", "192.168.10.6"), Domains: []string{"example.net"}}
}

// connected is a world whose first client is connected.
func connected(t *testing.T, lists []List, f func(w *world)) {
	inWorld(t, lists, func(w *world) {
		w.serve("192.0.2.53", gives("198.51.100.1", 60))
		w.serve("192.168.10.5", gives("10.0.0.5", 60))
		w.serve("192.168.10.6", gives("10.0.0.6", 60))
		w.routes["192.168.10.5"], w.routes["192.168.10.6"] = "tunnel1", "tunnel1"
		w.Up(flex1())
		f(w)
	})
}

func after(d time.Duration) { time.Sleep(d); synctest.Wait() }
