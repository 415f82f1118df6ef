package userspace

import (
	"encoding/binary"
	"fmt"
	"testing"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// plain is what a device gives for one UDP packet of n octets over IPv4.
func plain(n int) []byte {
	b := make([]byte, vnetSize+n)
	p := b[vnetSize:]
	p[0], p[8], p[9] = 0x45, 64, protoUDP
	binary.BigEndian.PutUint16(p[2:], uint16(n))
	copy(p[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	setIP4Checksum(p)
	return b
}

// A device whose MTU somebody raised gives packets of up to 65,535 octets. What does not fit into a UDP
// datagram with ESP around it is dropped and counted, and what comes after it passes.
func TestAPacketTooLongForADatagramIsDropped(t *testing.T) {
	for _, mode := range []dataplane.Mode{dataplane.IPsec, dataplane.GRE} {
		for _, algorithm := range planetest.Algorithms {
			l := newLoopOf(t, mode, algorithm)
			longest := 0
			l.plane.sender = senderFunc(func(buf []byte, _ int) { longest = max(longest, len(buf)) })
			carried, dropped := uint64(0), uint64(0)
			for n := 65300; n <= 65535; n++ {
				l.send(plain(n))
				c := l.device.counters()
				carried, dropped = c.OutPackets, l.plane.Drops()["oversized"]
				if carried+dropped != uint64(n-65300+1) || dropped > 0 && c.OutPackets == 0 {
					t.Fatalf("%v: after a packet of %d octets %d left and %d were dropped: %v", mode, n, carried, dropped, l.plane.Drops())
				}
			}
			name := fmt.Sprintf("mode %v, algorithm %d", mode, algorithm.Encr)
			if longest > maxDatagrams || longest < maxDatagrams-16 {
				t.Errorf("%s: the longest datagram has %d octets, %d are the most that UDP carries", name, longest, maxDatagrams)
			}
			if carried == 0 || dropped == 0 {
				t.Errorf("%s: %d packets left and %d were dropped, want some of each", name, carried, dropped)
			}
			l.send(plain(1400))
			if c := l.device.counters(); c.OutPackets != carried+1 {
				t.Errorf("%s: no packet leaves after one that is too long", name)
			}
		}
	}
}
