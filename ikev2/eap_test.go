package ikev2_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// withMSK gives both ends the key of a method that makes one.
func withMSK(p *iketest.Pair) { p.Spoke.MSK, p.Hub.MSK = iketest.TestMSK(), iketest.TestMSK() }

// RFC 7296 section 2.16: the hub proves itself first, EAP follows, both prove with the method's key
// and only then the spoke learns what it asked for at first.
func TestEAP(t *testing.T) {
	for name, opts := range map[string][]iketest.Option{
		"with a key":    {iketest.ByEAP(), withMSK},
		"without a key": {iketest.ByEAP()}, // SK_pi and SK_pr take its place
		"over IPv6":     {iketest.IPv6(), iketest.ByEAP(), withMSK},
		"behind a NAT":  {iketest.ByEAP(), withMSK, iketest.BehindNAT("198.51.100.7")},
		"in fragments":  {iketest.ByEAP(), withMSK, iketest.Both(func(p *ikev2.Policy) { p.FragmentSize = 200 })},
	} {
		t.Run(name, func(t *testing.T) {
			p := iketest.NewPair(t, opts...)
			var asked ikev2.Authorize
			p.Hub.World.Authorize = func(q ikev2.Authorize) ikev2.Answer { asked = q; return iketest.Granted(q) }
			p.Spoke.Initiate()
			p.Deliver()
			e := iketest.Want[ikev2.Established](p.Spoke, "the spoke is in")
			iketest.Want[ikev2.Established](p.Hub, "the spoke is in")
			if len(e.Config) == 0 || !asked.HasConfig || len(asked.TSi) != 2 {
				t.Errorf("the first request's wishes were forgotten: asked %+v, got %v", asked, e.Config)
			}
			if asked.EAPIdentity != "somebody" || asked.Remote != p.Spoke.Policy.Local {
				t.Errorf("the hub authorizes %q (%s)", asked.EAPIdentity, asked.Remote)
			}
			h, s := p.Hub.SA.Facts(), p.Spoke.SA.Facts()
			if h.RemoteAuth != ikev2.AuthEAP || h.LocalAuth != ikev2.AuthCertificate || h.EAPIdentity != "somebody" {
				t.Errorf("the hub says %v by %v, EAP identity %q", h.RemoteAuth, h.LocalAuth, h.EAPIdentity)
			}
			if s.LocalAuth != ikev2.AuthEAP || s.RemoteAuth != ikev2.AuthCertificate || s.EAPIdentity != "somebody" {
				t.Errorf("the spoke says %v by %v, EAP identity %q", s.LocalAuth, s.RemoteAuth, s.EAPIdentity)
			}
			p.Spoke.RekeyIKE()
			p.Deliver()
			p.Hub.RekeyChild()
			p.Deliver()
			p.WantConsistent("the session lives like any other")
		})
	}
}

// Lost, repeated and doubled messages of EAP are those of any exchange.
func TestEAPOverABadLink(t *testing.T) {
	p := iketest.NewPair(t, iketest.ByEAP(), withMSK)
	p.Spoke.Initiate()
	p.Step()
	p.Step()
	for i := range 3 {
		name := "IKE_AUTH request " + string(rune('1'+i))
		p.Drop(name, "the request is lost")
		p.Tick()
		f := p.Hold(name, "it is sent again")
		p.Arrive(f)
		p.Drop("IKE_AUTH response "+string(rune('1'+i)), "the answer is lost")
		p.Arrive(f)
		p.DeliverOne("IKE_AUTH response "+string(rune('1'+i)), "a repeated request gets the same answer")
	}
	p.Deliver()
	iketest.Want[ikev2.Established](p.Spoke, "in the end")
	p.WantConsistent("in the end")
}

// refusedEAP is a conversation that must fail at both ends.
func refusedEAP(t *testing.T, change func(p *iketest.Pair)) (spoke, hub ikev2.Closed) {
	t.Helper()
	p := iketest.NewPair(t, iketest.ByEAP(), withMSK)
	change(p)
	p.Spoke.Initiate()
	p.Run(3 * time.Minute)
	iketest.WantNone[ikev2.Established](p.Hub, "EAP failed")
	iketest.WantNone[ikev2.Established](p.Spoke, "EAP failed")
	return iketest.Want[ikev2.Closed](p.Spoke, "EAP failed"), iketest.Want[ikev2.Closed](p.Hub, "EAP failed")
}

