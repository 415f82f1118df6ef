package main

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/opstest"
	"flexvpn/ops/view"
)

// goldens are the texts of a busy node, one file per command line.
var goldens = map[string]string{
	"sessions":              "show sessions",
	"sessions_filtered":     "show sessions --peer SPOKE2 --role hub",
	"sessions_failed":       "show sessions --failed",
	"session_native":        "show session h1",
	"session_gre":           "show session spoke2.branch.example.net",
	"session_gone":          "show session spoke3",
	"sa":                    "show sa",
	"pools":                 "show pools",
	"pools_leases":          "show pools --leases",
	"policy":                "show policy",
	"policy_one":            "sh pol default",
	"interfaces":            "show interfaces",
	"access_lists":          "sh access-lists",
	"routes":                "show routes",
	"bgp_summary":           "show bgp summary",
	"bgp_neighbors":         "sh bgp neigh",
	"bgp_neighbor":          "show bgp neighbors 10.1.1.2",
	"bgp_routes":            "show bgp routes",
	"bgp_route":             "show bgp routes 172.16.1.0/24",
	"client":                "show client",
	"counters":              "show counters",
	"sessions_json":         "show sessions --json",
	"ios_sa":                "show crypto ikev2 sa",
	"ios_sa_detailed":       "sh cry ikev2 sa det",
	"ios_ikev2_session":     "show crypto ikev2 session",
	"ios_ikev2_session_det": "show crypto ikev2 session detailed",
	"ios_session":           "show crypto session",
	"ios_session_detail":    "show crypto session detail",
	"ios_client":            "show crypto ikev2 client flexvpn",
	"track":                 "show track",
	"track_brief":           "show track brief",
	"dns":                   "show dns",
	"aaa_servers":           "show aaa servers",
	"aaa_attributes":        "show aaa attributes spoke1.branch.example.net",
	"dhcp":                  "show dhcp",
	"ios_dhcp_import":       "show ip dhcp import",
	"ios_dhcp_binding":      "show ip dhcp binding",
	"ios_dhcp_conflict":     "show ip dhcp conflict",
	"nat":                   "show nat",
	"ios_nat_translations":  "show ip nat translations",
	"ios_dns_name_list":     "show ip dns name-list",
	"ios_dns_view":          "show ip dns view",
	"ios_client_detail":     "show crypto ikev2 client flexvpn flex1 detail",
}

func TestShowGolden(t *testing.T) {
	s := serve(t, sample())
	for name, line := range goldens {
		r := s.run(line)
		golden(t, name+".txt", r.out+r.err)
		wantCode := exitOK
		if name == "session_gone" {
			wantCode = exitNo
		}
		if r.code != wantCode {
			t.Errorf("%s: exit code %d, want %d", line, r.code, wantCode)
		}
		for text := range strings.Lines(r.out) {
			if strings.TrimRight(text, " \n") != strings.TrimRight(text, "\n") {
				t.Errorf("%s: white space at the end of %q", line, text)
			}
		}
	}
}

func TestShowOfAnEmptyNode(t *testing.T) {
	s := serve(t, &opstest.Node{})
	for line, want := range map[string]string{
		"show sessions":                    "No sessions. Peers that were refused or lost: flexvpn show sessions --failed\n",
		"show sessions --failed":           "No peer was refused or lost since the start.\n",
		"show sa":                          "No IKE SAs. Peers that were refused or lost: flexvpn show sessions --failed\n",
		"show pools":                       "No address pools are configured.\n",
		"show policy":                      "No authorization policies are configured.\n",
		"show interfaces":                  "No virtual-access or tunnel interfaces.\n",
		"show routes":                      "No routes are known.\n",
		"show dns":                         "Names are not served: the configuration has no dns section.\n",
		"show ip dns name-list":            "",
		"show ip dns view":                 "",
		"show dhcp":                        "No DHCP pools are configured.\n",
		"show ip dhcp import":              "",
		"show nat":                         "No NAT is configured.\n",
		"show bgp routes":                  "The BGP table is empty.\n",
		"show bgp summary":                 "This node runs no BGP speaker: the configuration has no bgp section.\n",
		"show bgp neighbors":               "This node runs no BGP speaker: the configuration has no bgp section.\n",
		"show bgp summary --json":          "[]\n",
		"show bgp neighbors --json":        "[]\n",
		"show bgp routes --json":           "[]\n",
		"show client":                      "No client profiles are configured.\n",
		"show track":                       "No objects are tracked.\n",
		"show sessions --json":             "[]\n",
		"show crypto ikev2 sa":             " IPv4 Crypto IKEv2  SA\n\n IPv6 Crypto IKEv2  SA\n\n",
		"show crypto session":              "Crypto session current status\n\n",
		"show crypto ikev2 client flexvpn": "",
	} {
		if r := s.run(line); r.out != want || r.code != exitOK {
			t.Errorf("%s printed %q (code %d), want %q", line, r.out, r.code, want)
		}
	}
}

