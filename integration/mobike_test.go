package integration

import (
	"fmt"
	"hash/crc32"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"flexvpn/netlab"
	"flexvpn/ops/view"
)

// A roaming lab is a hub with two lines into the world and a spoke with two uplinks, of which the first
// is preferred. The world between them routes everything and can put a NAT before either uplink.
//
//	hub up1 192.0.2.1, 2001:db8:1::1        net        198.51.100.10, 2001:db8:11::10 wan1 roam
//	    up2 203.0.113.1, 2001:db8:2::1                198.51.100.138, 2001:db8:12::10 wan2
type roamingLab struct {
	t              *testing.T
	plane          string // of both ends; empty: userspace
	hub, net, roam *netlab.Node
}

func newRoamingLab(t *testing.T) *roamingLab {
	t.Helper()
	l := newLab(t, fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(t.Name()))))
	r := &roamingLab{t: t, hub: node(t, l, "hub"), net: node(t, l, "net"), roam: node(t, l, "roam")}
	line := func(n *netlab.Node, dev, port, cidr4, via4, cidr6, via6, metric string) {
		must(t, l.Link(n, dev, r.net, port),
			n.IP("addr add "+cidr4+" dev "+dev, "addr add "+cidr6+" dev "+dev+" nodad"),
			r.net.IP("addr add "+via4+" dev "+port, "addr add "+via6+" dev "+port+" nodad"),
			n.IP("route add default via "+strings.Split(via4, "/")[0]+" dev "+dev+" metric "+metric,
				"-6 route add default via "+strings.Split(via6, "/")[0]+" dev "+dev+" metric "+metric))
	}
	line(r.hub, "up1", "h1", "192.0.2.1/24", "192.0.2.254/24", "2001:db8:1::1/64", "2001:db8:1::fe/64", "10")
	line(r.hub, "up2", "h2", "203.0.113.1/24", "203.0.113.254/24", "2001:db8:2::1/64", "2001:db8:2::fe/64", "20")
	line(r.roam, "wan1", "w1", "198.51.100.10/25", "198.51.100.1/25", "2001:db8:11::10/64", "2001:db8:11::fe/64", "10")
	line(r.roam, "wan2", "w2", "198.51.100.138/25", "198.51.100.129/25", "2001:db8:12::10/64", "2001:db8:12::fe/64", "20")
	must(t, forwardOn(r.net), r.net.Sysctl("net.ipv6.conf.all.forwarding", "1"))
	return r
}

// What a hub may call its own. On a machine under load an answer may take longer than half a second; the
// spoke then tries all of the hub's addresses, and which one answers first is chance. A test that looks at
// one address of the hub gives it no other of that family.
const (
	oneLine      = `192.0.2.1`
	twoLines     = `192.0.2.1, 203.0.113.1`
	bothFamilies = `192.0.2.1, "2001:db8:1::1"`
)

// either: which of the hub's addresses it is makes no difference. Both ends probe several when they move,
// and the answer that comes first decides.
const either = ""

func (r *roamingLab) startHub(addresses string) *flexvpn {
	r.t.Helper()
	return startFlexvpn(r.t, r.hub, "hub", planeLine(r.plane)+`node: hub
ikev2:
  addresses: [`+addresses+`]
  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: DIR/psk}}]}
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      identity: {fqdn: hub.example.net}
      authentication: {local: psk, remote: psk}
      keyring: peers
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
      dpd: {interval: 30s, retry: 5s, mode: on-demand}
  authorization-policies:
    default: {pool: v4, ipv6-pool: v6, routes: {set: [interface, 10.99.0.0/24], accept: any}}
pools:
  v4: {range: 10.1.1.2-10.1.1.9}
  v6: {range: "2001:db8:fff::2-2001:db8:fff::9"}
virtual-templates:
  1: {mode: auto, address: [10.1.1.1/32, "2001:db8:fff::1/128"], mtu: 1400, adjust-mss: 1360}
metrics: {listen: "127.0.0.1:9464"}
`, map[string][]byte{"psk": []byte(starPSK)})
}

func (r *roamingLab) startSpoke(mode string) *flexvpn {
	r.t.Helper()
	return startFlexvpn(r.t, r.roam, "client", planeLine(r.plane)+spokeText("spoke1", mode, firstHub), map[string][]byte{"psk": []byte(starPSK)})
}

