package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"flexvpn/secret"
)

// fakeKeys answers for secret files that are not there: the key is the file's name.
func fakeKeys(path string) ([]byte, error) {
	return []byte("the key in " + filepath.Base(path) + "\n"), nil
}

// mustParse fails the test when text has an error or a warning.
func mustParse(t *testing.T, path, text string) *Config {
	t.Helper()
	cfg, err := Parse(path, []byte(text), CheckProposal(checkFake), SecretFiles(fakeKeys))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range cfg.Warnings {
		t.Errorf("warning: %v", w)
	}
	return cfg
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is\n%+v, want\n%+v", what, got, want)
	}
}

const minimal = "node: n\nikev2: {profiles: {}}\n"

func TestDefaults(t *testing.T) {
	cfg := mustParse(t, "n.yaml", minimal)
	equal(t, "the whole of a minimal file", *cfg, Config{
		Node: "n", StateDir: "/var/lib/flexvpn", Control: Control{"/run/flexvpn/control.sock"},
		DataPlane: PlaneAuto, Log: Log{"info", "auto"},
		IKEv2: IKEv2{
			Listen: addrs("::", "0.0.0.0"), Port: 500, NATPort: 4500, Proposals: []Proposal{},
			Keyrings: map[string]*Keyring{}, Manglers: map[string]*NameMangler{}, Profiles: []*Profile{}, MaxHalfOpen: 100,
			HalfOpenLife: 30 * time.Second, FragmentSize: 1280, NATKeepalive: 20 * time.Second,
		},
		IPsec:    IPsec{Proposals: []Proposal{}, ReplayWindow: 1024, Lifetime: Lifetime{Time: time.Hour}},
		AAA:      AAA{Servers: map[string]*AAAServer{}, Groups: map[string]*AAAGroup{}},
		Policies: map[string]*AuthorizationPolicy{}, Pools: map[string]*Pool{},
		Templates: map[int]*VirtualTemplate{}, Clients: map[string]*Client{}, Tunnels: map[string]*Tunnel{}, Tracks: map[int]*Track{},
		AccessLists: map[string]*AccessList{}, PolicyMaps: map[string]*PolicyMap{},
	})
}

// The hub of the design, without what this version does not act on.
const hubFile = `# hub.yaml
node: hub1
dataplane: auto                        # auto | kernel | userspace
ikev2:
  keyrings:
    spokes:
      - {peer: any, address: 0.0.0.0/0, pre-shared-key: {file: /etc/flexvpn/spokes.psk}}
  profiles:
    spokes:
      match: {identity: [{fqdn-domain: branch.example.net}, {address: any}]}
      identity: {fqdn: hub1.example.net}
      authentication: {local: psk, remote: psk}          # psk | certificate | eap
      keyring: spokes
      authorization: {group: {list: local, policy: default}}   # list: local | radius
      virtual-template: 1
      dpd: {interval: 30s, retry: 5s, mode: on-demand}
  authorization-policies:
    default:
      pool: flexspokes
      dns: [192.168.10.5, 192.168.10.6]
      split-dns: [example.net]
      wins: [10.10.210.10]
      def-domain: example.net
      backup-gateways: [203.0.113.225, hub2.example.net]
      routes: {set: [interface, 10.0.0.0/8], accept: any}
pools:
  flexspokes: {range: 10.1.1.2-10.1.1.254}
virtual-templates:
  1: {mode: auto, address: 10.1.1.1/32, mtu: 1400, adjust-mss: 1360}   # mode: gre | ipsec | auto
metrics: {listen: 127.0.0.1:9464}
`

