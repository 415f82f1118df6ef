package radius

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"layeh.com/radius"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/secret"
)

func TestAskAndAnswer(t *testing.T) {
	f := startFake(t, accept("ipsec:dns-servers=192.168.10.5", "ipsec:addr-pool=flex"))
	r := newRig(t, time.Minute, f.server("r1"))
	a := r.ask("branches")
	if a.Err != nil || a.Server != "r1" || text(a.Reply.DNS) != "[192.168.10.5]" || a.Reply.Pool != "flex" {
		t.Fatalf("the answer is %+v", a)
	}
	p := f.requests()[0]
	if p.Code != radius.CodeAccessRequest || string(p.Get(attrUserName)) != "branches" || string(p.Get(attrCallingStationID)) != "2001:db8::2" ||
		string(p.Get(attrCalledStationID)) != "192.0.2.1" || string(p.Get(attrNASIdentifier)) != "hub1" || string(p.Get(attrAcctSessionID)) != "0001" {
		t.Errorf("the request is %+v", describe(f.octets()[0]))
	}
	password, err := radius.UserPassword(p.Get(attrUserPassword), f.key.Reveal(), p.Authenticator[:])
	if err != nil || string(password) != "cisco" {
		t.Errorf("the password is %q, %v", password, err)
	}
	if n, _ := radius.Integer(p.Get(attrServiceType)); n != serviceOutbound {
		t.Errorf("Service-Type is %d", n)
	}
}

