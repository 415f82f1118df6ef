package rtnl

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace runs f on a thread of a network namespace of its own, which ends with the test.
func inNamespace(t *testing.T, f func(run func(command string) string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("make a network namespace: %v", err)
			return
		}
		f(func(command string) string {
			f := strings.Fields(command)
			out, err := exec.Command(f[0], f[1:]...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
			return string(out)
		})
	}()
	<-done
}

// tc is the root queueing discipline of a device as tc(8) sees it.
type tc struct {
	Kind, Handle string
	Options      struct{ Rate, Burst uint64 }
}

func qdisc(t *testing.T, run func(string) string, name string) (root tc) {
	t.Helper()
	var all []tc
	if err := json.Unmarshal([]byte(run("tc -j qdisc show dev "+name+" root")), &all); err != nil {
		t.Error(err)
	}
	for _, q := range all {
		if q.Handle == "f1e:" {
			return q
		}
	}
	return tc{}
}

func TestAShaperIsATokenBucketOfItsOwnHandle(t *testing.T) {
	inNamespace(t, func(run func(string) string) {
		run("ip link add v0 type veth peer name v1")
		run("ip link set v0 up")
		c, err := Open()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		for _, s := range []Shaper{{8_000_000, 20_000, 70_000}, {8_000_000, 20_000, 70_000}, {64_000, 3_000, 4_000}, {40_000_000_000, 1 << 20, 1 << 21}} {
			if err := c.SetShaper("v0", s); err != nil {
				t.Error(err)
			}
			q := qdisc(t, run, "v0")
			if q.Kind != "tbf" || q.Options.Rate != s.Bits/8 {
				t.Errorf("tc says %+v of %+v", q, s)
			}
			// The kernel counts a bucket in ticks of 64 ns, and rounds.
			if got, want := float64(q.Options.Burst), float64(s.Burst); got < want*0.99-400 || got > want*1.01+400 {
				t.Errorf("the burst is %v, want %v", got, want)
			}
		}
		if got, err := c.Shapers(); err != nil || len(got) != 1 || got["v0"].Dropped != 0 {
			t.Errorf("shapers are %v (%v), want one of v0", got, err)
		}
		for range 2 {
			if err := c.SetShaper("v0", Shaper{}); err != nil {
				t.Error(err)
			}
		}
		if q := qdisc(t, run, "v0"); q != (tc{}) {
			t.Errorf("it is still there: %+v", q)
		}
		run("tc qdisc add dev v0 root handle 7: tbf rate 1mbit burst 5000 latency 50ms")
		if got, err := c.Shapers(); err != nil || len(got) != 0 {
			t.Errorf("another's shaper is taken for ours: %v (%v)", got, err)
		}
		if err := c.SetShaper("v9", Shaper{Bits: 8000}); err == nil || !strings.Contains(fmt.Sprint(err), "find link v9") {
			t.Errorf("a link that is not there: %v", err)
		}
	})
}

func TestWhatIsNoVRFIsNotTakenForOne(t *testing.T) {
	inNamespace(t, func(run func(string) string) {
		run("ip link add v0 type veth peer name v1")
		c, err := Open()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if _, ok, err := c.VRF("red"); ok || err != nil {
			t.Errorf("a VRF that is not there: %v %v", ok, err)
		}
		if _, _, err := c.VRF("v1"); err == nil || !strings.Contains(err.Error(), "v1 is a device of kind veth, not a VRF") {
			t.Errorf("a veth is a VRF: %v", err)
		}
		if err := c.SetVRF("v0", "red"); err == nil || !strings.Contains(err.Error(), "there is no VRF red: ip link add red type vrf") {
			t.Errorf("joining no VRF: %v", err)
		}
		if err := c.SetVRF("v0", ""); err != nil {
			t.Error(err)
		}
	})
}