func TestDesignHub(t *testing.T) {
	cfg := mustParse(t, "hub.yaml", hubFile)
	pool := &Pool{"flexspokes", []Range{{netip.MustParseAddr("10.1.1.2"), netip.MustParseAddr("10.1.1.254")}}}
	template := &VirtualTemplate{Number: 1, Mode: "auto", Addresses: prefixes("10.1.1.1/32"), MTU: 1400, AdjustMSS: 1360, Attach: Attach{DF: "copy"}}
	// A secret is compared by its own Equal: DeepEqual sees only where it stands.
	key := cfg.IKEv2.Keyrings["spokes"].Peers[0].Local
	if !key.Equal(secret.FromString("the key in spokes.psk")) {
		t.Error("the keyring does not hold the key of its file")
	}
	keyring := &Keyring{Name: "spokes", Peers: []KeyringPeer{{Name: "any", Address: netip.MustParsePrefix("0.0.0.0/0"), Local: key, Remote: key}}}
	equal(t, "node", cfg.Node, "hub1")
	equal(t, "dataplane", cfg.DataPlane, PlaneAuto)
	equal(t, "metrics", cfg.Metrics, Metrics{netip.MustParseAddrPort("127.0.0.1:9464")})
	equal(t, "pools", cfg.Pools, map[string]*Pool{"flexspokes": pool})
	equal(t, "templates", cfg.Templates, map[int]*VirtualTemplate{1: template})
	equal(t, "keyrings", cfg.IKEv2.Keyrings, map[string]*Keyring{"spokes": keyring})
	equal(t, "policies", cfg.Policies, map[string]*AuthorizationPolicy{"default": {
		Name: "default", Pool: pool, DNS: addrs("192.168.10.5", "192.168.10.6"), WINS: addrs("10.10.210.10"),
		SplitDNS: []string{"example.net"}, DefDomain: "example.net",
		BackupGateways: []string{"203.0.113.225", "hub2.example.net"},
		Routes:         Routes{SetInterface: true, Set: prefixes("10.0.0.0/8"), Accept: Accept{Any: true}, Distance: 2, Tag: 1},
	}})
	equal(t, "profiles", cfg.IKEv2.Profiles, []*Profile{{
		Name: "spokes", Match: []Identity{{MatchFQDNDomain, "branch.example.net"}, {MatchAny, "address"}},
		Identity: &Identity{IDFQDN, "hub1.example.net"}, Local: AuthPSK, Remote: AuthPSK, Keyring: keyring,
		Group: Authorization{List: "local", Policy: "default"}, VirtualTemplate: template,
		DPD:         DPD{30 * time.Second, 5 * time.Second, "on-demand"},
		Routes:      Routes{SetInterface: true, Distance: 2, Tag: 1},
		IKELifetime: 24 * time.Hour, Proposals: []Proposal{}, IPsec: []Proposal{},
		Lifetime: Lifetime{Time: time.Hour}, Replace: "identity", Mobility: Mobility{Enabled: true, Check: true, NAT: true},
	}})
	equal(t, "summary", cfg.Summary(), "1 profile, 1 authorization-policy, 1 pool (253 addresses), 1 virtual-template")
	if p := cfg.IKEv2.Profiles[0]; p.Keyring != cfg.IKEv2.Keyrings["spokes"] || cfg.Policies["default"].Pool != cfg.Pools["flexspokes"] {
		t.Error("a reference leads to a copy")
	}
}

// The spoke of the design, without what this version does not act on.
const spokeFile = `node: spoke1
ikev2:
  keyrings:
    hubs: [{peer: any, address: 0.0.0.0/0, pre-shared-key: {file: /etc/flexvpn/hub.psk}}]
  profiles:
    hubs: {identity: {fqdn: spoke1.branch.example.net}, authentication: {local: psk, remote: psk}, keyring: hubs,
           routes: {set: [interface, 172.16.1.0/24], accept: any}, dpd: {interval: 10s, retry: 2s, mode: periodic}}
clients:
  flex1:
    peers:
      - {sequence: 2, fqdn: hub2.example.net, resolve: dynamic}
      - {sequence: 1, address: 203.0.113.1, track: {object: 10, state: up}}
    reactivate: true
    connect: auto
    sources: [{sequence: 2, interface: wwan0}, {sequence: 1, interface: eth0, track: 1}]
    backup-group: 10
    profile: hubs
    tunnel: tunnel1
tunnels:
  tunnel1: {mode: gre, address: negotiated, source: dynamic, destination: dynamic, mtu: 1400, adjust-mss: 1360}
tracks:
  1:  {interface: eth0, line-protocol: up}
  10: {icmp-echo: {target: 203.0.113.1, interval: 1s, timeout: 300ms, up: 3, down: 3}}
`

