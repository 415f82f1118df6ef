package nft

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// alone gives the test a network namespace of its own.
func alone(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a network namespace: run it as root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, owned bool) *Table {
	t.Helper()
	tab, err := Open("flexvpn_test", owned)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tab.Close() })
	return tab
}

func chain(tab *Table, name string) func(*nftables.Conn) error {
	return func(c *nftables.Conn) error {
		c.AddChain(&nftables.Chain{Table: tab.Ref(), Name: name})
		return nil
	}
}

// ruleset is what the nft program says of the namespace.
func ruleset(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	return string(out)
}

func TestOwnedTable(t *testing.T) {
	alone(t)
	tab := open(t, true)
	if err := tab.Make(chain(tab, "first")); err != nil {
		t.Fatal(err)
	}
	if out := ruleset(t); !strings.Contains(out, "flags owner") || !strings.Contains(out, "chain first") {
		t.Fatalf("the ruleset is\n%s", out)
	}
	if out, err := exec.Command("nft", "delete", "table", "inet", "flexvpn_test").CombinedOutput(); err == nil {
		t.Errorf("another process deleted the table: %s", out)
	}
	if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Errorf("flush ruleset: %v\n%s", err, out)
	}
	if out := ruleset(t); !strings.Contains(out, "chain first") {
		t.Errorf("after a firewall's reload the ruleset is\n%q", out)
	}
	for _, owned := range []bool{true, false} {
		other := open(t, owned)
		if err := other.Make(chain(other, "theirs")); !errors.Is(err, ErrTaken) {
			t.Errorf("a second owner (owned %v): %v", owned, err)
		}
		if err := other.Remove(); !errors.Is(err, ErrTaken) {
			t.Errorf("a stranger removes it (owned %v): %v", owned, err)
		}
	}
	// An error of a transaction costs nothing that stands.
	refused := tab.Transact(func(c *nftables.Conn) error {
		c.DelChain(&nftables.Chain{Table: tab.Ref(), Name: "missing"})
		c.DelChain(&nftables.Chain{Table: tab.Ref(), Name: "first"})
		return nil
	})
	if !errors.Is(refused, unix.ENOENT) {
		t.Errorf("a wrong transaction: %v", refused)
	}
	if out := ruleset(t); !strings.Contains(out, "chain first") {
		t.Errorf("after a refused transaction the ruleset is\n%q", out)
	}
	if err := tab.Transact(chain(tab, "second")); err != nil {
		t.Errorf("after a refused transaction: %v", err)
	}
	if err := tab.Make(chain(tab, "third")); err != nil {
		t.Error(err)
	}
	if out := ruleset(t); strings.Contains(out, "second") || !strings.Contains(out, "third") {
		t.Errorf("made anew, the ruleset is\n%q", out)
	}
	tab.hangUp() // as the end of the process does
	if out := ruleset(t); out != "" {
		t.Errorf("without its owner there is\n%s", out)
	}
}

func TestTableOfNobody(t *testing.T) {
	alone(t)
	crashed := open(t, false)
	if err := crashed.Make(chain(crashed, "first")); err != nil {
		t.Fatal(err)
	}
	crashed.hangUp()
	if out := ruleset(t); !strings.Contains(out, "chain first") || strings.Contains(out, "owner") {
		t.Errorf("it outlives its maker: the ruleset is\n%s", out)
	}
	next := open(t, true)
	if err := next.Make(chain(next, "second")); err != nil {
		t.Fatal(err)
	}
	if out := ruleset(t); strings.Contains(out, "first") || !strings.Contains(out, "second") {
		t.Errorf("the next run's ruleset is\n%s", out)
	}
	if err := next.Remove(); err != nil {
		t.Error(err)
	}
	if err := next.Remove(); err != nil {
		t.Errorf("a table that is not there: %v", err)
	}
	if out := ruleset(t); out != "" {
		t.Errorf("removed, the ruleset is\n%s", out)
	}
}
