package endpoint_test

import (
	"bytes"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A path takes less than a segment: the kernel refuses to cut (EINVAL, from Linux 6.14 on EMSGSIZE), and
// each packet goes as fragments of its own.
func TestSegmentsLongerThanThePath(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("this test makes a network namespace: run it as root: %v", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up", "mtu", "1280").CombinedOutput(); err != nil {
		t.Fatalf("ip: %v\n%s", err, out)
	}
	for _, here := range []string{"127.0.0.1", "::1"} {
		from, to := listen(t, here, true), listen(t, here, true)
		buf := pattern(5*1400+17, 1400)
		if err := from.WriteSegments(netip.AddrPort{}, to.Addr(), buf, 1400); err != nil {
			t.Fatalf("%s: %v", here, err)
		}
		want := slices.Collect(slices.Chunk(buf, 1400))
		if got, _ := received(t, to, len(want)); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%s: the packets arrived changed", here)
		}
	}
}
