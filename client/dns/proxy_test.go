package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestNamesOfTheViewGoThroughTheTunnel(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.want("www.example.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp www.example.net.")
		w.want("EXAMPLE.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp EXAMPLE.net.")
		w.want("badexample.net.", "NOERROR 198.51.100.1/60", "192.0.2.53 udp badexample.net.")
		w.want("www.example.org.", "NOERROR 198.51.100.1/60", "192.0.2.53 udp www.example.org.")
	})
}

func TestTheViewVanishesWithTheTunnel(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.want("a.example.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp a.example.net.")
		w.Down("flex1", false)
		w.want("a.example.net.", "NOERROR 198.51.100.1/60", "192.0.2.53 udp a.example.net.")
		w.Up(flex1())
		w.want("a.example.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp a.example.net.")
	})
}

func TestRememberedNamesOutliveTheHub(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.want("a.example.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp a.example.net.")
		w.Down("flex1", true)
		after(time.Hour)
		w.want("a.example.net.", "NOERROR 10.0.0.5/30 ede 3")
		w.want("b.example.net.", "NOERROR 198.51.100.1/60", "192.0.2.53 udp b.example.net.")
		// RFC 8767 section 5: "a maximum stale timer"
		after(24 * time.Hour)
		w.want("a.example.net.", "NOERROR 198.51.100.1/60", "192.0.2.53 udp a.example.net.")
	})
}

func TestStaleAnswersWhileTheServersAreSilent(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.want("a.example.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp a.example.net.")
		w.serve("192.168.10.5", silent)
		w.serve("192.168.10.6", silent)
		after(30 * time.Second)
		w.want("a.example.net.", "NOERROR 10.0.0.5/30")
		after(time.Minute)
		began := time.Now()
		w.want("a.example.net.", "NOERROR 10.0.0.5/30 ede 3",
			"tunnel1 192.168.10.5 udp a.example.net.", "tunnel1 192.168.10.6 udp a.example.net.")
		if took := time.Since(began); took != answerWithin {
			t.Errorf("the host waited %s for a stale answer, want %s", took, answerWithin)
		}
		after(askTimeout)
		w.takeAsked()
		began = time.Now()
		w.want("a.example.net.", "NOERROR 10.0.0.5/30 ede 3")
		if took := time.Since(began); took != 0 {
			t.Errorf("a moment after a failure the host waited %s again", took)
		}
		// Back again, after the recheck timer.
		w.serve("192.168.10.5", gives("10.0.0.99", 60))
		after(recheck)
		w.want("a.example.net.", "NOERROR 10.0.0.99/60", "tunnel1 192.168.10.5 udp a.example.net.")
	})
}

func TestWithoutMemorySilenceIsAFailure(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.serve("192.168.10.5", silent)
		w.serve("192.168.10.6", silent)
		began := time.Now()
		if got := outcome(w.lookup("a.example.net.")); !strings.HasPrefix(got, "SERVFAIL ede 22 192.168.10.5: no answer") {
			t.Errorf("got %s", got)
		}
		if took := time.Since(began); took != askTimeout {
			t.Errorf("the host waited %s, want %s", took, askTimeout)
		}
		for _, a := range w.takeAsked() {
			if !strings.HasPrefix(a, "tunnel1 ") {
				t.Errorf("asked %s: a name of the view must not leave the tunnel while it stands", a)
			}
		}
	})
}

func TestTheSecondServerHelps(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.serve("192.168.10.5", silent)
		w.want("a.example.net.", "NOERROR 10.0.0.6/60", "tunnel1 192.168.10.5 udp a.example.net.", "tunnel1 192.168.10.6 udp a.example.net.")
		w.want("b.example.net.", "NOERROR 10.0.0.6/60", "tunnel1 192.168.10.6 udp b.example.net.")
		after(suspectAfter)
		w.serve("192.168.10.5", gives("10.0.0.5", 60))
		w.want("c.example.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp c.example.net.")
		w.serve("192.168.10.5", func(q *dns.Msg, _ string) []*dns.Msg {
			return []*dns.Msg{new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)}
		})
		w.want("d.example.net.", "NOERROR 10.0.0.6/60", "tunnel1 192.168.10.5 udp d.example.net.", "tunnel1 192.168.10.6 udp d.example.net.")
	})
}