func TestDesignSpoke(t *testing.T) {
	cfg := mustParse(t, "spoke.yaml", spokeFile)
	profile := cfg.IKEv2.Profiles[0]
	tunnel := &Tunnel{Name: "tunnel1", Mode: "gre", Negotiated: true, MTU: 1400, AdjustMSS: 1360, Attach: Attach{DF: "copy"}}
	equal(t, "dpd", profile.DPD, DPD{10 * time.Second, 2 * time.Second, "periodic"})
	equal(t, "routes", profile.Routes, Routes{SetInterface: true, Set: prefixes("172.16.1.0/24"), Accept: Accept{Any: true}, Distance: 2, Tag: 1})
	equal(t, "identity", profile.Identity, &Identity{IDFQDN, "spoke1.branch.example.net"})
	equal(t, "tunnels", cfg.Tunnels, map[string]*Tunnel{"tunnel1": tunnel})
	equal(t, "clients", cfg.Clients, map[string]*Client{"flex1": {
		Name: "flex1", Connect: "auto", Profile: profile, Tunnel: tunnel, Peers: []Peer{
			{Sequence: 1, Address: netip.MustParseAddr("203.0.113.1"), Track: TrackState{10, true}},
			{Sequence: 2, FQDN: "hub2.example.net", Dynamic: true},
		},
		Reactivate: true, BackupGroup: 10, Sources: []Source{{1, "eth0", 1}, {2, "wwan0", 0}},
	}})
	equal(t, "tracks", cfg.Tracks, map[int]*Track{
		1: {Number: 1, Kind: TrackLineProtocol, Interface: "eth0", Family: FamilyIPv4},
		10: {Number: 10, Kind: TrackICMPEcho, Family: FamilyIPv4, Probe: Probe{
			Target: "203.0.113.1", Interval: time.Second, Timeout: 300 * time.Millisecond, Up: 3, Down: 3,
		}},
	})
	if cfg.Clients["flex1"].Profile != profile || cfg.Clients["flex1"].Tunnel != cfg.Tunnels["tunnel1"] {
		t.Error("a client has copies of its profile or tunnel")
	}
}

