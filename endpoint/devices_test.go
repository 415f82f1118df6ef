package endpoint

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// A packet leaves by the device that its source address is bound to, or not at all.
func TestSendByDevice(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		a := netip.MustParseAddr(addr)
		k := kernelUDP{&devices{}}
		sockets, err := k.Listen(Listen{Addr: netip.AddrPortFrom(a, 0), Readers: 1})
		if err != nil {
			t.Fatal(err)
		}
		s := sockets[0]
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
		if err != nil {
			t.Fatal(err)
		}
		to := c.LocalAddr().(*net.UDPAddr).AddrPort()
		send := func() error {
			sent, err := s.Write([]Packet{{Local: s.Addr(), Remote: to, Data: []byte("hello")}})
			if err == nil && sent != 1 {
				t.Errorf("%s: %d packets left", a, sent)
			}
			return err
		}
		lo, err := net.InterfaceByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		k.devices.set(a, uint32(lo.Index))
		if err := send(); err != nil {
			t.Errorf("%s by lo: %v", a, err)
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 10)); err != nil {
			t.Errorf("%s by lo: %v", a, err)
		}
		k.devices.set(a, 1<<30)
		if err := send(); err == nil {
			t.Errorf("%s left by a device that is not there", a)
		}
		if err := s.WriteSegments(s.Addr(), to, []byte("hello"), 5); err == nil {
			t.Errorf("%s: segments left by a device that is not there", a)
		}
		k.devices.set(a, 0)
		if err := send(); err != nil {
			t.Errorf("%s by any device: %v", a, err)
		}
		_ = s.Close()
		_ = c.Close()
	}
}
