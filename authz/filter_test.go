package authz

import (
	"strings"
	"testing"

	"flexvpn/config"
	"flexvpn/radiusdict"
)

// filterOf is what pairs give, as show session prints it.
func filterOf(t *testing.T, pairs ...string) (in, out string, err error) {
	t.Helper()
	var r radiusdict.Reply
	for _, p := range pairs {
		if err := r.AddPair(p); err != nil {
			return "", "", err
		}
	}
	a, err := FromRADIUS(&r, "radius user u", nil)
	return oneLine(a.FilterIn.V), oneLine(a.FilterOut.V), err
}

func TestFilterLines(t *testing.T) {
	const rest = "; permit ipv6 ::/0 any"
	for want, pairs := range map[string][]string{
		"permit tcp 0.0.0.0/0 any eq 443" + rest:                                         {"ip:inacl#1=permit tcp any any eq 443"},
		"permit tcp 10.1.0.0 0.0.255.255 host 192.168.10.5 eq www" + rest:                {"ip:inacl#1=Permit TCP 10.1.0.0 0.0.255.255 host 192.168.10.5 eq www log"},
		"deny udp 0.0.0.0/0 gt 1023 any range domain 54; permit 47 0.0.0.0/0 any" + rest: {"ip:inacl#20=permit 47 any any", "ip:inacl#3=deny udp any gt 1023 any range domain 54"},
		"permit tcp 0.0.0.0/0 any established; deny ip 0.0.0.0/0 any" + rest:             {"ip:inacl#1=permit tcp any any established", "ip:inacl#2=deny ip any any log-input"},
		"permit icmp ::/0 any; permit ip 0.0.0.0/0 any":                                  {"ipv6:inacl#1=permit icmp any any"},
		"permit ipv6 2001:db8::/32 any; deny ip 0.0.0.0/0 any":                           {"ipv6:inacl#1=permit ipv6 2001:db8::/32 any", "ip:inacl#2=deny ip any any"},
	} {
		in, out, err := filterOf(t, pairs...)
		if err != nil || in != want || out != "" {
			t.Errorf("%q gives %q and %q, %v; want %q", pairs, in, out, err, want)
		}
	}
	if _, out, err := filterOf(t, "ip:outacl#1=permit gre any any"); err != nil || out != "permit gre 0.0.0.0/0 any"+rest {
		t.Errorf("outacl gives %q, %v", out, err)
	}
}

// A filter that cannot be applied refuses: to leave it out would open what the server closed.
func TestFilterLinesThatRefuse(t *testing.T) {
	for _, c := range []struct{ pair, reason string }{
		{"ip:inacl#1=allow ip any any", "must begin with permit or deny"},
		{"ip:inacl#1=permit", "must have a protocol"},
		{"ip:inacl#1=permit frob any any", "must have a protocol"},
		{"ip:inacl#1=permit tcp any", "must have a destination"},
		{"ip:inacl#1=permit tcp any any eq", "must have a port"},
		{"ip:inacl#1=permit tcp any any eq 65536", "must have a port"},
		{"ip:inacl#1=permit icmp any any eq 8", "which only tcp, udp and sctp have"},
		{"ip:inacl#1=permit tcp any any range 9 1", "from 9 down to 1"},
		{"ip:inacl#1=permit ip 10.0.0.0 0.255.0.255 any", "not all at its end"},
		{"ip:inacl#1=permit ip any any time-range night", "after its end"},
		{"ip:inacl#1=permit ipv6 2001:db8::/32 any", "other family"},
		{"ipv6:inacl#1=permit ip any host 10.0.0.1", "other family"},
		{"ip:inacl#1=permit tcp any any eq " + strings.Repeat("0", 220) + "1", "at most 240 octets"},
	} {
		if in, _, err := filterOf(t, c.pair); err == nil || !strings.Contains(err.Error(), c.reason) || !strings.Contains(err.Error(), "inacl#1") {
			t.Errorf("%q gives %q, %v; want the reason %q", c.pair, in, err, c.reason)
		}
	}
	if _, _, err := filterOf(t, "ip:inacl#1=permit ip any any", "ip:inacl=guests"); err == nil {
		t.Error("a name and lines pass together")
	}
}

// The user's list takes the group's place in a direction, and only there.
func TestTheUsersLinesReplaceTheGroups(t *testing.T) {
	lines := func(origin Origin, pairs ...string) Attributes {
		var r radiusdict.Reply
		for _, p := range pairs {
			if err := r.AddPair(p); err != nil {
				t.Fatal(err)
			}
		}
		a, err := FromRADIUS(&r, origin, nil)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	group := lines("group", "ip:inacl#1=permit ip any any", "ip:outacl=guests")
	user := lines("user", "ip:inacl#1=deny ip any any")
	if a := Merge(group, user, false); a.FilterIn != user.FilterIn || a.FilterOut != group.FilterOut {
		t.Errorf("merged to %v and %v", a.FilterIn, a.FilterOut)
	}
	if a := Merge(group, user, true); a.FilterIn != group.FilterIn {
		t.Errorf("with override merged to %v", a.FilterIn)
	}
}

func FuzzFilterLine(f *testing.F) {
	f.Add("permit tcp any range 1 2 host 10.0.0.1 eq www established log", false)
	f.Add("deny ipv6 2001:db8::/32 any", true)
	f.Fuzz(func(t *testing.T, text string, six bool) {
		lines, err := filterLines([]radiusdict.Entry{{Number: 1, Six: six, Text: text}})
		if err != nil {
			return
		}
		l, err := config.ParseAccessList(lines)
		if err != nil || len(l.Entries) != 2 || l.Lines() != lines || !IsLines(lines) {
			t.Errorf("%q became %q, which is %v, %v", text, lines, l, err)
		}
	})
}
