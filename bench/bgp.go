package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"flexvpn/config"
	"flexvpn/dataplane/rtnl"
	"flexvpn/netlab"
	"flexvpn/routing"
	"flexvpn/routing/bgp"
)

const bgpHub = `node: bench
ikev2:
` + anyKey + `  profiles: {any: {authentication: {local: psk, remote: psk}, keyring: any}}
bgp:
  asn: 65000
  router-id: 198.18.0.1
  listen: [{range: 198.19.0.0/16, peer-group: spokes}]
  peer-groups: {spokes: {}, hubs: {route-reflector-client: true, next-hop-self: all, unsuppress: any, passive: true}}
  neighbors: {198.18.0.2: {peer-group: hubs}}
  aggregates: [{prefix: 100.64.0.0/10, summary-only: true}]
`

// speakers measures how long listen-range peers take to be established with one prefix each and to have
// the summary, and how long until a tenth of them that goes at once is out of the kernel's table and
// withdrawn from another hub.
func speakers(ctx context.Context, dir, _ string) error {
	small, err := speakersRun(ctx, dir, 200)
	if err != nil {
		return err
	}
	big, err := speakersRun(ctx, dir, 1000)
	if err != nil {
		return err
	}
	say("bgp_200_seconds", small.seconds)
	say("bgp_1000_seconds", big.seconds)
	say("bgp_peer_growth", big.cpu/1000/(small.cpu/200))
	say("bgp_kib_per_peer", (big.kib-small.kib)/800)
	say("bgp_withdraw_seconds", big.withdraw)
	return nil
}

type bgpResult struct{ seconds, cpu, kib, withdraw float64 }

func speakersRun(ctx context.Context, dir string, n int) (res bgpResult, err error) {
	lab, err := netlab.New("fvbgp")
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	hub, err := lab.Node("hub")
	if err != nil {
		return res, err
	}
	peers, err := lab.Node("peers")
	if err != nil {
		return res, err
	}
	// The kernel's table of neighbors is one for all namespaces and ends at 1,024 (gc_thresh3): while others on
	// this machine fill it, a thousand SYNs wait for an answer to ARP. Permanent entries need no room in it,
	// as virtual-access interfaces need no neighbors.
	if err := errors.Join(lab.Link(hub, "eth0", peers, "eth0"),
		hub.IP("link set eth0 address 02:00:00:00:00:01", "addr add 198.18.0.1/24 dev eth0", "neigh replace 198.18.0.2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent"),
		peers.IP("link set eth0 address 02:00:00:00:00:02", "addr add 198.18.0.2/24 dev eth0", "neigh replace 198.18.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
			"route add local 198.19.0.0/16 dev lo"), hub.Sysctl("net.core.somaxconn", "4096")); err != nil {
		return res, err
	}
	path, err := write(dir, "bgp.yaml", bgpHub)
	if err != nil {
		return res, err
	}
	a, err := startBGPSide(ctx, hub, sideBGPHub, path, fmt.Sprint(n))
	if err != nil {
		return res, err
	}
	made, err := a.wait("made")
	if err != nil {
		return res, err
	}
	b, err := startBGPSide(ctx, peers, sideBGPPeers, fmt.Sprint(n))
	if err != nil {
		return res, err
	}
	all, err := b.wait("all")
	if err != nil {
		return res, err
	}
	res.seconds = made + all
	if err := a.tell("usage"); err != nil {
		return res, err
	}
	if res.cpu, err = a.wait("cpu"); err != nil {
		return res, err
	}
	if res.kib, err = a.wait("kib"); err != nil {
		return res, err
	}
	begin := time.Now()
	if err := errors.Join(b.tell("watch"), a.tell("drop")); err != nil {
		return res, err
	}
	if _, err := a.wait("gone"); err != nil {
		return res, err
	}
	if _, err := b.wait("withdrawn"); err != nil {
		return res, err
	}
	res.withdraw = time.Since(begin).Seconds()
	return res, nil
}

// startBGPSide starts one of the two sides, in its namespace.
func startBGPSide(ctx context.Context, n *netlab.Node, role string, args ...string) (*side, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startSide(n.Command(ctx, self, args...), role)
}

func spokeAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)}) }

// bgpHubSide is a RIB over the kernel and a speaker, with n spokes' addresses in it.
func bgpHubSide(path string, n int) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	kernel, err := rtnl.Open()
	if err != nil {
		return err
	}
	table := routing.New(kernel)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	speaker := bgp.New(bgp.Options{Config: cfg.BGP[0], RIB: table, Log: log})
	go func() { _ = table.Run(context.Background(), log) }()
	go func() {
		if err := speaker.Run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}()
	begin := time.Now()
	for i := 1; i <= n; i++ {
		// By the other namespace's address: a thousand of them on one Ethernet would be a thousand neighbors.
		err := table.SetPath(fmt.Sprintf("h%d/address", i), routing.Path{
			Interface: "eth0", Source: routing.SourceAddress, Prefix: netip.PrefixFrom(spokeAddress(i), 32), NextHops: []netip.Addr{netip.MustParseAddr("198.18.0.2")},
		})
		if err != nil {
			return err
		}
	}
	fmt.Printf("made %g\n", time.Since(begin).Seconds())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "usage":
			fmt.Printf("cpu %g\nkib %g\n", cpuTime().Seconds(), residentKiB())
		case "drop":
			for i := 1; i <= n/10; i++ {
				if err := table.Remove(fmt.Sprintf("h%d/address", i)); err != nil {
					return err
				}
			}
			for {
				routes, err := kernel.Routes(routing.ProtocolBGP)
				if err != nil {
					return err
				}
				if len(routes) == n-n/10+1 { // and the aggregate
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			fmt.Println("gone 0")
		}
	}
	return nil
}

