package radius

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"layeh.com/radius"

	"flexvpn/authz"
)

// eapPacket is an EAP packet with a body of n octets.
func eapPacket(code, id byte, n int) []byte {
	b := make([]byte, 4+n)
	_, _ = rand.Read(b[4:])
	b[0], b[1], b[2], b[3] = code, id, byte(len(b)>>8), byte(len(b))
	return b
}

// withEAP answers with an EAP packet and more attributes.
func withEAP(code radius.Code, packet []byte, more ...*radius.AVP) func(*fakeServer, []byte, netip.AddrPort) {
	return func(f *fakeServer, request []byte, from netip.AddrPort) {
		var a attrs
		for rest := packet; len(rest) > 0; {
			n := min(len(rest), maxAttr)
			a.Add(attrEAPMessage, append(radius.Attribute(nil), rest[:n]...))
			rest = rest[n:]
		}
		a.Attributes = append(a.Attributes, more...)
		b, err := sealAnswer(code, request, a.Attributes, f.key)
		if err != nil {
			f.t.Error(err)
		}
		f.send(b, from)
	}
}

func (r *rig) begin(identity string) authz.EAPConversation {
	return r.EAP("g", nil).Begin(authz.EAPPeer{Identity: identity, Facts: authz.SessionFacts{ID: "A1", Remote: netip.MustParseAddrPort("192.0.2.2:500")}})
}

func respond(t *testing.T, c authz.EAPConversation, packet []byte) authz.EAPResult {
	t.Helper()
	got := make(chan authz.EAPResult, 2)
	c.Respond(packet, func(r authz.EAPResult) { got <- r })
	select {
	case r := <-got:
		return r
	case <-time.After(30 * time.Second):
		t.Fatal("no callback")
		return authz.EAPResult{}
	}
}

// hidden is an attribute of Microsoft's keys, encrypted for request.
func hidden(f *fakeServer, n byte, key, request []byte) *radius.AVP {
	v, err := radius.NewTunnelPassword(key, []byte{0x80, n}, f.key.Reveal(), request[4:headerLen])
	if err != nil {
		f.t.Error(err)
	}
	return &radius.AVP{Type: attrVendorSpecific, Attribute: append([]byte{0, 0, 1, 55, n, byte(2 + len(v))}, v...)}
}

// A whole conversation: fragments both ways, State echoed, keys to MSK, and the server's attributes.
func TestEAPConversation(t *testing.T) {
	challenge, response, success := eapPacket(1, 8, 1000), eapPacket(2, 8, 900), []byte{3, 8, 0, 4}
	recv, send := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	f := startFake(t, withEAP(radius.CodeAccessChallenge, challenge, avp(attrState, "the state")))
	r := newRig(t, time.Minute, f.server("r1"))
	c := r.begin("alice")
	first := respond(t, c, eapPacket(2, 7, 5))
	if first.Err != nil || first.Done || !bytes.Equal(first.Packet, challenge) {
		t.Fatalf("the first answer is %+v", first)
	}
	f.setAnswer(func(f *fakeServer, request []byte, from netip.AddrPort) {
		withEAP(radius.CodeAccessAccept, success, hidden(f, 17, recv, request), hidden(f, 16, send, request), avp(attrUserName, "alice@example.net"),
			pair("ipsec:dns-servers=10.0.0.1"), pair("ipsec:colour*blue"), avp(attrClass, "gold"))(f, request, from)
	})
	last := respond(t, c, response)
	if last.Err != nil || !last.Done || !bytes.Equal(last.Packet, success) || last.Identity != "alice@example.net" {
		t.Fatalf("the last answer is %+v", last)
	}
	if !bytes.Equal(last.MSK.Reveal(), append(bytes.Clone(recv), send...)) {
		t.Errorf("the MSK has %d octets and is not Recv-Key, Send-Key", last.MSK.Len())
	}
	if got := last.Attributes; got.DNS.Origin != "radius eap alice" || len(got.Class.V) != 1 {
		t.Errorf("the attributes are %+v", got.List())
	}
	if text(last.Notes) != "[optional AV-pair ipsec:colour is not known here]" || last.Server != "r1" {
		t.Errorf("the notes are %q of %s", last.Notes, last.Server)
	}
	p := f.requests()[1]
	joined, err := eapOf(p)
	if err != nil || !bytes.Equal(joined, response) || string(p.Get(attrState)) != "the state" || string(p.Get(attrUserName)) != "alice" {
		t.Errorf("the second request is %v, %v", describe(f.octets()[1]), err)
	}
	for _, a := range p.Attributes {
		if a.Type == attrEAPMessage && len(a.Attribute) > maxAttr {
			t.Error("a piece is too long")
		}
	}
}

