package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// A hub killed under load and started again: what the kernel holds is that of its sessions, and nothing
// of others was touched. Then one that stops with --keep, and leaves everything.
func TestKernelHubKilled(t *testing.T) {
	s := newKernelStar(t, "kkill", "hub", "spoke1", "spoke2")
	hub := s.hub("hub", "10.1.1.2-10.1.1.9")
	spokes := []*flexvpn{s.spoke("spoke1", "ipsec", firstHub), s.spoke("spoke2", "gre", firstHub)}
	n := s.nodes["hub"]
	must(t, n.IP("link add stranger type bridge", "link set stranger up",
		"link add xstranger type xfrm if_id 42", "route add 172.31.0.0/16 via 192.0.2.200 proto 99", "rule add pref 4242 from 198.18.9.9 lookup main",
		"xfrm state add src 203.0.113.1 dst 203.0.113.2 proto esp spi 0x77 reqid 77 mode tunnel aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128",
		"xfrm policy add src 203.0.113.0/24 dst 198.18.0.0/24 dir out tmpl src 203.0.113.1 dst 203.0.113.2 proto esp reqid 77 mode tunnel"))
	nft(t, n, "table ip stranger {\n chain c {\n type filter hook forward priority 0\n }\n}\n")
	var pings []*netlab.Proc
	for _, f := range spokes {
		f.up()
		p, err := f.node.Start(&syncBuffer{}, nil, "ping", "-i", "0.02", "10.1.1.1")
		must(t, err)
		pings = append(pings, p)
	}
	hub.proc.Kill()
	if links, _ := ours(t, n); len(links) != 2 {
		t.Errorf("the kernel's interfaces went with the process: %v", links)
	}
	hub.start()
	back(t, hub, spokes)
	for _, p := range pings {
		p.Kill()
	}
	onlyOfSessions(t, hub)
	unharmed(t, n)

	must(t, hub.stopKeeping())
	if links, routes := ours(t, n); len(links) != 2 || len(routes) == 0 || strings.Count(said(t, n, "ip", "xfrm", "state"), "spi 0x") != 5 {
		t.Errorf("--keep left interfaces %v, routes %v and\n%s", links, routes, said(t, n, "ip", "xfrm", "state"))
	}
	hub.flags = nil
	hub.start()
	back(t, hub, spokes)
	onlyOfSessions(t, hub)
	must(t, hub.proc.Stop(20*time.Second))
	if links, routes := ours(t, n); len(links) != 0 || len(routes) != 0 {
		t.Errorf("after a graceful stop there are still %v and %v", links, routes)
	}
	if states := said(t, n, "ip", "xfrm", "state"); strings.Count(states, "spi 0x") != 1 {
		t.Errorf("after a graceful stop there are states besides the stranger's:\n%s", states)
	}
	unharmed(t, n)
}

// stopKeeping starts the hub again with --keep, waits for its spokes, and stops it.
func (f *flexvpn) stopKeeping() error {
	f.t.Helper()
	if err := f.proc.Stop(20 * time.Second); err != nil {
		return err
	}
	f.flags = []string{"--keep"}
	f.start()
	eventually(f.t, 40*time.Second, "two sessions are up", func() error {
		if all := show[[]view.Session](f, "sessions"); len(all) != 2 || all[0].State != "UP-ACTIVE" || all[1].State != "UP-ACTIVE" {
			return fmt.Errorf("sessions: %+v", all)
		}
		return nil
	})
	return f.proc.Stop(20 * time.Second)
}

// back waits until each spoke has a session that carries packets.
func back(t *testing.T, hub *flexvpn, spokes []*flexvpn) {
	t.Helper()
	for _, f := range spokes {
		eventually(t, 40*time.Second, f.node.Name+" is back", func() error {
			all := show[[]view.Session](f, "sessions")
			if len(all) != 1 || all[0].State != "UP-ACTIVE" {
				return fmt.Errorf("it has %+v", all)
			}
			_, err := f.node.Run(context.Background(), "ping", "-c", "1", "-W", "2", "10.1.1.1")
			return err
		})
	}
	eventually(t, 40*time.Second, "the hub has two sessions", func() error {
		if all := show[[]view.Session](hub, "sessions"); len(all) != len(spokes) {
			return fmt.Errorf("it has %+v", all)
		}
		return nil
	})
}

