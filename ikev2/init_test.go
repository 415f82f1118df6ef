package ikev2_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
)

// forge is an unprotected IKE_SA_INIT response that anybody could send who saw the request.
func forge(request iketest.Flight, ps ...wire.Payload) iketest.Flight {
	h := wire.Header{
		SPIi: binary.BigEndian.Uint64(request.Datagram), Major: 2,
		Exchange: wire.IKESAInit, Flags: wire.FlagResponse,
	}
	f := request
	f.From, f.To = request.To, request.From
	f.Path = ikev2.Path{Local: request.Path.Remote, Remote: request.Path.Local, Encap: request.Path.Encap}
	f.Datagram = wire.AppendMessage(nil, h, ps...)
	return f
}

func groups(ids ...uint16) []suite.Proposal {
	return []suite.Proposal{{Encr: []suite.Cipher{{ID: 20, KeyBits: 256}}, PRF: []uint16{5}, Group: ids}}
}

func TestHandshake(t *testing.T) {
	for name, opts := range map[string][]iketest.Option{"IPv4": nil, "IPv6": {iketest.IPv6()}} {
		t.Run(name, func(t *testing.T) {
			p := iketest.NewPair(t, opts...)
			p.Spoke.Initiate()
			p.Deliver()
			s := iketest.Want[ikev2.Established](p.Spoke, "the spoke's session stands")
			h := iketest.Want[ikev2.Established](p.Hub, "the hub's session stands")
			if s.Remote != p.Hub.Policy.Local || h.Remote != p.Spoke.Policy.Local {
				t.Errorf("identities: the spoke met %s, the hub %s", s.Remote, h.Remote)
			}
			if s.Path.Encap || h.Path.Encap {
				t.Error("no NAT is there, yet the path moved")
			}
			if len(s.Config) == 0 || !h.PeerFlexVPN || h.PeerVersion != "spoke test" {
				t.Errorf("the ends do not know of each other: %v, %v, %q", s.Config, h.PeerFlexVPN, h.PeerVersion)
			}
			if p.Spoke.Sent != 2 || p.Hub.Sent != 2 {
				t.Errorf("the handshake took %d and %d datagrams, not 2 and 2", p.Spoke.Sent, p.Hub.Sent)
			}
			p.WantConsistent("the handshake is over")
		})
	}
}

// RFC 7296 section 2.1: "A retransmission from the initiator MUST be bitwise identical to the
// original request"; the responder repeats its response without computing anything.
func TestInitResponseLost(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Initiate()
	first := bytes.Clone(p.Link[0].Datagram)
	p.Step()
	answer := bytes.Clone(p.Link[0].Datagram)
	p.Drop("IKE_SA_INIT response 0", "the answer is lost")
	p.Spoke.WantSilentUntil(500*time.Millisecond, "the first retransmission timer")
	p.Tick()
	if !bytes.Equal(p.Link[0].Datagram, first) {
		t.Error("the repeated request differs")
	}
	p.Step()
	if !bytes.Equal(p.Link[0].Datagram, answer) {
		t.Error("the repeated response differs")
	}
	if p.Hub.Common.Counters.Repeated.Load() != 1 {
		t.Error("the hub did not answer from its cache")
	}
	p.Deliver()
	iketest.Want[ikev2.Established](p.Hub, "the exchange goes on as if nothing had happened")
}

// The waiting time doubles (section 2.1 leaves the timing to the sender), and ends.
func TestInitBackOff(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Initiate()
	for _, wait := range []time.Duration{500, 1000, 2000, 4000, 8000, 16000} {
		p.Drop("IKE_SA_INIT request 0", "nobody is there")
		p.Spoke.WantSilentUntil(wait*time.Millisecond, "exponential back-off")
		p.Tick()
	}
	p.Drop("IKE_SA_INIT request 0", "the last one")
	p.Tick()
	if c := iketest.Want[ikev2.Closed](p.Spoke, "the attempt is over"); c.Reason != ikev2.ReasonTimeout || c.Established {
		t.Errorf("closed with %+v", c)
	}
	if !p.Spoke.SA.Next().IsZero() {
		t.Error("a closed SA waits for something")
	}
}

// Section 2.6: "If the initiator receives a COOKIE, it MUST retry the request with the cookie as the
// first payload and all other payloads unchanged."
func TestCookie(t *testing.T) {
	p := iketest.NewPair(t)
	p.Hub.Gate = ikev2.NewGate(p.Now)
	p.Spoke.Initiate()
	first := bytes.Clone(p.Link[0].Datagram)
	p.Step()
	if p.Hub.SA != nil {
		t.Fatal("the hub keeps something for an initiator without a cookie")
	}
	p.Step()
	second := p.Link[0].Datagram
	ps, err := wire.ParsePayloads(wire.PayloadType(second[16]), second, wire.HeaderLen)
	if err != nil || ps.Notify(wire.Cookie) == nil || wire.PayloadType(second[16]) != wire.PayloadNotify {
		t.Fatalf("the cookie is not the first payload: %v %v", ps, err)
	}
	if !bytes.HasSuffix(second, first[wire.HeaderLen:]) {
		t.Error("the other payloads have changed")
	}
	p.Deliver()
	iketest.Want[ikev2.Established](p.Hub, "the cookie was good")
}

