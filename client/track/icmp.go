package track

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"flexvpn/config"
)

// ICMP echo, RFC 792 and RFC 4443 section 4.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
	echoHeader               = 8
)

// askICMP sends one echo request over a raw socket, which sees every ICMP message of this host: the
// reply is the one from the target that carries what was sent. All else is passed over.
func askICMP(ctx context.Context, p config.Probe) error {
	device, local := from(p.Source)
	to, err := resolve(ctx, p.Target, local)
	if err != nil {
		return err
	}
	network, request, reply := "ip4:icmp", byte(echoRequest4), byte(echoReply4)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", echoRequest6, echoReply6
	}
	address := ""
	if local.IsValid() {
		address = local.String()
	}
	lc := net.ListenConfig{Control: bind(device)}
	c, err := lc.ListenPacket(ctx, network, address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	sent := echo(request, to.Is4())
	if _, err := c.WriteTo(sent, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return err
	}
	return awaitEcho(c, to.AsSlice(), reply, sent)
}

// echo is an echo request with an identifier and content that cannot be guessed.
func echo(kind byte, checksummed bool) []byte {
	b := append([]byte{kind, 0, 0, 0}, random(echoHeader-4+16)...)
	if checksummed { // the kernel does it for IPv6, which has the addresses in it
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

func awaitEcho(c net.PacketConn, from []byte, kind byte, sent []byte) error {
	buf := make([]byte, 2048)
	for {
		n, peer, err := c.ReadFrom(buf)
		if err != nil {
			return fmt.Errorf("no answer: %w", err)
		}
		got := buf[:n]
		ip, ok := peer.(*net.IPAddr)
		if ok && ip.IP.Equal(from) && len(got) >= echoHeader && got[0] == kind && got[1] == 0 && bytes.Equal(got[4:], sent[4:]) {
			return nil
		}
	}
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
