package kernel

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane/planetest"
)

// needKernel is the first line of a test that needs XFRM, GRE or VRFs.
func needKernel(t *testing.T) {
	t.Helper()
	if os.Getenv("FLEXVPN_VM") == "" {
		t.Skip("make test-kernel runs this test, in a virtual machine with a full kernel")
	}
}

// newNamespace puts the calling goroutine into a network namespace of its own, which ends with it.
func newNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // for ever: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", "net/ipv6/conf/default/accept_dad": "0",
		"net/ipv6/conf/default/addr_gen_mode": "1",
	} {
		f, err := os.OpenFile("/proc/thread-self/root/proc/sys/"+key, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(value)
			_ = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ip runs ip commands, one a line, in the namespace of the calling thread.
func ip(t *testing.T, lines ...string) { t.Helper(); ipFamily(t, "-4", lines...) }

func ipFamily(t *testing.T, family string, lines ...string) {
	t.Helper()
	cmd := exec.Command("ip", family, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip -batch: %v\n%s\n%s", err, lines, out)
	}
}

// said is what a command prints.
func said(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// eventually waits, for long, until check has nothing to say.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// logTo lets a plane speak to a test.
type logTo struct{ t *testing.T }

func (l logTo) Write(b []byte) (int, error) {
	l.t.Logf("plane: %s", b)
	return len(b), nil
}

// newPlane makes a plane in the namespace of the calling thread.
func newPlane(t *testing.T, o Options) *Plane {
	t.Helper()
	if o.Node == "" {
		o.Node = "hub1"
	}
	if o.Alias == "" {
		o.Alias = "test "
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(logTo{t}, nil))
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close the plane: %v", err)
		}
	})
	return p
}

// rig is a plane between a host and a network, both TUN devices: what the plane's interfaces receive
// is routed to the host, and what it sends encrypted to the network.
type rig struct {
	t       *testing.T
	network int
	hosts   map[string]int
	packets int // an AF_PACKET socket
	routed  map[string]uint32
	plane   *Plane
}

func newRig(t *testing.T) *rig { t.Helper(); return newRigWith(t, Options{}) }

func newRigWith(t *testing.T, o Options) *rig {
	t.Helper()
	newNamespace(t)
	r := &rig{t: t, hosts: map[string]int{}, routed: map[string]uint32{}, network: tun(t, "net0")}
	lines := []string{"link set lo up", "link set net0 mtu 9000 up", "addr add 192.0.2.1/24 dev net0", "route add default dev net0"}
	var both []string
	for i := range 3 {
		name := fmt.Sprintf("fvt%d", i)
		r.hosts[name] = tun(t, "h"+name)
		lines = append(lines, "link set h"+name+" mtu 9000 up")
		both = append(both, fmt.Sprintf("rule add iif %s lookup %d", name, 100+i), fmt.Sprintf("route add default dev h%s table %d", name, 100+i))
	}
	ip(t, append(lines, both...)...)
	ipFamily(t, "-6", append(both, "addr add 2001:db8:f::1/64 dev net0 nodad")...)
	var err error
	if r.packets, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0); err != nil {
		t.Fatal(err)
	}
	listen4500(t)
	r.plane = newPlane(t, o)
	return r
}

// listen4500 is the socket of ESP in UDP: the kernel takes what is ESP out of it.
func listen4500(t *testing.T) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 4500})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_ENCAP, 2) })
	if err != nil {
		t.Fatal(err)
	}
}

func tun(t *testing.T, name string) int {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	req, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		t.Fatal(err)
	}
	return fd
}

// Send gives the interface a packet, past the routing table.
func (r *rig) Send(name string, packet []byte) {
	l, err := linkNamed(r.plane.rtnl, name)
	if err != nil {
		r.t.Errorf("send by %s: %v", name, err)
		return
	}
	kind := uint16(unix.ETH_P_IP)
	if packet[0]>>4 == 6 {
		kind = unix.ETH_P_IPV6
		if r.routed[name] != l.index { // the device asks for a route even so
			_ = exec.Command("ip", "-6", "route", "add", "default", "dev", name, "metric", fmt.Sprint(l.index&0xffff)).Run()
			r.routed[name] = l.index
		}
	}
	if err := sendLink(r.packets, packet, l.index, kind); err != 0 && err != unix.ENOBUFS && err != unix.ENETDOWN {
		r.t.Errorf("send by %s: %v", name, err)
	}
}

