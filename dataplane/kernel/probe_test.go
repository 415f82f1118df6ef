package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane/kernel/nlmsg/nlmsgtest"
)

// What a kernel lacks is named with what it takes: one sentence, whatever the kernel's own word is.
func TestProbeNamesWhatAKernelLacks(t *testing.T) {
	const add = 16 // XFRM_MSG_NEWSA and RTM_NEWLINK have one number, on two sockets
	refuses := func(at int, errno unix.Errno) nlmsgtest.Rule {
		n := 0
		return func(kind uint16) unix.Errno {
			if kind == add {
				n++
			}
			if kind == add && n == at {
				return errno
			}
			return 0
		}
	}
	for _, c := range []struct {
		name    string
		rtnl, x nlmsgtest.Rule
		want    []string
	}{
		{"no XFRM interfaces", refuses(1, unix.EOPNOTSUPP), refuses(0, 0), []string{"XFRM interfaces", "Linux 4.19", "module xfrm_interface"}},
		{"no GRE", refuses(2, unix.EOPNOTSUPP), refuses(0, 0), []string{"GRE", "module ip_gre"}},
		{"too old for BEET with UDP", refuses(0, 0), refuses(1, unix.EINVAL), []string{"BEET", "Linux 5.8"}},
		{"no ESP", refuses(0, 0), refuses(1, unix.EPROTONOSUPPORT), []string{"ESP", "CONFIG_INET_ESP", "module", "esp4"}},
		{"no AES-GCM", refuses(0, 0), refuses(1, unix.ENOSYS), []string{"AES-GCM", "gcm"}},
		{"no permission for links", refuses(1, unix.EPERM), refuses(0, 0), []string{"CAP_NET_ADMIN", "root"}},
		{"no permission for states", refuses(0, 0), refuses(1, unix.EPERM), []string{"CAP_NET_ADMIN", "root"}},
	} {
		err := probe(c.rtnl.Conn(), c.x.Conn())
		if err == nil {
			t.Errorf("%s: it was taken for one that can", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not mention %s", c.name, err, want)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: several lines: %q", c.name, err)
		}
	}
	if err := probe(refuses(1, unix.EEXIST).Conn(), refuses(1, unix.EEXIST).Conn()); err != nil {
		t.Errorf("a number that is taken is no lack: %v", err)
	}
}

// The kernel itself, with its modules taken away and no others to be had.
func TestProbeWithoutModules(t *testing.T) {
	needKernel(t)
	if os.Getenv("FLEXVPN_VM") != "machine" {
		t.Skip("it takes the kernel's modules away: that is for the virtual machine of make test-kernel")
	}
	newNamespace(t)
	if err := Probe(); err != nil {
		t.Fatal(err)
	}
	const loader = "/proc/sys/kernel/modprobe"
	was, err := os.ReadFile(loader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(loader, was, 0o644) })
	if err := os.WriteFile(loader, []byte("/bin/false"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ module, want string }{
		{"xfrm_interface", "module xfrm_interface"},
		{"ip_gre", "module ip_gre"},
		{"esp4", "modules esp4"},
	} {
		eventually(t, func() error { // namespaces of former tests may be going still
			out, err := exec.Command("rmmod", c.module).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		err := Probe()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("without %s: %v", c.module, err)
		}
		_ = os.WriteFile(loader, was, 0o644)
		said(t, "modprobe", c.module)
		_ = os.WriteFile(loader, []byte("/bin/false"), 0o644)
	}
	if err := Probe(); err != nil {
		t.Errorf("with all modules back: %v", err)
	}
	if out := said(t, "ip", "-br", "link"); strings.Contains(out, "fvp") {
		t.Errorf("a probe left a device:\n%s", out)
	}
}

// A node that starts beside another, or after its own crash, finds devices of GRE between the first
// invented addresses: they are no reason to believe that the kernel has no GRE.
func TestProbeBesideANode(t *testing.T) {
	needKernel(t)
	newNamespace(t)
	ip(t, "link add fvprobe type bridge", "link add va1 type gre local 240.0.0.1 remote 240.0.0.2", "link add other type xfrm dev lo if_id 0xfffffffe")
	if err := Probe(); err != nil {
		t.Error(err)
	}
	if out := said(t, "ip", "-br", "link"); !strings.Contains(out, "fvprobe") {
		t.Errorf("the probe took somebody else's device away:\n%s", out)
	}
}
