package authz

import (
	"fmt"
	"testing"

	"flexvpn/ikev2/wire"
)

// "The server can push up to 10 backup gateways": further ones, and what is neither an address of a
// host nor a name, are ignored and counted.
func TestElevenGatewaysAndNonsense(t *testing.T) {
	attrs := []wire.Attribute{
		wire.AttrText(wire.CiscoBackupServers, "hub\x1b[31m.example.net"), wire.AttrText(wire.CiscoBackupServers, "224.0.0.1"),
		wire.AttrText(wire.CiscoBackupServers, "-bad-.example.net"), wire.AttrText(wire.CiscoBackupServers, "192.0.2.999"),
	}
	for i := range 11 {
		attrs = append(attrs, wire.AttrText(wire.CiscoBackupServers, fmt.Sprintf("192.0.2.%d", i+1)))
	}
	p := FromReply(attrs)
	if len(p.BackupGateways) != 10 || p.BackupGateways[0] != "192.0.2.1" || p.BackupGateways[9] != "192.0.2.10" || p.Ignored != 5 {
		t.Errorf("taken over: %q, ignored: %d", p.BackupGateways, p.Ignored)
	}
}
