package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/dataplane"
	"flexvpn/endpoint/endpointtest"
	"flexvpn/ops/view"
	"flexvpn/routing"
)

func TestSpokeGetsWhatItsPolicySays(t *testing.T) {
	inWorld(t, func(w *world) {
		h, s := w.end("192.0.2.1", hubText(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		stop := s.run()
		w.after(time.Second)
		got := h.wantUp(1, "a second is enough for a handshake")[0]
		if got.Identity != "spoke1.branch.example.net" || got.Interface != "va1" || got.Mode != "ipsec" || fmt.Sprint(got.Addresses) != "[10.1.1.2]" {
			t.Errorf("the hub shows %+v", got)
		}
		full, err := h.Session(w.ctx, "va1")
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(full.Attributes, func(a view.Attribute) bool { return a.Name == "dns" }); i < 0 ||
			full.Attributes[i].Value != "192.168.10.5" || !strings.Contains(full.Attributes[i].Origin, "default") {
			t.Errorf("show session does not tell where dns came from: %+v", full.Attributes)
		}
		if full.DPD != "10s/2s periodic (profile spokes)" || full.SA == nil || len(full.SA.Children) != 1 {
			t.Errorf("show session tells %q and %+v", full.DPD, full.SA)
		}
		// Its own address, what it announced inside the policy, and nothing outside.
		want := []string{"10.1.1.2/32", "172.16.1.0/24"}
		if got := prefixesOf(h); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the hub routes %v to the spoke, want %v: 198.18.0.0/15 is not accepted", got, want)
		}
		if got := prefixesOf(s); fmt.Sprint(got) != "[10.0.0.0/8 10.1.1.1/32]" {
			t.Errorf("the spoke routes %v into the tunnel", got)
		}
		if v := s.Clients()[0]; v.State != "ACTIVE" || v.Peer != "192.0.2.1" || fmt.Sprint(v.Addresses) != "[10.1.1.2]" {
			t.Errorf("the client shows %+v", v)
		}
		stop()
		w.after(time.Second)
		h.wantClean("the spoke said good-bye")
		s.wantClean("the spoke stopped")
	})
}

// A user policy goes over the group's, attribute by attribute, and show tells which gave what.
func TestUserPolicyOverGroup(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.end("192.0.2.1", hubText("{group: {list: local, policy: default}}", "{group: {list: local, policy: default}, user: {list: local, policy: vip}}",
			"  authorization-policies:\n", "  authorization-policies:\n    vip: {dns: [192.168.10.99]}\n"), nil)
		s := w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		s.run()
		w.after(time.Second)
		full, err := h.Session(w.ctx, h.wantUp(1, "a second is enough")[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(full.Attributes)
		if !strings.Contains(text, "{dns 192.168.10.99 local policy vip}") || !strings.Contains(text, "local policy default") {
			t.Errorf("the attributes are %s", text)
		}
	})
}

func prefixesOf(e *end) (out []string) {
	routes, err := e.fib.Routes(routing.Protocol)
	if err != nil {
		e.w.t.Fatal(err)
	}
	for _, r := range routes {
		out = append(out, r.Prefix.String())
	}
	slices.Sort(out)
	return out
}

func TestHubStopTellsEverySpoke(t *testing.T) {
	inWorld(t, func(w *world) {
		h, s := w.end("192.0.2.1", hubText(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		stop := h.run()
		s.run()
		w.after(time.Minute)
		h.wantUp(1, "before the stop")
		stop()
		h.wantClean("the hub stopped")
		w.after(100 * time.Millisecond)
		if v := s.Clients()[0]; v.State == "ACTIVE" {
			t.Error("the spoke was not told")
		}
	})
}

// The same identity again: the old session ends, and the new one has its address.
func TestSameIdentityReplaces(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.end("192.0.2.1", hubText(), nil)
		first, second := w.end("192.0.2.2", spokeText("spoke1"), nil), w.end("192.0.2.3", spokeText("spoke1"), nil)
		h.run()
		first.run()
		w.after(time.Second)
		before := h.wantUp(1, "the first")[0]
		mustDo(t, first.Disconnect(w.ctx, "nobody") != nil, "an unknown client is refused")
		w.net.Filter(func(d *endpointtest.Datagram) bool { return d.From.Addr() != netip.MustParseAddr("192.0.2.2") })
		second.run()
		w.after(time.Second)
		after := h.wantUp(1, "the second in place of the first")[0]
		if after.ID == before.ID || fmt.Sprint(after.Addresses) != fmt.Sprint(before.Addresses) || !strings.HasPrefix(after.Remote, "192.0.2.3:") {
			t.Errorf("before %+v, after %+v", before, after)
		}
		if !strings.Contains(h.log.String(), "replaced by a newer session") {
			t.Errorf("the log does not say why the first ended:\n%s", h.log)
		}
		if got := len(h.fake.String()); got == 0 || strings.Count(h.fake.String(), "interface ") != 1 {
			t.Errorf("the plane has\n%s", h.fake)
		}
	})
}

// Events of the plane that nobody read in time are told to whoever watches.
func TestStatsTellDroppedEvents(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.end("192.0.2.1", hubText(), nil)
		h.run()
		h.fake.Lose(7)
		if n := h.Stats().EventsDropped; n != 7 {
			t.Errorf("the node tells of %d dropped events, want 7", n)
		}
	})
}

