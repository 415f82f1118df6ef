package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

const dnsServices = `dns: {default-servers: [192.0.2.3]}
metrics: {listen: "127.0.0.1:9464"}
`

// timeToLose is above what dead peer detection takes, and what the way back takes, on a loaded machine.
const (
	timeToLose = 90 * time.Second
	grace      = 15 * time.Second
)

// Seed, "Split-DNS in FlexVPN": the client is a DNS proxy for the hosts behind it, which know nothing of
// the VPN; names of the pushed domains go through the tunnel, all else the default way; the view comes and
// goes with the tunnel, and takes precedence while it stands.
func TestServicesSplitDNS(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "sdns")
	b.startNamed(b.corp, "192.168.10.5", "example.net")
	b.startPublic()
	before := footprint(t, b.nodes["spoke1"])
	b.start(dnsServices)

	// "prior to tunnel establishment, this list remains empty unless manually configured"
	if out := mustRun(b.spoke, "show", "ip", "dns", "name-list"); out != "" {
		t.Errorf("before the tunnel the name-list is %q", out)
	}
	b.wantDig("without a tunnel the public server is asked", "198.51.100.1", "@172.16.1.1", "www.example.net")
	b.connect()
	b.wantDig("a pushed domain's name goes through the tunnel", "192.168.10.80", "@172.16.1.1", "www.example.net")
	// The banner is shown and logged, as one line each.
	if out := mustRun(b.spoke, "show", "client", "flex1"); !strings.Contains(out, `Welcome to the company\x0aBehave`) {
		t.Errorf("show client does not tell the banner:\n%s", out)
	}
	if log := b.spoke.log.String(); !strings.Contains(log, `msg="banner of the hub"`) || !strings.Contains(log, `banner="Welcome to the company\nBehave"`) {
		t.Errorf("the log does not tell the banner:\n%s", lastLines(log, 20))
	}
	public := b.public.String()
	for _, c := range []struct {
		what, want string
		args       []string
	}{
		{"over TCP", "192.168.10.80", []string{"@172.16.1.1", "+tcp", "www.example.net"}},
		{"over IPv6", "2001:db8:10::80", []string{"@2001:db8:16:1::1", "www.example.net", "AAAA"}},
		{"over IPv6 and TCP", "2001:db8:10::80", []string{"@2001:db8:16:1::1", "+tcp", "www.example.net", "AAAA"}},
		{"without EDNS", "192.168.10.80", []string{"@172.16.1.1", "+noedns", "WWW.example.NET"}},
		{"with the default domain", "www.example.net.\n192.168.10.80", []string{"@172.16.1.1", "www"}},
		{"no such name", "", []string{"@172.16.1.1", "nobody.example.net"}},
		{"a public name", "198.51.100.1", []string{"@172.16.1.1", "www.example.org"}},
	} {
		b.wantDig(c.what, c.want, c.args...)
	}
	// An answer of 1,800 octets: cut over UDP, whole over TCP, which dig does by itself.
	if out := b.dig("@172.16.1.1", "+bufsize=512", "big.example.net", "TXT"); strings.Count(out, strings.Repeat("x", 200)) != 9 || !strings.Contains(out, "retrying in TCP mode") {
		t.Errorf("the big answer is\n%s", out)
	}
	if out := b.dig("@172.16.1.1", "nobody.example.net"); !strings.Contains(out, "status: NXDOMAIN") {
		t.Errorf("a name that does not exist is answered with\n%s", out)
	}
	// An observer at each end: the company's server was asked from the tunnel's address, and the public
	// one was not asked for the company's names.
	if log := b.named.String(); !strings.Contains(log, "10.1.1.2#") || strings.Contains(log, "172.16.1.10#") {
		t.Errorf("bind9 was not asked from the tunnel's address:\n%s", lastLines(log, 20))
	}
	if log := strings.TrimPrefix(b.public.String(), public); strings.Contains(log, "example.net") {
		t.Errorf("names of the company came to the public server:\n%s", log)
	}
	b.showsSplitDNS()

	// "seamless access to internal resources, even when the FlexVPN server is temporarily unreachable": the
	// zone's TTL is a second, so this is old.
	b.hub.proc.Kill()
	eventually(t, timeToLose, "the spoke has lost its hub", func() error {
		if v := show[view.DNS](b.spoke, "dns"); len(v.Views) != 1 || v.Views[0].State != "away" {
			return fmt.Errorf("the views are %+v", v.Views)
		}
		return nil
	})
	if out := b.dig("@172.16.1.1", "www.example.net"); !strings.Contains(out, "192.168.10.80") || !strings.Contains(out, "Stale Answer") {
		t.Errorf("while the hub is away, www.example.net is\n%s", out)
	}
	b.wantDig("what is not remembered takes the default way", "198.51.100.1", "@172.16.1.1", "new.example.net")
	b.hub.start()
	eventually(t, timeToLose, "the spoke is back", func() error {
		if all := show[[]view.Session](b.spoke, "sessions"); len(all) != 1 {
			return fmt.Errorf("sessions: %+v", all)
		}
		return nil
	})
	b.wantDig("the hub is back", "192.168.10.80", "@172.16.1.1", "www.example.net")

	mustRun(b.spoke, "disconnect", "flex1")
	b.wantDig("the view vanishes with the tunnel", "198.51.100.1", "@172.16.1.1", "www.example.net")
	if out := mustRun(b.spoke, "show", "ip", "dns", "name-list"); out != "" {
		t.Errorf("without a tunnel the name-list is %q", out)
	}
	must(t, b.spoke.proc.Stop(grace))
	wantFootprint(t, b.spoke.node, before, "before the client ran")
}