// swanText is a strongSwan that faces hub.example.net or is it; either may use all of its addresses.
func swanText(hub bool) string {
	local, remote, more, ts, pools := oursSpoke, "hub.example.net", "remote_addrs = 192.0.2.1\n    vips = 0.0.0.0", "remote_ts = 10.1.1.1/32", ""
	if hub {
		local, remote, more, ts = "hub.example.net", oursSpoke, "pools = v4", "local_ts = 0.0.0.0/0"
		pools = "pools {\n  v4 {\n    addrs = 10.1.1.2-10.1.1.9\n    subnet = 10.99.0.0/24\n  }\n}\n"
	}
	return fmt.Sprintf(`connections {
  peer {
    version = 2
    local_addrs = %%any
    mobike = yes
    proposals = aes256gcm16-prfsha384-x25519
    encap = yes
    dpd_delay = 2s
    %s
    local {
      auth = psk
      id = %s
    }
    remote {
      auth = psk
      id = %s
    }
    children {
      net {
        %s
        esp_proposals = aes256gcm16, aes128gcm16-x25519
        mode = tunnel
      }
    }
  }
}
%ssecrets {
  ike-all {
    secret = "%s"
  }
}
`, more, local, remote, ts, pools, strings.TrimSpace(starPSK))
}

// A stream is a ping that goes on while things happen.
type stream struct {
	t    *testing.T
	proc *netlab.Proc
	out  *syncBuffer
}

// startStream pings twenty times a second, and returns when answers come.
func startStream(t *testing.T, from *netlab.Node, to string) *stream {
	t.Helper()
	return streamEvery(t, from, to, 50*time.Millisecond)
}

func streamEvery(t *testing.T, from *netlab.Node, to string, interval time.Duration) *stream {
	t.Helper()
	s := &stream{t: t, out: &syncBuffer{}}
	var err error
	s.proc, err = from.Start(s.out, nil, "ping", "-D", "-i", fmt.Sprint(interval.Seconds()), "-W", "1", to)
	must(t, err)
	s.answered(5)
	return s
}

// answered waits until n more pings have been answered.
func (s *stream) answered(n int) {
	s.t.Helper()
	want := strings.Count(s.out.String(), "bytes from") + n
	eventually(s.t, 60*time.Second, "pings are answered", func() error {
		if got := strings.Count(s.out.String(), "bytes from"); got < want {
			return fmt.Errorf("%d of %d", got, want)
		}
		return nil
	})
}

// stop ends the stream and returns what ping said.
func (s *stream) stop() string {
	s.t.Helper()
	must(s.t, s.proc.Cmd.Process.Signal(syscall.SIGINT))
	<-s.proc.Done()
	return s.out.String()
}

var pingCounts = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// lost ends the stream and tells how many pings were not answered: the last few may still be on their way.
func (s *stream) lost() int {
	s.t.Helper()
	s.answered(20)
	out := s.stop()
	m := pingCounts.FindStringSubmatch(out)
	if m == nil {
		s.t.Fatalf("ping says %s", lastLines(out, 5))
	}
	sent, _ := strconv.Atoi(m[1])
	received, _ := strconv.Atoi(m[2])
	return max(0, sent-received-1)
}

// at waits until the session's packets run between these addresses, as an end sees it, and checks that
// it is still the first session.
func at(t *testing.T, f *flexvpn, local, remote string) view.Session {
	t.Helper()
	var s view.Session
	eventually(t, 40*time.Second, fmt.Sprintf("the %s's session runs from %s to %s", f.role, local, remote), func() error {
		all := show[[]view.Session](f, "sessions")
		if len(all) != 1 || !strings.HasPrefix(all[0].Local, local) || !strings.HasPrefix(all[0].Remote, remote) {
			return fmt.Errorf("it has %+v", all)
		}
		s = all[0]
		return nil
	})
	if s.ID != "h1" && s.ID != "flex1-1" {
		t.Errorf("the session was not kept: it is %s now", s.ID)
	}
	return s
}

// fewPings bounds what a cut line may cost: no clock decides here, only whether it is a move or a loss
// that dead peer detection has to find.
const fewPings = 60

