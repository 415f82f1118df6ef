package ikev2_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/wire"
)

// said is what an end's messages contained, last.
func said(e *iketest.End) *string {
	var last string
	t := ikev2.Tracer(func(r ikev2.TraceRecord) {
		if r.Sent {
			last = r.Message
		}
	})
	e.Common.Tracer.Store(&t)
	return &last
}

// unknownFirst puts a payload of a type that nobody knows in front of the others.
func unknownFirst(b []byte, flags byte) []byte {
	const header, next, length = 28, 16, 24
	out := append(append(append([]byte{}, b[:header]...), b[next], flags, 0, 4), b[header:]...)
	out[next] = 200
	binary.BigEndian.PutUint32(out[length:], uint32(len(out)))
	return out
}

// RFC 7296 section 2.5: "If the critical flag is set and the payload type is unrecognized, the message
// MUST be rejected", with UNSUPPORTED_CRITICAL_PAYLOAD and the type; if it is not set, the payload "MUST
// be skipped".
func TestUnknownPayloadInInit(t *testing.T) {
	p := iketest.NewPair(t)
	answer := said(p.Hub)
	p.Spoke.Initiate()
	first := p.Hold("IKE_SA_INIT request 0", "the request that is altered")
	p.Arrive(altered(first, func(b []byte) []byte { return unknownFirst(b, 0x80) }))
	if len(p.Link) != 1 {
		t.Fatalf("%d datagrams leave in answer", len(p.Link))
	}
	ps, err := parsed(p.Link[0].Datagram)
	if err != nil || ps.Notify(wire.UnsupportedCriticalPayload) == nil || string(ps.Notify(wire.UnsupportedCriticalPayload).Data) != "\xc8" {
		t.Errorf("the answer has %v (%v), want UNSUPPORTED_CRITICAL_PAYLOAD of 200", ps, err)
	}
	if c := iketest.Want[ikev2.Closed](p.Hub, "nothing is kept"); c.Reason != ikev2.ReasonSyntax {
		t.Errorf("closed for %s", c.Reason)
	}
	p.Hub.SA, p.Hub.Closed, p.Link = nil, nil, nil
	p.Arrive(altered(first, func(b []byte) []byte { return unknownFirst(b, 0) }))
	if !strings.Contains(*answer, "IKE_SA_INIT response 0 [SA") {
		t.Errorf("a payload without the critical bit is not skipped: %s", *answer)
	}
}

func parsed(b []byte) (*wire.Payloads, error) {
	h, err := wire.ParseHeader(b)
	if err != nil {
		return nil, err
	}
	return wire.ParsePayloads(h.Next, b, wire.HeaderLen)
}

// Inside a session the exchange fails, and the session stays.
func TestUnknownPayloadInSession(t *testing.T) {
	for _, xt := range []wire.ExchangeType{wire.Informational, wire.CreateChildSA} {
		for flags, want := range map[byte]string{0x80: "[N(UNSUPPORTED_CRITICAL_PAYLOAD)]", 0: "response"} {
			p := iketest.Up(t)
			answer := said(p.Hub)
			p.Spoke.Do(func(now time.Time, sa *ikev2.SA) {
				sa.SayOctets(now, xt, 200, []byte{0, flags, 0, 6, 1, 2})
			})
			p.Step()
			if !strings.Contains(*answer, want) || flags == 0 && strings.Contains(*answer, "CRITICAL") {
				t.Errorf("%v with flags %#x: the hub says %q", xt, flags, *answer)
			}
			if skipped := p.Hub.Common.Counters.UnknownPayloads.Load(); (skipped == 1) != (flags == 0) {
				t.Errorf("%v with flags %#x: %d unknown payloads are counted", xt, flags, skipped)
			}
			p.Link = nil
			iketest.WantNone[ikev2.Closed](p.Hub, "one exchange failed, no more")
		}
	}
}

// RFC 7296 section 2.21.3: wrong syntax of an authentic request is answered with INVALID_SYNTAX and ends
// the SA. Section 2.21.2: in IKE_AUTH also an unknown critical payload does.
func TestAuthenticButMalformedEndsTheSA(t *testing.T) {
	for name, c := range map[string]struct {
		first wire.PayloadType
		plain []byte
	}{
		"a payload longer than the message": {wire.PayloadNotify, []byte{0, 0, 0, 99, 0, 0, 0, 0}},
		"a payload shorter than its header": {wire.PayloadDelete, []byte{0, 0, 0, 3}},
		"a next payload that is not there":  {wire.PayloadNonce, nil},
		"octets behind the last payload":    {wire.PayloadNotify, []byte{0, 0, 0, 8, 0, 0, 0x40, 0, 1, 2, 3}},
	} {
		p := iketest.Up(t)
		answer := said(p.Hub)
		p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.SayOctets(now, wire.Informational, c.first, c.plain) })
		p.Step()
		if !strings.Contains(*answer, "INFORMATIONAL response") || !strings.HasSuffix(*answer, "[N(INVALID_SYNTAX)]") {
			t.Errorf("%s: the hub says %q", name, *answer)
		}
		if closed := iketest.Want[ikev2.Closed](p.Hub, name); closed.Reason != ikev2.ReasonSyntax {
			t.Errorf("%s: closed for %s", name, closed.Reason)
		}
	}
}

