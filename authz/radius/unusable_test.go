package radius

import (
	"bytes"
	"net/netip"
	"sync"
	"testing"
	"time"

	"layeh.com/radius"
)

func (r *rig) unusable(reason string) uint64 { return r.Servers()[0].Unusable[reason] }

// "An identifier reused": after 256 requests a source port gives its identifiers again. An answer to the
// request that had one before is not the answer to the one that has it now.
func TestIdentifierReused(t *testing.T) {
	var mu sync.Mutex
	var first []byte
	f := startFake(t, func(f *fakeServer, request []byte, from netip.AddrPort) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case first == nil:
			first = request
		case request[1] == first[1] && !bytes.Equal(request, first):
			f.send(f.sealed(radius.CodeAccessAccept, first, "ipsec:banner=of the request before"), from)
		}
		accept("ipsec:banner=right")(f, request, from)
	})
	r := newRig(t, time.Minute, f.server("r1"))
	for i := range 257 {
		if a := r.ask("alice"); a.Err != nil || a.Reply.Banner != "right" {
			t.Fatalf("request %d gets %+v", i+1, a)
		}
	}
	if n := len(f.sources()); n != 1 {
		t.Fatalf("the requests came from %d ports: no identifier was reused", n)
	}
	if r.bad(0, badAuthenticator) != 1 {
		t.Error("the late answer is not counted")
	}
}

// An answer that comes twice answers nothing the second time.
func TestAnswerThatComesTwice(t *testing.T) {
	f := startFake(t, func(f *fakeServer, request []byte, from netip.AddrPort) {
		accept()(f, request, from)
		accept()(f, request, from)
	})
	r := newRig(t, time.Minute, f.server("r1"))
	if a := r.ask("alice"); a.Err != nil {
		t.Fatal(a.Err)
	}
	eventually(t, "the second is counted", func() bool { return r.bad(0, badIdentifier) == 1 })
}

// What is authentic and makes no sense is counted at the server by what is wrong with it.
func TestUnusableAnswersAreCounted(t *testing.T) {
	of := func(n radius.Type, value ...byte) func(f *fakeServer, request []byte, from netip.AddrPort) {
		return func(f *fakeServer, request []byte, from netip.AddrPort) {
			b, _ := sealAnswer(radius.CodeAccessAccept, request, radius.Attributes{{Type: n, Attribute: value}}, f.key)
			f.send(b, from)
		}
	}
	asks := func(t *testing.T, r *rig) error { return r.ask("alice").Err }
	logsIn := func(t *testing.T, r *rig) error { return respond(t, r.begin("alice"), eapPacket(2, 7, 5)).Err }
	for name, c := range map[string]struct {
		answer func(*fakeServer, []byte, netip.AddrPort)
		do     func(*testing.T, *rig) error
		reason string
	}{
		"a short attribute":           {of(attrFramedIPAddress, 10), asks, unusableAttribute},
		"a malformed vendor":          {of(attrVendorSpecific, 0, 0), asks, unusableAttribute},
		"a password that is none":     {of(attrTunnelPassword, 0, 1), asks, unusableAttribute},
		"a pair with nonsense":        {accept("ipsec:dns-servers=nowhere"), asks, unusablePair},
		"a mandatory pair":            {accept("ipsec:colour=blue"), asks, unusablePair},
		"a pair in a login's success": {withEAP(radius.CodeAccessAccept, []byte{3, 7, 0, 4}, pair("ipsec:colour=blue")), logsIn, unusablePair},
		"no EAP":                      {withEAP(radius.CodeAccessChallenge, nil), logsIn, unusableEAP},
		"EAP of another length":       {withEAP(radius.CodeAccessChallenge, []byte{1, 7, 0, 99, 1}), logsIn, unusableEAP},
		"a success that is none":      {withEAP(radius.CodeAccessAccept, eapPacket(1, 8, 4)), logsIn, unusableEAP},
		"a broken key":                {withEAP(radius.CodeAccessAccept, []byte{3, 7, 0, 4}, &radius.AVP{Type: attrVendorSpecific, Attribute: []byte{0, 0, 1, 55, 17, 5, 1, 2, 3}}), logsIn, unusableKey},
		"an oversized EAP": {silent, func(t *testing.T, r *rig) error {
			return respond(t, r.begin("alice"), eapPacket(2, 7, maxEAP)).Err
		}, unusableOversized},
		"challenges without end": {withEAP(radius.CodeAccessChallenge, eapPacket(1, 8, 10)), func(t *testing.T, r *rig) (err error) {
			c := r.begin("alice")
			for range maxRounds + 1 {
				err = respond(t, c, eapPacket(2, 7, 5)).Err
			}
			return err
		}, unusableRounds},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, time.Minute, startFake(t, c.answer).server("r1"))
			if err := c.do(t, r); err == nil {
				t.Error("it is believed")
			}
			for _, reason := range unusableReasons {
				if n, want := r.unusable(reason), b2n(reason == c.reason); n != want {
					t.Errorf("%s is counted %d times, want %d", reason, n, want)
				}
			}
		})
	}
}

func b2n(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