// Our spoke behind our hub: a route that changes costs nothing, a line that is cut little, and the
// session is the same all the time.
func TestMobikeSpokeMoves(t *testing.T) {
	for _, mode := range []string{"ipsec", "gre"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRoamingLab(t)
			hub := r.startHub(oneLine)
			spoke := r.startSpoke(mode)
			spoke.up()
			if sa := show[[]view.SA](spoke, "sa")[0]; !sa.MOBIKE {
				t.Error("the spoke knows nothing of MOBIKE")
			}
			s := startStream(t, r.roam, "10.1.1.1")
			must(t, r.roam.IP("route add default via 198.51.100.129 dev wan2 metric 5"))
			at(t, hub, "192.0.2.1", "198.51.100.138")
			at(t, spoke, "198.51.100.138", "192.0.2.1")
			must(t, r.roam.IP("route del default via 198.51.100.129 dev wan2 metric 5"))
			at(t, hub, "192.0.2.1", "198.51.100.10")
			at(t, spoke, "198.51.100.10", "192.0.2.1")
			if n := s.lost(); n > 0 {
				t.Errorf("%d pings were lost while both lines worked", n)
			}
			s = startStream(t, r.roam, "10.1.1.1")
			must(t, r.roam.IP("link set wan1 down"))
			at(t, hub, "192.0.2.1", "198.51.100.138")
			at(t, spoke, "198.51.100.138", "192.0.2.1")
			if n := s.lost(); n > fewPings {
				t.Errorf("%d pings were lost when the line was cut", n)
			}
			// A Child SA and an IKE SA are rekeyed after the move.
			mustRun(spoke, "rekey", "child", "flex1-1")
			mustRun(spoke, "rekey", "ike", "flex1-1")
			ping(t, r.roam, "10.1.1.1", 20, 500)
			ping(t, r.roam, "2001:db8:fff::1", 5, 500)
			if strings.Contains(spoke.log.String(), "session down") {
				t.Error("the spoke lost its session")
			}
			out, err := r.hub.Run(t.Context(), "curl", "-sS", "http://127.0.0.1:9464/metrics")
			if must(t, err); !strings.Contains(out, `flexvpn_mobike_moves_total{result="done"} 3`) {
				t.Errorf("the hub does not count three moves")
			}
		})
	}
}

// Configured sources: the session moves to the second one when the first goes, and back when it returns.
func TestMobikeSources(t *testing.T) {
	t.Parallel()
	r := newRoamingLab(t)
	hub := r.startHub(oneLine)
	text := strings.Replace(spokeText("spoke1", "ipsec", firstHub), "clients:\n  flex1: {",
		"clients:\n  flex1: {sources: [{sequence: 1, interface: wan1}, {sequence: 2, interface: wan2}], ", 1)
	spoke := startFlexvpn(t, r.roam, "client", text, map[string][]byte{"psk": []byte(starPSK)})
	spoke.up()
	at(t, hub, "192.0.2.1", "198.51.100.10")
	s := startStream(t, r.roam, "10.1.1.1")
	must(t, r.roam.IP("link set wan1 down"))
	at(t, hub, "192.0.2.1", "198.51.100.138")
	at(t, spoke, "198.51.100.138", "192.0.2.1")
	s.answered(5)
	must(t, r.roam.IP("link set wan1 up", "route replace default via 198.51.100.1 dev wan1 metric 10"))
	at(t, hub, "192.0.2.1", "198.51.100.10")
	at(t, spoke, "198.51.100.10", "192.0.2.1")
	if n := s.lost(); n > fewPings {
		t.Errorf("%d pings were lost", n)
	}
}

// The address itself is replaced, as by a provider's DHCP: the old one is gone at once.
func TestMobikeAddressReplaced(t *testing.T) {
	t.Parallel()
	r := newRoamingLab(t)
	hub := r.startHub(oneLine)
	spoke := r.startSpoke("ipsec")
	spoke.up()
	s := startStream(t, r.roam, "10.1.1.1")
	must(t, r.roam.IP("link set wan2 down", "addr add 198.51.100.77/25 dev wan1", "addr del 198.51.100.10/25 dev wan1",
		"addr replace 198.51.100.77/25 dev wan1", "route replace default via 198.51.100.1 dev wan1 metric 10"))
	at(t, hub, "192.0.2.1", "198.51.100.77")
	at(t, spoke, "198.51.100.77", "192.0.2.1")
	if n := s.lost(); n > fewPings {
		t.Errorf("%d pings were lost", n)
	}
}

