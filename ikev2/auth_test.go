package ikev2_test

import (
	"strings"
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// refusedAuth runs a handshake that fails in IKE_AUTH.
func refusedAuth(t *testing.T, change func(p *iketest.Pair)) (p *iketest.Pair, spoke, hub ikev2.Closed) {
	t.Helper()
	p = iketest.NewPair(t)
	change(p)
	p.Spoke.Initiate()
	p.Deliver()
	spoke = iketest.Want[ikev2.Closed](p.Spoke, "the handshake failed")
	hub = iketest.Want[ikev2.Closed](p.Hub, "the handshake failed")
	iketest.WantNone[ikev2.Established](p.Hub, "the handshake failed")
	iketest.WantNone[ikev2.Established](p.Spoke, "the handshake failed")
	p.WantConsistent("both have closed")
	return p, spoke, hub
}

func TestWrongSecret(t *testing.T) {
	p, s, h := refusedAuth(t, func(p *iketest.Pair) { p.Hub.Policy.Trust.PSK = secret.FromString("another") })
	if s.Reason != ikev2.ReasonAuthentication || s.Notify != wire.AuthenticationFailed {
		t.Errorf("the spoke says %+v", s)
	}
	if h.Reason != ikev2.ReasonAuthentication || h.Remote != p.Spoke.Policy.Local || !strings.Contains(h.Detail, "pre-shared key") {
		t.Errorf("the hub says %+v", h)
	}
}

// An identity nobody knows must not be told from a wrong secret by the answer.
func TestUnknownIdentityLooksLikeWrongSecret(t *testing.T) {
	size := func(change func(p *iketest.Pair)) (int, wire.NotifyType) {
		p := iketest.NewPair(t)
		change(p)
		p.Spoke.Initiate()
		for range 3 {
			p.Step()
		}
		n := len(p.Link[0].Datagram)
		p.Deliver()
		return n, iketest.Want[ikev2.Closed](p.Spoke, "refused").Notify
	}
	n1, t1 := size(func(p *iketest.Pair) { p.Hub.Policy.Trust.PSK = secret.FromString("another") })
	n2, t2 := size(func(p *iketest.Pair) {
		p.Hub.World.Authenticate = func(q ikev2.Authenticate) ikev2.Answer {
			return ikev2.AuthenticateAnswer{ID: q.ID, Refusal: &ikev2.Refusal{Reason: "no profile"}}
		}
	})
	if n1 != n2 || t1 != t2 {
		t.Errorf("a wrong secret gets %d octets and %s, an unknown identity %d and %s", n1, t1, n2, t2)
	}
}

// Section 2.21.2: an initiator that does not believe the responder says so in an INFORMATIONAL
// exchange, because the responder believes that the SA stands.
func TestResponderNotBelieved(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Policy.Expect = iketest.FQDN("another.example.net")
	p.Spoke.Initiate()
	p.Deliver()
	iketest.Want[ikev2.Established](p.Hub, "the hub believes the spoke")
	if c := iketest.Want[ikev2.Closed](p.Hub, "the spoke does not believe the hub"); c.Reason != ikev2.ReasonAuthentication {
		t.Errorf("the hub says %+v", c)
	}
	if c := iketest.Want[ikev2.Closed](p.Spoke, "wrong identity"); !strings.Contains(c.Detail, "another.example.net") {
		t.Errorf("the spoke says %+v", c)
	}
}

// Section 1.2: the IKE SA stands although the Child SA is refused; of no use here, it is deleted.
func TestChildRefused(t *testing.T) {
	authorize := func(a ikev2.AuthorizeAnswer) func(p *iketest.Pair) {
		return func(p *iketest.Pair) {
			p.Hub.World.Authorize = func(q ikev2.Authorize) ikev2.Answer { a.ID = q.ID; return a }
		}
	}
	refuse := func(n wire.NotifyType) func(p *iketest.Pair) {
		return authorize(ikev2.AuthorizeAnswer{Refusal: &ikev2.Refusal{Notify: n, Reason: "no"}})
	}
	for name, c := range map[string]struct {
		change func(p *iketest.Pair)
		reason ikev2.CloseReason
		notify wire.NotifyType
	}{
		"full pool":     {refuse(wire.InternalAddressFailure), ikev2.ReasonAddress, wire.InternalAddressFailure},
		"not allowed":   {refuse(wire.AuthorizationFailed), ikev2.ReasonAuthorization, wire.AuthorizationFailed},
		"no selectors":  {authorize(ikev2.AuthorizeAnswer{}), ikev2.ReasonSelectors, wire.TSUnacceptable},
		"no proposal":   {func(p *iketest.Pair) { p.Hub.Policy.ESP = aes128() }, ikev2.ReasonNoProposal, wire.NoProposalChosen},
		"data plane":    {func(p *iketest.Pair) { p.Hub.World.Install = refuseInstall }, ikev2.ReasonInstall, wire.TemporaryFailure},
		"nobody speaks": {func(p *iketest.Pair) { p.Hub.World.Authorize = func(ikev2.Authorize) ikev2.Answer { return nil } }, ikev2.ReasonRefused, wire.TemporaryFailure},
	} {
		t.Run(name, func(t *testing.T) {
			p := iketest.NewPair(t)
			p.Spoke.Policy.ESP = aes256()
			c.change(p)
			p.Spoke.Initiate()
			p.Run(25 * time.Second)
			h := iketest.Want[ikev2.Closed](p.Hub, "refused")
			s := iketest.Want[ikev2.Closed](p.Spoke, "refused")
			if h.Notify != c.notify || s.Notify != c.notify {
				t.Errorf("notify %s at the hub, %s at the spoke", h.Notify, s.Notify)
			}
			want := c.reason
			if name == "data plane" {
				want = ikev2.ReasonRefused
			}
			if h.Reason != c.reason || s.Reason != want {
				t.Errorf("the hub says %s (%s), the spoke %s (%s)", h.Reason, h.Detail, s.Reason, s.Detail)
			}
		})
	}
}

func refuseInstall(q ikev2.Install) ikev2.Answer {
	return ikev2.InstallAnswer{ID: q.ID, Err: errTest}
}

func aes128() []suite.Proposal { return gcm(128) }
func aes256() []suite.Proposal { return gcm(256) }

func gcm(bits uint16) []suite.Proposal {
	return []suite.Proposal{{Encr: []suite.Cipher{{ID: 20, KeyBits: bits}}, ESN: []uint16{0}}}
}

// An initiator whose own data plane refuses deletes what the responder believes in.
func TestInitiatorCannotInstall(t *testing.T) {
	_, s, h := refusedAuthAfter(t)
	if s.Reason != ikev2.ReasonInstall || h.Reason != ikev2.ReasonPeerDelete {
		t.Errorf("the spoke says %s, the hub %s", s.Reason, h.Reason)
	}
}

func refusedAuthAfter(t *testing.T) (p *iketest.Pair, spoke, hub ikev2.Closed) {
	p = iketest.NewPair(t)
	p.Spoke.World.Install = refuseInstall
	p.Spoke.Initiate()
	p.Deliver()
	return p, iketest.Want[ikev2.Closed](p.Spoke, "no data plane"), iketest.Want[ikev2.Closed](p.Hub, "deleted by the spoke")
}

// While a question is open nothing leaves the SA and repeats are absorbed; the response leaves after
// the Child SA is installed, so that the first packet finds it.
func TestQuestionHoldsEverything(t *testing.T) {
	p := iketest.NewPair(t)
	var open ikev2.Question
	p.Hub.World.Authenticate = func(q ikev2.Authenticate) ikev2.Answer { open = q; return nil }
	p.Hub.World.Authorize = func(q ikev2.Authorize) ikev2.Answer { open = q; return nil }
	p.Hub.World.Install = func(q ikev2.Install) ikev2.Answer { open = q; return nil }
	p.Spoke.Initiate()
	p.Step()
	p.Step()
	repeat := p.Link[0]
	sent := p.Hub.Sent
	quiet := func(why string) {
		t.Helper()
		p.Arrive(repeat)
		if len(p.Link) != 0 || p.Hub.Sent != sent {
			t.Fatalf("%s: something left the hub", why)
		}
	}
	p.Deliver()
	a := open.(ikev2.Authenticate)
	if a.Remote != p.Spoke.Policy.Local || a.Wanted != p.Hub.Policy.Local || a.Method != wire.AuthSharedKey {
		t.Errorf("asked %+v", a)
	}
	quiet("authenticate is open")
	p.Hub.Answer(ikev2.AuthenticateAnswer{ID: a.ID, Policy: p.Hub.Policy})
	z := open.(ikev2.Authorize)
	if !z.HasConfig || !z.FlexVPN || len(z.TSi) != 2 {
		t.Errorf("asked %+v", z)
	}
	quiet("authorize is open")
	p.Hub.Answer(ikev2.InstallAnswer{ID: z.ID}) // an answer of another kind is none
	p.Hub.Answer(iketest.Granted(z))
	in := open.(ikev2.Install)
	quiet("install is open")
	p.Hub.Answer(ikev2.InstallAnswer{ID: in.ID + 1}) // to no question of this SA
	quiet("install is still open")
	p.Hub.Children[in.Child.SPIIn] = in.Child
	p.Hub.Answer(ikev2.InstallAnswer{ID: in.ID})
	p.Deliver()
	iketest.Want[ikev2.Established](p.Spoke, "now the response is out")
	p.Arrive(repeat)
	p.Deliver()
	p.WantConsistent("a repeated request gets the cached response")
}

// Silence becomes a refusal after AnswerLimit.
func TestAnswerLimit(t *testing.T) {
	p := iketest.NewPair(t)
	p.Hub.World.Authenticate = func(ikev2.Authenticate) ikev2.Answer { return nil }
	p.Spoke.Initiate()
	p.Deliver()
	p.Hub.WantSilentUntil(20*time.Second, "AnswerLimit")
	p.Run(21 * time.Second)
	iketest.Want[ikev2.Closed](p.Hub, "nobody answered")
	iketest.Want[ikev2.Closed](p.Spoke, "the refusal arrived")
}

// A spoke asks for transport mode, and may need it.
func TestTransportMode(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Policy.Transport, p.Spoke.Policy.RequireTransport = true, true
	p.Spoke.Initiate()
	p.Deliver()
	if e := iketest.Want[ikev2.Established](p.Spoke, "the hub agrees"); !e.Child.Transport {
		t.Error("tunnel mode was chosen")
	}
	p.Hub.RekeyChild()
	p.Deliver()
	p.WantConsistent("transport mode survives a rekeying")

	p = iketest.NewPair(t)
	p.Spoke.Policy.Transport, p.Spoke.Policy.RequireTransport = true, true
	p.Hub.World.Authorize = func(q ikev2.Authorize) ikev2.Answer {
		a := iketest.Granted(q)
		a.Transport = false
		return a
	}
	p.Spoke.Initiate()
	p.Deliver()
	iketest.Want[ikev2.Closed](p.Spoke, "it was said to be needed")
	iketest.Want[ikev2.Closed](p.Hub, "deleted")

	// Who can do without goes on in tunnel mode, and rekeys in it.
	declines := p.Hub.World.Authorize
	p = iketest.NewPair(t)
	p.Spoke.Policy.Transport, p.Hub.World.Authorize = true, declines
	p.Spoke.Initiate()
	p.Deliver()
	if e := iketest.Want[ikev2.Established](p.Spoke, "tunnel mode will do"); e.Child.Transport {
		t.Error("transport mode was declined")
	}
	p.Hub.RekeyChild()
	p.Deliver()
	p.WantConsistent("tunnel mode survives a rekeying")
}

// Section 2.9: the responder narrows, each family and protocol for itself.
func TestNarrowing(t *testing.T) {
	p := iketest.NewPair(t)
	host := prefixes("10.1.1.2/32")
	p.Hub.World.Authorize = func(q ikev2.Authorize) ikev2.Answer {
		a := iketest.Granted(q)
		a.TSi, a.TSr = host, prefixes("10.0.0.0/8", "2001:db8:5::/48")
		return a
	}
	p.Spoke.Initiate()
	p.Deliver()
	e := iketest.Want[ikev2.Established](p.Spoke, "narrowed")
	if len(e.Child.TSLocal) != 1 || e.Child.TSLocal[0] != host[0] || len(e.Child.TSRemote) != 2 {
		t.Errorf("selectors %v %v", e.Child.TSLocal, e.Child.TSRemote)
	}
	p.Spoke.RekeyChild()
	p.Deliver()
	p.WantConsistent("rekeying keeps the selectors")
}

// A configuration reply is the spoke's to keep.
func TestConfigReply(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Policy.Config = nil
	p.Spoke.Initiate()
	p.Deliver()
	if e := iketest.Want[ikev2.Established](p.Spoke, "no configuration was asked for"); e.Config != nil {
		t.Errorf("a CFG_REPLY came unasked: %v", e.Config)
	}
}