// showsSplitDNS holds the show commands of the seed's paragraph against what is so.
func (b *branch) showsSplitDNS() {
	b.t.Helper()
	if out := mustRun(b.spoke, "show", "ip", "dns", "name-list"); out != "ip dns name-list flex1\n    permit example.net\n" {
		b.t.Errorf("the name-list is %q", out)
	}
	if out := mustRun(b.spoke, "show", "ip", "dns", "view"); !strings.Contains(out, "DNS View default parameters:") || !strings.Contains(out, "192.0.2.3") ||
		!strings.Contains(out, "DNS View flex1 parameters:") || !strings.Contains(out, "Default domain name: example.net") || !strings.Contains(out, "192.168.10.5") {
		b.t.Errorf("the views are\n%s", out)
	}
	v := show[view.DNS](b.spoke, "dns")
	if len(v.Listeners) != 1 || v.Listeners[0].Interface != "eth1" || v.Listeners[0].Error != "" {
		b.t.Errorf("it listens on %+v, want the inside interface and no other", v.Listeners)
	}
	if v.Counters.Queries["tunnel"] == 0 || v.Counters.Queries["default"] == 0 || v.Counters.Answers["cache"] == 0 {
		b.t.Errorf("the counters are %+v", v.Counters)
	}
	if out, err := b.spoke.node.Run(context.Background(), "curl", "-s", "http://127.0.0.1:9464/metrics"); err != nil || !strings.Contains(out, `flexvpn_dns_queries_total{view="tunnel"}`) {
		b.t.Errorf("the metrics do not tell of it: %v", err)
	}
	// Nobody outside is served.
	if out, err := b.www.Run(context.Background(), "dig", "+time=1", "+tries=1", "@192.0.2.2", "www.example.net"); err == nil {
		b.t.Errorf("a public host was answered:\n%s", out)
	}
}

