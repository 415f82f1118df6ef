package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/xfrm"
)

// Probe makes one of everything and takes it away again: only that tells whether this kernel, and
// this process in it, can be a data plane. The error names what is missing.
func Probe() error {
	rtnl, err := nlmsg.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer func() { _ = rtnl.Close() }()
	x, err := nlmsg.Open(unix.NETLINK_XFRM)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return fmt.Errorf("this kernel has no IPsec: it needs CONFIG_XFRM_USER (module xfrm_user): %w", err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = x.Close() }()
	for _, try := range []func(*nlmsg.Conn) error{probeLink(dataplane.IPsec), probeLink(dataplane.GRE)} {
		if err := try(rtnl); err != nil {
			return err
		}
	}
	return probeState(x)
}

// probeLink makes a device that never comes up.
func probeLink(mode dataplane.Mode) func(*nlmsg.Conn) error {
	return func(c *nlmsg.Conn) error {
		l := &link{name: "fvprobe", mtu: 1400, mode: mode, ifID: 0xfffffffe, local: DefaultRange.Addr().Next(), peer: DefaultRange.Addr().Next().Next()}
		err := c.Do(l.create()[0])
		made, found := linkNamed(c, l.name)
		if found == nil {
			err = errors.Join(err, c.Do(deleteLinks([]uint32{made.index})...))
		}
		switch {
		case errors.Is(err, unix.EOPNOTSUPP) && mode == dataplane.IPsec:
			return fmt.Errorf("this kernel has no XFRM interfaces: they need Linux 4.19 with CONFIG_XFRM_INTERFACE (module xfrm_interface): %w", err)
		case errors.Is(err, unix.EOPNOTSUPP):
			return fmt.Errorf("this kernel has no GRE: it needs CONFIG_NET_IPGRE (module ip_gre): %w", err)
		case err != nil:
			return explain(err)
		}
		return nil
	}
}

// probeState makes a state as GRE over UDP needs it. Its addresses are for documentation (RFC 5737):
// no packet meets it.
func probeState(c *nlmsg.Conn) error {
	s := xfrm.State{
		ID: xfrm.ID{Dst: netip.MustParseAddr("192.0.2.254"), SPI: 0xfffffffe}, Src: netip.MustParseAddr("198.51.100.254"),
		Mode: xfrm.BEET, Lifetime: xfrm.Forever, Window: 1024, SourcePort: 4500, DestinationPort: 4500, Flags: xfrm.FlagESN,
		AEAD: xfrm.Algorithm{Name: "rfc4106(gcm(aes))", Bits: 128, Key: make([]byte, 36)},
	}
	s.Selector = xfrm.Selector{Src: netip.MustParsePrefix("240.0.0.2/32"), Dst: netip.MustParsePrefix("240.0.0.1/32"), Protocol: unix.IPPROTO_GRE}
	if err := c.Do(s.Add()); err != nil {
		return fmt.Errorf("this kernel cannot hold an ESP state in UDP and BEET mode: it needs Linux 5.8 with CONFIG_INET_ESP, CONFIG_INET6_ESP and AES-GCM (modules esp4, esp6, gcm): %w", explain(err))
	}
	return c.Do(s.Delete())
}

// atLeast compares the running kernel's version.
func atLeast(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var a, b int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || a == major && b >= minor
}
