package ikev2_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/suite/floor"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// A mill makes handshakes as a hub does: all of its SAs share Common and Policy, nothing traces.
type mill struct {
	spokes, hubs *ikev2.Common
	spoke, hub   *ikev2.Policy
	there, here  ikev2.Path
	responder    time.Duration // spent in calls of responders
	selector     []wire.Selector
}

func newMill() *mill {
	psk := secret.FromString("the secret of this test")
	strong := []suite.Proposal{{Encr: []suite.Cipher{{ID: 20, KeyBits: 256}}, PRF: []uint16{6}, Group: []uint16{31}}}
	esp := []suite.Proposal{{Encr: []suite.Cipher{{ID: 20, KeyBits: 256}}, ESN: []uint16{1, 0}}}
	p := ikev2.Policy{
		Name: "spokes", Local: iketest.FQDN("hub1.example.net"), IKE: strong, ESP: esp,
		Credential: ikev2.Credential{Kind: ikev2.AuthPSK, PSK: psk}, Trust: ikev2.Trust{Kind: ikev2.AuthPSK, PSK: psk},
		Liveness: ikev2.LivenessOnDemand, LivenessInterval: 30 * time.Second,
	}
	s := p
	s.Local, s.TSLocal, s.TSRemote = iketest.FQDN("spoke1.branch.example.net"), iketest.Anything(), iketest.Anything()
	s.Config = []wire.Attribute{{Type: wire.InternalIP4Address}, {Type: wire.InternalIP4DNS}, {Type: wire.InternalIP4Subnet}}
	common := func() *ikev2.Common {
		return &ikev2.Common{
			Proposals: strong, VendorIDs: ikev2.VendorIDs(), Version: "flexvpn", Counters: new(ikev2.Counters),
			NewSPI: func() uint64 { return rand.Uint64() | 1 },
		}
	}
	a, b := netip.MustParseAddrPort("192.0.2.10:500"), netip.MustParseAddrPort("203.0.113.1:500")
	return &mill{
		spokes: common(), hubs: common(), spoke: &s, hub: &p,
		there: ikev2.Path{Local: a, Remote: b}, here: ikev2.Path{Local: b, Remote: a},
		selector: prefixes("10.1.1.2/32"),
	}
}

// handshake makes one session and returns the hub's end; the spoke's is dropped.
func (m *mill) handshake(t testing.TB, now time.Time) *ikev2.SA {
	spoke := ikev2.NewInitiator(now, m.spokes, m.spoke, m.there)
	var hub *ikev2.SA
	up := false
	for toHub := true; !up; toHub = !toHub {
		var from []ikev2.Output
		if toHub {
			from = m.drain(spoke, now, &up)
		} else {
			start := time.Now()
			from = m.drain(hub, now, new(bool))
			m.responder += time.Since(start)
		}
		if len(from) == 0 && !up {
			t.Fatal("the handshake stands still")
		}
		for _, o := range from {
			s, isSend := o.(ikev2.Send)
			if !isSend {
				continue
			}
			if !toHub {
				spoke.Receive(now, m.there, s.Datagram)
				continue
			}
			start := time.Now()
			if hub == nil {
				hub = ikev2.NewResponder(now, m.hubs, m.here)
			}
			hub.Receive(now, m.here, s.Datagram)
			m.responder += time.Since(start)
		}
	}
	return hub
}

// drain answers all questions and returns what else left the SA.
func (m *mill) drain(sa *ikev2.SA, now time.Time, up *bool) (out []ikev2.Output) {
	for {
		list := sa.Take()
		if len(list) == 0 {
			return out
		}
		for _, o := range list {
			switch q := o.(type) {
			case ikev2.Authenticate:
				sa.Answer(now, ikev2.AuthenticateAnswer{ID: q.ID, Policy: m.hub})
			case ikev2.Authorize:
				a := ikev2.AuthorizeAnswer{ID: q.ID, TSi: m.selector, TSr: m.hubSelectors()}
				a.Config = []wire.Attribute{wire.AttrAddr(wire.InternalIP4Address, netip.MustParseAddr("10.1.1.2"), 32)}
				sa.Answer(now, a)
			case ikev2.Install:
				sa.Answer(now, ikev2.InstallAnswer{ID: q.ID})
			case ikev2.Established:
				*up = true
			default:
				out = append(out, o)
			}
		}
	}
}

func (m *mill) hubSelectors() []wire.Selector { return m.spoke.TSRemote }

// heap is what is in use after everything that can go has gone.
func heap() uint64 {
	var s runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// An idle established SA has a budget of 2.5 KiB: with the tables of its owner a session stays below
// 6 KiB. Key schedules are made from keys when they are used.
func TestHeapPerIdleSA(t *testing.T) {
	const n = 2000
	m := newMill()
	m.handshake(t, iketest.Epoch)
	sas := make([]*ikev2.SA, 0, n)
	before := heap()
	for range n {
		sas = append(sas, m.handshake(t, iketest.Epoch))
	}
	per := (heap() - before) / n
	t.Logf("%d octets of heap for each of %d established SAs", per, n)
	if per > 2560 {
		t.Errorf("an idle SA takes %d octets, 2560 are its budget", per)
	}
	for _, sa := range sas {
		if f := sa.Facts(); f.State != "READY" {
			t.Fatalf("an SA is in state %s", f.State)
		}
	}
}

// BenchmarkResponder is a responder's part of a handshake with a pre-shared key: wire, engine and
// cryptography, against the bare cryptography in the same run.
func BenchmarkResponder(b *testing.B) {
	m := newMill()
	var bare time.Duration
	var sink byte
	for b.Loop() {
		m.handshake(b, iketest.Epoch)
		start := time.Now()
		sink ^= floor.Handshake()
		bare += time.Since(start)
	}
	if binary.Size(sink) != 1 {
		b.Fatal("nothing was computed")
	}
	b.ReportMetric(float64(m.responder.Nanoseconds())/float64(b.N), "responder-ns")
	b.ReportMetric(float64(bare.Nanoseconds())/float64(b.N), "floor-ns")
	b.ReportMetric(float64(m.responder)/float64(bare), "responder/floor")
}

// Nothing that a stranger sends costs a responder more than a bounded piece of memory: the half-open
// SA of the longest request.
func TestHeapPerHalfOpenSA(t *testing.T) {
	const n = 500
	m := newMill()
	m.spokes.VendorIDs = [][]byte{make([]byte, 1500)}
	sas := make([]*ikev2.SA, 0, n)
	before := heap()
	for range n {
		spoke := ikev2.NewInitiator(iketest.Epoch, m.spokes, m.spoke, m.there)
		hub := ikev2.NewResponder(iketest.Epoch, m.hubs, m.here)
		hub.Receive(iketest.Epoch, m.here, spoke.Take()[0].(ikev2.Send).Datagram)
		hub.Take()
		sas = append(sas, hub)
	}
	per := (heap() - before) / n
	t.Logf("%d octets of heap for each half-open SA", per)
	if per > 6<<10 {
		t.Errorf("a half-open SA takes %d octets", per)
	}
	runtime.KeepAlive(sas)
}
