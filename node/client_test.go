package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flexvpn/endpoint/endpointtest"
	"flexvpn/ops/view"
)

// twoHubs are hubs at 192.0.2.1 and 192.0.2.2 with pools of their own; cut takes the line of one away.
func (w *world) twoHubs() (one, two *end, cut func(addr string)) {
	one = w.end("192.0.2.1", hubText(), nil)
	two = w.end("192.0.2.2", hubText("hub1", "hub2", "10.1.1.2-10.1.1.9", "10.1.2.2-10.1.2.9", "10.1.1.1/32", "10.1.2.1/32"), nil)
	one.run()
	two.run()
	return one, two, func(addr string) {
		gone, _ := netip.ParseAddr(addr)
		w.net.Filter(func(d *endpointtest.Datagram) bool { return d.From.Addr() != gone && d.To.Addr() != gone })
	}
}

const twoPeers = "[{sequence: 1, address: 192.0.2.1}, {sequence: 2, address: 192.0.2.2}]"

func (e *end) client() view.Client { return e.Clients()[0] }

// A better hub that is back takes over: the tunnel interface stays, has the new hub's address, and the
// old hub's session ends only then.
func TestBetterHubTakesOver(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two, cut := w.twoHubs()
		cut("192.0.2.1")
		s := w.end("192.0.2.9", spokeText("spoke1", "[{sequence: 1, address: 192.0.2.1}]", twoPeers, "profile: hubs,", "profile: hubs, reactivate: true,"), nil)
		stop := s.run()
		w.after(15 * time.Second)
		two.wantUp(1, "the second hub")
		if v := s.client(); v.State != "ACTIVE" || v.Peer != "192.0.2.2" || fmt.Sprint(v.Addresses) != "[10.1.2.2]" {
			t.Fatalf("the client shows %+v", v)
		}
		cut("")
		w.after(2 * time.Minute)
		one.wantUp(1, "the first hub is back")
		two.wantUp(0, "the second hub was told")
		if v := s.client(); v.State != "ACTIVE" || v.Peer != "192.0.2.1" || fmt.Sprint(v.Addresses) != "[10.1.1.2]" {
			t.Errorf("the client shows %+v", v)
		}
		if n := strings.Count(s.log.String(), "changed state to down"); n != 0 {
			t.Errorf("the line protocol went down %d times\n%s", n, s.log)
		}
		if state := s.fake.String(); strings.Count(state, "child ") != 1 || !strings.Contains(state, "10.1.1.2") || strings.Contains(state, "10.1.2.2") {
			t.Errorf("the tunnel is\n%s", state)
		}
		if got := prefixesOf(s); fmt.Sprint(got) != "[10.0.0.0/8 10.1.1.1/32]" {
			t.Errorf("the spoke routes %v into the tunnel", got)
		}
		stop()
		w.after(time.Second)
		one.wantClean("the spoke said good-bye")
		s.wantClean("the spoke stopped")
	})
}

// The messages of IOS, in the order of a router.
func TestLogEventsOfAFailover(t *testing.T) {
	inWorld(t, func(w *world) {
		_, _, cut := w.twoHubs()
		s := w.end("192.0.2.9", spokeText("spoke1", "[{sequence: 1, address: 192.0.2.1}]", twoPeers), nil)
		s.run()
		w.after(time.Minute)
		cut("192.0.2.1")
		w.after(time.Minute)
		want := []string{
			"LINEPROTO-5-UPDOWN: Line protocol on Interface tunnel1, changed state to up",
			"CRYPTO-5-IKEV2_SESSION_STATUS: Crypto tunnel v2 is UP.  Peer 192.0.2.1:4500       Id: hub1.example.net",
			"FLEXVPN-6-FLEXVPN_CONNECTION_UP: FlexVPN(c) Client_public_addr = 192.0.2.9 Server_public_addr = 192.0.2.1 Assigned_Tunnel_v4_addr = 10.1.1.2",
			"event=FLEXVPN_CONNECTION_UP client=c client_public_addr=192.0.2.9 server_public_addr=192.0.2.1",
			"CRYPTO-5-IKEV2_SESSION_STATUS: Crypto tunnel v2 is DOWN.  Peer 192.0.2.1:4500       Id: hub1.example.net",
			"FLEXVPN-6-FLEXVPN_CONNECTION_DOWN: FlexVPN(c) Client_public_addr = 192.0.2.9 Server_public_addr = 192.0.2.1",
			"LINEPROTO-5-UPDOWN: Line protocol on Interface tunnel1, changed state to down",
			"LINEPROTO-5-UPDOWN: Line protocol on Interface tunnel1, changed state to up",
			"CRYPTO-5-IKEV2_SESSION_STATUS: Crypto tunnel v2 is UP.  Peer 192.0.2.2:4500       Id: hub2.example.net",
			"FLEXVPN-6-FLEXVPN_CONNECTION_UP: FlexVPN(c) Client_public_addr = 192.0.2.9 Server_public_addr = 192.0.2.2 Assigned_Tunnel_v4_addr = 10.1.2.2",
		}
		rest := s.log.String()
		for _, line := range want {
			_, after, found := strings.Cut(rest, line)
			if !found {
				t.Fatalf("the log lacks, at its place, %q:\n%s", line, s.log)
			}
			rest = after
		}
	})
}

