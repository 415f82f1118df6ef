package integration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

const accountingText = `      accounting: {}
      virtual-template: 1`

// steering adds accounting to the profile and lets the RADIUS node and the switch's node steer.
func steering() []string {
	return []string{
		"      virtual-template: 1", accountingText,
		"dead-time: 1m}}\n", "dead-time: 1m}}\n  dynamic-authorization: {clients: [{address: 192.0.2.2, secret: {file: DIR/radius.secret}}]}\n",
	}
}

// Records arrive in FreeRADIUS's detail file: On, Start, Stop with what was carried and why it ended.
func TestAAAAccounting(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaa7", "hub", "radius", "spoke1")
	radius := startFreeradius(t, s.nodes["radius"], newCA(t), nil)
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2"}, steering()...), aaaFiles())
	one := s.spoke("spoke1", "ipsec", firstHub)
	one.up()
	if out, err := one.node.Run(t.Context(), "ping", "-c", "20", "-i", "0.05", "-W", "5", "-s", "1000", "10.1.1.1"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	carried := show[view.Session](hub, "session", "spoke1.branch.example.net")
	if carried.InPackets < 20 || carried.InPackets > 30 {
		t.Errorf("show session tells of %d packets of %d octets in", carried.InPackets, carried.InBytes)
	}
	mustRun(one, "disconnect", "flex1")
	hub.none()
	must(t, hub.proc.Stop(20*time.Second))
	var got []record
	eventually(t, 20*time.Second, "the records are there", func() error {
		if got = radius.records(); len(got) < 4 {
			return fmt.Errorf("there are %d: %v", len(got), got)
		}
		return nil
	})
	var kinds []string
	for _, r := range got {
		kinds = append(kinds, r.one("Acct-Status-Type"))
	}
	if fmt.Sprint(kinds) != "[Accounting-On Start Stop Accounting-Off]" {
		t.Fatalf("the records are %v", kinds)
	}
	start, stop := got[1], got[2]
	for name, want := range map[string]string{
		"User-Name": "spoke1.branch.example.net", "Framed-IP-Address": "10.1.1.77", "Calling-Station-Id": "192.0.2.3", "NAS-Identifier": "hub", "NAS-Port-Id": "va1",
		"NAS-IP-Address": "192.0.2.1", "Acct-Authentic": "Local", "Class": "0x6272616e63682d676f6c64",
	} {
		if start.one(name) != want || stop.one(name) != want {
			t.Errorf("%s is %q and %q, want %q", name, start.one(name), stop.one(name), want)
		}
	}
	if id := start.one("Acct-Session-Id"); id == "" || stop.one("Acct-Session-Id") != id || !strings.Contains(fmt.Sprint(start["Cisco-AVPair"]), "audit-session-id=L2L4") {
		t.Errorf("the ids are %q and %q", id, stop.one("Acct-Session-Id"))
	}
	if stop.one("Acct-Terminate-Cause") != "User-Request" {
		t.Errorf("the cause is %q", stop.one("Acct-Terminate-Cause"))
	}
	// Twenty echoes of 1028 octets each way; IPv6 chatter may add a little.
	for _, name := range []string{"Acct-Input-Octets", "Acct-Output-Octets"} {
		if n, err := strconv.Atoi(stop.one(name)); err != nil || n < 20*1028 || n > 20*1028+8000 {
			t.Errorf("%s is %q, %v", name, stop.one(name), err)
		}
	}
}

// While the server is gone sessions come and go by the local policy; it gets their records when it is back,
// in their order and over a restart of the hub.
func TestAAAAccountingWaits(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaa8", "hub", "radius", "spoke1")
	radius := startFreeradius(t, s.nodes["radius"], newCA(t), nil)
	text := aaaHubText([]string{"192.0.2.2"}, append(steering(),
		"group: {list: radius, name-mangler: domains}\n        user: {list: radius}",
		"group: {list: radius, name-mangler: domains, unreachable: local, policy: spare}\n        user: {list: radius, unreachable: local, policy: spare}",
		"pools:\n", "  authorization-policies: {spare: {pool: flexspokes}}\npools:\n")...)
	hub := startFlexvpn(t, s.nodes["hub"], "hub", text, aaaFiles())
	one := s.spoke("spoke1", "ipsec", firstHub)
	one.up()
	eventually(t, 20*time.Second, "the start is there", func() error {
		if n := len(radius.records()); n < 2 {
			return fmt.Errorf("there are %d records", n)
		}
		return nil
	})
	radius.stop()
	mustRun(one, "disconnect", "flex1")
	hub.none()
	mustRun(one, "connect", "flex1") // by the local policy
	one.up()
	mustRun(one, "disconnect", "flex1")
	hub.none()
	eventually(t, 20*time.Second, "the records wait", func() error {
		if v := show[view.AAA](hub, "aaa", "servers"); v.Waiting != 3 {
			return fmt.Errorf("%d records wait", v.Waiting)
		}
		return nil
	})
	must(t, hub.proc.Stop(20*time.Second)) // what no server took waits on disk
	radius.start()
	hub.start()
	const all = "[Accounting-On Start Stop Start Stop Accounting-Off Accounting-On]"
	eventually(t, 40*time.Second, "all have arrived in their order", func() error {
		var kinds []string
		for _, r := range radius.records() {
			kinds = append(kinds, r.one("Acct-Status-Type"))
		}
		if fmt.Sprint(kinds) != all {
			return fmt.Errorf("the records are %v", kinds)
		}
		return nil
	})
	got := radius.records()
	if waited, err := strconv.Atoi(got[2].one("Acct-Delay-Time")); err != nil || got[1].one("Acct-Session-Id") != got[2].one("Acct-Session-Id") || waited < 1 {
		t.Errorf("the first stop is %v", got[2])
	}
	eventually(t, 20*time.Second, "none waits", func() error {
		if v := show[view.AAA](hub, "aaa", "servers"); v.Waiting != 0 {
			return fmt.Errorf("%d records wait", v.Waiting)
		}
		return nil
	})
}

// radclient ends a session, changes one, and is told why not; strangers get no answer.
func TestAAADisconnectAndChange(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaa9", "hub", "radius", "spoke1", "stranger")
	startFreeradius(t, s.nodes["radius"], newCA(t), nil)
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2"}, append(steering(), "pools:\n", "access-lists: {closed: [deny icmp any any, permit ip any any]}\npolicy-maps: {bronze: {police: 200k, police-burst: 200000}}\npools:\n")...), aaaFiles())
	one := s.spoke("spoke1", "gre", firstHub)
	one.up()
	ping(t, one.node, "10.1.1.1", 2, 100)
	from := s.nodes["radius"]
	expect := func(what, out string, err error, want string, fails bool) {
		t.Helper()
		if (err != nil) != fails || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	out, err := radclient(from, "192.0.2.1:3799", "coa", radiusSecret, `User-Name = "spoke1.branch.example.net"`, "Session-Timeout = 7200", `Filter-Id = "closed.in"`, `Framed-Route = "172.20.9.0/24"`)
	expect("a change", out, err, "CoA-ACK", false)
	lines := attributeLines(hub, "spoke1.branch.example.net")
	wantLines(t, "show session", lines, "session-timeout=2h0m0s (radius coa)", "access-group in=closed (radius coa)", "framed-routes=172.20.9.0/24 (radius coa)")
	if pinged, _ := one.node.Run(context.Background(), "ping", "-c", "2", "-i", "0.2", "-W", "1", "10.1.1.1"); !strings.Contains(pinged, "100% packet loss") {
		t.Errorf("the access list that CoA named does not act:\n%s", pinged)
	}
	va := show[[]view.Session](hub, "sessions")[0].Interface
	out, err = radclient(from, "192.0.2.1:3799", "coa", radiusSecret, "Framed-IP-Address = 10.1.1.77", "Idle-Timeout = 1800",
		`Cisco-AVPair = "ip:interface-config=ip mtu 1300"`, `Cisco-AVPair += "ip:interface-config=ip tcp adjust-mss 1260"`, `Cisco-AVPair += "ip:sub-qos-policy-in=bronze"`)
	expect("limits, lines and a policy", out, err, "CoA-ACK", false)
	wantLines(t, "show session", attributeLines(hub, "spoke1.branch.example.net"), "idle-timeout=30m0s (radius coa)", "service-policy input=bronze (radius coa)", "interface-config=ip mtu 1300 (radius coa)")
	for command, want := range map[string]string{
		"ip link show " + va: "mtu 1300", "nft list set inet flexvpn_edge police_200000_200000": `"` + va + `"`,
	} {
		f := strings.Fields(command)
		if out, err := hub.node.Run(context.Background(), f[0], f[1:]...); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s (%v) does not say %q:\n%s", command, err, want, out)
		}
	}
	// Lines take the place of the list that was named, and lines that of lines.
	out, err = radclient(from, "192.0.2.1:3799", "coa", radiusSecret, `User-Name = "spoke1.branch.example.net"`,
		`Cisco-AVPair = "ip:inacl#20=deny ip any any log"`, `Cisco-AVPair += "ip:inacl#10=permit icmp any host 10.1.1.1"`)
	expect("lines that let pings pass", out, err, "CoA-ACK", false)
	wantLines(t, "show session", attributeLines(hub, "spoke1.branch.example.net"),
		"access-group in=permit icmp 0.0.0.0/0 host 10.1.1.1; deny ip 0.0.0.0/0 any; permit ipv6 ::/0 any (radius coa)")
	ping(t, one.node, "10.1.1.1", 2, 100)
	out, err = radclient(from, "192.0.2.1:3799", "coa", radiusSecret, `User-Name = "spoke1.branch.example.net"`,
		`Cisco-AVPair = "ip:inacl#1=deny icmp any any"`, `Cisco-AVPair += "ip:inacl#2=permit ip any any"`)
	expect("lines that deny pings", out, err, "CoA-ACK", false)
	if pinged, _ := one.node.Run(context.Background(), "ping", "-c", "2", "-i", "0.2", "-W", "1", "10.1.1.1"); !strings.Contains(pinged, "100% packet loss") {
		t.Errorf("the lines that CoA gave do not act:\n%s", pinged)
	}
	out, err = radclient(from, "192.0.2.1:3799", "coa", radiusSecret, `User-Name = "spoke1.branch.example.net"`, `Cisco-AVPair = "ip:inacl#1=permit nonsense any any"`)
	expect("lines that mean nothing", out, err, "Error-Cause = Invalid-Attribute-Value", true)
	out, err = radclient(from, "192.0.2.1:1700", "coa", radiusSecret, `Cisco-AVPair = "audit-session-id=nobody"`, "Session-Timeout = 60")
	expect("nobody's session", out, err, "Error-Cause = Session-Context-Not-Found", true)
	out, err = radclient(from, "192.0.2.1:3799", "coa", radiusSecret, "Framed-IP-Address = 10.1.1.77", `Filter-Id = "nowhere.in"`)
	expect("a list that is not there", out, err, "Error-Cause = Invalid-Attribute-Value", true)
	out, err = radclient(s.nodes["stranger"], "192.0.2.1:3799", "disconnect", radiusSecret, `User-Name = "spoke1.branch.example.net"`)
	expect("a stranger", out, err, "No reply", true)
	out, err = radclient(from, "192.0.2.1:3799", "disconnect", "a wrong secret", `User-Name = "spoke1.branch.example.net"`)
	expect("a wrong secret", out, err, "No reply", true)
	if all := show[[]view.Session](hub, "sessions"); len(all) != 1 {
		t.Fatalf("sessions: %+v", all)
	}
	out, err = radclient(from, "192.0.2.1:1700", "disconnect", radiusSecret, "Calling-Station-Id = 192.0.2.3", "Framed-IP-Address = 10.1.1.77")
	expect("a disconnect", out, err, "Disconnect-ACK", false)
	eventually(t, 20*time.Second, "the session has ended", func() error {
		if !strings.Contains(hub.log.String(), "disconnected by a RADIUS server") {
			return errors.New("the log does not say so")
		}
		return nil
	})
	orders := show[view.AAA](hub, "aaa", "servers").Orders
	if orders["ack"] != 5 || orders["nak"] != 3 || orders["foreign"] == 0 || orders["authenticator"] == 0 {
		t.Errorf("the counters are %v", orders)
	}
}

// RadSec: the same over TLS with certificates on both sides; a server of another authority is refused.
func TestAAARadSec(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaaa", "hub", "radius", "spoke1")
	authority := newCA(t)
	files := map[string][]byte{"radsec.conf": freeradiusFiles(t)["radsec.conf.sample"]}
	startFreeradius(t, s.nodes["radius"], authority, files)
	cert, key := authority.issue("hub.example.net", "ecdsa")
	more := aaaFiles()
	more["radsec.crt"], more["radsec.key"], more["radsec.ca"] = cert, key, authority.pem
	overTLS := []string{
		"secret: {file: DIR/radius.secret}, timeout: 500ms, tries: 2",
		"transport: tls, server-name: radius.example.net, certificate: {chain: DIR/radsec.crt, key: DIR/radsec.key, ca: DIR/radsec.ca}",
		"      virtual-template: 1", accountingText,
	}
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2"}, overTLS...), more)
	s.spoke("spoke1", "ipsec", firstHub).up()
	wantLines(t, "show session", attributeLines(hub, "spoke1.branch.example.net"), "dns=192.168.10.99 (radius user spoke1.branch.example.net)")
	v := show[view.AAA](hub, "aaa", "servers")
	if len(v.Servers) != 1 || v.Servers[0].Transport != "tls" || v.Servers[0].Accepts < 2 || v.Servers[0].Responses < 1 || v.Servers[0].Timeouts != 0 {
		t.Errorf("show aaa servers tells %+v", v.Servers)
	}
	asked := show[view.AAAAttributes](hub, "aaa", "attributes", "spoke2.branch.example.net")
	if !strings.Contains(fmt.Sprint(asked.Attributes), "flexspokes") || !strings.Contains(fmt.Sprint(asked.Attributes), "radius group branch.example.net") {
		t.Errorf("show aaa attributes tells %+v", asked)
	}
}

// A RadSec server whose certificate is of another authority is no server.
func TestAAARadSecStranger(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaab", "hub", "radius", "spoke1")
	startFreeradius(t, s.nodes["radius"], newCA(t), map[string][]byte{"radsec.conf": freeradiusFiles(t)["radsec.conf.sample"]})
	ours := newCA(t)
	cert, key := ours.issue("hub.example.net", "ecdsa")
	more := aaaFiles()
	more["radsec.crt"], more["radsec.key"], more["radsec.ca"] = cert, key, ours.pem
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2"},
		"secret: {file: DIR/radius.secret}, timeout: 500ms, tries: 2",
		"transport: tls, server-name: radius.example.net, certificate: {chain: DIR/radsec.crt, key: DIR/radsec.key, ca: DIR/radsec.ca}"), more)
	s.spoke("spoke1", "ipsec", firstHub)
	eventually(t, 30*time.Second, "the server is not believed", func() error {
		v := show[view.AAA](hub, "aaa", "servers")
		if v.Servers[0].State != "dead" || !strings.Contains(v.Servers[0].LastError, "certificate signed by unknown authority") {
			return fmt.Errorf("it is %+v", v.Servers[0])
		}
		return nil
	})
}