// "Message-Authenticator on every request", first of all attributes (CVE-2024-3596), and right.
func TestRequestsAreSigned(t *testing.T) {
	f := startFake(t, accept())
	newRig(t, time.Minute, f.server("r1")).ask("alice")
	b := f.octets()[0]
	if b[headerLen] != attrMessageAuth {
		t.Errorf("the first attribute is %d", b[headerLen])
	}
	if err := checkSignature(b, b[4:headerLen], f.key, true); err != nil {
		t.Error(err)
	}
	for _, code := range []radius.Code{radius.CodeAccountingRequest, radius.CodeDisconnectRequest, radius.CodeCoARequest} {
		b, err := seal(code, 7, nil, secret.Bytes{}, f.key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openRequest(b, f.key, true); err != nil {
			t.Errorf("%s: %v", code, err)
		}
		b[len(b)-1] ^= 1
		if _, err := openRequest(b, f.key, true); !errors.Is(err, errForged) {
			t.Errorf("%s that was changed: %v", code, err)
		}
	}
}

// Whatever is not the server's answer to this request is dropped and counted, and the request goes
// on: a forger must not end it.
func TestForgeriesDoNotEndARequest(t *testing.T) {
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	unsigned := func(f *fakeServer, request []byte) []byte {
		p := &radius.Packet{Code: radius.CodeAccessAccept, Identifier: request[1], Secret: f.key.Reveal()}
		copy(p.Authenticator[:], request[4:headerLen])
		b, _ := p.Encode()
		return b
	}
	for reason, forge := range map[string]func(f *fakeServer, request []byte, from netip.AddrPort){
		badSource: func(f *fakeServer, request []byte, from netip.AddrPort) {
			_, _ = other.WriteToUDPAddrPort(f.sealed(radius.CodeAccessAccept, request), from)
		},
		badAuthenticator: func(f *fakeServer, request []byte, from netip.AddrPort) {
			b := f.sealed(radius.CodeAccessAccept, request)
			b[5] ^= 1
			f.send(b, from)
		},
		badIdentifier: func(f *fakeServer, request []byte, from netip.AddrPort) {
			b := f.sealed(radius.CodeAccessAccept, request)
			b[1]++
			f.send(b, from)
		},
		badUnsigned: func(f *fakeServer, request []byte, from netip.AddrPort) { f.send(unsigned(f, request), from) },
		badMalformed: func(f *fakeServer, _ []byte, from netip.AddrPort) {
			f.send([]byte("short"), from)
		},
		badCode: func(f *fakeServer, request []byte, from netip.AddrPort) {
			f.send(f.sealed(radius.CodeAccountingResponse, request), from)
		},
	} {
		t.Run(reason, func(t *testing.T) {
			f := startFake(t, func(f *fakeServer, request []byte, from netip.AddrPort) {
				forge(f, request, from)
				time.Sleep(time.Millisecond) // another socket's datagram comes first
				accept("ipsec:banner=true")(f, request, from)
			})
			r := newRig(t, time.Minute, f.server("r1"))
			if a := r.ask("alice"); a.Err != nil || a.Reply.Banner != "true" {
				t.Errorf("got %+v", a)
			}
			eventually(t, "the forgery is counted", func() bool { return r.bad(0, reason) >= 1 })
			if !strings.Contains(r.log.String(), "reason="+reason) {
				t.Errorf("the log does not tell:\n%s", r.log)
			}
		})
	}
}

// A server that may answer unsigned is believed; its forged signature is not.
func TestUnsignedAnswers(t *testing.T) {
	f := startFake(t, func(f *fakeServer, request []byte, from netip.AddrPort) {
		p := &radius.Packet{Code: radius.CodeAccessAccept, Identifier: request[1], Secret: f.key.Reveal()}
		copy(p.Authenticator[:], request[4:headerLen])
		b, _ := p.Encode()
		f.send(b, from)
	})
	s := f.server("r1")
	s.Unsigned = true
	if a := newRig(t, time.Minute, s).ask("alice"); a.Err != nil {
		t.Error(a.Err)
	}
	f.setAnswer(func(f *fakeServer, request []byte, from netip.AddrPort) {
		p := &radius.Packet{Code: radius.CodeAccessAccept, Identifier: request[1], Secret: f.key.Reveal()}
		copy(p.Authenticator[:], request[4:headerLen])
		p.Add(attrMessageAuth, bytes.Repeat([]byte{1}, 16))
		b, _ := p.Encode()
		f.send(b, from)
	})
	if a := newRig(t, time.Minute, s).ask("alice"); !errors.Is(a.Err, authz.ErrUnreachable) {
		t.Errorf("a wrong signature gives %+v", a)
	}
}

// An answer with nonsense in it is an error of the server, not of the peer, and no half of it counts.
func TestNonsenseInAnswers(t *testing.T) {
	for pair, want := range map[string]string{
		"ipsec:colour=blue": "not known here", "ipsec:dns-servers=nowhere": "no IPv4 address", "ipsec:route-accept=perhaps": "any or none",
	} {
		f := startFake(t, accept(pair))
		a := newRig(t, time.Minute, f.server("r1")).ask("alice")
		if a.Err == nil || a.Reply != nil || !strings.Contains(a.Err.Error(), want) {
			t.Errorf("%s: %+v", pair, a)
		}
	}
	bad := func(n byte, value ...byte) func(f *fakeServer, request []byte, from netip.AddrPort) {
		return func(f *fakeServer, request []byte, from netip.AddrPort) {
			b, err := sealAnswer(radius.CodeAccessAccept, request, radius.Attributes{{Type: radius.Type(n), Attribute: value}}, f.key)
			if err != nil {
				t.Error(err)
			}
			f.send(b, from)
		}
	}
	for name, answer := range map[string]func(*fakeServer, []byte, netip.AddrPort){
		"Framed-IP-Address": bad(8, 10, 0), "Session-Timeout": bad(27, 1), "Framed-IPv6-Prefix": bad(97, 0, 200), "Vendor-Specific": bad(26, 0, 0), "Tunnel-Password": bad(69, 0, 1, 2, 3),
		"vendor 9": bad(26, 0, 0, 0, 9, 1, 99, 'x'),
	} {
		f := startFake(t, answer)
		if a := newRig(t, time.Minute, f.server("r1")).ask("alice"); a.Err == nil || !strings.Contains(a.Err.Error(), name) {
			t.Errorf("%s: %v", name, a.Err)
		}
	}
}

func TestReject(t *testing.T) {
	f := startFake(t, func(f *fakeServer, request []byte, from netip.AddrPort) {
		b, _ := sealAnswer(radius.CodeAccessReject, request, radius.Attributes{{Type: 18, Attribute: radius.Attribute("account locked\x1b[2J")}}, f.key)
		f.send(b, from)
	})
	a := newRig(t, time.Minute, f.server("r1")).ask("mallory")
	if !errors.Is(a.Err, authz.ErrRejected) || !strings.Contains(a.Err.Error(), "account locked?") {
		t.Errorf("got %v", a.Err)
	}
	g := startFake(t, answerWith(radius.CodeAccessChallenge))
	if a := newRig(t, time.Minute, g.server("r1")).ask("mallory"); !errors.Is(a.Err, authz.ErrRejected) {
		t.Errorf("a challenge gives %v", a.Err)
	}
}

// A lost request is sent again as it was: same identifier, same authenticator (RFC 2865 section 2.5).
func TestRetransmission(t *testing.T) {
	var n atomic.Int32
	f := startFake(t, func(f *fakeServer, request []byte, from netip.AddrPort) {
		if n.Add(1) == 3 {
			accept()(f, request, from)
		}
	})
	r := newRig(t, time.Minute, f.server("r1"))
	if a := r.ask("alice"); a.Err != nil {
		t.Fatal(a.Err)
	}
	if sent := f.octets(); len(sent) != 3 || !bytes.Equal(sent[0], sent[1]) || !bytes.Equal(sent[0], sent[2]) {
		t.Errorf("%d requests, not three that are the same", len(sent))
	}
}

// A dead server is passed over, asked for its status, and back when it answers.
func TestFailoverAndRecovery(t *testing.T) {
	first, second := startFake(t, silent), startFake(t, accept("ipsec:banner=second"))
	r := newRig(t, time.Hour, first.server("r1"), second.server("r2"))
	if a := r.ask("alice"); a.Err != nil || a.Server != "r2" {
		t.Fatalf("got %+v\n%s", a, r.log)
	}
	if !r.dead(0) || r.dead(1) {
		t.Error("the first is not dead, or the second is")
	}
	before := len(first.requests())
	if a := r.ask("bob"); a.Server != "r2" {
		t.Errorf("got %+v", a)
	}
	for _, p := range first.requests()[before:] {
		if p.Code != radius.CodeStatusServer {
			t.Errorf("the dead server was asked with %s", p.Code)
		}
	}
	first.setAnswer(accept("ipsec:banner=first"))
	eventually(t, "the first server is back", func() bool { return !r.dead(0) })
	if a := r.ask("carol"); a.Server != "r1" {
		t.Errorf("got %+v", a)
	}
	for _, want := range []string{"radius server dead", "radius server back"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
}

// accesses are the requests that ask for somebody, without questions for a server's status.
func (f *fakeServer) accesses() (n int) {
	for _, p := range f.requests() {
		if p.Code == radius.CodeAccessRequest {
			n++
		}
	}
	return n
}

// With all servers dead one request at a time is sent, once, to the server whose dead time ends first; all
// others have their answer at once.
func TestAllDead(t *testing.T) {
	first, second := startFake(t, silent), startFake(t, silent)
	servers := []*config.AAAServer{first.server("r1"), second.server("r2")}
	r := newRig(t, time.Hour, servers...)
	if a := r.ask("alice"); !errors.Is(a.Err, authz.ErrUnreachable) || !r.dead(0) || !r.dead(1) {
		t.Fatalf("got %+v", a)
	}
	r.mu.Lock()
	for _, s := range servers {
		s.Timeout = time.Hour // nothing but Close ends a trial
	}
	r.mu.Unlock()
	before := [2]int{first.accesses(), second.accesses()}
	got := make(chan error, 2)
	for _, name := range []string{"bob", "carol"} {
		r.Ask(authz.Ask{Group: "g", User: name}, func(a authz.Answer) { got <- a.Err })
	}
	eventually(t, "each is asked once", func() bool { return first.accesses() == before[0]+1 && second.accesses() == before[1]+1 })
	for range 20 {
		if a := r.ask("dave"); !errors.Is(a.Err, authz.ErrUnreachable) {
			t.Errorf("got %+v", a)
		}
	}
	if first.accesses() != before[0]+1 || second.accesses() != before[1]+1 {
		t.Errorf("while a request finds out the dead servers got %d and %d", first.accesses()-before[0], second.accesses()-before[1])
	}
	r.Close()
	for range 2 {
		if err := <-got; !errors.Is(err, authz.ErrUnreachable) {
			t.Errorf("got %v", err)
		}
	}
}

// A server that is back and does not know Status-Server serves at once when no other is there.
func TestBackWithoutStatusServer(t *testing.T) {
	f := startFake(t, silent)
	s := f.server("r1")
	r := newRig(t, time.Hour, s)
	for range 2 { // the first trial in vain does not end trials
		if a := r.ask("alice"); !errors.Is(a.Err, authz.ErrUnreachable) || !r.dead(0) {
			t.Fatalf("got %+v", a)
		}
	}
	f.setAnswer(func(f *fakeServer, request []byte, from netip.AddrPort) {
		if radius.Code(request[0]) != radius.CodeStatusServer {
			accept()(f, request, from)
		}
	})
	if a := r.ask("bob"); a.Err != nil || r.dead(0) {
		t.Errorf("got %+v\n%s", a, r.log)
	}
}

// More than 256 requests are in flight: they need more source ports, and each gets its own answer.
func TestManyInFlight(t *testing.T) {
	const n = 1000
	type held struct {
		request []byte
		from    netip.AddrPort
	}
	var mu sync.Mutex
	var all []held
	seen := map[string]bool{}
	answering := false
	f := startFake(t, func(f *fakeServer, request []byte, from netip.AddrPort) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case answering: // repeated: the answer found no room
			f.send(f.sealed(radius.CodeAccessAccept, request), from)
		case !seen[string(request)]:
			seen[string(request)] = true
			all = append(all, held{request, from})
		}
	})
	s := f.server("r1")
	s.Timeout, s.Tries = time.Second, 60 // a thousand at once find no room in the server's buffer unless it reads at once
	r := newRig(t, time.Minute, s)
	var done sync.WaitGroup
	var good atomic.Int32
	for range n {
		done.Add(1)
		r.Ask(authz.Ask{Group: "g", User: "u"}, func(a authz.Answer) {
			if a.Err == nil {
				good.Add(1)
			}
			done.Done()
		})
	}
	eventually(t, "all requests are in flight", func() bool { mu.Lock(); defer mu.Unlock(); return len(all) == n })
	if len(f.sources()) < 4 {
		t.Errorf("they came from %d ports", len(f.sources()))
	}
	mu.Lock()
	answering = true
	for i := len(all) - 1; i >= 0; i-- {
		f.send(f.sealed(radius.CodeAccessAccept, all[i].request), all[i].from)
	}
	mu.Unlock()
	done.Wait()
	if good.Load() != n {
		t.Errorf("%d of %d were answered", good.Load(), n)
	}
}

func TestCloseTellsEverybody(t *testing.T) {
	f := startFake(t, silent)
	r := newRig(t, time.Minute, f.server("r1"))
	got := make(chan error, 1)
	r.Ask(authz.Ask{Group: "g", User: "u"}, func(a authz.Answer) { got <- a.Err })
	eventually(t, "the request is out", func() bool { return len(f.requests()) > 0 })
	r.Close()
	if err := <-got; !errors.Is(err, authz.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	if a := r.ask("late"); !errors.Is(a.Err, authz.ErrUnreachable) {
		t.Errorf("after Close: %v", a.Err)
	}
}

func TestUnknownGroup(t *testing.T) {
	r := newRig(t, time.Minute)
	got := make(chan error, 1)
	r.Ask(authz.Ask{Group: "nobody", User: "u"}, func(a authz.Answer) { got <- a.Err })
	if err := <-got; err == nil {
		t.Error("it was asked")
	}
}