func mustDo(t *testing.T, ok bool, what string) {
	t.Helper()
	if !ok {
		t.Error(what)
	}
}

// Both say INITIAL_CONTACT, as every client profile does, which RFC 7296 section 2.4 forbids to who shares
// an identity and lets a recipient ignore.
func TestNeverReplace(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.end("192.0.2.1", hubText("keyring: peers\n      auth", "keyring: peers\n      replace-session: never\n      auth"), nil)
		h.run()
		for _, addr := range []string{"192.0.2.2", "192.0.2.3"} {
			w.end(addr, spokeText("spoke1"), nil).run()
			w.after(time.Second)
		}
		got := h.wantUp(2, "one identity twice")
		if fmt.Sprint(got[0].Addresses) == fmt.Sprint(got[1].Addresses) {
			t.Errorf("both have %v", got[0].Addresses)
		}
	})
}

func TestRefusalsAreListedWithTheirReason(t *testing.T) {
	for _, c := range []struct {
		name        string
		hub, spoke  string
		reason      string
		stage, says string
	}{
		{"wrong secret", hubText(), spokeText("spoke1", "a test secret", "another secret"), "authentication", "authentication", ""},
		{"unknown identity", hubText(), spokeText("spoke1", "branch.example.net", "elsewhere.example.net"), "authentication", "authentication", "no profile matches the identity spoke1.elsewhere.example.net"},
		{"full pool", hubText("10.1.1.2-10.1.1.9", "10.1.1.2-10.1.1.2"), spokeText("spoke1"), "address", "address", "p4"},
		{"gre on an ipsec template", hubText("mode: auto", "mode: ipsec"), spokeText("spoke1", "mode: ipsec", "mode: gre"), "selectors", "authorization", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				h, s := w.end("192.0.2.1", c.hub, nil), w.end("192.0.2.2", c.spoke, nil)
				h.run()
				if c.name == "full pool" {
					if _, err := h.pools.Lease("p4", "somebody", netip.Addr{}); err != nil {
						t.Fatal(err)
					}
				}
				s.run()
				w.after(time.Second)
				h.wantUp(0, "it must be refused")
				failed := h.Failed()
				if len(failed) != 1 || failed[0].Reason != c.reason || failed[0].Stage != c.stage || !strings.Contains(failed[0].Detail, c.says) || failed[0].Detail == "" {
					t.Errorf("the hub lists %+v, want %s at %s that says %q", failed, c.reason, c.stage, c.says)
				}
				if got := h.Stats().FailuresTotal[c.reason]; got != 1 {
					t.Errorf("failures_total{%s} is %d", c.reason, got)
				}
				if v := s.Clients()[0]; v.State != "BACKOFF" || v.LastError == "" {
					t.Errorf("the client shows %+v", v)
				}
				if strings.Contains(h.log.String()+s.log.String(), "test secret") {
					t.Error("a log shows the secret")
				}
			})
		})
	}
}

