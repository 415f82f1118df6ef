package userspace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// These tests run planes over real TUN devices and real UDP sockets in network namespaces of their
// own, joined by a veth pair. They need root.

// inNamespace runs f on a thread of the named network namespace. What f starts elsewhere is not in it.
func inNamespace(t *testing.T, name string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		fd, err := unix.Open("/run/netns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd)
		}
		if err != nil {
			t.Errorf("enter namespace %s: %v", name, err)
			return
		}
		f()
	}()
	<-done
	if t.Failed() {
		t.FailNow()
	}
}

func ip(t testing.TB, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// site is one end of a tunnel: a namespace with a plane in it.
type site struct {
	name   string
	outer  netip.Addr
	inner  []netip.Prefix
	socket *testSocket
	plane  *Plane
}

// twoSites makes two namespaces joined by veth, each with a plane, and a tunnel between them.
func twoSites(t *testing.T, mode dataplane.Mode, outer [2]string, a planetest.Algorithm) [2]*site {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	id := os.Getpid() % 100000
	var sites [2]*site
	for i := range sites {
		s := &site{name: fmt.Sprintf("fvpn-dp-%d-%d", id, i), outer: netip.MustParseAddr(outer[i])}
		s.inner = []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}), 24),
			netip.MustParsePrefix(fmt.Sprintf("2001:db8:77::%d/64", i+1)),
		}
		ip(t, "netns add "+s.name)
		t.Cleanup(func() { ip(t, "netns del "+s.name) })
		sites[i] = s
	}
	v := fmt.Sprintf("dp%d", id)
	ip(t, fmt.Sprintf("link add %sa netns %s type veth peer name %sb netns %s", v, sites[0].name, v, sites[1].name))
	for i, s := range sites {
		bits := s.outer.BitLen() - 8
		dev := v + string("ab"[i])
		ip(t, fmt.Sprintf("-n %s link set lo up", s.name))
		ip(t, fmt.Sprintf("-n %s addr add %s/%d dev %s %s", s.name, s.outer, bits, dev, map[bool]string{true: "nodad"}[s.outer.Is6()]))
		ip(t, fmt.Sprintf("-n %s link set %s up", s.name, dev))
	}
	for i, s := range sites {
		inNamespace(t, s.name, func() {
			s.socket = openSocket(t, netip.AddrPortFrom(s.outer, 4500))
			var err error
			if s.plane, err = New(Options{Sender: s.socket}); err != nil {
				t.Error(err)
				return
			}
			if err := s.plane.Apply(s.spec(i, sites[1-i], mode, a)); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() {
			if err := s.plane.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			s.socket.close()
		})
	}
	for _, s := range sites {
		s.socket.serve(s.plane)
	}
	return sites
}

// spec is the tunnel as side i sees it: keys and SPIs are those of a test child, crossed on side 1.
func (s *site) spec(i int, peer *site, mode dataplane.Mode, a planetest.Algorithm) dataplane.Interface {
	c := planetest.NewChild(0x1001, a)
	if i == 1 {
		c.SPIIn, c.SPIOut = c.SPIOut, c.SPIIn
		c.KeyIn, c.KeyOut = c.KeyOut, c.KeyIn
		c.IntegIn, c.IntegOut = c.IntegOut, c.IntegIn
	}
	c.Transport = mode == dataplane.GRE
	c.ESN = true
	return dataplane.Interface{
		Name: "tunnel1", Alias: "to " + peer.name, Mode: mode, MTU: 1400, AdjustMSS: 1360, Addresses: s.inner,
		Path: dataplane.Path{
			Local: netip.AddrPortFrom(s.outer, 4500), Remote: netip.AddrPortFrom(peer.outer, 4500), Encap: true,
		},
		Children: []dataplane.Child{c}, Outbound: c.SPIIn,
	}
}

func (s *site) run(t *testing.T, command string) string {
	t.Helper()
	out, err := s.command(command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s in %s: %v\n%s\ncounters %+v\ndrops %v", command, s.name, err, out, must(s.plane.Counters("tunnel1")), s.plane.Drops())
	}
	return string(out)
}

func must(c dataplane.Counters, _ bool) dataplane.Counters { return c }

func (s *site) command(command string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", s.name}, strings.Fields(command)...)...)
}

// testSocket is a plain sender and reader of ESP in UDP.
type testSocket struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	wg   sync.WaitGroup
}

func openSocket(t *testing.T, at netip.AddrPort) *testSocket {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Error(err)
		return nil
	}
	s := &testSocket{conn: conn}
	_ = conn.SetReadBuffer(7 << 20)
	_ = conn.SetWriteBuffer(7 << 20)
	if s.raw, err = conn.SyscallConn(); err == nil {
		err = s.raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 7<<20)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		})
	}
	if err != nil {
		t.Error(err)
	}
	return s
}

func (s *testSocket) WriteESP(_ string, _, remote netip.AddrPort, buf []byte, segment int) error {
	if len(buf) > segment {
		var oob [24]byte // CMSG_SPACE(2)
		h := unix.Cmsghdr{Level: unix.IPPROTO_UDP, Type: unix.UDP_SEGMENT, Len: 18}
		putCmsg(oob[:], h, uint16(segment))
		_, _, err := s.conn.WriteMsgUDPAddrPort(buf, oob[:], remote)
		if !errors.Is(err, unix.EMSGSIZE) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EIO) {
			return err
		}
	}
	for len(buf) > 0 {
		n := min(segment, len(buf))
		if _, err := s.conn.WriteToUDPAddrPort(buf[:n], remote); err != nil {
			return err
		}
		buf = buf[n:]
	}
	return nil
}

