package userspace

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// fakeDevices gives a plane one end of a socket pair for each device: messages keep their borders, as
// on a TUN device, and epoll works.
type fakeDevices struct {
	mu   sync.Mutex
	host map[string]int // the other end
	fail error          // of the next configure
	log  []dataplane.Interface
}

func (f *fakeDevices) open(name string) (int, bool, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, false, err
	}
	for _, fd := range pair {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20); err != nil {
			return -1, false, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, ok := f.host[name]; ok {
		_ = unix.Close(old)
	}
	f.host[name] = pair[1]
	return pair[0], true, nil
}

func (f *fakeDevices) configure(spec, _ *dataplane.Interface) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail; err != nil {
		f.fail = nil
		return 0, err
	}
	f.log = append(f.log, *spec)
	return 0, nil
}

func (f *fakeDevices) fd(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.host[name]
}

type sentPacket struct {
	local, remote netip.AddrPort
	packet        []byte
}

// rig is a plane between a fake host and a fake network.
type rig struct {
	t       *testing.T
	plane   *Plane
	devices *fakeDevices
	sent    chan sentPacket
	mu      sync.Mutex
	rows    []int // segments of each WriteESP
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, devices: &fakeDevices{host: map[string]int{}}, sent: make(chan sentPacket, 4096)}
	p, err := newPlane(Options{Sender: r, Workers: 2}, r.devices)
	if err != nil {
		t.Fatal(err)
	}
	r.plane = p
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close the plane: %v", err)
		}
		for _, fd := range r.devices.host {
			_ = unix.Close(fd)
		}
	})
	return r
}

// WriteESP is the network.
func (r *rig) WriteESP(_ string, local, remote netip.AddrPort, buf []byte, segment int) error {
	n := 0
	for len(buf) > 0 {
		packet := buf[:min(segment, len(buf))]
		r.sent <- sentPacket{local, remote, append([]byte(nil), packet...)}
		buf = buf[len(packet):]
		n++
	}
	r.mu.Lock()
	r.rows = append(r.rows, n)
	r.mu.Unlock()
	return nil
}

func (r *rig) Send(name string, packet []byte) {
	r.sendVnet(name, vnet{}, packet)
}

func (r *rig) sendVnet(name string, h vnet, packet []byte) {
	b := make([]byte, vnetSize, vnetSize+len(packet))
	h.put(b)
	if _, err := unix.Write(r.devices.fd(name), append(b, packet...)); err != nil {
		r.t.Errorf("send by %s: %v", name, err)
	}
}

func (r *rig) Received(name string) []byte {
	_, p := r.receivedVnet(name)
	return p
}

func (r *rig) receivedVnet(name string) (vnet, []byte) {
	fd := r.devices.fd(name)
	b := make([]byte, maxRead)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 100); n == 0 || err != nil {
		return vnet{}, nil
	}
	n, err := unix.Read(fd, b)
	if err != nil || n < vnetSize {
		if !errors.Is(err, unix.EAGAIN) {
			r.t.Errorf("receive from %s: %d octets, %v", name, n, err)
		}
		return vnet{}, nil
	}
	return parseVnet(b), b[vnetSize:n]
}

func (r *rig) Sent() (local, remote netip.AddrPort, packet []byte) {
	select {
	case s := <-r.sent:
		return s.local, s.remote, s.packet
	case <-time.After(2 * time.Second):
		return
	}
}

func (r *rig) Deliver(local, remote netip.AddrPort, packet []byte) {
	r.plane.ReceiveESP(local, remote, packet, len(packet))
}

func TestSuite(t *testing.T) {
	planetest.Run(t, func(t *testing.T) planetest.Rig {
		r := newRig(t)
		return planetest.Rig{Plane: r.plane, Traffic: r}
	})
}