// A plane that cannot install: the spoke is refused and everything is given back.
func TestPlaneRefuses(t *testing.T) {
	inWorld(t, func(w *world) {
		h, s := w.end("192.0.2.1", hubText(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.refer.refuse(errors.New("no buffer space"))
		h.run()
		stop := s.run()
		w.after(time.Second)
		failed := h.Failed()
		if len(failed) == 0 || failed[0].Reason != "install" || !strings.Contains(failed[0].Detail, "no buffer space") {
			t.Errorf("the hub lists %+v", failed)
		}
		h.wantClean("the install was refused")
		h.refer.refuse(nil)
		w.after(5 * time.Second)
		h.wantUp(1, "the plane can again, and the spoke tried again")
		stop()
	})
}

// Silence: after interval and probes the hub gives everything back.
func TestDeadPeerIsForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		h, s := w.end("192.0.2.1", hubText(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		s.run()
		w.after(time.Second)
		h.wantUp(1, "before the silence")
		w.net.Filter(func(*endpointtest.Datagram) bool { return false })
		w.after(9 * time.Second)
		h.wantUp(1, "silence shorter than the interval means nothing")
		w.after(30 * time.Second)
		h.wantClean("the peer is dead")
		if f := h.Failed(); len(f) != 1 || f[0].Reason != "peer_dead" || f[0].Stage != "established" {
			t.Errorf("the hub lists %+v", f)
		}
	})
}

// Back-off 2, 4, 8, 16 s between the peers of the list, then from the beginning.
func TestBackOff(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.end("192.0.2.2", spokeText("spoke1", "[{sequence: 1, address: 192.0.2.1}]", "[{sequence: 1, fqdn: a.example.net}, {sequence: 2, fqdn: b.example.net}]"), nil)
		s.run()
		w.after(0)
		for i, wait := range []time.Duration{2, 4, 8, 16, 2, 4} {
			v := s.Clients()[0]
			peer := []string{"b.example.net", "a.example.net"}[i%2]
			if v.State != "BACKOFF" || v.Peer != peer || v.NextTry == nil || time.Until(*v.NextTry) != wait*time.Second {
				t.Fatalf("after failure %d the client shows %+v, want %s in %d s", i+1, v, peer, wait)
			}
			w.after(wait*time.Second - 1)
			if v := s.Clients()[0]; v.State != "BACKOFF" || v.Peers[i%2].Failures+v.Peers[(i+1)%2].Failures != i+1 {
				t.Fatalf("it tried before its time: %+v", v)
			}
			w.after(1)
		}
	})
}

// The loss of an established hub is answered at once by the next one of the list.
func TestNextPeerAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		h1, h2 := w.end("192.0.2.1", hubText(), nil), w.end("192.0.2.9", hubText("hub1", "hub9"), nil)
		s := w.end("192.0.2.2", spokeText("spoke1", "[{sequence: 1, address: 192.0.2.1}]", "[{sequence: 1, address: 192.0.2.1}, {sequence: 2, fqdn: hub9.example.net}]"),
			names{"hub9.example.net": {netip.MustParseAddr("192.0.2.9")}})
		stop := h1.run()
		h2.run()
		s.run()
		w.after(30 * time.Second)
		h1.wantUp(1, "the first of the list")
		stop()
		w.after(200 * time.Millisecond)
		h2.wantUp(1, "the second, at once")
		if v := s.Clients()[0]; v.State != "ACTIVE" || v.Peer != "hub9.example.net" {
			t.Errorf("the client shows %+v", v)
		}
	})
}

