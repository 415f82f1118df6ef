package integration

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// Access lists that come line by line with a user are in force from the session's first packet on, in both
// directions and for both families, and go with the session: nft and packets judge.
func TestAAAFilterLines(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaaf", "hub", "radius", "spoke4")
	startFreeradius(t, s.nodes["radius"], newCA(t), nil)
	n := s.nodes["hub"]
	must(t, n.IP("link set lo up", "addr add 10.20.0.5/32 dev lo", "addr add 10.20.0.6/32 dev lo", "addr add 2001:db8:a00::5/128 dev lo"))
	hub := startFlexvpn(t, n, "hub", aaaHubText([]string{"192.0.2.2"}), aaaFiles())
	spoke := s.spoke("spoke4", "ipsec", firstHub)
	spoke.up()
	va := hub.up().Interface
	wantLines(t, "show session", attributeLines(hub, "spoke4.branch.example.net"),
		"access-group in=permit icmp 0.0.0.0/0 host 10.1.1.1; permit tcp 0.0.0.0/0 10.20.0.0 0.0.0.255 eq 443; deny ip 0.0.0.0/0 any; permit icmp ::/0 host 2001:db8:fff::1 (radius user spoke4.branch.example.net)")
	denied := func(what, command string) {
		t.Helper()
		f := strings.Fields(command)
		out, err := spoke.node.Run(context.Background(), f[0], f[1:]...)
		if err == nil || strings.Contains(out, "refused") {
			t.Errorf("%s passes:\n%s", what, out)
		}
	}
	ping(t, spoke.node, "10.1.1.1", 3, 200)
	ping(t, spoke.node, "2001:db8:fff::1", 3, 200)
	transfer(t, spoke.node, n, "10.20.0.5:443", 60<<10)
	denied("a ping to another address", "ping -c 2 -i 0.2 -W 1 10.20.0.6")
	denied("a ping over IPv6 to another address", "ping -c 2 -i 0.2 -W 1 2001:db8:a00::5")
	denied("another port", "curl -sS -m 2 http://10.20.0.5:80/")
	rules := func() string {
		out, err := n.Run(context.Background(), "nft", "list", "table", "inet", "flexvpn_edge")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return out
	}
	got := rules()
	for _, want := range []string{"chain acl_in_per-user.", "chain acl_out_per-user.", "10.20.0.0/24", "443", "2001:db8:fff::1"} {
		if !strings.Contains(got, want) {
			t.Errorf("nft has no %s:\n%s", want, got)
		}
	}
	if sets := strings.Count(got, `elements = { "`+va+`"`); sets < 2 {
		t.Errorf("%s is in %d sets of nft:\n%s", va, sets, got)
	}
	in := uint64(0)
	for _, l := range show[[]view.AccessList](hub, "access-lists") {
		if strings.HasPrefix(l.Name, "per-user.") {
			for _, e := range l.Entries {
				in += e.Matches
			}
		}
	}
	if in < 10 {
		t.Errorf("show access-lists counts %d packets: %+v", in, show[[]view.AccessList](hub, "access-lists"))
	}
	mustRun(spoke, "disconnect", "flex1")
	hub.none()
	eventually(t, 20*time.Second, "the lists go with the session", func() error {
		if strings.Contains(rules(), "per-user.") {
			return errors.New(rules())
		}
		return nil
	})
}
