package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const endsFile = `node: n
ikev2:
  keyrings: {keys: [{peer: any, pre-shared-key: {file: KEY}}]}
  profiles: {hubs: {authentication: {local: psk, remote: psk}, keyring: keys}}
clients:
  fixed: {profile: hubs, tunnel: tunnel1}
  address: {profile: hubs, tunnel: tunnel2, peers: [{sequence: 7, address: 192.0.2.7}]}
tunnels:
  tunnel1: {source: eth1, destination: "2001:db8::1"}
  tunnel2: {source: 192.0.2.9}
`

// "tunnel source interface-name" and "tunnel destination ip-address" of the guide.
func TestFixedEndsOfATunnel(t *testing.T) {
	key := filepath.Join(t.TempDir(), "psk")
	if err := os.WriteFile(key, []byte("a test secret, not for use\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse("spoke.yaml", []byte(strings.Replace(endsFile, "KEY", key, 1)))
	if err != nil {
		t.Fatal(err)
	}
	c := cfg.Clients["fixed"]
	if fmt.Sprint(c.Sources) != "[{1 eth1 0}]" || len(c.Peers) != 1 || c.Peers[0].Address.String() != "2001:db8::1" || c.Peers[0].Sequence != 1 {
		t.Errorf("the tunnel with fixed ends has sources %v and peers %v", c.Sources, c.Peers)
	}
	c = cfg.Clients["address"]
	if c.Sources != nil || c.Tunnel.Source.String() != "192.0.2.9" || c.Peers[0].Sequence != 7 {
		t.Errorf("the tunnel with a fixed address has sources %v, source %s and peers %v", c.Sources, c.Tunnel.Source, c.Peers)
	}
}