func putCmsg(oob []byte, h unix.Cmsghdr, v uint16) {
	e := binary.NativeEndian
	e.PutUint64(oob, h.Len)
	e.PutUint32(oob[8:], uint32(h.Level))
	e.PutUint32(oob[12:], uint32(h.Type))
	e.PutUint16(oob[16:], v)
}

func (s *testSocket) serve(p *Plane) {
	local := s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s.wg.Go(func() {
		buf, oob := make([]byte, 65536), make([]byte, 64)
		for {
			n, m, _, remote, err := s.conn.ReadMsgUDPAddrPort(buf, oob)
			if err != nil {
				return
			}
			segment := n
			if m >= 20 && binary.NativeEndian.Uint32(oob[8:]) == unix.IPPROTO_UDP && binary.NativeEndian.Uint32(oob[12:]) == unix.UDP_GRO {
				segment = int(binary.NativeEndian.Uint32(oob[16:]))
			}
			p.ReceiveESP(local, remote, buf[:n], segment)
		}
	})
}

func (s *testSocket) close() {
	_ = s.conn.Close()
	s.wg.Wait()
}

func TestTunnelCarriesEverything(t *testing.T) {
	for _, c := range []struct {
		name  string
		mode  dataplane.Mode
		outer [2]string
	}{
		{"ipsec over IPv4", dataplane.IPsec, [2]string{"192.0.2.1", "192.0.2.2"}},
		{"gre over IPv4", dataplane.GRE, [2]string{"192.0.2.1", "192.0.2.2"}},
		{"ipsec over IPv6", dataplane.IPsec, [2]string{"2001:db8::1", "2001:db8::2"}},
		{"gre over IPv6", dataplane.GRE, [2]string{"2001:db8::1", "2001:db8::2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sites := twoSites(t, c.mode, c.outer, planetest.Algorithms[2])
			for _, far := range []string{"10.77.0.2", "2001:db8:77::2"} {
				sites[0].run(t, "ping -q -c 3 -i 0.05 -W 2 "+far)
				// The largest packet of the device, and one that the kernel fragments.
				sites[0].run(t, "ping -q -c 2 -i 0.05 -W 2 -s 1352 "+far)
				sites[0].run(t, "ping -q -c 2 -i 0.05 -W 2 -s 5000 "+far)
				out := sites[0].iperf(t, sites[1], far, "-n 20M")
				t.Logf("tcp to %s: %s", far, out)
				sites[0].iperf(t, sites[1], far, "-n 20M -P 4 -R")
				sites[0].iperf(t, sites[1], far, "-u -b 200M -l 1200 -t 1")
			}
			for _, s := range sites {
				if d := s.plane.Drops(); d["integrity"]+d["malformed"]+d["replayed"]+d["protocol"]+d["send"] != 0 {
					t.Errorf("%s dropped %v", s.name, d)
				}
			}
		})
	}
}

// iperf sends to a server in the far namespace and returns the last lines of what the client says.
func (s *site) iperf(t *testing.T, far *site, address, options string) string {
	t.Helper()
	server := far.command("iperf3 -s -1 --forceflush")
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := make([]byte, 4096)
	for text := ""; !strings.Contains(text, "Server listening"); {
		n, err := out.Read(seen)
		if err != nil {
			t.Fatalf("iperf3 server: %v after %q", err, text)
		}
		text += string(seen[:n])
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for {
			if _, err := out.Read(seen); err != nil {
				return
			}
		}
	}()
	result := s.run(t, "timeout 30 iperf3 -c "+address+" "+options)
	<-drained
	if err := server.Wait(); err != nil {
		t.Errorf("iperf3 server: %v", err)
	}
	var summary []string
	for line := range strings.Lines(result) {
		if strings.Contains(line, "sender") || strings.Contains(line, "receiver") {
			summary = append(summary, strings.TrimSpace(line))
		}
	}
	return strings.Join(summary, " | ")
}

func TestDeletedDeviceIsTold(t *testing.T) {
	sites := twoSites(t, dataplane.IPsec, [2]string{"192.0.2.1", "192.0.2.2"}, planetest.Algorithms[2])
	ip(t, "-n "+sites[0].name+" link del tunnel1")
	for deadline := time.After(5 * time.Second); ; {
		select {
		case e := <-sites[0].plane.Events():
			if e.Kind == dataplane.InterfaceGone && e.Interface == "tunnel1" {
				if _, ok := sites[0].plane.Counters("tunnel1"); ok {
					t.Error("the vanished interface still has counters")
				}
				return
			}
		case <-deadline:
			t.Fatal("nobody told that the interface is gone")
		}
	}
}

// A device that has the name already and is not ours is not touched, and the plane says so.
func TestNameOfAnothersDevice(t *testing.T) {
	sites := twoSites(t, dataplane.IPsec, [2]string{"192.0.2.1", "192.0.2.2"}, planetest.Algorithms[2])
	ip(t, "-n "+sites[0].name+" link add va1 type bridge")
	spec := planetest.NewInterface("va1", planetest.NewChild(0x7001, planetest.Algorithms[2]))
	var err error
	inNamespace(t, sites[0].name, func() { err = sites[0].plane.Apply(spec) })
	if !errors.Is(err, dataplane.ErrNameTaken) {
		t.Errorf("error %v", err)
	}
	if out := sites[0].run(t, "ip -d link show va1"); !strings.Contains(out, "bridge") {
		t.Errorf("va1 is\n%s", out)
	}
	ip(t, "-n "+sites[0].name+" link del va1")
	inNamespace(t, sites[0].name, func() { err = sites[0].plane.Apply(spec) })
	if err != nil {
		t.Errorf("the name is free again: %v", err)
	}
}
