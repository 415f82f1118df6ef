package kernel

import (
	"errors"
	"fmt"
	"math/rand/v2"
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
	return probe(rtnl, x)
}

// probe tries the three kinds of objects.
func probe(rtnl, x *nlmsg.Conn) error {
	for _, mode := range []dataplane.Mode{dataplane.IPsec, dataplane.GRE} {
		if err := probeLink(rtnl, mode); err != nil {
			return err
		}
	}
	return probeState(x)
}

// probeLink makes a device that never comes up. Its name and number are random, so that two nodes that
// start at once do not meet; if its number is taken even so, there is a device of its kind.
func probeLink(c *nlmsg.Conn, mode dataplane.Mode) error {
	name := fmt.Sprintf("fvp%08x", rand.Uint32())
	l := &link{name: name, mtu: 1400, mode: mode, ifID: 1 + rand.Uint32N(1<<31-1), local: probeLocal, peer: probePeer}
	err := c.Do(l.create())
	switch {
	case errors.Is(err, unix.EEXIST):
		return nil
	case errors.Is(err, unix.EOPNOTSUPP) && mode == dataplane.IPsec:
		return fmt.Errorf("this kernel has no XFRM interfaces: they need Linux 4.19 with CONFIG_XFRM_INTERFACE (module xfrm_interface): %w", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("this kernel has no GRE: it needs CONFIG_NET_IPGRE (module ip_gre): %w", err)
	case err != nil:
		return explain(err)
	}
	made, err := linkNamed(c, name)
	if err == nil {
		err = c.Do(deleteLinks([]uint32{made.index})...)
	}
	return err
}

// The ends of what is probed are addresses for documentation (RFC 5737): no packet meets it.
var (
	probeLocal = netip.MustParseAddr("198.51.100.254")
	probePeer  = netip.MustParseAddr("192.0.2.254")
)

// probeState makes a state as GRE over UDP needs it.
func probeState(c *nlmsg.Conn) error {
	s := xfrm.State{
		ID: xfrm.ID{Dst: probePeer, SPI: 1<<31 | rand.Uint32()}, Src: probeLocal,
		Mode: xfrm.BEET, Lifetime: xfrm.Forever, Window: 1024, SourcePort: 4500, DestinationPort: 4500, Flags: xfrm.FlagESN,
		AEAD: xfrm.Algorithm{Name: "rfc4106(gcm(aes))", Bits: 128, Key: make([]byte, 36)},
	}
	s.Selector = xfrm.Selector{Src: netip.MustParsePrefix("240.0.0.2/32"), Dst: netip.MustParsePrefix("240.0.0.1/32"), Protocol: unix.IPPROTO_GRE}
	switch err := c.Do(s.Add()); {
	case errors.Is(err, unix.EEXIST):
		return nil
	case errors.Is(err, unix.EPERM):
		return explain(err)
	case err != nil:
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
