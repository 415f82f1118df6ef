package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// What the data plane of the kernel is made of is there: a test that finds it missing in the virtual
// machine has been given the wrong one.
func TestKernelCoreHasWhatItTakes(t *testing.T) {
	needKernel(t)
	l := newLab(t, "has")
	n := node(t, l, "a")
	must(t, n.IP("link add xf1 type xfrm dev lo if_id 7",
		"link add gr1 type gre local 100.64.255.1 remote 100.64.0.1 ttl 64",
		"link add red type vrf table 1001",
		"xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1001 mode beet aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128 sel src 100.64.255.1/32 dst 100.64.0.1/32"))
	nft(t, n, "table inet t {\n chain c {\n type filter hook forward priority 0;\n tcp flags syn tcp option maxseg size set rt mtu\n }\n}\n")
	if _, err := n.Run(context.Background(), "tc", "qdisc", "add", "dev", "gr1", "root", "handle", "1:", "htb"); err != nil {
		t.Error(err)
	}
}

// newKernelStar is a star whose hubs and spokes forward in the kernel.
func newKernelStar(t *testing.T, lab string, names ...string) *star {
	t.Helper()
	needKernel(t)
	s := newStar(t, lab, names...)
	s.plane = "kernel"
	return s
}

// Native and GRE, over either family, carry both families; mode auto serves both kinds at once. Keys
// are renewed under traffic, from either side, and no packet is lost.
func TestKernelCoreFamilies(t *testing.T) {
	s := newKernelStar(t, "kfam", "hub", "spoke1", "spoke2", "spoke3", "spoke4")
	hub := s.hub("hub", "10.1.1.2-10.1.1.9")
	over6 := `[{sequence: 1, address: "2001:db8:1::1"}]`
	kinds := []struct{ mode, peers string }{{"ipsec", firstHub}, {"ipsec", over6}, {"gre", firstHub}, {"gre", over6}}
	var spokes []*flexvpn
	for i, k := range kinds {
		spokes = append(spokes, s.patient(fmt.Sprintf("spoke%d", i+1), k.mode, k.peers))
	}
	for i, f := range spokes {
		f.up()
		for _, to := range []string{"10.1.1.1", "2001:db8:fff::1"} {
			ping(t, f.node, to, 5, 1000)
		}
		if want := map[string]string{"ipsec": "xfrm", "gre": "gre"}[kinds[i].mode]; linkKind(t, f.node, "tunnel1") != want {
			t.Errorf("spoke%d: tunnel1 is a device of kind %s, want %s", i+1, linkKind(t, f.node, "tunnel1"), want)
		}
	}
	for _, v := range show[[]view.Session](hub, "sessions") {
		if v.InPackets < 10 || v.OutPackets < 10 || v.LastIn == nil {
			t.Errorf("the hub counted %+v", v)
		}
	}
	rekeyUnderTraffic(t, hub, spokes)
}

// patient is a spoke that does not take a hub for dead while the machine stands still.
func (s *star) patient(name, mode, peers string) *flexvpn {
	s.t.Helper()
	text := strings.Replace(spokeText(name, mode, peers), "dpd: {interval: 2s, retry: 1s,", "dpd: {interval: 60s, retry: 30s,", 1)
	return startFlexvpn(s.t, s.nodes[name], "client", s.dataplane()+text, map[string][]byte{"psk": []byte(starPSK)})
}

// rekeyUnderTraffic renews the keys of all children, in turn from the spokes' side and from the hub's,
// as often as FLEXVPN_SOAK says, while packets go.
func rekeyUnderTraffic(t *testing.T, hub *flexvpn, spokes []*flexvpn) {
	t.Helper()
	rounds := 20
	if text := os.Getenv("FLEXVPN_SOAK"); text != "" {
		_, err := fmt.Sscan(text, &rounds)
		must(t, err)
	}
	why := watchDrops(t, append(slices.Clone(spokes), hub)...)
	var pings []*netlab.Proc
	var said []*syncBuffer
	for _, f := range spokes {
		out := &syncBuffer{}
		p, err := f.node.Start(out, nil, "ping", "-D", "-i", "0.01", "10.1.1.1")
		must(t, err)
		pings, said = append(pings, p), append(said, out)
	}
	for round := range rounds {
		renew(t, hub, spokes, round%2 == 0)
	}
	for i, p := range pings {
		_ = p.Cmd.Process.Signal(syscall.SIGINT)
		<-p.Done()
		missing, last := gaps(said[i].String())
		if len(missing) > 0 || last < 20 {
			t.Errorf("%s lost packets %v of %d to %d rekeys:\n%s\nsince the first there were\n%s", spokes[i].node.Name, missing, last, rounds, around(said[i].String(), missing), why.since(t))
		}
		t.Logf("%s: %d packets, %d rekeys", spokes[i].node.Name, last, rounds)
	}
}