// Two clients at once, each with the domains of its hub: every name goes through the tunnel of the hub
// that pushed its domain, or for which an operator configured it. The second hub's name server has an
// IPv6 address.
func TestServicesTwoProfilesWithDifferentDomains(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "s2p")
	b.startNamed(b.corp, "192.168.10.5", "example.net")
	b.startPublic()
	corp2 := node(t, b.lab, "corp2")
	must(t, b.lab.Link(corp2, "eth0", b.www, "lan0"), forwardOn(b.www), b.www.Sysctl("net.ipv6.conf.all.forwarding", "1"), b.www.IP("addr add 2001:db8:20::1/64 dev lan0"),
		corp2.IP("addr add 2001:db8:20::5/64 dev eth0", "-6 route add default via 2001:db8:20::1"))
	b.startNamed(corp2, "2001:db8:20::5", "corp.example")
	b.hub = startFlexvpn(t, b.nodes["hub"], "hub", branchHub, map[string][]byte{"psk": []byte(starPSK)})
	startFlexvpn(t, b.www, "hub", strings.NewReplacer("10.1.1.", "10.2.1.", "[192.168.10.5]", `["2001:db8:20::5"]`, "192.168.10.0/24", `"2001:db8:20::/64"`, "split-dns: [example.net]", "split-dns: [corp.example]",
		"2001:db8:fff:", "2001:db8:ffe:").Replace(branchHub), map[string][]byte{"psk": []byte(starPSK)})
	text := strings.NewReplacer("tunnels:\n", `  flex2: {peers: [{sequence: 1, address: 192.0.2.3}], profile: hubs, tunnel: tunnel2, connect: manual, inside: [eth1]}
tunnels:
  tunnel2: {mode: ipsec, address: negotiated, source: dynamic, destination: dynamic}
`, "profile: hubs,", "profile: hubs, connect: manual, inside: [eth1],").Replace(spokeText("spoke1", "ipsec", firstHub))
	b.spoke = startFlexvpn(t, b.nodes["spoke1"], "client", text+`dns:
  listen: eth1
  default-servers: 192.0.2.3
  name-lists:
    lab: {client: flex2, permit: [lab.example.net]}
`, map[string][]byte{"psk": []byte(starPSK)})
	if out := mustRun(b.spoke, "show", "ip", "dns", "name-list"); out != "ip dns name-list lab\n    permit lab.example.net\n" {
		t.Errorf("before the tunnels the name-lists are %q, want what is configured", out)
	}
	mustRun(b.spoke, "connect", "flex1")
	mustRun(b.spoke, "connect", "flex2")
	b.wantDig("the first hub's domain", "192.168.10.80", "@172.16.1.1", "www.example.net")
	b.wantDig("the second hub's domain", "192.168.10.80", "@172.16.1.1", "www.corp.example")
	log := b.named.String()
	b.dig("@172.16.1.1", "host.lab.example.net") // its server has no such zone; it is asked all the same
	eventually(t, 10*time.Second, "a configured domain goes to the second hub's server", func() error {
		if now := strings.TrimPrefix(b.named.String(), log); !strings.Contains(now, "2001:db8:ffe::2#") || !strings.Contains(now, "host.lab.example.net") {
			return fmt.Errorf("the name servers saw\n%s", now)
		}
		return nil
	})
	mustRun(b.spoke, "disconnect", "flex2")
	b.wantDig("without the second tunnel its names are public", "198.51.100.1", "@172.16.1.1", "www.corp.example")
	b.wantDig("and the first hub's go on as before", "192.168.10.80", "@172.16.1.1", "www.example.net")
}