// Two profiles of one backup group on one node never use one hub.
func TestBackupGroupOfANode(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two, cut := w.twoHubs()
		three := w.end("192.0.2.3", hubText("hub1", "hub3", "10.1.1.", "10.1.3."), nil)
		three.run()
		text := spokeText("spoke1", "[{sequence: 1, address: 192.0.2.1}]", "[{sequence: 1, address: 192.0.2.1}, {sequence: 2, address: 192.0.2.2}, {sequence: 3, address: 192.0.2.3}]",
			"profile: hubs,", "profile: hubs, backup-group: 10,", "tunnels: {", "tunnels: {tunnel2: {mode: ipsec}, ")
		text = strings.Replace(text, "tunnels: {", "  d: {peers: [{sequence: 1, address: 192.0.2.1}, {sequence: 2, address: 192.0.2.2}, {sequence: 3, address: 192.0.2.3}], profile: hubs, backup-group: 10, tunnel: tunnel2}\ntunnels: {", 1)
		s := w.end("192.0.2.9", text, nil)
		s.run()
		w.after(time.Minute)
		one.wantUp(1, "one profile")
		two.wantUp(1, "the other")
		three.wantUp(0, "not needed")
		cut("192.0.2.1")
		w.after(2 * time.Minute)
		two.wantUp(1, "it stays")
		three.wantUp(1, "the second hub was in use")
		for _, v := range s.Clients() {
			if v.BackupGroup != 10 || v.State != "ACTIVE" {
				t.Errorf("show client: %+v", v)
			}
		}
	})
}

// A hub that pushes gateways, one of which is nonsense: the list shows them, and they are used.
func TestGatewaysPushedByAHub(t *testing.T) {
	inWorld(t, func(w *world) {
		hub := w.end("192.0.2.1", hubText("dns: [192.168.10.5]", "dns: [192.168.10.5], backup-gateways: [192.0.2.2, gw.example.net]"), nil)
		other := w.end("192.0.2.2", hubText("hub1", "hub2"), nil)
		stop := hub.run()
		other.run()
		s := w.end("192.0.2.9", spokeText("spoke1"), nil)
		s.run()
		w.after(time.Minute)
		var list []string
		for _, p := range s.client().Peers {
			list = append(list, p.Peer+"<"+p.PushedBy)
		}
		if got := strings.Join(list, " "); got != "192.0.2.1< 192.0.2.2<192.0.2.1 gw.example.net<192.0.2.1" {
			t.Errorf("the peers are %s", got)
		}
		stop()
		w.after(30 * time.Second)
		other.wantUp(1, "the pushed gateway is used")
	})
}

// Two spokes with one identity: the one that is thrown out says so, goes to its next hub, and leaves
// the first alone for a while.
func TestIdentityClashDoesNotFlap(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two, _ := w.twoHubs()
		first := w.end("192.0.2.9", spokeText("spoke1"), nil)
		second := w.end("192.0.2.10", spokeText("spoke1", "[{sequence: 1, address: 192.0.2.1}]", twoPeers), nil)
		first.run()
		w.after(time.Minute)
		second.run()
		w.after(10 * time.Minute)
		if v := first.client(); v.State == "ACTIVE" || !strings.Contains(v.LastError, "same identity") {
			// It may be the second that was thrown out last; then the first has the hub.
			v2 := second.client()
			if v.State != "ACTIVE" || v2.Peer != "192.0.2.2" || v2.State != "ACTIVE" {
				t.Errorf("the first shows %+v, the second %+v", v, v2)
			}
		}
		if n := one.Stats().SetupsTotal["hub"] + two.Stats().SetupsTotal["hub"]; n > 6 {
			t.Errorf("%d sessions came up in ten minutes", n)
		}
		if !strings.Contains(first.log.String()+second.log.String(), "reason=replaced") {
			t.Errorf("no log tells that the identity was taken\n%s", first.log)
		}
	})
}