func TestTwoClientsWithDifferentDomains(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.serve("10.2.0.53", gives("10.2.0.1", 60))
		w.routes["10.2.0.53"] = "tunnel2"
		w.Up(Tunnel{Client: "flex2", Device: "tunnel2", Servers: addrs("10.2.0.53"), Domains: []string{"corp.example", "dmz.example.net"}})
		w.want("a.example.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp a.example.net.")
		w.want("a.corp.example.", "NOERROR 10.2.0.1/60", "tunnel2 10.2.0.53 udp a.corp.example.")
		w.want("a.dmz.example.net.", "NOERROR 10.2.0.1/60", "tunnel2 10.2.0.53 udp a.dmz.example.net.")
		w.Down("flex2", false)
		w.want("a.corp.example.", "NOERROR 198.51.100.1/60", "192.0.2.53 udp a.corp.example.")
		w.want("a.dmz.example.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp a.dmz.example.net.")
	})
}

func TestOnlyInsideInterfacesHaveTheView(t *testing.T) {
	connected(t, nil, func(w *world) {
		u := flex1()
		u.Inside = []string{"eth2"}
		w.Up(u)
		w.want("a.example.net.", "NOERROR 198.51.100.1/60", "192.0.2.53 udp a.example.net.")
		q := new(dns.Msg).SetQuestion("a.example.net.", dns.TypeA)
		if got := outcome(w.send(q, asker{addr: host.addr, device: "eth2"})); got != "NOERROR 10.0.0.5/60" {
			t.Errorf("behind eth2: %s", got)
		}
	})
}

// The default servers are asked in their VRF, the pushed ones by their tunnel, and a server of this machine
// in none.
func TestDefaultServersInAVRF(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.cfg.DefaultVRF = "internet"
		w.want("a.example.org.", "NOERROR 198.51.100.1/60", "internet 192.0.2.53 udp a.example.org.")
		w.want("a.example.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp a.example.net.")
		w.cfg.Default = func() []netip.Addr { return addrs("127.0.0.53") }
		w.serve("127.0.0.53", gives("198.51.100.2", 60))
		w.want("b.example.org.", "NOERROR 198.51.100.2/60", "127.0.0.53 udp b.example.org.")
	})
}

func TestConfiguredLists(t *testing.T) {
	lists := []List{
		{Name: "corp", Client: "flex1", Domains: []string{"corp.example"}},
		{Name: "lab", Client: "flex1", Domains: []string{"lab.example"}, Servers: addrs("10.3.0.53")},
	}
	connected(t, lists, func(w *world) {
		w.serve("10.3.0.53", gives("10.3.0.1", 60))
		w.routes["10.3.0.53"] = "tunnel1"
		w.want("a.corp.example.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp a.corp.example.")
		w.want("a.lab.example.", "NOERROR 10.3.0.1/60", "tunnel1 10.3.0.53 udp a.lab.example.")
		var text []string
		for _, l := range w.View().Lists {
			text = append(text, fmt.Sprintf("%s %s %v %v", l.Name, l.Origin, l.Active, l.Domains))
		}
		if got := strings.Join(text, " "); got != "flex1 hub true [example.net] corp configured true [corp.example] lab configured true [lab.example]" {
			t.Errorf("the lists are %s", got)
		}
		w.Down("flex1", false)
		if l := w.View().Lists; len(l) != 2 || l[0].Active || l[1].Active {
			t.Errorf("without a tunnel the lists are %+v: those configured, and out of effect", l)
		}
	})
}

func TestAServerOutsideEveryRouteIsNotAsked(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.routes["192.168.10.5"] = "eth0"
		delete(w.routes, "192.168.10.6")
		got := outcome(w.lookup("a.example.net."))
		if !strings.HasPrefix(got, "SERVFAIL ede 22") || !strings.Contains(got, "192.168.10.5: outside every route of the tunnel tunnel1: the route leads to eth0") {
			t.Errorf("got %s", got)
		}
		if asked := w.takeAsked(); len(asked) != 0 {
			t.Errorf("asked %v", asked)
		}
		for i, want := range []string{"leads to eth0", "network is unreachable"} {
			if s := w.View().Views[0].Servers[i]; !strings.Contains(s.Problem, want) {
				t.Errorf("show says %+v, want %s", s, want)
			}
		}
		if !strings.Contains(w.log.String(), "outside every route") {
			t.Error("the log does not say why the server is refused")
		}
	})
}