// A hub that pushes a name server which no route of the tunnel leads to: it is not asked by another way,
// and show says why.
func TestServicesServerOutsideEveryRoute(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "sout")
	b.startPublic()
	b.hub = startFlexvpn(t, b.nodes["hub"], "hub", strings.Replace(branchHub, "dns: [192.168.10.5]", "dns: [192.0.2.3]", 1), map[string][]byte{"psk": []byte(starPSK)})
	b.spoke = startFlexvpn(t, b.nodes["spoke1"], "client", strings.Replace(spokeText("spoke1", "ipsec", firstHub), "profile: hubs,", "profile: hubs, inside: [eth1],", 1)+dnsServices,
		map[string][]byte{"psk": []byte(starPSK)})
	eventually(t, 20*time.Second, "show says why the server is not asked", func() error {
		v := show[view.DNS](b.spoke, "dns")
		if len(v.Views) != 1 || len(v.Views[0].Servers) != 1 || !strings.Contains(v.Views[0].Servers[0].Problem, "outside every route of the tunnel tunnel1: the route leads to eth0") {
			return fmt.Errorf("the views are %+v", v.Views)
		}
		return nil
	})
	before := b.public.String()
	out := b.dig("@172.16.1.1", "www.example.net")
	if !strings.Contains(out, "status: SERVFAIL") || !strings.Contains(out, "outside every route") {
		t.Errorf("dig prints\n%s", out)
	}
	if seen := strings.TrimPrefix(b.public.String(), before); strings.Contains(seen, "example.net") {
		t.Errorf("the query left by another way than the tunnel:\n%s", seen)
	}
}

// "If the inside interface isn't explicitly defined, the DNS view will apply to all interfaces except the
// tunnel interface and its source." What happens shows in debug.
func TestServicesDNSWithoutInsideInterfaces(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "sall")
	b.startNamed(b.corp, "192.168.10.5", "example.net")
	b.startPublic()
	b.hub = startFlexvpn(t, b.nodes["hub"], "hub", branchHub, map[string][]byte{"psk": []byte(starPSK)})
	text := strings.Replace(spokeText("spoke1", "ipsec", firstHub), "profile: hubs,", "profile: hubs, connect: manual,", 1)
	b.spoke = startFlexvpn(t, b.nodes["spoke1"], "client", text+dnsServices, map[string][]byte{"psk": []byte(starPSK)})
	listeners := func(when, want string) {
		t.Helper()
		eventually(t, 20*time.Second, "all but the tunnel and its source are served "+when, func() error {
			var got []string
			for _, l := range show[view.DNS](b.spoke, "dns").Listeners {
				got = append(got, strings.TrimSpace(l.Interface+" "+l.Error))
			}
			if strings.Join(got, ",") != want {
				return fmt.Errorf("it serves %v, want %s", got, want)
			}
			return nil
		})
	}
	listeners("before the tunnel", "eth1")
	debug := &syncBuffer{}
	follow, err := b.spoke.node.Start(debug, nil, binary, "--socket", b.spoke.dir+"/control.sock", "debug", "ip", "dns", "view")
	must(t, err)
	eventually(t, 10*time.Second, "debug waits", func() error {
		if !strings.Contains(debug.String(), "waiting for dns") {
			return fmt.Errorf("it prints %q", debug.String())
		}
		return nil
	})
	b.connect()
	b.wantDig("the view applies behind eth1", "192.168.10.80", "@172.16.1.1", "www.example.net")
	must(t, b.spoke.node.IP("link add eth9 type bridge", "link set eth9 up"))
	listeners("with the tunnel, and an interface that came later", "eth1,eth9")
	if out, err := b.www.Run(context.Background(), "dig", "+time=1", "+tries=1", "@192.0.2.2", "www.example.net"); err == nil {
		t.Errorf("a public host was answered:\n%s", out)
	}
	must(t, b.spoke.node.IP("link del eth9"))
	listeners("after an interface went", "eth1")
	eventually(t, 10*time.Second, "debug tells of the view and the query", func() error {
		if out := debug.String(); !strings.Contains(out, "flex1 view up on tunnel1: domains [example.net]") ||
			!strings.Contains(out, "172.16.1.10 eth1 A www.example.net.: view flex1, from server, NOERROR, 1 answers") {
			return fmt.Errorf("it prints\n%s", out)
		}
		return nil
	})
	_ = follow.Stop(time.Second)
}
