package ikev2_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/wire"
)

// says is a world that stays silent while the test speaks in its place.
func says(e **iketest.End, reply bool, ps ...wire.Payload) func(ikev2.EAP) ikev2.Answer {
	return func(ikev2.EAP) ikev2.Answer {
		(*e).SA.Take()
		(*e).Do(func(now time.Time, sa *ikev2.SA) {
			if reply {
				sa.Reply(now, ps...)
			} else {
				sa.Say(now, ps...)
			}
		})
		return nil
	}
}

func eapPayload(b []byte) *wire.EAP { return &wire.EAP{Packet: b} }

var someAuth = &wire.Auth{Method: wire.AuthSharedKey, Data: bytes.Repeat([]byte{1}, 32)}

// What a spoke without any right may send inside EAP ends its attempt and nothing else.
func TestHostileSpokeInEAP(t *testing.T) {
	for name, c := range map[string]struct {
		ps   []wire.Payload
		want string
	}{
		"AUTH before EAP has ended":  {[]wire.Payload{someAuth}, "before EAP had ended"},
		"AUTH beside an EAP packet":  {[]wire.Payload{someAuth, eapPayload(iketest.EAPResponse(1, "x"))}, "before EAP had ended"},
		"nothing":                    {nil, "no EAP packet"},
		"its own success":            {[]wire.Payload{eapPayload(iketest.EAPSuccess(1))}, "has no place here"},
		"a request":                  {[]wire.Payload{eapPayload(iketest.EAPRequest(1))}, "has no place here"},
		"a packet of another length": {[]wire.Payload{eapPayload([]byte{2, 1, 0, 9, 1})}, "malformed"},
		"an oversized packet":        {[]wire.Payload{eapPayload(iketest.EAPResponse(1, strings.Repeat("x", 9000)))}, "at most 8192"},
		"a new identity in IKE_AUTH": {[]wire.Payload{&wire.ID{Type: wire.IDFQDN, Data: []byte("another.example.net")}}, "no EAP packet"},
	} {
		t.Run(name, func(t *testing.T) {
			p := iketest.NewPair(t, iketest.ByEAP(), withMSK)
			p.Spoke.World.EAP = says(&p.Spoke, false, c.ps...)
			p.Spoke.Initiate()
			p.Deliver()
			if h := iketest.Want[ikev2.Closed](p.Hub, "refused"); !strings.Contains(h.Detail, c.want) || h.Remote != p.Spoke.Policy.Local {
				t.Errorf("the hub says %q of %s", h.Detail, h.Remote)
			}
			iketest.Want[ikev2.Closed](p.Spoke, "refused")
		})
	}
}

// After success nothing but a good AUTH may come.
func TestHostileSpokeAfterEAP(t *testing.T) {
	digital := &wire.Auth{Method: wire.AuthDigital, Data: []byte{1, 2, 3}}
	for name, c := range map[string]struct {
		ps   []wire.Payload
		want string
	}{
		"EAP again":      {[]wire.Payload{eapPayload(iketest.EAPResponse(1, "x"))}, "no AUTH after EAP"},
		"a wrong AUTH":   {[]wire.Payload{someAuth}, "keys that EAP gave"},
		"a signature":    {[]wire.Payload{digital}, "AUTH after EAP is of method"},
		"an empty AUTH":  {[]wire.Payload{&wire.Auth{Method: wire.AuthSharedKey}}, "keys that EAP gave"},
		"nothing at all": {nil, "no AUTH after EAP"},
	} {
		t.Run(name, func(t *testing.T) {
			p := iketest.NewPair(t, iketest.ByEAP(), withMSK)
			say := says(&p.Spoke, false, c.ps...)
			p.Spoke.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				if q.Packet[0] == 3 {
					return say(q)
				}
				return p.Spoke.Knock(q)
			}
			p.Spoke.Initiate()
			p.Deliver()
			if h := iketest.Want[ikev2.Closed](p.Hub, "refused"); !strings.Contains(h.Detail, c.want) {
				t.Errorf("the hub says %q", h.Detail)
			}
		})
	}
}

