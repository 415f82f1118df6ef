package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// "Manual Mode": connect by the IOS spelling, clear takes it down, and a peer that does not answer
// leaves the turn to the next.
func TestClientManualMode(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "cman", 2)
	b.hub(2)
	f := b.client(`clients:
  flex1: {peers: [{sequence: 1, address: 203.0.113.1}, {sequence: 2, address: 203.0.113.2}], connect: manual, profile: hubs, tunnel: tunnel1}
` + tunnelOne)
	if v := in(f, "flex1", "IDLE"); v.Peer != "" {
		t.Errorf("a profile that was not told to connect has the peer %q", v.Peer)
	}
	mustRun(f, "crypto", "ikev2", "client", "flexvpn", "connect", "flex1")
	v := on(f, "flex1", "203.0.113.2")
	if v.Peers[0].Failures == 0 || v.Peers[0].LastError == "" {
		t.Errorf("show client tells nothing of the peer that did not answer: %+v", v.Peers)
	}
	text, err := f.run("show", "crypto", "ikev2", "client", "flexvpn", "flex1", "detail")
	must(t, err)
	for _, line := range []string{
		"  Profile : flex1\n", "  Current state:ACTIVE\n", "  Peer : 203.0.113.2\n", "  Backup group: Default\n", "  Tunnel interface : tunnel1\n",
		"  Assigned IP address: 10.1.2.2\n", "  ivrf : IP DEFAULT\n", "  fvrf : IP DEFAULT\n", "    1 203.0.113.1\n", "    2 203.0.113.2 (current)\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("show crypto ikev2 client flexvpn flex1 detail lacks %q:\n%s", line, text)
		}
	}
	mustRun(f, "clear", "crypto", "ikev2", "client", "flexvpn", "flex1")
	in(f, "flex1", "IDLE")
	b.daemons[2].none()
}

// "Automatic Mode": it connects without being told, and clear brings it back at once.
func TestClientAutomaticMode(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "caut", 1)
	b.hub(1)
	// What this spoke announces and accepts is said by prefix lists.
	f := b.client("clients:\n  flex1: {peers: [{sequence: 1, address: 203.0.113.1}], profile: hubs, tunnel: tunnel1}\n"+tunnelOne+`
prefix-lists: {own: [permit 172.16.1.0/24], hubs: [deny 10.0.1.0/24, permit 10.0.0.0/16 ge 24 le 24]}
`, "set: [interface, 172.16.1.0/24], accept: any", "set: [interface, own], accept: hubs")
	first := on(f, "flex1", "203.0.113.1")
	mustRun(f, "clear", "crypto", "ikev2", "sa", "remote", "203.0.113.1")
	eventually(t, 30*time.Second, "another session stands", func() error {
		if v := clientNamed(f, "flex1"); v.State != "ACTIVE" || v.Session == first.Session {
			return fmt.Errorf("it is %s with session %s", v.State, v.Session)
		}
		return nil
	})
	b.reaches()
	if _, err := f.run("clear", "crypto", "ikev2", "sa", "remote", "203.0.113.77"); err == nil {
		t.Error("clearing the sessions of a peer that has none was no error")
	}
}

// "Track Mode" and dial backup: a profile that connects while a track is down stands in for another
// whose tunnel is gone, and yields when it is back.
func TestClientDialBackup(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "cdia", 2)
	b.hub(1)
	b.hub(2)
	f := b.client(`clients:
  flex1: {peers: [{sequence: 1, address: 203.0.113.1}], profile: hubs, tunnel: tunnel1}
  backup: {peers: [{sequence: 1, address: 203.0.113.2}], connect: {track: 5, state: down}, profile: hubs, tunnel: tunnel2}
tracks: {5: {interface: tunnel1, line-protocol: up, delay: {down: 1s}}}
tunnels: {tunnel1: {mode: ipsec}, tunnel2: {mode: gre}}
`)
	on(f, "flex1", "203.0.113.1")
	if v := in(f, "backup", "WAIT"); !strings.Contains(v.Why, "track 5 down") {
		t.Errorf("show client tells %q", v.Why)
	}
	must(t, b.net.IP("link set hub1a down", "link set hub1b down"))
	on(f, "backup", "203.0.113.2")
	b.reaches()
	must(t, b.net.IP("link set hub1a up", "link set hub1b up"))
	on(f, "flex1", "203.0.113.1")
	in(f, "backup", "WAIT")
	b.reaches()
	b.daemons[2].none()
}