func TestEAPRefused(t *testing.T) {
	calls := 0
	for name, c := range map[string]struct {
		change     func(p *iketest.Pair)
		spoke, hub string // in the details
	}{
		"wrong password": {func(p *iketest.Pair) {
			p.Hub.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				if q.Packet == nil {
					return p.Hub.Knock(q)
				}
				return ikev2.EAPAnswer{ID: q.ID, Identity: "somebody", Refusal: &ikev2.Refusal{Reason: "wrong password"}}
			}
		}, "the hub says EAP failure", "wrong password"},
		"refused before it began": {func(p *iketest.Pair) {
			p.Hub.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				return ikev2.EAPAnswer{ID: q.ID, Refusal: &ikev2.Refusal{Reason: "no server"}}
			}
		}, "AUTHENTICATION_FAILED", "no server"},
		"the keys differ": {func(p *iketest.Pair) {
			p.Hub.MSK = secret.FromString("another")
		}, "AUTHENTICATION_FAILED", "keys that EAP gave to both ends differ"},
		"success without a key, where the spoke has one": {func(p *iketest.Pair) {
			p.Hub.MSK = secret.Bytes{}
		}, "AUTHENTICATION_FAILED", "keys that EAP gave to both ends differ"},
		"the spoke refuses": {func(p *iketest.Pair) {
			p.Spoke.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				return ikev2.EAPAnswer{ID: q.ID, Refusal: &ikev2.Refusal{Reason: "no password is configured"}}
			}
		}, "no password is configured", "does not accept"},
		"nobody types": {func(p *iketest.Pair) {
			p.Spoke.World.EAP = func(q ikev2.EAP) ikev2.Answer { return nil }
			p.Spoke.Policy.EAPLife = time.Minute
		}, "no answer in time", "does not accept"},
		"nobody types for longer than the hub waits": {func(p *iketest.Pair) {
			p.Spoke.World.EAP = func(q ikev2.EAP) ikev2.Answer { return nil }
			p.Spoke.Policy.EAPLife = time.Minute
			p.Hub.Policy.EAPLife = 30 * time.Second
		}, "no answer in time", "did not finish"},
		"the hub's authenticator is silent": {func(p *iketest.Pair) {
			p.Hub.World.EAP = func(q ikev2.EAP) ikev2.Answer { return nil }
		}, "AUTHENTICATION_FAILED", "no answer in time"},
		"a conversation without end": {func(p *iketest.Pair) {
			p.Hub.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				calls++
				return ikev2.EAPAnswer{ID: q.ID, Packet: iketest.EAPRequest(byte(calls))}
			}
		}, "does not end", "does not accept"},
		"a conversation without end, and a spoke that does not count": {func(p *iketest.Pair) {
			p.Hub.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				return ikev2.EAPAnswer{ID: q.ID, Packet: iketest.EAPRequest(1)}
			}
			p.Spoke.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				p.Spoke.SA.ForgetRounds()
				return p.Spoke.Knock(q)
			}
		}, "AUTHENTICATION_FAILED", "does not end"},
		"the authenticator's packet is a response": {func(p *iketest.Pair) {
			p.Hub.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				return ikev2.EAPAnswer{ID: q.ID, Packet: iketest.EAPResponse(1, "x")}
			}
		}, "AUTHENTICATION_FAILED", "no packet that fits"},
		"success before anything was asked": {func(p *iketest.Pair) {
			p.Hub.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				return ikev2.EAPAnswer{ID: q.ID, Packet: iketest.EAPSuccess(1), Done: true}
			}
		}, "AUTHENTICATION_FAILED", "no packet that fits"},
		"the spoke answers with a request": {func(p *iketest.Pair) {
			p.Spoke.World.EAP = func(q ikev2.EAP) ikev2.Answer {
				return ikev2.EAPAnswer{ID: q.ID, Packet: iketest.EAPRequest(1)}
			}
		}, "no packet that fits", "does not accept"},
		"the spoke says it is done too early": {func(p *iketest.Pair) {
			p.Spoke.World.EAP = func(q ikev2.EAP) ikev2.Answer { return ikev2.EAPAnswer{ID: q.ID, Done: true} }
		}, "no packet that fits", "does not accept"},
		"another certificate": {func(p *iketest.Pair) {
			p.Spoke.Policy.Trust.Roots = nil
		}, "no trust anchors", "does not accept"},
		"the hub is configured without certificate": {func(p *iketest.Pair) {
			p.Hub.Policy.Credential = ikev2.Credential{Kind: ikev2.AuthPSK, PSK: secret.FromString("x")}
		}, "AUTHENTICATION_FAILED", "without a certificate"},
		"the hub does not offer EAP": {func(p *iketest.Pair) {
			p.Hub.Policy.Trust = ikev2.Trust{Kind: ikev2.AuthPSK, PSK: secret.FromString("x")}
		}, "AUTHENTICATION_FAILED", "does not offer"},
		"nobody knows the identity": {func(p *iketest.Pair) {
			p.Hub.World.Authenticate = func(q ikev2.Authenticate) ikev2.Answer {
				return ikev2.AuthenticateAnswer{ID: q.ID, Refusal: &ikev2.Refusal{Reason: "no profile"}}
			}
		}, "AUTHENTICATION_FAILED", "no profile"},
		"a spoke with a pre-shared key, where EAP is wanted": {func(p *iketest.Pair) {
			p.Spoke.Policy.Credential = ikev2.Credential{Kind: ikev2.AuthPSK, PSK: secret.FromString("x")}
		}, "AUTHENTICATION_FAILED", "does not accept that"},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := refusedEAP(t, c.change)
			if !strings.Contains(s.Detail, c.spoke) || !strings.Contains(h.Detail, c.hub) {
				t.Errorf("the spoke says %q (%s), the hub %q (%s)", s.Detail, s.Reason, h.Detail, h.Reason)
			}
			if s.Reason != ikev2.ReasonAuthentication {
				t.Errorf("the spoke's reason is %s", s.Reason)
			}
		})
	}
}