// What a hub without its certificate's key, or with it and bad manners, may send.
func TestHostileHubInEAP(t *testing.T) {
	id := &wire.ID{Responder: true, Type: wire.IDFQDN, Data: []byte("hub1.example.net")}
	ask := eapPayload(iketest.EAPRequest(1))
	for name, c := range map[string]struct {
		first, second []wire.Payload
		want          string
	}{
		"a pre-shared key in the place of the certificate": {[]wire.Payload{id, someAuth, ask}, nil, "does not accept that"},
		"EAP without any proof (RFC 5998)":                 {[]wire.Payload{id, ask}, nil, "no AUTH or no identity"},
		"no EAP":                                           {nil, []wire.Payload{}, "no EAP packet"},
		"AUTH too early":                                   {nil, []wire.Payload{someAuth}, "before EAP had ended"},
		"a response":                                       {nil, []wire.Payload{eapPayload(iketest.EAPResponse(1, "x"))}, "has no place here"},
		"an oversized packet":                              {nil, []wire.Payload{eapPayload(append([]byte{1, 1, 0x23, 0x2d, 1}, make([]byte, 9000)...))}, "at most 8192"},
		"an error in the middle":                           {nil, []wire.Payload{&wire.Notify{Type: wire.TemporaryFailure}}, "ended EAP with TEMPORARY_FAILURE"},
	} {
		t.Run(name, func(t *testing.T) {
			p := iketest.NewPair(t, iketest.ByEAP(), withMSK)
			asked := 0
			p.Spoke.World.EAP = func(q ikev2.EAP) ikev2.Answer { asked++; return p.Spoke.Knock(q) }
			if c.first != nil {
				p.Hub.World.Authenticate = func(ikev2.Authenticate) ikev2.Answer {
					return says(&p.Hub, true, c.first...)(ikev2.EAP{})
				}
			}
			second := says(&p.Hub, true, c.second...)
			p.Hub.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				if q.Packet != nil {
					return second(q)
				}
				return p.Hub.Knock(q)
			}
			p.Spoke.Initiate()
			p.Deliver()
			p.Run(20 * time.Second)
			if s := iketest.Want[ikev2.Closed](p.Spoke, "refused"); !strings.Contains(s.Detail, c.want) {
				t.Errorf("the spoke says %q (%s)", s.Detail, s.Reason)
			}
			if c.first != nil && asked != 0 {
				t.Error("the spoke answered EAP of a hub that had not proven itself")
			}
		})
	}
}

// What a hub says last must prove that it has the method's key, too: one that only carried the packets
// of another hub has not.
func TestHostileHubAfterEAP(t *testing.T) {
	for name, c := range map[string]struct {
		ps   []wire.Payload
		want string
	}{
		"a wrong AUTH": {[]wire.Payload{someAuth}, "keys that EAP gave to both ends differ"},
		"no AUTH":      {[]wire.Payload{&wire.CP{Type: wire.CFGReply}}, "no AUTH after EAP"},
		"EAP again":    {[]wire.Payload{eapPayload(iketest.EAPRequest(9))}, "no AUTH after EAP"},
		"an error":     {[]wire.Payload{&wire.Notify{Type: wire.AuthenticationFailed}}, "after EAP with AUTHENTICATION_FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			p := iketest.NewPair(t, iketest.ByEAP(), withMSK)
			p.Hub.World.Authorize = func(ikev2.Authorize) ikev2.Answer {
				return says(&p.Hub, true, c.ps...)(ikev2.EAP{})
			}
			p.Spoke.Initiate()
			p.Run(20 * time.Second)
			if s := iketest.Want[ikev2.Closed](p.Spoke, "the hub has proven nothing"); !strings.Contains(s.Detail, c.want) {
				t.Errorf("the spoke says %q", s.Detail)
			}
			iketest.WantNone[ikev2.Established](p.Spoke, "the hub has proven nothing")
		})
	}
}

// A hub that takes a spoke in without asking for EAP is no hub of a spoke that is configured for it.
func TestHubThatDoesNotAsk(t *testing.T) {
	p := iketest.NewPair(t, iketest.ByEAP(), withMSK)
	p.Hub.World.EAP = func(ikev2.EAP) ikev2.Answer {
		p.Hub.SA.Take()
		p.Hub.Do(func(now time.Time, sa *ikev2.SA) { sa.ReplyProven(now) })
		return nil
	}
	p.Spoke.Initiate()
	p.Run(20 * time.Second)
	if s := iketest.Want[ikev2.Closed](p.Spoke, "nothing was asked"); !strings.Contains(s.Detail, "did not ask for EAP") {
		t.Errorf("the spoke says %q", s.Detail)
	}
	iketest.Want[ikev2.Closed](p.Hub, "told by the spoke")
}