func said(t *testing.T, n *netlab.Node, command ...string) string {
	t.Helper()
	out, err := n.Run(context.Background(), command[0], command[1:]...)
	must(t, err)
	return out
}

// onlyOfSessions holds links, states, policies and nftables of a hub against its sessions.
func onlyOfSessions(t *testing.T, hub *flexvpn) {
	t.Helper()
	var want, interfaces []string
	for _, sa := range show[[]view.SA](hub, "sa") {
		for _, c := range sa.Children {
			want = append(want, "0x"+c.SPIIn, "0x"+c.SPIOut)
		}
	}
	for _, v := range show[[]view.Session](hub, "sessions") {
		interfaces = append(interfaces, v.Interface)
	}
	var got []string
	for line := range strings.Lines(said(t, hub.node, "ip", "xfrm", "state")) {
		if f := strings.Fields(line); len(f) > 3 && f[2] == "spi" && f[3] != "0x00000077" {
			got = append(got, f[3])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("states %v, the sessions have %v", got, want)
	}
	links, _ := ours(t, hub.node)
	slices.Sort(links)
	slices.Sort(interfaces)
	if !slices.Equal(links, interfaces) {
		t.Errorf("interfaces %v, the sessions have %v", links, interfaces)
	}
	for line := range strings.Lines(said(t, hub.node, "ip", "xfrm", "policy")) {
		f := strings.Fields(line)
		if i := slices.Index(f, "spi"); i > 0 && !slices.Contains(want, f[i+1]) {
			t.Errorf("a policy sends on %s, which no session has", f[i+1])
		}
	}
	rules := said(t, hub.node, "nft", "list", "ruleset")
	for _, name := range []string{"va3", "va4"} {
		if strings.Contains(rules, `"`+name+`"`) {
			t.Errorf("nftables names %s, which no session has:\n%s", name, rules)
		}
	}
}

func unharmed(t *testing.T, n *netlab.Node) {
	t.Helper()
	for _, line := range []struct{ what, command string }{
		{"172.31.0.0/16", "ip route show proto 99"},
		{"stranger", "ip link show stranger"},
		{"xstranger", "ip link show xstranger"},
		{"4242", "ip rule show"},
		{"0x00000077", "ip xfrm state"},
		{"198.18.0.0/24", "ip xfrm policy"},
		{"table ip stranger", "nft list ruleset"},
	} {
		if out := said(t, n, strings.Fields(line.command)...); !strings.Contains(out, line.what) {
			t.Errorf("a stranger's %s is gone: %s says\n%s", line.what, line.command, out)
		}
	}
}

// Somebody deletes an interface by hand, a state, and all policies: each is noticed and mended, and
// packets go on.
func TestKernelMended(t *testing.T) {
	s := newKernelStar(t, "kmend", "hub", "spoke1", "spoke2")
	hub := s.hub("hub", "10.1.1.2-10.1.1.9")
	spokes := []*flexvpn{s.spoke("spoke1", "ipsec", firstHub), s.spoke("spoke2", "gre", firstHub)}
	pings := func(after string) {
		t.Helper()
		for _, f := range spokes {
			eventually(t, 30*time.Second, "packets of "+f.node.Name+" pass after "+after, func() error {
				_, err := f.node.Run(context.Background(), "ping", "-c", "2", "-W", "2", "10.1.1.1")
				return err
			})
		}
	}
	for _, f := range spokes {
		f.up()
	}
	pings("the start")
	must(t, hub.node.IP("link del va1", "link del va2"))
	pings("their interfaces were deleted")
	if links, _ := ours(t, hub.node); len(links) != 2 {
		t.Errorf("interfaces %v", links)
	}
	must(t, hub.node.IP("xfrm policy flush"))
	pings("all policies were flushed")
	before := append(children(t, spokes[0]), children(t, spokes[1])...)
	must(t, hub.node.IP("xfrm state flush"))
	eventually(t, 60*time.Second, "both children were negotiated anew", func() error {
		for _, spi := range append(children(t, spokes[0]), children(t, spokes[1])...) {
			if slices.Contains(before, spi) {
				return errors.New("a spoke still has " + spi)
			}
		}
		return nil
	})
	pings("all states were flushed")
	onlyOfSessions(t, hub)
	for _, want := range []string{"interface was deleted by somebody else and is made again", "policies were changed by somebody else", "an sa was lost"} {
		if !strings.Contains(hub.log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
}