func TestTheRootIsNobodysDomain(t *testing.T) {
	connected(t, nil, func(w *world) {
		u := flex1()
		u.Domains = []string{".", "", "bad..name", "example.net"}
		w.Up(u)
		w.want("a.example.org.", "NOERROR 198.51.100.1/60", "192.0.2.53 udp a.example.org.")
		if v := w.View().Views[0]; fmt.Sprint(v.Domains) != "[example.net]" {
			t.Errorf("the view has %q", v.Domains)
		}
	})
}

func TestShortNamesGetTheDefaultDomain(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.want("files.", "NOERROR 198.51.100.1/60", "192.0.2.53 udp files.")
		u := flex1()
		u.DefaultDomain = "example.net"
		w.Up(u)
		w.want("files.", "NOERROR cname files.example.net. 10.0.0.5/60", "tunnel1 192.168.10.5 udp files.example.net.")
		q := new(dns.Msg).SetQuestion("net.", dns.TypeNS)
		w.send(q, host)
		if got := fmt.Sprint(w.takeAsked()); got != "[192.0.2.53 udp net.]" {
			t.Errorf("asked %s for the name servers of net: only addresses are completed", got)
		}
	})
}

func TestRepliesThatDoNotMatchAreAsIfTheyHadNotCome(t *testing.T) {
	connected(t, nil, func(w *world) {
		forge := func(q *dns.Msg, change func(*dns.Msg)) *dns.Msg {
			m := gives("10.6.6.6", 60)(q, "udp")[0]
			change(m)
			return m
		}
		w.serve("192.168.10.5", func(q *dns.Msg, network string) []*dns.Msg {
			return append([]*dns.Msg{
				forge(q, func(m *dns.Msg) { m.Id++ }),
				forge(q, func(m *dns.Msg) { m.Question[0].Name = "b.example.net." }),
				forge(q, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX }),
				forge(q, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
				forge(q, func(m *dns.Msg) { m.Question = nil }),
				forge(q, func(m *dns.Msg) { m.Response = false }),
				forge(q, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }),
			}, gives("10.0.0.5", 60)(q, network)...)
		})
		w.want("a.example.net.", "NOERROR 10.0.0.5/60", "tunnel1 192.168.10.5 udp a.example.net.")
		if got := w.Stats().Drops["mismatch"]; got != 7 {
			t.Errorf("%d replies were counted as mismatches, want 7", got)
		}
	})
}

func TestTruncatedAnswersAreFetchedOverTCP(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.serve("192.168.10.5", func(q *dns.Msg, network string) []*dns.Msg {
			m := new(dns.Msg).SetReply(q)
			if network == "udp" {
				m.Truncated = true
				return []*dns.Msg{m}
			}
			for i := range 60 {
				m.Answer = append(m.Answer, record(fmt.Sprintf("%s 60 IN A 10.0.1.%d", q.Question[0].Name, i+1)))
			}
			return []*dns.Msg{m}
		})
		// RFC 1035 section 4.2.1 and RFC 6891 section 6.2.3: never more than the asker takes.
		q := new(dns.Msg).SetQuestion("a.example.net.", dns.TypeA)
		octets, _ := q.Pack()
		reply := w.respond(w.t.Context(), octets, host)
		if m := new(dns.Msg); m.Unpack(reply) != nil || !m.Truncated || len(m.Answer) == 0 || len(reply) > 512 {
			t.Errorf("over UDP without EDNS: %d octets, %d answers, truncated %v", len(reply), len(m.Answer), m.Truncated)
		}
		if got := fmt.Sprint(w.takeAsked()); got != "[tunnel1 192.168.10.5 udp a.example.net. tunnel1 192.168.10.5 tcp a.example.net.]" {
			t.Errorf("asked %s", got)
		}
		from := host
		from.tcp = true
		if m := w.send(q, from); m.Truncated || len(m.Answer) != 60 {
			t.Errorf("over TCP: %d answers, truncated %v", len(m.Answer), m.Truncated)
		}
	})
}

