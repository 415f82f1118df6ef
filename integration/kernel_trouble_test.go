package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

const troubledHub = `node: hub
ikev2:
  max-half-open: 20
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: hub.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
      ipsec: {lifetime: {packets: 1000}}
  authorization-policies:
    default: {pool: v4, routes: {set: [interface, 172.16.0.0/16], accept: any}}
pools:
  v4: {range: 10.1.1.2-10.1.2.254}
virtual-templates:
  1: {mode: auto, address: 10.1.1.1/32, mtu: 1400}
`

// The kernel says when an SA has carried enough, and a rekey follows before it stops: under traffic, and
// without loss.
func TestKernelLimitsOfUse(t *testing.T) {
	s := newKernelStar(t, "klim", "hub", "spoke1", "spoke2")
	hub := startFlexvpn(t, s.nodes["hub"], "hub", s.dataplane()+troubledHub, map[string][]byte{"psk": []byte(starPSK)})
	spokes := []*flexvpn{s.spoke("spoke1", "ipsec", firstHub), s.spoke("spoke2", "gre", firstHub)}
	before := map[*flexvpn][]string{}
	for _, f := range spokes {
		f.up()
		before[f] = children(t, f)
		_, err := f.node.Run(context.Background(), "ping", "-q", "-A", "-c", "800", "10.1.1.1") // quickly, near to the limit
		must(t, err)
	}
	var pings []*netlab.Proc
	var texts []*syncBuffer
	for _, f := range spokes {
		out := &syncBuffer{}
		p, err := f.node.Start(out, nil, "ping", "-i", "0.02", "10.1.1.1")
		must(t, err)
		pings, texts = append(pings, p), append(texts, out)
	}
	eventually(t, 30*time.Second, "the kernel has the limits of use", func() error {
		if out := said(t, hub.node, "ip", "-s", "xfrm", "state"); strings.Count(out, "soft 875(packets), hard 1000(packets)") < 4 {
			return errors.New(out)
		}
		return nil
	})
	for _, f := range spokes {
		eventually(t, 60*time.Second, f.node.Name+" has other keys", func() error {
			if now := children(t, f); len(now) != 1 || slices.Equal(now, before[f]) {
				return fmt.Errorf("SPIs %v, before %v", now, before[f])
			}
			return nil
		})
	}
	for i, p := range pings {
		_ = p.Cmd.Process.Signal(syscall.SIGINT)
		<-p.Done()
		if missing, last := gaps(texts[i].String()); len(missing) > 0 || last < 75 {
			t.Errorf("%s lost packets %v of %d to a limit of use", spokes[i].node.Name, missing, last)
		}
	}
	eventually(t, 30*time.Second, "what was replaced is gone", func() error {
		if out := said(t, hub.node, "ip", "xfrm", "state"); strings.Count(out, "spi 0x") != 4 {
			return errors.New(out)
		}
		return nil
	})
	onlyOfSessions(t, hub)
}

// The hub is killed and all its spokes come again at once; then they lose their state and come while it
// still holds their sessions. Each time the kernel has what their sessions have, and nothing besides.
func TestKernelAllAtOnce(t *testing.T) {
	const n = 120
	s := newKernelStar(t, "kall", "hub", "load")
	hub := startFlexvpn(t, s.nodes["hub"], "hub", s.dataplane()+troubledHub, map[string][]byte{"psk": []byte(starPSK)})
	dir := t.TempDir()
	text := strings.ReplaceAll("state-dir: DIR/state\ndataplane: none\n"+spokeText("spoke1", "ipsec", firstHub), "DIR", dir)
	must(t, os.WriteFile(filepath.Join(dir, "psk"), []byte(starPSK), 0o600), os.WriteFile(filepath.Join(dir, "load.yaml"), []byte(text), 0o600))
	come := func(why string) *netlab.Proc {
		t.Helper()
		out := &syncBuffer{}
		load, err := s.nodes["load"].Start(out, nil, binary, "load", "-c", filepath.Join(dir, "load.yaml"), "-n", fmt.Sprint(n), "--hold", "30m")
		must(t, err)
		t.Cleanup(load.Kill)
		eventually(t, 3*time.Minute, "all are up: "+why, func() error {
			if !strings.Contains(out.String(), fmt.Sprintf("%d sessions stand", n)) {
				return fmt.Errorf("load says %q", out)
			}
			up, all := 0, show[[]view.Session](hub, "sessions")
			for _, v := range all {
				if v.State == "UP-ACTIVE" && v.Interface != "" {
					up++
				}
			}
			if up != n || len(all) != n {
				return fmt.Errorf("%d of %d sessions are up, %d are there", up, n, len(all))
			}
			return nil
		})
		onlyOfSessions(t, hub)
		if links, _ := ours(t, hub.node); len(links) != n {
			t.Errorf("%s: %d interfaces", why, len(links))
		}
		for _, p := range show[[]view.Pool](hub, "pools") {
			if p.Used != n {
				t.Errorf("%s: %d leases are in use", why, p.Used)
			}
		}
		return load
	}
	load := come("the first time")
	hub.proc.Kill()
	load.Kill()
	hub.start()
	load = come("after the hub was killed")
	load.Kill()
	come("after they lost their state")
	must(t, hub.proc.Stop(60*time.Second))
	if links, routes := ours(t, hub.node); len(links) != 0 || len(routes) != 0 {
		t.Errorf("after a graceful stop there are still %v and %v", links, routes)
	}
	if out := said(t, hub.node, "ip", "xfrm", "state") + said(t, hub.node, "ip", "xfrm", "policy"); out != "" {
		t.Errorf("after a graceful stop there is still\n%s", out)
	}
}

// Somebody makes devices that are called as a virtual-access would be: those that are there are passed
// over, and are not touched.
func TestKernelNamesOfOthers(t *testing.T) {
	s := newKernelStar(t, "kname", "hub", "spoke1")
	n := s.nodes["hub"]
	must(t, n.IP("link add va1 type bridge", "link set va1 up", "addr add 198.18.0.1/24 dev va1", "link add va2 type dummy"))
	before := said(t, n, "ip", "-o", "addr", "show", "dev", "va1") + linkKind(t, n, "va2")
	hub := s.hub("hub", "10.1.1.2-10.1.1.9")
	spoke := s.spoke("spoke1", "gre", firstHub)
	spoke.up()
	if got := hub.up().Interface; got != "va3" {
		t.Errorf("the virtual-access is %s", got)
	}
	ping(t, spoke.node, "10.1.1.1", 3, 500)
	must(t, hub.proc.Stop(20*time.Second))
	if now := said(t, n, "ip", "-o", "addr", "show", "dev", "va1") + linkKind(t, n, "va2"); now != before {
		t.Errorf("others' devices were\n%s\nand are\n%s", before, now)
	}
}