// sendLink is sendto with an address as long as the longest of a link, 16 octets of ip6gre: a struct
// sockaddr_ll has room for eight, and the kernel refuses less than the device has.
func sendLink(fd int, packet []byte, index uint32, kind uint16) unix.Errno {
	var to [12 + 32]byte
	binary.NativeEndian.PutUint16(to[:], unix.AF_PACKET)
	binary.BigEndian.PutUint16(to[2:], kind)
	binary.NativeEndian.PutUint32(to[4:], index)
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&packet[0])), uintptr(len(packet)), 0,
		uintptr(unsafe.Pointer(&to)), uintptr(len(to)))
	return errno
}

// Received is what came to the host: it was forwarded, which is undone.
func (r *rig) Received(name string) []byte {
	for {
		p := next(r.hosts[name], 400*time.Millisecond)
		switch {
		case p == nil:
			return nil
		case p[0]>>4 == 6 && (p[6] == 0 || p[6] == 58): // the kernel speaks of its own groups
			continue
		case p[0]>>4 == 6:
			p[7]++
		default:
			p[8]++
			p[10], p[11] = 0, 0
			binary.BigEndian.PutUint16(p[10:], sum(p[:20]))
		}
		return p
	}
}

// next reads from a device; nil when nothing comes.
func next(fd int, wait time.Duration) []byte {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, int(wait.Milliseconds())); n == 0 || err != nil {
		return nil
	}
	b := make([]byte, 1<<16)
	n, err := unix.Read(fd, b)
	if err != nil || n < 20 {
		return nil
	}
	return b[:n]
}

// Sent is the next ESP packet on the network, in UDP or not.
func (r *rig) Sent() (local, remote netip.AddrPort, packet []byte) {
	for {
		p := next(r.network, time.Second)
		if p == nil {
			return
		}
		if p[0]>>4 != 4 || p[9] != 17 && p[9] != 50 {
			continue
		}
		src, dst := netip.AddrFrom4([4]byte(p[12:])), netip.AddrFrom4([4]byte(p[16:]))
		if p[9] == 50 {
			return netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0), p[20:]
		}
		return netip.AddrPortFrom(src, binary.BigEndian.Uint16(p[20:])), netip.AddrPortFrom(dst, binary.BigEndian.Uint16(p[22:])), p[28:]
	}
}

// Deliver writes a datagram to the network's device: the kernel works it off before write returns.
func (r *rig) Deliver(local, remote netip.AddrPort, packet []byte) {
	u := binary.BigEndian.AppendUint16(nil, remote.Port())
	u = binary.BigEndian.AppendUint16(u, local.Port())
	u = binary.BigEndian.AppendUint16(u, uint16(8+len(packet)))
	u = append(append(u, 0, 0), packet...)
	p := []byte{0x45, 0, byte((20 + len(u)) >> 8), byte(20 + len(u)), 0, 1, 0, 0, 64, 17, 0, 0}
	p = append(append(p, remote.Addr().AsSlice()...), local.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(p[10:], sum(p))
	if _, err := unix.Write(r.network, append(p, u...)); err != nil {
		r.t.Errorf("deliver: %v", err)
	}
}

// sum is RFC 1071.
func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func TestSuite(t *testing.T) {
	needKernel(t)
	planetest.Run(t, func(t *testing.T) planetest.Rig {
		r := newRig(t)
		return planetest.Rig{Plane: r.plane, Traffic: r, Kernel: true, Settle: r.plane.settle}
	})
}

func TestProbe(t *testing.T) {
	needKernel(t)
	newNamespace(t)
	if err := Probe(); err != nil {
		t.Fatal(err)
	}
	if out := said(t, "ip", "-br", "link"); strings.Contains(out, "fvp") {
		t.Errorf("the probe left a device:\n%s", out)
	}
	if out := said(t, "ip", "xfrm", "state"); out != "" {
		t.Errorf("the probe left a state:\n%s", out)
	}
}