func TestEveryOtherKey(t *testing.T) {
	cfg := mustParse(t, "n.yaml", `---
node: n
state-dir: /srv/flexvpn
dataplane: none
control: {socket: /tmp/c.sock}
log: {level: warn, format: json}
ikev2:
  listen: [2001:db8::1, 192.0.2.1]
  port: 5500
  nat-port: 5501
  max-half-open: 7
  cookie-challenge: always
  half-open-timeout: 10s
  fragment-size: 1400
  nat-keepalive: 15s
  addresses: [192.0.2.1]
  max-sessions: 100
  proposals:
    one: {encryption: [aes-gcm-256], prf: [sha384, sha256], group: [x25519, "20"]}
    two: {encryption: aes-gcm-256, prf: sha512, integrity: sha512, group: 31}
  keyrings:
    k:
      - {peer: a, identity: {email-domain: "@example.net"}, address: 192.0.2.0/24, pre-shared-key: {local: 0x000102030405060708090a0b0c0d0e0f, remote: {file: r.psk}}}
      - {peer: b, identity: {address: 2001:db8::/32}, pre-shared-key: 0sAAECAwQFBgcICQoLDA0ODw==}
      - {peer: c, identity: any, pre-shared-key: "0123456789 is the key"}
  profiles:
    p:
      match:
        identity:
          - {fqdn: a.example.net}
          - {email: "a b@example.net"}
          - {key-id: branch 7}
          - {dn: "CN=a,O=Example"}
          - {dn: any}
          - {fqdn-domain: .example.net}
      authentication: {local: psk, remote: psk}
      keyring: k
      virtual-template: 7
      lifetime: 8h
      proposals: [two]
      replace-session: never
      return-routability: false
      move-to: 192.0.2.0/24
      nat-traversal: false
      dpd: {mode: "off"}
      ipsec: {proposals: [e2], lifetime: {packets: 5000}}
      authorization: {group: {list: local, policy: g}, user: {list: local, policy: u}}
  authorization-policies:
    g:
      pool: four
      ipv6-pool: six
      netmask: 255.255.255.0
      banner: |
        Authorized
        use only
      routes: {set: none, accept: [10.0.0.0/8, 2001:db8::/32], distance: 20, tag: 99}
    u: {pool: six, routes: {accept: 10.0.0.0/8}}
pools:
  four: {range: [10.1.0.0/30, 10.2.0.0/31, 10.3.0.7]}
  six: {range: 2001:db8:9::/126}
virtual-templates:
  7: {mode: ipsec, address: [10.9.9.9/32, 2001:db8:7::1/128], description: all of them}
ipsec:
  replay-window: 64
  lifetime: {time: 2h, bytes: 10GiB}
  proposals:
    e1: {encryption: aes-gcm-256, esn: "no"}
    e2: {encryption: aes-gcm-256, group: x25519}
`)
	equal(t, "control", cfg.Control, Control{"/tmp/c.sock"})
	equal(t, "log", cfg.Log, Log{"warn", "json"})
	equal(t, "state-dir", cfg.StateDir, "/srv/flexvpn")
	i := cfg.IKEv2
	equal(t, "listen", i.Listen, addrs("2001:db8::1", "192.0.2.1"))
	equal(t, "addresses", i.Addresses, addrs("192.0.2.1"))
	equal(t, "mobility", i.Profiles[0].Mobility, Mobility{Enabled: true, MoveTo: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	equal(t, "numbers", []any{i.Port, i.NATPort, i.MaxHalfOpen, i.CookieAlways, i.HalfOpenLife, i.FragmentSize, i.NATKeepalive, i.MaxSessions},
		[]any{uint16(5500), uint16(5501), 7, true, 10 * time.Second, 1400, 15 * time.Second, 100})
	one := Proposal{Name: "one", Encryption: []string{"aes-gcm-256"}, PRF: []string{"sha384", "sha256"}, Groups: []string{"x25519", "20"}}
	two := Proposal{Name: "two", Encryption: []string{"aes-gcm-256"}, PRF: []string{"sha512"}, Integrity: []string{"sha512"}, Groups: []string{"31"}}
	equal(t, "proposals", i.Proposals, []Proposal{one, two})
	p := i.Profiles[0]
	equal(t, "the profile's proposals", p.Proposals, []Proposal{two})
	equal(t, "the profile's ipsec proposals", p.IPsec, []Proposal{{Name: "e2", Encryption: []string{"aes-gcm-256"}, Groups: []string{"x25519"}, ESN: "prefer"}})
	equal(t, "the first ipsec proposal", cfg.IPsec.Proposals[0].ESN, "no")
	equal(t, "a lifetime of which one key is the profile's own", p.Lifetime, Lifetime{Time: 2 * time.Hour, Bytes: 10 << 30, Packets: 5000})
	equal(t, "match", p.Match, []Identity{
		{IDFQDN, "a.example.net"},
		{IDEmail, "a b@example.net"},
		{IDKeyID, "branch 7"},
		{IDDN, "CN=a,O=Example"},
		{MatchAny, "dn"},
		{MatchFQDNDomain, "example.net"},
	})
	equal(t, "the rest of the profile", []any{p.IKELifetime, p.Replace, p.DPD.Mode, p.Group.Policy, p.User.Policy}, []any{8 * time.Hour, "never", "off", "g", "u"})
	octets := make([]byte, 16)
	for n := range octets {
		octets[n] = byte(n)
	}
	peers := i.Keyrings["k"].Peers
	equal(t, "a hexadecimal key", peers[0].Local.Reveal(), octets)
	equal(t, "the key of the other direction", string(peers[0].Remote.Reveal()), "the key in r.psk")
	equal(t, "a base64 key", peers[1].Local.Reveal(), octets)
	equal(t, "a key of text", string(peers[2].Remote.Reveal()), "0123456789 is the key")
	equal(t, "an identity of a keyring", []any{*peers[0].Identity, *peers[1].Identity, *peers[2].Identity},
		[]any{Identity{MatchEmailDomain, "example.net"}, Identity{IDAddress, "2001:db8::/32"}, Identity{MatchAny, ""}})
	g, u := cfg.Policies["g"], cfg.Policies["u"]
	equal(t, "banner", g.Banner, "Authorized\nuse only")
	equal(t, "routes", g.Routes, Routes{Accept: Accept{Prefixes: prefixes("10.0.0.0/8", "2001:db8::/32")}, Distance: 20, Tag: 99})
	equal(t, "one prefix to accept", u.Routes.Accept, Accept{Prefixes: prefixes("10.0.0.0/8")})
	equal(t, "netmask", g.Netmask, netip.MustParseAddr("255.255.255.0"))
	if g.Pool != cfg.Pools["four"] || g.Pool6 != cfg.Pools["six"] || u.Pool != nil || u.Pool6 != cfg.Pools["six"] {
		t.Error("a pool of IPv6 addresses must be Pool6, whichever key names it")
	}
	equal(t, "ranges of prefixes", cfg.Pools["four"].Ranges, []Range{
		{addrs("10.1.0.1")[0], addrs("10.1.0.2")[0]}, {addrs("10.2.0.0")[0], addrs("10.2.0.1")[0]}, {addrs("10.3.0.7")[0], addrs("10.3.0.7")[0]},
	})
	equal(t, "the range of an IPv6 prefix", cfg.Pools["six"].Ranges, []Range{{addrs("2001:db8:9::1")[0], addrs("2001:db8:9::3")[0]}})
	equal(t, "the template's addresses", cfg.Templates[7].Addresses, prefixes("10.9.9.9/32", "2001:db8:7::1/128"))
}

// Every sample loads as it stands, without a warning: secret and certificate files are made beside
// it, for the samples name them by their place on an operator's machine.
func TestSamples(t *testing.T) {
	files, err := filepath.Glob("../deploy/examples/*.yaml")
	further, _ := filepath.Glob("../deploy/examples/*/*.yaml")
	files = append(files, further...)
	if err != nil || len(files) < 5 {
		t.Fatal("samples are missing", files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			moved := strings.ReplaceAll(string(text), "/etc/flexvpn/", dir+"/")
			ca := newAuthority(t, "Example CA")
			ca.write(t, dir, "ca.crt")
			for _, name := range []string{"hub1", "spoke1"} {
				domain := map[string]string{"hub1": ".example.net", "spoke1": ".branch.example.net"}[name]
				ca.issue(t, name+domain).writeBoth(t, dir, name)
			}
			for _, name := range []string{"spokes.psk", "hub.psk", "flex.psk"} {
				writeFile(t, dir, name, "w4cbwPPgyDQHmvvLoQr6nHBVYP2fnkm+oQUdsqJ7UWc=\n", 0o600)
			}
			writeFile(t, dir, "radius.secret", "testing-only-change-me\n", 0o600)
			writeFile(t, dir, "users", "alice:text:open sesame\n", 0o600)
			writeFile(t, dir, "eap.password", "open sesame\n", 0o600)
			path := filepath.Join(dir, "node.yaml")
			writeFile(t, dir, "node.yaml", moved, 0o644)
			cfg, err := Load(path, CheckProposal(checkSample))
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range cfg.Warnings {
				t.Errorf("warning: %v", w)
			}
		})
	}
}

// checkSample accepts every name: profile's own test judges the samples by the real tables.
func checkSample(Proposal, bool) []error { return nil }

// A hub with a key for each spoke has long keyrings; they load in time that grows with their length.
func TestLongKeyring(t *testing.T) {
	var b strings.Builder
	b.WriteString("node: n\nikev2:\n  profiles: {}\n  keyrings:\n    k:\n")
	const n = 11000
	for i := range n {
		b.WriteString("      - {peer: p" + strconv.Itoa(i) + ", identity: {fqdn: s" + strconv.Itoa(i) + ".example.net}, pre-shared-key: 0123456789abcdef}\n")
	}
	cfg := mustParse(t, "n.yaml", b.String())
	equal(t, "the number of keys", len(cfg.IKEv2.Keyrings["k"].Peers), n)
}
