package authz

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"flexvpn/ikev2/wire"
)

// What a hub pushes and nobody can use is told with its reason, in text that may go to a terminal.
func TestRefusalsHaveReasons(t *testing.T) {
	for _, c := range []struct {
		attr wire.Attribute
		want string
	}{
		{wire.AttrText(wire.CiscoSplitDNS, "."), `split-dns ".": the root, which every name is under`},
		{wire.AttrText(wire.CiscoSplitDNS, "evil\x1b[2J.example"), `split-dns "evil[2J.example": it has control characters`},
		{wire.AttrText(wire.CiscoDefaultDomain, "a b"), `def-domain "a b": no name of labels of letters, digits, '-' and '_', and no address of a host`},
		{wire.AttrText(wire.CiscoDefaultDomain, "a\x07b"), `def-domain "ab": it has control characters`},
		{wire.AttrText(wire.CiscoBackupServers, "127.0.0.1"), `backup-gateway "127.0.0.1": no name of labels of letters, digits, '-' and '_', and no address of a host`},
		{wire.AttrAddr(wire.InternalIP4DNS, netip.MustParseAddr("224.0.0.1"), 0), `dns "224.0.0.1": not the address of a host`},
		{wire.AttrAddr(wire.InternalIP4NBNS, netip.MustParseAddr("0.0.0.0"), 0), `wins "0.0.0.0": not the address of a host`},
		{wire.Attribute{Type: wire.InternalIP4Address, Value: []byte{10, 0, 1}}, `address "0a0001": not the address of a host`},
		{wire.Attribute{Type: wire.InternalIP4Subnet, Value: []byte{10, 0, 0, 0, 255, 0, 255, 0}}, `routes "0a000000ff00ff00": no prefix, or more than 512`},
	} {
		p := FromReply([]wire.Attribute{c.attr})
		if len(p.Refused) != 1 || p.Refused[0].String() != c.want || p.Ignored != 1 {
			t.Errorf("%s is refused with %q, want %q", c.attr, p.Refused, c.want)
		}
	}
	var many []wire.Attribute
	for i := range 40 {
		many = append(many, wire.AttrText(wire.CiscoBackupServers, fmt.Sprintf("192.0.2.%d", i+1)), wire.AttrText(wire.CiscoSplitDNS, strings.Repeat("x", 300)))
	}
	p := FromReply(many)
	if len(p.BackupGateways) != maxGateways || p.Ignored != 70 || len(p.Refused) != maxRefused || p.Clone().Refused[0] != p.Refused[0] {
		t.Errorf("of 40 gateways %d are taken, %d values ignored, %d told", len(p.BackupGateways), p.Ignored, len(p.Refused))
	}
	told := ""
	for _, r := range p.Refused {
		if told += r.String() + "\n"; len(r.Value) > maxRefusedText {
			t.Errorf("a refusal tells %d octets", len(r.Value))
		}
	}
	if p = FromReply(many[:22]); !strings.Contains(fmt.Sprint(p.Refused), `backup-gateway "192.0.2.11": more than 10`) {
		t.Errorf("the eleventh gateway is refused with %v", p.Refused)
	}
}