func TestGate(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Initiate()
	f := p.Link[0]
	path := ikev2.Path{Local: f.Path.Remote, Remote: f.Path.Local}
	g := ikev2.NewGate(p.Now)
	_, reply := g.Check(p.Now, path, f.Datagram)
	ps, err := wire.ParsePayloads(wire.PayloadType(reply[16]), reply, wire.HeaderLen)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := wire.ParseHeader(f.Datagram)
	inner, _ := wire.ParsePayloads(h.Next, f.Datagram, wire.HeaderLen)
	with := wire.AppendMessage(nil, h, &wire.Notify{Type: wire.Cookie, Data: ps.Notify(wire.Cookie).Data},
		inner.SA, inner.KE, &wire.Nonce{Data: inner.Nonce})
	check := func(now time.Time, p ikev2.Path, want bool, why string) {
		t.Helper()
		if admit, reply := g.Check(now, p, with); admit != want || admit == (reply != nil) {
			t.Errorf("%s: admitted %v", why, admit)
		}
	}
	check(p.Now, path, true, "a fresh cookie")
	check(p.Now.Add(time.Minute), path, true, "the secret was rotated once")
	other := path
	other.Remote = f.Path.Remote
	check(p.Now.Add(time.Minute), other, false, "from another address")
	check(p.Now.Add(3*time.Minute), path, false, "too old")
	for n := range f.Datagram {
		if admit, reply := g.Check(p.Now, path, f.Datagram[:n]); admit || reply != nil {
			t.Fatalf("a request cut to %d octets got an answer", n)
		}
	}
}

// Section 1.3: "the responder ... indicates its selected group in INVALID_KE_PAYLOAD"; the initiator
// comes again with that group and the whole of its proposals.
func TestInvalidKE(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Policy.IKE, p.Hub.Common.Proposals = groups(31, 19), groups(19)
	p.Spoke.Initiate()
	p.Deliver()
	e := iketest.Want[ikev2.Established](p.Spoke, "the second attempt has the right group")
	if e.Suite.Group != 19 || p.Spoke.Common.Counters.InvalidKERetries.Load() != 1 {
		t.Errorf("group %d", e.Suite.Group)
	}
}

// A forger must not talk an initiator into a group it did not offer.
func TestInvalidKEForged(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Policy.IKE = groups(31)
	p.Spoke.Initiate()
	p.Arrive(forge(p.Link[0], &wire.Notify{Type: wire.InvalidKEPayload, Data: []byte{0, 14}}))
	if p.Spoke.Sent != 1 {
		t.Error("the spoke answered a forged INVALID_KE_PAYLOAD")
	}
	p.Deliver()
	iketest.Want[ikev2.Established](p.Spoke, "and goes on with the true response")
}

// Section 2.21.1: an unauthenticated error is a hint: the initiator keeps trying until its timer runs
// out, and takes the true response if it comes.
func TestForgedRefusal(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Initiate()
	p.Arrive(forge(p.Link[0], &wire.Notify{Type: wire.NoProposalChosen}))
	iketest.WantNone[ikev2.Closed](p.Spoke, "anybody can say no")
	p.Deliver()
	iketest.Want[ikev2.Established](p.Spoke, "the true response came")
	if p.Spoke.Common.Counters.UnprotectedErrors.Load() != 1 {
		t.Error("the forged error was not counted")
	}
}

func TestNoProposal(t *testing.T) {
	p := iketest.NewPair(t)
	p.Hub.Common.Proposals = groups(14)
	p.Spoke.Policy.IKE = groups(31)
	p.Spoke.Initiate()
	p.Run(2 * time.Minute)
	if c := iketest.Want[ikev2.Closed](p.Spoke, "the timer ran out"); c.Reason != ikev2.ReasonNoProposal {
		t.Errorf("the spoke says %s: %s", c.Reason, c.Detail)
	}
	if c := iketest.Want[ikev2.Closed](p.Hub, "refused at once"); c.Reason != ikev2.ReasonNoProposal {
		t.Errorf("the hub says %s", c.Reason)
	}
}

// Section 2.5: a higher major version is answered, and nothing else without an SA is.
func TestStateless(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Initiate()
	b := bytes.Clone(p.Link[0].Datagram)
	if _, ok := ikev2.Stateless(p.Hub.Common, ikev2.Path{}, b); ok {
		t.Error("a request of version 2 got a stateless answer")
	}
	b[17] = 0x30
	reply, ok := ikev2.Stateless(p.Hub.Common, ikev2.Path{}, b)
	if !ok {
		t.Fatal("a request of version 3 got no answer")
	}
	ps, err := wire.ParsePayloads(wire.PayloadType(reply[16]), reply, wire.HeaderLen)
	if err != nil || ps.Notify(wire.InvalidMajorVersion) == nil {
		t.Errorf("the answer is %v, %v", ps, err)
	}
	b[19] |= byte(wire.FlagResponse)
	if _, ok := ikev2.Stateless(p.Hub.Common, ikev2.Path{}, b); ok {
		t.Error("a response of version 3 got an answer: two hosts could talk for ever")
	}
}

// A handshake that the peer never finishes is forgotten after 30 s.
func TestHalfOpen(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Initiate()
	p.Step()
	p.Link = nil
	p.Hub.WantSilentUntil(30*time.Second, "half-open life")
	p.Wait(30 * time.Second)
	p.Hub.Do(func(now time.Time, sa *ikev2.SA) { sa.Advance(now) })
	if c := iketest.Want[ikev2.Closed](p.Hub, "the half-open SA is gone"); c.Reason != ikev2.ReasonTimeout {
		t.Errorf("closed with %s", c.Reason)
	}
}

// A reflected datagram finds nothing: the I flag tells the ends apart (section 3.1).
func TestReflected(t *testing.T) {
	p := iketest.Up(t)
	p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) })
	f := p.Link[0]
	f.To, f.From = f.From, f.To
	f.Path = ikev2.Path{Local: f.Path.Remote, Remote: f.Path.Local}
	before := p.Spoke.SA.Facts()
	p.Arrive(f)
	if after := p.Spoke.SA.Facts(); after.NextReceive != before.NextReceive || len(p.Link) != 1 {
		t.Error("the spoke answered its own request")
	}
}