// A spoke that loses IPv4 goes on over IPv6, to the hub's address of that family, and comes back.
func TestMobikeFromIPv4ToIPv6(t *testing.T) {
	t.Parallel()
	r := newRoamingLab(t)
	hub := r.startHub(bothFamilies)
	spoke := r.startSpoke("gre")
	spoke.up()
	s := startStream(t, r.roam, "10.1.1.1")
	must(t, r.roam.IP("-4 route del default dev wan1", "-4 route del default dev wan2"))
	at(t, hub, "[2001:db8:1::1]", "[2001:db8:11::10]")
	at(t, spoke, "[2001:db8:11::10]", "[2001:db8:1::1]")
	s.answered(5)
	must(t, r.roam.IP("route add default via 198.51.100.1 dev wan1 metric 10"))
	at(t, hub, "192.0.2.1", "198.51.100.10")
	if n := s.lost(); n > fewPings {
		t.Errorf("%d pings were lost", n)
	}
}

// The hub's own address goes away: it tells its spokes, and they come after it.
func TestMobikeHubLosesAddress(t *testing.T) {
	t.Parallel()
	r := newRoamingLab(t)
	hub := r.startHub(twoLines)
	spoke := r.startSpoke("ipsec")
	spoke.up()
	if sa := show[[]view.SA](spoke, "sa")[0]; fmt.Sprint(sa.Additional) != "[203.0.113.1]" {
		t.Errorf("the spoke knows of the hub's addresses %v", sa.Additional)
	}
	s := startStream(t, r.roam, "10.1.1.1")
	must(t, r.hub.IP("addr del 192.0.2.1/24 dev up1"))
	at(t, hub, "203.0.113.1", "198.51.100.10")
	at(t, spoke, "198.51.100.10", "203.0.113.1")
	if n := s.lost(); n > fewPings {
		t.Errorf("%d pings were lost", n)
	}
}

// The path is dead although every address and route is there: the spoke's probe is repeated on all paths,
// and the session goes where it was answered.
func TestMobikeDeadPath(t *testing.T) {
	t.Parallel()
	r := newRoamingLab(t)
	hub := r.startHub(twoLines)
	spoke := r.startSpoke("ipsec")
	spoke.up()
	nft(t, r.net, `flush ruleset
table ip cut {
  chain f {
    type filter hook forward priority 0
    ip daddr 192.0.2.1 drop
    ip saddr 192.0.2.1 drop
  }
}
`)
	at(t, spoke, "198.51.100.10", "203.0.113.1")
	at(t, hub, "203.0.113.1", "198.51.100.10")
	ping(t, r.roam, "10.1.1.1", 5, 500)
}

// roamNAT hides what comes from one uplink behind the world's own address.
const roamNAT = `flush ruleset
table ip nat {
  chain post {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "h1" ip saddr %s meta l4proto udp masquerade to :%d-%d
  }
}
`

// A spoke moves behind a NAT and out of it again; then a NAT appears in front of it where it stands,
// changes its mapping, and goes.
func TestMobikeNATComesAndGoes(t *testing.T) {
	t.Parallel()
	r := newRoamingLab(t)
	nft(t, r.net, fmt.Sprintf(roamNAT, "198.51.100.138", 40000, 40999))
	hub := r.startHub(oneLine)
	spoke := r.startSpoke("gre")
	spoke.up()
	behind := func(what string, want bool) {
		t.Helper()
		eventually(t, 40*time.Second, what, func() error {
			if sa := show[[]view.SA](spoke, "sa"); len(sa) != 1 || sa[0].NATLocal != want {
				return fmt.Errorf("the spoke has %+v", sa)
			}
			return nil
		})
		ping(t, r.roam, "10.1.1.1", 5, 500)
	}
	behind("no NAT at first", false)
	must(t, r.roam.IP("route add default via 198.51.100.129 dev wan2 metric 5"))
	at(t, hub, "192.0.2.1", "192.0.2.254:40")
	behind("behind the NAT of the second line", true)
	must(t, r.roam.IP("route del default via 198.51.100.129 dev wan2 metric 5"))
	at(t, hub, "192.0.2.1", "198.51.100.10")
	behind("out of the NAT", false)

	forget := func() {
		t.Helper()
		if out, err := r.net.Run(t.Context(), "conntrack", "-F"); err != nil {
			t.Fatalf("conntrack -F: %v\n%s", err, out)
		}
	}
	nft(t, r.net, fmt.Sprintf(roamNAT, "198.51.100.10", 41000, 41999))
	forget()
	at(t, hub, "192.0.2.1", "192.0.2.254:41")
	behind("a NAT has come", true)
	nft(t, r.net, fmt.Sprintf(roamNAT, "198.51.100.10", 42000, 42999))
	forget()
	at(t, hub, "192.0.2.1", "192.0.2.254:42")
	behind("its mapping has changed", true)
	nft(t, r.net, "flush ruleset\n")
	forget()
	at(t, hub, "192.0.2.1", "198.51.100.10")
	behind("the NAT has gone", false)
}

