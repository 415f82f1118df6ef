package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// isStale is what FRR thinks of its path to a prefix: kept for a neighbor that restarts, or not.
func (f *frr) isStale(prefix string) (bool, error) {
	out, err := f.vtysh("show bgp ipv4 unicast " + prefix)
	if err == nil && !strings.Contains(out, "Paths: (1 available") {
		err = errors.New("FRR has " + out)
	}
	return strings.Contains(out, "(stale)"), err
}

// A hub that is stopped with --keep: the kernel carries packets on, another hub's FRR keeps its paths for so long
// (RFC 4724), and drops what is stale when the hub, which begins anew, is back. One that is stopped
// otherwise takes leave, and FRR keeps nothing.
func TestKernelBGPRestart(t *testing.T) {
	s := newKernelStar(t, "bgpgr", "hub", "spoke1", "hub2")
	for name, inside := range map[string]string{"spoke1": "172.16.1.1/24", "hub2": "172.16.2.1/24"} {
		must(t, s.nodes[name].IP("link add lan type bridge", "link set lan up", "addr add "+inside+" dev lan"))
	}
	n := s.nodes["hub"]
	must(t, forwardOn(n))
	text := strings.Replace(frrHub, "set: interface", "set: [interface, 172.16.0.0/16]", 1) + "  redistribute: {ikev2: any}\n"
	hub := startFlexvpn(t, n, "hub", s.dataplane()+text, map[string][]byte{"psk": []byte(starPSK)})
	must(t, hub.proc.Stop(20*time.Second))
	hub.flags = []string{"--keep"}
	hub.start()
	// A spoke that does not look for the hub while it is away.
	patient := strings.Replace(spokeText("spoke1", "gre", firstHub), "interval: 2s, retry: 1s", "interval: 300s, retry: 30s", 1)
	spoke := startFlexvpn(t, s.nodes["spoke1"], "client", s.dataplane()+patient, map[string][]byte{"psk": []byte(starPSK)})
	spoke.up()
	other := startFRR(t, s.nodes["hub2"], frrOther)
	stale := func(why string, want bool) {
		t.Helper()
		eventually(t, 60*time.Second, why, func() error {
			is, err := other.isStale("172.16.1.0/24")
			if err == nil && is != want {
				err = fmt.Errorf("it is stale: %v", is)
			}
			return err
		})
	}
	between := func() {
		t.Helper()
		pingFrom(t, s.nodes["hub2"], "172.16.2.1", "172.16.1.1", true)
	}
	stale("FRR has the spoke's network", false)
	eventually(t, 60*time.Second, "the hub has FRR's network in the kernel", func() error {
		if out := said(t, n, "ip", "route", "show", "proto", "179"); !strings.Contains(out, "172.16.2.0/24 via 192.0.2.3") {
			return errors.New(out)
		}
		return nil
	})
	between()

	must(t, hub.proc.Stop(20*time.Second))
	stale("FRR keeps the network of a hub that left its kernel alone", true)
	if out := said(t, n, "ip", "route", "show", "proto", "179"); !strings.Contains(out, "172.16.2.0/24 via 192.0.2.3") {
		t.Errorf("--keep left of BGP's routes %q", out)
	}
	between()

	hub.flags = nil
	hub.start()
	mustRun(spoke, "clear", "client", "flex1")
	stale("FRR has the network of the hub that is back", false)
	eventually(t, 60*time.Second, "packets pass again", func() error {
		_, err := s.nodes["hub2"].Run(t.Context(), "ping", "-c", "2", "-W", "2", "-I", "172.16.2.1", "172.16.1.1")
		return err
	})

	must(t, hub.proc.Stop(20*time.Second))
	other.has("ipv4", "keeps nothing of a hub that took leave", map[string]string{"172.16.2.0/24": "self"})
}
