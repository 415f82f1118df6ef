package ikev2_test

import (
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

// An authenticator that does not answer, or says that it cannot, has judged nobody: the spoke is told that
// it may come back, before EAP has begun and in the middle, and not that its password is wrong.
func TestEAPWithoutAVerdict(t *testing.T) {
	unable := func(q ikev2.EAP) ikev2.Answer {
		return ikev2.EAPAnswer{ID: q.ID, Refusal: &ikev2.Refusal{Notify: wire.TemporaryFailure, Reason: "no server answers"}}
	}
	for name, c := range map[string]struct {
		begins bool
		then   func(ikev2.EAP) ikev2.Answer
		hub    string
	}{
		"silent at once":       {false, func(ikev2.EAP) ikev2.Answer { return nil }, "no answer in time"},
		"silent in between":    {true, func(ikev2.EAP) ikev2.Answer { return nil }, "no answer in time"},
		"unable at once":       {false, unable, "no server answers"},
		"unable in the middle": {true, unable, "no server answers"},
	} {
		t.Run(name, func(t *testing.T) {
			s, h := refusedEAP(t, func(p *iketest.Pair) {
				p.Hub.World.EAP = func(q ikev2.EAP) ikev2.Answer {
					if c.begins && q.Packet == nil {
						return p.Hub.Knock(q)
					}
					return c.then(q)
				}
			})
			if s.Reason != ikev2.ReasonRefused || !strings.Contains(s.Detail, "TEMPORARY_FAILURE") || !strings.Contains(h.Detail, c.hub) {
				t.Errorf("the spoke says %q (%s), the hub %q (%s)", s.Detail, s.Reason, h.Detail, h.Reason)
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
