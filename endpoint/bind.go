package endpoint

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
)

// bind opens the sockets of both ports on all addresses.
func (e *Endpoint) bind(cfg Config) error {
	ports := [2]uint16{port(cfg.IKEPort, 500), port(cfg.NATPort, 4500)}
	if ports[0] == ports[1] && ports[0] != AnyPort {
		return fmt.Errorf("udp port %d cannot serve IKE and NAT traversal at once: give ikev2.port and ikev2.nat-port different values", ports[0])
	}
	if len(cfg.Listen) == 0 && len(e.vrfs) > 0 { // only there
		e.ikePort, e.natPort = ports[0], ports[1]
		return e.bindVRFs()
	}
	var err error
	if e.ikePort, err = e.bindPort("", cfg.Listen, ports[0], false); err != nil {
		return err
	}
	if e.natPort, err = e.bindPort("", cfg.Listen, ports[1], true); err != nil {
		_ = e.Close()
		return err
	}
	return e.bindVRFs()
}

// bindVRFs opens the same ports in each VRF.
func (e *Endpoint) bindVRFs() error {
	for vrf, addrs := range e.vrfs {
		_, err := e.bindAddrs(vrf, addrs, e.ikePort, false)
		if err == nil {
			_, err = e.bindAddrs(vrf, addrs, e.natPort, true)
		}
		if err != nil {
			_ = e.Close()
			return fmt.Errorf("in VRF %s: %w", vrf, err)
		}
	}
	return nil
}

func port(configured, fallback uint16) uint16 {
	if configured == 0 {
		return fallback
	}
	return configured
}

// bindPort opens one port on all addresses and says which one it is. Any free port has to be free
// for all of them, which may take some attempts.
func (e *Endpoint) bindPort(vrf string, addrs []netip.Addr, port uint16, nat bool) (uint16, error) {
	if port != AnyPort {
		return e.bindAddrs(vrf, addrs, port, nat)
	}
	const attempts = 20
	for n := 1; ; n++ {
		got, err := e.bindAddrs(vrf, addrs, 0, nat)
		if err == nil || n == attempts || !errors.Is(err, syscall.EADDRINUSE) {
			return got, err
		}
	}
}

func (e *Endpoint) bindAddrs(vrf string, addrs []netip.Addr, port uint16, nat bool) (uint16, error) {
	byDefault := len(addrs) == 0
	if byDefault {
		addrs = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	var first bound
	var readers []reader
	for _, a := range addrs {
		l := Listen{Addr: netip.AddrPortFrom(a.Unmap(), port), Readers: 1, Offload: nat && !e.kernel, KernelESP: nat && e.kernel, VRF: vrf, Beside: len(e.vrfs) > 0}
		if nat && e.sink != nil {
			l.Readers = runtime.GOMAXPROCS(0) // they decrypt
		}
		sockets, err := e.network.Listen(l)
		if err != nil && byDefault && len(first) > 0 && lacksFamily(err) {
			continue
		}
		if err != nil {
			for _, r := range readers {
				_ = r.socket.Close()
			}
			return 0, explainBind(l.Addr, nat, err)
		}
		port = sockets[0].Addr().Port()
		first = append(first, sockets[0])
		for _, s := range sockets {
			readers = append(readers, reader{e: e, socket: s, nat: nat, vrf: vrf})
		}
	}
	if nat {
		e.nat[vrf] = first
	} else {
		e.ike[vrf] = first
	}
	e.readers = append(e.readers, readers...)
	return port, nil
}

// lacksFamily reports that the host has no IPv6.
func lacksFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) ||
		errors.Is(err, syscall.EPROTONOSUPPORT)
}

// explainBind says what to do about an address that cannot be bound.
func explainBind(a netip.AddrPort, nat bool, err error) error {
	key := "ikev2.port"
	if nat {
		key = "ikev2.nat-port"
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("udp port %d is in use: another IKE daemon (charon, pluto)? stop it or set %s: %w", a.Port(), key, err)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("udp port %d may not be bound: run as root or with CAP_NET_BIND_SERVICE, or set %s to 1024 or more: %w", a.Port(), key, err)
	case errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("the VRF does not exist: ip link add NAME type vrf table N, or correct ikev2.listen: %w", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is not an address of this host: correct ikev2.listen: %w", a.Addr(), err)
	}
	return fmt.Errorf("bind udp %s: %w", a, err)
}