// What --json prints is exactly the view.
func TestJSONIsTheView(t *testing.T) {
	node := sample()
	s := serve(t, node)
	for line, want := range map[string]any{
		"show sessions --failed --json":                        node.Refused,
		"show session h1 --json":                               node.Full[0],
		"show sa --json":                                       []view.SA{*node.Full[0].SA, *node.Full[1].SA, *node.Full[2].SA},
		"show pools --leases --json":                           node.PoolList,
		"show policy default --json":                           node.Given[:1],
		"show interfaces --json":                               node.Interfaced,
		"show routes --json":                                   node.Routed,
		"show bgp summary --json":                              node.Speakers,
		"show bgp neighbors --json":                            node.Speakers,
		"show bgp routes --json":                               node.Paths,
		"show client --json":                                   node.Profiles,
		"show track --json":                                    node.Tracked,
		"show track 10 --json":                                 node.Tracked[1:2],
		"show client flex2 --json":                             node.Profiles[1:],
		"show counters --json":                                 node.Counted,
		"show crypto ikev2 sa detailed --json":                 []view.SA{*node.Full[0].SA, *node.Full[1].SA, *node.Full[2].SA},
		"show crypto ikev2 client flexvpn flex1 detail --json": node.Profiles[:1],
	} {
		r := s.run(line)
		got := reflect.New(reflect.TypeOf(want))
		if err := json.Unmarshal([]byte(r.out), got.Interface()); err != nil || !reflect.DeepEqual(got.Elem().Interface(), want) {
			t.Errorf("%s printed (%v)\n%s\nwant the view %+v", line, err, r.out, want)
		}
	}
}

// A Cisco product looks for exactly this line.
func TestIOSClientStateLine(t *testing.T) {
	r := serve(t, sample()).run("show crypto ikev2 client flexvpn flex1")
	if !regexp.MustCompile(`(?m)Current state:ACTIVE$`).MatchString(r.out) {
		t.Errorf("no line ends in Current state:ACTIVE:\n%s", r.out)
	}
}

// A profile may have the name that would shorten the keyword.
func TestIOSClientNameBeforeKeyword(t *testing.T) {
	node := sample()
	node.Profiles[1].Name = "det"
	s := serve(t, node)
	if r := s.run("show crypto ikev2 client flexvpn det"); !strings.Contains(r.out, "Profile : det\n") || strings.Contains(r.out, "Peer list") {
		t.Errorf("the profile named det was not shown alone:\n%s", r.out)
	}
	if r := s.run("show crypto ikev2 client flexvpn deta"); strings.Count(r.out, "Peer list") != 2 {
		t.Errorf("the keyword detail was not understood:\n%s", r.out)
	}
}

// What a stranger sends as its identity must not reach the terminal as it is.
func TestHostileIdentity(t *testing.T) {
	node := sample()
	evil := "spoke\x1b[2J\x1b]0;owned\a\nFAKE LINE\u202e\xff"
	node.Full[0].Identity, node.Full[0].SA.RemoteID, node.Full[0].Version = evil, evil, evil
	node.Full[2].Attributes[1].Value = evil
	node.Refused[0].Identity = evil
	node.Counted.Drops = map[string]uint64{evil: 1}
	s := serve(t, node)
	for _, line := range []string{
		"show sessions", "show sessions --failed", "show session h1", "show sa", "show counters",
		"show crypto ikev2 sa detailed", "show crypto session detail", "show crypto ikev2 session",
	} {
		r := s.run(line)
		if r.code != exitOK || !strings.Contains(r.out, `spoke\x1b[2J`) && !strings.HasSuffix(line, "ikev2 session") {
			t.Errorf("%s (code %d) does not show the identity escaped:\n%q", line, r.code, r.out)
		}
		for _, bad := range []string{"\x1b", "\a", "\u202e", "\nFAKE", "\xff"} {
			if strings.Contains(r.out, bad) {
				t.Errorf("%s lets %q through", line, bad)
			}
		}
	}
	if r := s.runWords(t.Context(), "show", "session", evil+"?"); strings.Contains(r.err, "\x1b") {
		t.Errorf("an error lets an escape sequence through: %q", r.err)
	}
}

func TestHumanUnits(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 102348: "99.9 KiB", 102400: "100 KiB",
		1<<20 - 1: "1.0 MiB", 1 << 30: "1.0 GiB", 1<<64 - 1: "16.0 EiB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s", time.Minute: "1m00s",
		time.Hour - time.Second: "59m59s", 65 * time.Minute: "1h05m", 76 * time.Hour: "3d04h",
	} {
		if got := durationText(d); got != want {
			t.Errorf("durationText(%v) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		13*time.Hour + 17*time.Minute + 14*time.Second: "13:17:14", 26 * time.Hour: "1d02h", 9 * 24 * time.Hour: "1w2d",
	} {
		if got := iosUptime(d); got != want {
			t.Errorf("iosUptime(%v) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := countText(n); got != want {
			t.Errorf("countText(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestIOSSelectors(t *testing.T) {
	for s, want := range map[string]string{
		"0.0.0.0/0":             "0.0.0.0/0 - 255.255.255.255/65535",
		"172.16.1.0/24":         "172.16.1.0/0 - 172.16.1.255/65535",
		"10.1.1.2 proto 47":     "10.1.1.2/0 - 10.1.1.2/65535 proto 47",
		"10.1.1.2-10.1.1.9":     "10.1.1.2/0 - 10.1.1.9/65535",
		"2001:db8::/126":        "2001:db8::/0 - 2001:db8::3/65535",
		"what nobody foresaw /": "what nobody foresaw /",
	} {
		if got := iosSelector(s); got != want {
			t.Errorf("iosSelector(%q) = %q, want %q", s, got, want)
		}
	}
}