// What a hub answers to a CREATE_CHILD_SA that it does not take; the session stays.
func TestChildRefusals(t *testing.T) {
	proposal := func(protocol wire.ProtocolID) *wire.SA {
		spi := make([]byte, map[wire.ProtocolID]int{wire.ProtoESP: 4, wire.ProtoIKE: 8}[protocol])
		spi[0] = 1
		return &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: protocol, SPI: spi, Transforms: []wire.Transform{
			{Type: wire.TransformENCR, ID: 20, KeyBits: 256}, {Type: wire.TransformESN},
		}}}}
	}
	nonce := &wire.Nonce{Data: make([]byte, 32)}
	tsi, tsr := &wire.TS{Selectors: iketest.Anything()}, &wire.TS{Responder: true, Selectors: iketest.Anything()}
	for name, c := range map[string]struct {
		ps   []wire.Payload
		want string
	}{
		"a second Child SA (section 1.3: not wanted here)": {[]wire.Payload{proposal(wire.ProtoESP), nonce, tsi, tsr}, "NO_ADDITIONAL_SAS"},
		"the rekeying of an SPI that nobody has (section 2.25)": {[]wire.Payload{
			&wire.Notify{Protocol: wire.ProtoESP, Type: wire.RekeySA, SPI: []byte{9, 9, 9, 9}}, proposal(wire.ProtoESP), nonce, tsi, tsr,
		}, "CHILD_SA_NOT_FOUND"},
		"an SPI of the wrong length": {[]wire.Payload{
			&wire.Notify{Protocol: wire.ProtoESP, Type: wire.RekeySA, SPI: []byte{9}}, proposal(wire.ProtoESP), nonce, tsi, tsr,
		}, "CHILD_SA_NOT_FOUND"},
		"no nonce":                        {[]wire.Payload{proposal(wire.ProtoESP), tsi, tsr}, "INVALID_SYNTAX"},
		"no selectors":                    {[]wire.Payload{proposal(wire.ProtoESP), nonce}, "INVALID_SYNTAX"},
		"an IKE SA without a suite of it": {[]wire.Payload{proposal(wire.ProtoIKE), nonce}, "NO_PROPOSAL_CHOSEN"},
	} {
		p := iketest.Up(t)
		answer := said(p.Hub)
		p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.SayCreate(now, c.ps...) })
		p.Step()
		if !strings.Contains(*answer, "CREATE_CHILD_SA response") || !strings.HasSuffix(*answer, "[N("+c.want+")]") {
			t.Errorf("%s: the hub says %q, want %s", name, *answer, c.want)
		}
		iketest.WantNone[ikev2.Closed](p.Hub, name)
		if len(p.Hub.Children) != 1 {
			t.Errorf("%s: the hub has %d Child SAs", name, len(p.Hub.Children))
		}
	}
}

// RFC 7383: what a peer may have this end hold is bounded in number, size and time; fragments of a peer
// that did not announce them are refused.
func TestFragmentsAreBounded(t *testing.T) {
	fragment := func(p *iketest.Pair, number, total uint16, octets int) {
		p.Spoke.Do(func(_ time.Time, sa *ikev2.SA) { sa.SayFragment(number, total, make([]byte, octets)) })
		p.Deliver()
	}
	for name, c := range map[string]struct{ number, total uint16 }{
		"more pieces than a message has": {3, 2}, "no number": {0, 2}, "no total": {1, 0}, "too many pieces": {1, 65}, "as many as can be": {1, 65535},
	} {
		p := iketest.Up(t)
		fragment(p, c.number, c.total, 100)
		if bad(p.Hub) != 1 || p.Hub.SA.Collected() != 0 {
			t.Errorf("%s: %d are counted as bad, %d octets are held", name, bad(p.Hub), p.Hub.SA.Collected())
		}
	}
	t.Run("size", func(t *testing.T) {
		p := iketest.Up(t)
		for n := range uint16(63) {
			fragment(p, n+1, 64, 1200)
		}
		if held, limit := p.Hub.SA.Collected(), 32<<10; held == 0 || held > limit {
			t.Errorf("%d octets are held, at most %d may be", held, limit)
		}
		if p.Hub.Common.Counters.BadFragments.Load() == 0 {
			t.Error("what is too much is not counted")
		}
	})
	t.Run("time", func(t *testing.T) {
		p := iketest.Up(t)
		fragment(p, 1, 2, 1000)
		p.Run(30*time.Second - 1)
		if p.Hub.SA.Collected() != 1000 {
			t.Error("a fragment is let go before its time")
		}
		p.Run(1)
		if p.Hub.SA.Collected() != 0 || p.Hub.Common.Counters.BadFragments.Load() != 1 {
			t.Errorf("after 30 s %d octets are held, %d are counted", p.Hub.SA.Collected(), p.Hub.Common.Counters.BadFragments.Load())
		}
		p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.Probe(now) })
		p.Deliver()
		iketest.WantNone[ikev2.Closed](p.Hub, "the session goes on")
	})
	t.Run("not announced", func(t *testing.T) {
		p := iketest.Up(t)
		p.Hub.Do(func(_ time.Time, sa *ikev2.SA) { sa.ForgetFragmentation() })
		fragment(p, 1, 2, 1000)
		if p.Hub.SA.Collected() != 0 || p.Hub.Common.Counters.BadSyntax.Load() != 1 {
			t.Errorf("%d octets are held, %d are counted", p.Hub.SA.Collected(), p.Hub.Common.Counters.BadSyntax.Load())
		}
	})
}