// A hub that takes a spoke in and throws it out is not asked in a tight loop.
func TestBriefSessionsBackOff(t *testing.T) {
	inWorld(t, func(w *world) {
		h, s := w.end("192.0.2.1", hubText(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		s.run()
		w.after(time.Second)
		if n, err := h.ClearAll(w.ctx); n != 1 || err != nil {
			t.Fatalf("cleared %d, %v", n, err)
		}
		w.after(500 * time.Millisecond)
		if v := s.Clients()[0]; v.State != "BACKOFF" {
			t.Errorf("the client shows %+v", v)
		}
		w.after(3 * time.Second)
		h.wantUp(1, "after the back-off")
	})
}

func TestManualConnectDisconnectClear(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.end("192.0.2.1", hubText(), nil)
		s := w.end("192.0.2.2", spokeText("spoke1", "profile: hubs, tunnel", "connect: manual, profile: hubs, tunnel"), nil)
		h.run()
		s.run()
		w.after(time.Minute)
		h.wantUp(0, "connect: manual waits")
		ctx := context.Background()
		if err := s.Connect(ctx, "c"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		h.wantUp(1, "connect")
		if err := s.Disconnect(ctx, "c"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		h.wantClean("disconnect")
		s.wantClean("disconnect")
		if v := s.Clients()[0]; v.State != "IDLE" {
			t.Errorf("the client shows %+v", v)
		}
		if err := s.Connect(ctx, "c"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		if err := s.ClearClient(ctx, ""); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		h.wantUp(0, "clear in manual mode stays down")
	})
}

func TestNoAddressIsAFailure(t *testing.T) {
	inWorld(t, func(w *world) {
		h, s := w.end("192.0.2.1", hubText("pool: p4, ", ""), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		s.run()
		w.after(time.Second)
		if v := s.Clients()[0]; v.State != "BACKOFF" || !strings.Contains(v.LastError, "gave no address") {
			t.Errorf("the client shows %+v", v)
		}
		s.wantClean("a tunnel without an address")
	})
}

func TestSessionLimit(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.end("192.0.2.1", hubText("ikev2:\n", "ikev2:\n  max-sessions: 1\n"), nil)
		h.run()
		w.end("192.0.2.2", spokeText("spoke1"), nil).run()
		w.after(time.Second)
		w.end("192.0.2.3", spokeText("spoke2"), nil).run()
		w.after(time.Second)
		h.wantUp(1, "the limit is one")
		if f := h.Failed(); len(f) != 1 || !strings.Contains(f[0].Detail, "limit of 1 sessions") {
			t.Errorf("the hub lists %+v", f)
		}
	})
}

// Somebody deletes a virtual-access: the session ends with that reason, and the spoke returns.
func TestVanishedInterface(t *testing.T) {
	inWorld(t, func(w *world) {
		h, s := w.end("192.0.2.1", hubText(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		s.run()
		w.after(time.Minute)
		before := h.wantUp(1, "before")[0]
		h.fake.Tell(dataplane.Event{Kind: dataplane.InterfaceGone, Interface: "va1"})
		w.after(3 * time.Second)
		if now := h.wantUp(1, "the spoke is back")[0]; now.ID == before.ID {
			t.Error("the session stands though its interface is gone")
		}
		if !strings.Contains(h.log.String(), "removed by somebody else") {
			t.Errorf("the log does not say why:\n%s", h.log)
		}
	})
}

// Soft limits of use and the operator renew keys; the plane is left with one child each time.
func TestRekeys(t *testing.T) {
	inWorld(t, func(w *world) {
		h, s := w.end("192.0.2.1", hubText(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		s.run()
		w.after(time.Second)
		id := h.wantUp(1, "before")[0].ID
		child := func(e *end) view.Child {
			all, err := e.SAs(w.ctx)
			if err != nil || len(all) != 1 || len(all[0].Children) != 1 {
				t.Fatalf("SAs: %+v, %v", all, err)
			}
			return all[0].Children[0]
		}
		first := child(h)
		var spi uint32
		if _, err := fmt.Sscanf(first.SPIIn, "%x", &spi); err != nil {
			t.Fatal(err)
		}
		h.fake.Tell(dataplane.Event{Kind: dataplane.SoftExpire, Interface: "va1", SPIIn: spi})
		w.after(2 * time.Second)
		second := child(h)
		if second.SPIIn == first.SPIIn {
			t.Error("a soft limit did not renew the Child SA")
		}
		if err := s.Rekey(w.ctx, s.up()[0].ID, view.RekeyChild); err != nil {
			t.Fatal(err)
		}
		w.after(2 * time.Second)
		if third := child(h); third.SPIIn == second.SPIIn {
			t.Error("rekey child did not")
		}
		before, _ := h.SAs(w.ctx)
		if err := h.Rekey(w.ctx, id, view.RekeyIKE); err != nil {
			t.Fatal(err)
		}
		w.after(2 * time.Second)
		after, _ := h.SAs(w.ctx)
		if before[0].SPILocal == after[0].SPILocal {
			t.Error("rekey ike did not renew the IKE SA")
		}
		for _, e := range []*end{h, s} {
			if n := strings.Count(e.fake.String(), "child "); n != 1 {
				t.Errorf("%d children are left in the plane:\n%s", n, e.fake)
			}
		}
		if got := h.wantUp(1, "the session is the same"); got[0].ID != id {
			t.Error("rekeying made another session")
		}
		if err := h.Rekey(w.ctx, "nobody", view.RekeyIKE); err == nil {
			t.Error("an unknown session was rekeyed")
		}
	})
}

// A bad line changes nothing but time: 30 % lost, repeated, reordered.
func TestBadLine(t *testing.T) {
	inWorld(t, func(w *world) {
		w.net.Set(endpointtest.Link{Latency: 20 * time.Millisecond, Jitter: 50 * time.Millisecond, Loss: 0.3, Duplicate: 0.3})
		// No dead peer detection: on such a line it would rightly call some peers dead.
		h := w.end("192.0.2.1", hubText("10.1.1.2-10.1.1.9", "10.1.1.2-10.1.1.99", "periodic", `"off"`), nil)
		h.run()
		for i := range 20 {
			w.end(fmt.Sprintf("192.0.2.%d", i+2), spokeText(fmt.Sprintf("spoke%d", i), "periodic", `"off"`), nil).run()
		}
		w.after(3 * time.Minute)
		got := h.wantUp(20, "everybody gets through in the end")
		seen := map[string]bool{}
		for _, s := range got {
			if a := fmt.Sprint(s.Addresses); seen[a] {
				t.Errorf("two spokes have %s", a)
			} else {
				seen[a] = true
			}
		}
	})
}