func residentKiB() (kib float64) {
	runtime.GC()
	debug.FreeOSMemory()
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, _ = fmt.Sscan(rest, &kib)
		}
	}
	return kib
}

// bgpPeersSide is n spokes, which announce a prefix each, and another hub, which is told the specifics.
func bgpPeersSide(n int) error {
	begin := time.Now()
	var summaries, specifics atomic.Int64
	for i := 1; i <= n; i++ {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>8), byte(i), 0}), 24)
		go speakFor(spokeAddress(i), &p, func(_ netip.Prefix, withdrawn bool) {
			if !withdrawn {
				summaries.Add(1)
			}
		})
	}
	go speakFor(netip.MustParseAddr("198.18.0.2"), nil, func(p netip.Prefix, withdrawn bool) {
		switch {
		case p.Bits() != 24:
		case withdrawn:
			specifics.Add(-1)
		default:
			specifics.Add(1)
		}
	})
	until := func(word string, done func() bool) error {
		for limit := time.Now().Add(2 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(limit) {
				return fmt.Errorf("%s: %d of %d spokes have the summary, the other hub has %d prefixes", word, summaries.Load(), n, specifics.Load())
			}
		}
		fmt.Printf("%s %g\n", word, time.Since(begin).Seconds())
		return nil
	}
	if err := until("all", func() bool { return summaries.Load() >= int64(n) && specifics.Load() == int64(n) }); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := until("withdrawn", func() bool { return specifics.Load() == int64(n-n/10) }); err != nil {
			return err
		}
	}
	return nil
}

// speakFor is one BGP speaker (RFC 4271): it says one prefix, or none, and tells heard of each prefix
// that it is told. One that cannot connect tries again; one whose session ended has done.
func speakFor(self netip.Addr, own *netip.Prefix, heard func(p netip.Prefix, withdrawn bool)) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(self, 0)), Timeout: 5 * time.Second}
	c, err := d.Dial("tcp4", "198.18.0.1:179")
	for err != nil {
		time.Sleep(100 * time.Millisecond)
		c, err = d.Dial("tcp4", "198.18.0.1:179")
	}
	defer func() { _ = c.Close() }()
	_, _ = c.Write(bgpOpen(self))
	in := bufio.NewReader(c)
	said := false
	for {
		head := make([]byte, 19)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		body := make([]byte, max(int(binary.BigEndian.Uint16(head[16:]))-19, 0))
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		switch head[18] {
		case 1: // OPEN
			_, _ = c.Write(bgpMessage(4, nil))
		case 2:
			bgpPrefixes(body, heard)
		case 4: // KEEPALIVE
			_, _ = c.Write(bgpMessage(4, nil))
			if own != nil && !said {
				_, _ = c.Write(bgpUpdate(self, *own))
			}
			said = true
		}
	}
}

func bgpMessage(kind byte, body []byte) []byte {
	b := bytes.Repeat([]byte{0xff}, 16)
	b = binary.BigEndian.AppendUint16(b, uint16(19+len(body)))
	return append(append(b, kind), body...)
}

func bgpOpen(id netip.Addr) []byte {
	caps := []byte{1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 65000 >> 8, 65000 & 0xff} // IPv4 unicast, four-octet AS
	b := append([]byte{4, 65000 >> 8, 65000 & 0xff, 0, 180}, id.AsSlice()...)
	return bgpMessage(1, append(append(b, byte(len(caps)+2), 2, byte(len(caps))), caps...))
}

func bgpUpdate(hop netip.Addr, p netip.Prefix) []byte {
	attrs := append([]byte{0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4}, hop.AsSlice()...)
	attrs = append(attrs, 0x40, 5, 4, 0, 0, 0, 100)
	b := append([]byte{0, 0, 0, byte(len(attrs))}, attrs...)
	return bgpMessage(2, append(append(b, byte(p.Bits())), p.Addr().AsSlice()[:(p.Bits()+7)/8]...))
}

// bgpPrefixes goes through an UPDATE's withdrawn and announced prefixes.
func bgpPrefixes(b []byte, heard func(netip.Prefix, bool)) {
	walk := func(b []byte, withdrawn bool) {
		for len(b) > 0 && len(b) > (int(b[0])+7)/8 {
			var a [4]byte
			n := (int(b[0]) + 7) / 8
			copy(a[:], b[1:1+n])
			heard(netip.PrefixFrom(netip.AddrFrom4(a), int(b[0])), withdrawn)
			b = b[1+n:]
		}
	}
	gone := int(binary.BigEndian.Uint16(b))
	walk(b[2:2+gone], true)
	b = b[2+gone:]
	walk(b[2+int(binary.BigEndian.Uint16(b)):], false)
}
