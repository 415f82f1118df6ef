package nat

import (
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What the kernel was told, as the nft program reads it back: the specification of the table.
func TestRulesAsNftReadsThem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a network namespace: run it as root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	n := New(Config{
		Owned: true, Log: slog.New(slog.DiscardHandler), Addresses: func(string) ([]netip.Prefix, error) { return nil, nil },
		Rules: []Rule{
			{Inside: []string{"eth1"}, Outside: "tunnel1"},
			{Inside: []string{"eth1", "eth2"}, Outside: "eth0", Source: []netip.Prefix{netip.MustParsePrefix("172.16.1.0/24")}},
		},
	})
	if err := n.Apply(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	out, err := exec.Command("nft", "--stateless", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	text := string(out)
	for _, want := range []string{
		`meta sdifname "eth1" ct state new update @hosts4_1 { iif . ip saddr }`,
		`meta sdifname "eth2" ct state new update @hosts6_2 { iif . ip6 saddr }`,
		`iifname "eth1" oifname "tunnel1" counter masquerade comment "nat entry 1"`,
		`oifname "tunnel1" iif . ip6 saddr @hosts6_1 counter masquerade comment "nat entry 1"`,
		`iifname "eth2" oifname "eth0" ip saddr 172.16.1.0/24 counter masquerade comment "nat entry 2"`,
		`oifname "eth0" ip saddr 172.16.1.0/24 iif . ip saddr @hosts4_2 counter masquerade comment "nat entry 2"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no rule %s", want)
		}
	}
	if strings.Count(text, "masquerade") != 3+4 {
		t.Errorf("the number of rules is wrong")
	}
	if t.Failed() {
		t.Logf("the ruleset is\n%s", text)
	}
}
