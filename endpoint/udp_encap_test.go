package endpoint_test

import (
	"net"
	"net/netip"
	"testing"

	"flexvpn/endpoint"
)

// "The SPI field in the ESP header MUST NOT be a zero value" (RFC 3948 section 2.1): so the kernel can
// take what is ESP, and leaves IKE with its marker to us.
func TestKernelTakesESP(t *testing.T) {
	for _, family := range loopbacks {
		t.Run(family.family, func(t *testing.T) {
			sockets, err := endpoint.KernelUDP.Listen(endpoint.Listen{
				Addr: netip.AddrPortFrom(netip.MustParseAddr(family.here), 0), Readers: 1, KernelESP: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = sockets[0].Close() })
			// Not connected: a kernel without an SA of this SPI may say so by ICMP.
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(family.there), 0)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			esp := append([]byte{0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 1}, make([]byte, 64)...)
			ike := append([]byte{0, 0, 0, 0}, "an IKE message"...)
			for _, p := range [][]byte{esp, ike} {
				if _, err := c.WriteToUDPAddrPort(p, sockets[0].Addr()); err != nil {
					t.Fatal(err)
				}
			}
			if got, _ := received(t, sockets[0], 1); string(got[0]) != string(ike) {
				t.Errorf("the first datagram that came is %q", got[0])
			}
		})
	}
}