// "FlexVPN Backup Groups": two profiles of one group never use one hub, however hubs come and go, and
// both are up whenever enough hubs are.
func TestClientBackupGroup(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "cgrp", 3)
	for n := 1; n <= 3; n++ {
		b.hub(n)
	}
	f := b.client(`clients:
  flex1: {peers: [{sequence: 1, address: 203.0.113.1}, {sequence: 2, address: 203.0.113.2}, {sequence: 3, address: 203.0.113.3}], backup-group: 10, profile: hubs, tunnel: tunnel1}
  flex2: {peers: [{sequence: 1, address: 203.0.113.2}, {sequence: 2, address: 203.0.113.1}, {sequence: 3, address: 203.0.113.3}], backup-group: 10, profile: hubs, tunnel: tunnel2}
tunnels: {tunnel1: {mode: ipsec}, tunnel2: {mode: ipsec}}
`)
	apart := func(why, lost string) { // and not on what is lost
		t.Helper()
		eventually(t, 60*time.Second, why+": both are up, apart", func() error {
			one, two := clientNamed(f, "flex1"), clientNamed(f, "flex2")
			if one.State == "ACTIVE" && two.State == "ACTIVE" && one.Peer == two.Peer {
				t.Fatalf("%s: both are on %s", why, one.Peer)
			}
			if one.State != "ACTIVE" || two.State != "ACTIVE" || one.Peer == lost || two.Peer == lost {
				return fmt.Errorf("flex1 is %s on %s (%s), flex2 is %s on %s (%s)", one.State, one.Peer, one.LastError, two.State, two.Peer, two.LastError)
			}
			return nil
		})
	}
	apart("at the start", "")
	// Failures of hubs and of lines by a fixed seed (virtual time has 200 of them, package client); what was
	// lost comes back before the next.
	seed := rand.New(rand.NewPCG(6, 3))
	for i := range 4 {
		n := 1 + seed.IntN(3)
		hub := fmt.Sprintf("203.0.113.%d", n)
		cut := []string{fmt.Sprintf("link set hub%da", n), fmt.Sprintf("link set hub%db", n)}
		if i%2 == 0 {
			b.daemons[n].proc.Kill()
			apart(fmt.Sprintf("failure %d: hub%d is killed", i+1, n), hub)
			b.daemons[n].start()
			continue
		}
		must(t, b.net.IP(cut[0]+" down", cut[1]+" down"))
		apart(fmt.Sprintf("failure %d: the lines of hub%d are cut", i+1, n), hub)
		must(t, b.net.IP(cut[0]+" up", cut[1]+" up"))
	}
	if v := clientNamed(f, "flex1"); v.BackupGroup != 10 {
		t.Errorf("show client tells the group %d", v.BackupGroup)
	}
}

// "This can lead to session conflicts if multiple devices attempt to connect using the same
// credentials": it is reported as what it is.
func TestClientIdentityClash(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "ccla", 1)
	b.hub(1)
	f := b.client("clients:\n  flex1: {peers: [{sequence: 1, address: 203.0.113.1}], profile: hubs, tunnel: tunnel1}\n" + tunnelOne)
	on(f, "flex1", "203.0.113.1")
	// Another spoke comes with the same identity.
	other := node(t, b.lab, "other")
	b.line(other, "eth0", "other", "br0")
	must(t, other.IP("addr add 192.0.2.77/24 dev eth0", "route add 203.0.113.1 via 192.0.2.1"))
	thief := startFlexvpn(t, other, "client", spokeText("spoke1", "ipsec", "[{sequence: 1, address: 203.0.113.1}]"), map[string][]byte{"psk": []byte(starPSK)})
	thief.up()
	eventually(t, 20*time.Second, "the first says why", func() error {
		v := clientNamed(f, "flex1")
		if v.State == "ACTIVE" || !strings.Contains(fmt.Sprint(v.Peers), "same identity") {
			return fmt.Errorf("it shows %+v", v)
		}
		return nil
	})
	time.Sleep(5 * time.Second) // nothing is to happen: there is nothing to wait for
	if all := show[[]view.Session](thief, "sessions"); len(all) != 1 || all[0].State != "UP-ACTIVE" {
		t.Errorf("the first has thrown the second out in turn: %+v", all)
	}
}

// An address that another interface has is refused with a reason.
func TestClientAddressTakenElsewhere(t *testing.T) {
	t.Parallel()
	b := newOffice(t, "cadr", 1)
	b.hub(1, "10.1.1.2-10.1.1.99", "10.1.1.2-10.1.1.2")
	must(t, b.spoke.IP("addr add 10.1.1.2/32 dev lan0"))
	f := b.client("clients:\n  flex1: {peers: [{sequence: 1, address: 203.0.113.1}], profile: hubs, tunnel: tunnel1}\n" + tunnelOne)
	eventually(t, 30*time.Second, "the address is refused", func() error {
		if v := clientNamed(f, "flex1"); !strings.Contains(v.LastError, "10.1.1.2, which interface lan0 has already") {
			return fmt.Errorf("it is %s: %s", v.State, v.LastError)
		}
		return nil
	})
	must(t, b.spoke.IP("addr del 10.1.1.2/32 dev lan0"))
	on(f, "flex1", "203.0.113.1")
}