// strongSwan as the spoke of our hub moves between its uplinks, and comes after a hub that changes its
// own address.
func TestMobikeStrongswanMoves(t *testing.T) {
	t.Parallel()
	r := newRoamingLab(t)
	hub := r.startHub(twoLines) // of several families strongSwan takes whichever it likes
	swan := startStrongswan(t, r.roam, swanText(false), nil)
	swan.must("--initiate", "--child", "net", "--timeout", "15")
	if sa := show[[]view.SA](hub, "sa"); len(sa) != 1 || !sa[0].MOBIKE {
		t.Fatalf("the hub has %+v", sa)
	}
	at(t, hub, either, "198.51.100.10")
	s := startStream(t, r.roam, "10.1.1.1")
	must(t, r.roam.IP("addr del 198.51.100.10/25 dev wan1")) // and with it its routes
	at(t, hub, either, "198.51.100.138")
	if n := s.lost(); n > fewPings {
		t.Errorf("%d pings were lost when strongSwan moved", n)
	}
	must(t, r.roam.IP("addr add 198.51.100.10/25 dev wan1", "route replace default via 198.51.100.1 dev wan1 metric 10",
		"addr del 198.51.100.138/25 dev wan2"))
	now := at(t, hub, either, "198.51.100.10")
	ping(t, r.roam, "10.1.1.1", 5, 500)

	s = startStream(t, r.roam, "10.1.1.1")
	lost, left := "192.0.2.1/24 dev up1", "203.0.113.1"
	if strings.HasPrefix(now.Local, left) {
		lost, left = "203.0.113.1/24 dev up2", "192.0.2.1"
	}
	must(t, r.hub.IP("addr del "+lost))
	at(t, hub, left, "198.51.100.10")
	if n := s.lost(); n > 3*fewPings {
		t.Errorf("%d pings were lost when the hub moved", n)
	}
	if out := swan.must("--list-sas"); !strings.Contains(out, left) {
		t.Errorf("strongSwan says\n%s", out)
	}
	if n := strings.Count(hub.log.String(), "session up"); n != 1 {
		t.Errorf("the hub saw %d sessions come up", n)
	}
}

// Our spoke moves towards a strongSwan.
func TestMobikeTowardsStrongswan(t *testing.T) {
	t.Parallel()
	r := newRoamingLab(t)
	must(t, r.hub.IP("addr add "+behindHub+"/32 dev lo"))
	swan := startStrongswan(t, r.hub, swanText(true), nil)
	spoke := r.startSpoke("ipsec")
	spoke.up()
	at(t, spoke, "198.51.100.10", either)
	s := startStream(t, r.roam, behindHub)
	must(t, r.roam.IP("route add default via 198.51.100.129 dev wan2 metric 5"))
	at(t, spoke, "198.51.100.138", either)
	eventually(t, 20*time.Second, "strongSwan sends to where the spoke is", func() error {
		if out := swan.must("--list-sas"); !strings.Contains(out, "198.51.100.138") {
			return fmt.Errorf("it says\n%s", out)
		}
		return nil
	})
	s.answered(10)
	must(t, r.roam.IP("link set wan1 down", "route del default via 198.51.100.129 dev wan2 metric 5", "link set wan1 up",
		"route replace default via 198.51.100.1 dev wan1 metric 10"))
	at(t, spoke, "198.51.100.10", either)
	if n := s.lost(); n > fewPings {
		t.Errorf("%d pings were lost", n)
	}
	mustRun(spoke, "rekey", "child", "flex1-1")
	ping(t, r.roam, behindHub, 20, 500)
}