// A refusal of the Child SA after EAP proves the hub by the method's key, like an acceptance.
func TestEAPThenNoAddress(t *testing.T) {
	p := iketest.NewPair(t, iketest.ByEAP(), withMSK)
	p.Hub.World.Authorize = func(q ikev2.Authorize) ikev2.Answer {
		return ikev2.AuthorizeAnswer{ID: q.ID, Refusal: &ikev2.Refusal{Notify: wire.InternalAddressFailure, Reason: "full"}}
	}
	p.Spoke.Initiate()
	p.Run(time.Minute)
	if c := iketest.Want[ikev2.Closed](p.Spoke, "no address"); c.Reason != ikev2.ReasonAddress {
		t.Errorf("the spoke says %s: %s", c.Reason, c.Detail)
	}
}

// A spoke that uses EAP gives its password to nobody who has not proven itself by certificate, so
// that such a policy does not even begin (RFC 7296 section 2.16).
func TestEAPTowardsPSK(t *testing.T) {
	p := iketest.NewPair(t, iketest.ByEAP())
	p.Spoke.Policy.Trust = ikev2.Trust{Kind: ikev2.AuthPSK, PSK: secret.FromString("x")}
	p.Spoke.Initiate()
	p.Step()
	p.Step()
	if c := iketest.Want[ikev2.Closed](p.Spoke, "no certificate is asked for"); !strings.Contains(c.Detail, "by certificate") {
		t.Errorf("the spoke says %q", c.Detail)
	}
	if len(p.Link) != 0 {
		t.Error("IKE_AUTH was sent")
	}
}

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

// Whatever a link does to EAP, both ends come to one end: in, or closed.
func TestEAPStorm(t *testing.T) {
	up := 0
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := iketest.NewPair(t, iketest.Both(cheap), iketest.ByEAP(), withMSK, iketest.Periodic(30*time.Second, 2*time.Second, 8),
			iketest.Both(func(q *ikev2.Policy) { q.RetransmitTries = 10; q.RetransmitMax = 4 * time.Second; q.FragmentSize = 300 }))
		p.Fate = storm(r)
		p.Spoke.Initiate()
		p.Run(4 * time.Minute)
		p.Fate = nil
		p.Run(8 * time.Minute)
		p.WantConsistent("after the storm")
		if p.Spoke.Closed == nil {
			up++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if up < 50 || up == 150 {
		t.Errorf("the storm is too weak or too strong to prove anything: %d are in", up)
	}
}