func TestEAPRejected(t *testing.T) {
	failure := []byte{4, 7, 0, 4}
	f := startFake(t, withEAP(radius.CodeAccessReject, failure, avp(18, "wrong password")))
	got := respond(t, newRig(t, time.Minute, f.server("r1")).begin("mallory"), eapPacket(2, 7, 5))
	if !errors.Is(got.Err, authz.ErrEAPRejected) || !bytes.Equal(got.Packet, failure) || !strings.Contains(got.Err.Error(), "wrong password") {
		t.Errorf("got %+v", got)
	}
}

// "An Access-Challenge without end (round limit)".
func TestEAPRoundLimit(t *testing.T) {
	f := startFake(t, withEAP(radius.CodeAccessChallenge, eapPacket(1, 8, 10)))
	c := newRig(t, time.Minute, f.server("r1")).begin("alice")
	for i := range maxRounds {
		if got := respond(t, c, eapPacket(2, byte(i), 5)); got.Err != nil {
			t.Fatalf("round %d: %v", i, got.Err)
		}
	}
	if got := respond(t, c, eapPacket(2, 1, 5)); got.Err == nil || len(f.requests()) != maxRounds {
		t.Errorf("round %d: %+v after %d requests", maxRounds+1, got, len(f.requests()))
	}
}

// "An oversized EAP", and other packets that make no sense, from either side.
func TestSenselessEAP(t *testing.T) {
	f := startFake(t, silent)
	r := newRig(t, time.Minute, f.server("r1"))
	for _, packet := range [][]byte{eapPacket(2, 7, maxEAP), {2, 7}, nil} {
		if got := respond(t, r.begin("alice"), packet); !errors.Is(got.Err, authz.ErrEAPRejected) {
			t.Errorf("%d octets: %+v", len(packet), got)
		}
	}
	for what, answer := range map[string]func(*fakeServer, []byte, netip.AddrPort){
		"a challenge without EAP":     withEAP(radius.CodeAccessChallenge, nil),
		"a challenge with a success":  withEAP(radius.CodeAccessChallenge, []byte{3, 7, 0, 4}),
		"a wrong length inside":       withEAP(radius.CodeAccessChallenge, []byte{1, 7, 0, 99, 1}),
		"an accept with a request":    withEAP(radius.CodeAccessAccept, eapPacket(1, 8, 4)),
		"an accept with a broken key": withEAP(radius.CodeAccessAccept, []byte{3, 7, 0, 4}, &radius.AVP{Type: attrVendorSpecific, Attribute: []byte{0, 0, 1, 55, 17, 5, 1, 2, 3}}),
		"an accept with nonsense":     withEAP(radius.CodeAccessAccept, []byte{3, 7, 0, 4}, pair("ipsec:colour=blue")),
	} {
		f.setAnswer(answer)
		if got := respond(t, r.begin("alice"), eapPacket(2, 7, 5)); got.Err == nil || got.Done || errors.Is(got.Err, authz.ErrEAPRejected) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	f.setAnswer(withEAP(radius.CodeAccessAccept, nil))
	if got := respond(t, r.begin("alice"), eapPacket(2, 7, 5)); !got.Done || !bytes.Equal(got.Packet, []byte{3, 7, 0, 4}) {
		t.Errorf("an accept without EAP: %+v", got)
	}
}

// The state is one server's: when that dies in the middle, no other can go on.
func TestEAPStaysWithItsServer(t *testing.T) {
	first := startFake(t, withEAP(radius.CodeAccessChallenge, eapPacket(1, 8, 10), avp(attrState, "s")))
	second := startFake(t, withEAP(radius.CodeAccessAccept, []byte{3, 8, 0, 4}))
	a, b := first.server("r1"), second.server("r2")
	a.Timeout, a.Tries = 20*time.Millisecond, 1
	c := newRig(t, time.Minute, a, b).begin("alice")
	if got := respond(t, c, eapPacket(2, 7, 5)); got.Err != nil {
		t.Fatal(got.Err)
	}
	first.setAnswer(silent)
	if got := respond(t, c, eapPacket(2, 8, 5)); !errors.Is(got.Err, authz.ErrUnreachable) || len(second.requests()) != 0 {
		t.Errorf("got %+v, and the second server was asked %d times", got, len(second.requests()))
	}
}