// renew rekeys each spoke's child once, from its own side or from the hub's.
func renew(t *testing.T, hub *flexvpn, spokes []*flexvpn, own bool) {
	t.Helper()
	before := map[*flexvpn][]string{}
	for _, f := range spokes {
		by, id := f, f.up().ID
		before[f] = children(t, f)
		if !own {
			by, id = hub, f.node.Name[strings.LastIndex(f.node.Name, "-")+1:]+".branch.example.net"
		}
		ctx, cancel := context.WithTimeout(context.Background(), commandLimit())
		must(t, by.control.Rekey(ctx, id, view.RekeyChild))
		cancel()
	}
	for _, f := range spokes {
		eventually(t, 20*time.Second, fmt.Sprintf("%s's child was replaced (by itself: %v)", f.node.Name, own), func() error {
			if now := children(t, f); len(now) != 1 || slices.Equal(now, before[f]) {
				return fmt.Errorf("SPIs %v, before %v", now, before[f])
			}
			return nil
		})
	}
}

// gaps are the numbers without an answer before the last that was answered: what came after may have
// been under way when ping was stopped.
func gaps(ping string) (missing []int, last int) {
	answered := map[int]bool{}
	for line := range strings.Lines(ping) {
		_, rest, ok := strings.Cut(line, "icmp_seq=")
		var n int
		if _, err := fmt.Sscan(rest, &n); ok && err == nil && strings.Contains(line, "bytes from") {
			answered[n], last = true, max(last, n)
		}
	}
	for n := 1; n < last; n++ {
		if !answered[n] {
			missing = append(missing, n)
		}
	}
	return missing, last
}

// children are the SPIs of a node's only session.
func children(t *testing.T, f *flexvpn) (spis []string) {
	t.Helper()
	for _, sa := range show[[]view.SA](f, "sa") {
		for _, c := range sa.Children {
			spis = append(spis, c.SPIIn)
		}
	}
	return spis
}

func linkKind(t *testing.T, n *netlab.Node, name string) string {
	t.Helper()
	out, err := n.Run(context.Background(), "ip", "-d", "-j", "link", "show", name)
	must(t, err)
	var all []struct {
		Info struct {
			Kind string `json:"info_kind"`
		} `json:"linkinfo"`
	}
	must(t, json.Unmarshal([]byte(out), &all))
	return all[0].Info.Kind
}

// Three spokes with GRE and three native ones behind one NAT address, whose mappings then change
// under way.
func TestKernelCoreNAT(t *testing.T) {
	s := newKernelStar(t, "knat", "hub", "router")
	hub := s.hub("hub", "10.1.1.2-10.1.1.9")
	router := s.nodes["router"]
	must(t, router.IP("link set eth0 down", "link set eth0 name out", "link set out up"), forwardOn(router))
	nft(t, router, fmt.Sprintf(masquerade, 40000, 40999))
	var spokes []*flexvpn
	for i := range 6 {
		name := fmt.Sprintf("spoke%d", i+1)
		n := node(t, s.lab, name)
		must(t, s.lab.Link(n, "eth0", router, name),
			n.IP(fmt.Sprintf("addr add 192.168.%d.2/24 dev eth0", i), fmt.Sprintf("route add default via 192.168.%d.1", i)),
			router.IP(fmt.Sprintf("addr add 192.168.%d.1/24 dev %s", i, name)))
		s.nodes[name] = n
		spokes = append(spokes, s.spoke(name, []string{"ipsec", "gre"}[i%2], firstHub))
	}
	for _, f := range spokes {
		f.up()
		ping(t, f.node, "10.1.1.1", 5, 500)
	}
	before := remotes(t, hub)
	nft(t, router, fmt.Sprintf(masquerade, 50000, 50999))
	if out, err := router.Run(context.Background(), "conntrack", "-F"); err != nil {
		t.Fatalf("conntrack -F: %v\n%s", err, out)
	}
	eventually(t, 30*time.Second, "the hub follows all spokes", func() error {
		now := remotes(t, hub)
		if len(now) != 6 {
			return fmt.Errorf("it has %v", now)
		}
		for _, r := range now {
			if contains(before, r) {
				return fmt.Errorf("it sees them at %v, before %v", now, before)
			}
		}
		return nil
	})
	for _, f := range spokes {
		ping(t, f.node, "10.1.1.1", 5, 500)
	}
}