func TestManyHostsOneQuery(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.serve("192.168.10.5", func(q *dns.Msg, n string) []*dns.Msg {
			time.Sleep(time.Second)
			return gives("10.0.0.5", 60)(q, n)
		})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if got := outcome(w.lookup("a.example.net.")); got != "NOERROR 10.0.0.5/60" {
					t.Errorf("got %s", got)
				}
			})
		}
		all.Wait()
		if got := w.takeAsked(); len(got) != 1 {
			t.Errorf("50 equal questions became %d queries", len(got))
		}
	})
}

func TestWhatIsNoQuestionForUs(t *testing.T) {
	connected(t, nil, func(w *world) {
		ask := func(change func(*dns.Msg)) *dns.Msg {
			q := new(dns.Msg).SetQuestion("a.example.net.", dns.TypeA)
			change(q)
			return q
		}
		for _, c := range []struct {
			what  string
			query *dns.Msg
			want  int
		}{
			{"an update", ask(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), dns.RcodeNotImplemented},
			{"no question", ask(func(m *dns.Msg) { m.Question = nil }), dns.RcodeFormatError},
			{"two questions", ask(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError},
			{"a zone transfer", ask(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }), dns.RcodeRefused},
			{"class CHAOS", ask(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused},
			{"EDNS version 1", ask(func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }), dns.RcodeBadVers},
		} {
			if m := w.send(c.query, host); m.Rcode != c.want || len(m.Answer) != 0 {
				t.Errorf("%s: %s, want %s", c.what, dns.RcodeToString[m.Rcode], dns.RcodeToString[c.want])
			}
		}
		if asked := w.takeAsked(); len(asked) != 0 {
			t.Errorf("asked %v", asked)
		}
		reply := ask(func(m *dns.Msg) { m.Response = true })
		b, _ := reply.Pack()
		if got := w.respond(w.t.Context(), b, host); got != nil {
			t.Error("a reply was answered: two servers would talk for ever")
		}
		if got := w.respond(w.t.Context(), b[:11], host); got != nil {
			t.Error("half a header was answered")
		}
	})
}

func TestEDNSEndsHere(t *testing.T) {
	connected(t, nil, func(w *world) {
		w.serve("192.168.10.5", func(q *dns.Msg, n string) []*dns.Msg {
			opt := q.IsEdns0()
			if opt == nil || len(opt.Option) != 0 || opt.UDPSize() != ednsSize || !opt.Do() {
				t.Errorf("the server is asked with %v: the host's options are not its business", opt)
			}
			m := gives("10.0.0.5", 60)(q, n)
			m[0].SetEdns0(4096, true)
			return m
		})
		q := new(dns.Msg).SetQuestion("a.example.net.", dns.TypeA)
		q.SetEdns0(4096, true)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: host.addr.AsSlice()}}
		m := w.send(q, host)
		n := 0
		for _, rr := range m.Extra {
			if rr.Header().Rrtype == dns.TypeOPT {
				n++
			}
		}
		if opt := m.IsEdns0(); n != 1 || opt.UDPSize() != ednsSize || !opt.Do() {
			t.Errorf("the reply has %d OPT records: %v", n, opt)
		}
		if m := w.send(new(dns.Msg).SetQuestion("b.example.org.", dns.TypeA), host); m.IsEdns0() != nil {
			t.Error("a host without EDNS got EDNS")
		}
	})
}

func TestOneHostCannotTakeAll(t *testing.T) {
	l := newLimits()
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for range maxPerHost {
		if !l.take(a) {
			t.Fatal("refused below the bound")
		}
	}
	if l.take(a) || l.take(b) {
		t.Error("one host (a /64) went over its bound")
	}
	other := netip.MustParseAddr("172.16.1.1")
	if !l.take(other) {
		t.Error("another host was refused")
	}
	l.give(other)
	for range maxPerHost {
		l.give(a)
	}
	if l.inFlight() != 0 || len(l.byHost) != 0 {
		t.Errorf("%d in flight, hosts %v", l.inFlight(), l.byHost)
	}
	n := 0
	for i := range 1000 {
		if l.take(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})) {
			n++
		}
	}
	if n != maxInFlight {
		t.Errorf("%d queries in flight, want %d", n, maxInFlight)
	}
}
