package bgp

import (
	"net/netip"
	"testing"
	"testing/synctest"

	"flexvpn/routing"
)

const border = `bgp:
  asn: 65001
  router-id: 10.1.1.1
  listen: [{range: 10.1.1.0/24, peer-group: spokes}]
  peer-groups: {spokes: {}}
  neighbors:
    192.0.2.2: {remote-asn: 65020, export: out, unsuppress: one, default-originate: true}
    192.0.2.3: {}
    192.0.2.4: {route-reflector-client: true}
    192.0.2.5: {next-hop-self: true}
  networks: [203.0.113.0/24]
  redistribute: {connected: lan, static: any}
  aggregates: [{prefix: 172.16.0.0/12, summary-only: true}, {prefix: 10.64.0.0/10}]
`

// Who is told what: RFC 4271 section 5, RFC 4456 section 6, RFC 1997, and the lists of each neighbor.
func TestWhoIsToldWhat(t *testing.T) {
	inLab(t, border, func(l *lab) {
		set := func(key, prefix, source string) {
			if err := l.table.Set(key, routing.Announcement{Interface: "lan0", Source: source, Prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}}); err != nil {
				t.Fatal(err)
			}
		}
		set("connected/a", "198.18.1.0/24", routing.SourceConnected)
		set("connected/b", "198.18.2.0/24", routing.SourceConnected) // not of the list
		set("connected/c", "203.0.113.0/24", routing.SourceConnected)
		set("static/1", "198.51.100.0/24", routing.SourceStatic)
		set("static/2", "198.51.101.0/24", routing.SourceStatic)
		spoke := l.spoke(2)
		spoke.says("172.16.1.0/24", "172.16.2.0/24", "10.77.1.0/24")
		spoke.Update(netip.MustParsePrefix("10.78.0.0/16"), &Attributes{NextHop: spoke.to.address, LocalPref: 300, MED: 7, HasMED: true, Communities: []uint32{noExport}})
		spoke.Update(netip.MustParsePrefix("10.79.0.0/16"), &Attributes{NextHop: spoke.to.address, LocalPref: 100, Communities: []uint32{noAdvertise}})
		at := func(a string, asn uint32) *link { return l.up(netip.MustParseAddr(a), asn) }
		const ours = "10.64.0.0/10 172.16.0.0/12 198.18.1.0/24 198.51.100.0/24 198.51.101.0/24 203.0.113.0/24"
		ebgp, plain, client := at("192.0.2.2", 65020), at("192.0.2.3", 65001), at("192.0.2.4", 65001)
		for who, c := range map[string]struct {
			link *link
			want string
		}{
			"another AS, by its lists, with a default and what is unsuppressed": {ebgp, "0.0.0.0/0 10.64.0.0/10 10.77.1.0/24 172.16.0.0/12 172.16.1.0/24 198.18.1.0/24 198.51.100.0/24 203.0.113.0/24"},
			"no client: nothing of another that is none":                        {plain, ours},
			"a client: everything but what is suppressed or not for others":     {client, "10.64.0.0/10 10.77.1.0/24 10.78.0.0/16 172.16.0.0/12 198.18.1.0/24 198.51.100.0/24 198.51.101.0/24 203.0.113.0/24"},
		} {
			if got := c.link.hears(); got != c.want {
				t.Errorf("%s hears\n%s, want\n%s", who, got, c.want)
			}
		}
		prefix := netip.MustParsePrefix("10.77.1.0/24")
		if a := ebgp.told[prefix]; !a.NextHop.IsUnspecified() || a.LocalPref != 0 || a.Originator.IsValid() {
			t.Errorf("another AS is told %+v: its next hop is this node, and preference and originator stay at home", a)
		}
		if a := client.told[prefix]; a.NextHop != spoke.to.address || a.Originator != spoke.to.address || a.LocalPref != 100 {
			t.Errorf("a client is told %+v: the next hop stays, the originator is the spoke (RFC 4456 section 8)", a)
		}
		if a := client.told[netip.MustParsePrefix("10.78.0.0/16")]; a.LocalPref != 300 || a.MED != 7 {
			t.Errorf("a client is told %+v: preference and MED are those of the spoke", a)
		}
		// next-hop-self without all is for what is not iBGP's.
		from := netip.MustParseAddr("192.0.2.2")
		ebgp.Update(netip.MustParsePrefix("198.18.20.0/24"), &Attributes{NextHop: from, ASPath: []Segment{{ASNs: []uint32{65020}}}})
		synctest.Wait()
		self := at("192.0.2.5", 65001)
		learned := netip.MustParsePrefix("198.18.20.0/24")
		if a, b := self.told[learned], plain.told[learned]; !a.NextHop.IsUnspecified() || b.NextHop != from || a.LocalPref != defaultLocalPref {
			t.Errorf("of what another AS says, with next-hop-self: %+v, without: %+v", a, b)
		}
		if _, back := ebgp.told[learned]; back {
			t.Error("it is told its own path")
		}
		// What goes from the RIB is withdrawn.
		if err := l.table.Remove("static/1"); err != nil {
			t.Fatal(err)
		}
		if got := plain.hears(); got != "10.64.0.0/10 172.16.0.0/12 198.18.1.0/24 198.18.20.0/24 198.51.101.0/24 203.0.113.0/24" {
			t.Errorf("after a static route has gone it hears %s", got)
		}
	})
}
