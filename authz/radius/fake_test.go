package radius

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"layeh.com/radius"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/secret"
)

// A fakeServer is a RADIUS server on a loopback port whose answers a test chooses.
type fakeServer struct {
	t    *testing.T
	conn *net.UDPConn
	key  secret.Bytes

	mu     sync.Mutex
	seen   []*radius.Packet
	raw    [][]byte
	from   map[netip.AddrPort]bool
	answer func(f *fakeServer, request []byte, from netip.AddrPort)
}

func startFake(t *testing.T, answer func(f *fakeServer, request []byte, from netip.AddrPort)) *fakeServer {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{t: t, conn: conn, key: secret.FromString("a test secret"), from: map[netip.AddrPort]bool{}, answer: answer}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			raw := append([]byte(nil), b[:n]...)
			p, err := radius.Parse(raw, f.key.Reveal())
			if err != nil {
				t.Errorf("the request cannot be parsed: %v", err)
				continue
			}
			f.mu.Lock()
			f.seen, f.raw, f.from[from] = append(f.seen, p), append(f.raw, raw), true
			answer := f.answer
			f.mu.Unlock()
			answer(f, raw, from)
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return f
}

func (f *fakeServer) port() uint16 { return uint16(f.conn.LocalAddr().(*net.UDPAddr).Port) }

func (f *fakeServer) send(b []byte, to netip.AddrPort) { _, _ = f.conn.WriteToUDPAddrPort(b, to) }

func (f *fakeServer) requests() []*radius.Packet {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*radius.Packet(nil), f.seen...)
}

// octets are the requests as they came.
func (f *fakeServer) octets() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.raw)
}

// sources are where they came from.
func (f *fakeServer) sources() []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.from))
}

func (f *fakeServer) setAnswer(a func(*fakeServer, []byte, netip.AddrPort)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = a
}

// accept answers with pairs.
func accept(pairs ...string) func(*fakeServer, []byte, netip.AddrPort) {
	return answerWith(radius.CodeAccessAccept, pairs...)
}

func answerWith(code radius.Code, pairs ...string) func(*fakeServer, []byte, netip.AddrPort) {
	return func(f *fakeServer, request []byte, from netip.AddrPort) {
		f.send(f.sealed(code, request, pairs...), from)
	}
}

func (f *fakeServer) sealed(code radius.Code, request []byte, pairs ...string) []byte {
	var a attrs
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		a.pair(name, value)
	}
	b, err := sealAnswer(code, request, a.Attributes, f.key)
	if err != nil {
		f.t.Error(err)
	}
	return b
}

func silent(*fakeServer, []byte, netip.AddrPort) {}

// server is f in a configuration.
func (f *fakeServer) server(name string) *config.AAAServer {
	return &config.AAAServer{
		Name: name, Address: netip.MustParseAddr("127.0.0.1"), Transport: config.AAAOverUDP, AuthPort: f.port(), AcctPort: f.port(),
		Secret: f.key, Timeout: 100 * time.Millisecond, Tries: 3,
	}
}

// sink keeps a log.
type sink struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// rig is a client of one group "g" with servers.
type rig struct {
	t *testing.T
	*Client
	log *sink
}

func newRig(t *testing.T, deadTime time.Duration, servers ...*config.AAAServer) *rig {
	t.Helper()
	r := &rig{t: t, log: &sink{}}
	cfg := config.AAA{Groups: map[string]*config.AAAGroup{"g": {Name: "g", Servers: servers, DeadTime: deadTime}}}
	r.Client = New(cfg, "hub1", slog.New(slog.NewTextHandler(r.log, nil)))
	t.Cleanup(r.Close)
	return r
}

// ask asks and waits, far longer than any answer takes.
func (r *rig) ask(user string) authz.Answer {
	r.t.Helper()
	got := make(chan authz.Answer, 2)
	r.Ask(authz.Ask{Group: "g", User: user, Password: secret.FromString("cisco"), Session: authz.SessionFacts{
		ID: "0001", AuditID: "L2L4", Identity: "spoke1.example.net", Local: netip.MustParseAddrPort("192.0.2.1:500"), Remote: netip.MustParseAddrPort("[2001:db8::2]:500"),
	}}, func(a authz.Answer) { got <- a })
	select {
	case a := <-got:
		return a
	case <-time.After(30 * time.Second):
		r.t.Fatalf("no callback for %s\n%s", user, r.log)
		return authz.Answer{}
	}
}

func (r *rig) bad(server int, reason string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.groups["g"].auth[server].stats.Bad[reason]
}

func (r *rig) dead(server int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.groups["g"].auth[server].deadUntil.IsZero()
}

// eventually waits for what other goroutines do.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happens that %s", what)
		}
	}
}

func text(v any) string { return fmt.Sprint(v) }
