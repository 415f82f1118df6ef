package edge

import (
	"strings"
	"testing"

	"flexvpn/config"
	"flexvpn/dataplane"
)

// Interfaces with the same lines share a list, which is there as long as one of them is.
func TestListsThatComeWithInterfaces(t *testing.T) {
	t.Parallel()
	r := newRig(t, list(t, "from-spokes", "deny ip any any"))
	lines := func(text ...string) func(*dataplane.Interface) {
		l, err := config.ParseAccessList(strings.Join(text, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return func(i *dataplane.Interface) { i.FilterIn, i.LinesIn = l.Name, l.Lines() }
	}
	ruleset := func() string { return r.in(r.hub, "nft list ruleset") }
	web := lines("permit tcp 0.0.0.0/0 any eq 8080", "permit icmp any any", "permit ipv6 ::/0 any")
	r.apply(web)
	for _, address := range []string{"192.168.10.5:8080", "192.168.10.5:9090", "[2001:db8:10::5]:9090"} {
		r.serve(r.lan, address)
	}
	denied := func() uint64 { return r.lost("va1").FilterIn }
	r.connects(r.far, "192.168.10.5:8080")
	r.connects(r.far, "[2001:db8:10::5]:9090")
	r.denied(r.far, "192.168.10.5:9090", denied)
	if all, err := r.plane.AccessLists(); err != nil || len(all) != 2 || !all[1].List.PerUser || all[1].Matches[0] == 0 {
		t.Errorf("lists are %+v, %v", all, err)
	}

	differs := func() string {
		r.plane.mu.Lock()
		defer r.plane.mu.Unlock()
		wrong, err := r.plane.table.differs(map[string]entry{"va1": r.plane.attached["va1"].entry})
		if err != nil {
			t.Error(err)
		}
		return wrong
	}
	if wrong := differs(); wrong != "" {
		t.Errorf("our own list looks like somebody's change: %s", wrong)
	}
	r.in(r.hub, "nft flush chain inet flexvpn_edge acl_in_"+r.plane.attached["va1"].filterIn)
	r.until("a flushed list is made again", func() bool { return differs() == "" && strings.Contains(ruleset(), "dport 8080") })
	r.denied(r.far, "192.168.10.5:9090", denied)

	second := r.spec(nil)
	second.Name, second.Addresses = "va2", nil
	web(&second)
	if err := r.plane.Apply(second); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(ruleset(), "chain acl_in_per-user."); n != 1 {
		t.Errorf("%d lists for the same lines", n)
	}
	r.apply(lines("permit tcp 0.0.0.0/0 any eq 9090", "permit icmp any any"))
	r.connects(r.far, "192.168.10.5:9090")
	r.denied(r.far, "192.168.10.5:8080", denied)
	if n := strings.Count(ruleset(), "chain acl_in_per-user."); n != 2 {
		t.Errorf("%d lists for two contents", n)
	}
	if err := r.plane.Remove("va2"); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(ruleset(), "chain acl_in_per-user."); n != 1 {
		t.Errorf("%d lists when the last of one has gone", n)
	}
	r.apply(nil)
	if rules := ruleset(); strings.Contains(rules, "per-user.") {
		t.Errorf("lists outlive their last user:\n%s", rules)
	}
	r.connects(r.far, "192.168.10.5:8080")

	bad := r.spec(nil)
	bad.FilterIn, bad.LinesIn = "from-spokes", "permit ip any any"
	if err := r.plane.Apply(bad); err == nil {
		t.Error("a list of the configuration gets other lines")
	}
	bad.FilterIn, bad.LinesIn = "per-user.x", "permit nonsense"
	if err := r.plane.Apply(bad); err == nil {
		t.Error("lines that mean nothing pass")
	}
}
