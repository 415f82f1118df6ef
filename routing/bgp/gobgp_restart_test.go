package bgp

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"flexvpn/config"
)

// read is the next message of a connection.
func read(t *testing.T, c net.Conn) *bgp.BGPMessage {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, bgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	h := &bgp.BGPHeader{}
	if err := h.DecodeFromBytes(head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, h.Len-bgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatal(err)
	}
	m, err := bgp.ParseBGPBody(h, body)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func write(t *testing.T, c net.Conn, m *bgp.BGPMessage) {
	t.Helper()
	b, err := m.Serialize()
	if err == nil {
		_, err = c.Write(b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// restartCapability is the Graceful Restart Capability of an OPEN (RFC 4724 section 3).
func restartCapability(t *testing.T, m *bgp.BGPMessage) *bgp.CapGracefulRestart {
	t.Helper()
	for _, p := range m.Body.(*bgp.BGPOpen).OptParams {
		if p, ok := p.(*bgp.OptionParameterCapability); ok {
			for _, c := range p.Capability {
				if c, ok := c.(*bgp.CapGracefulRestart); ok {
					return c
				}
			}
		}
	}
	t.Fatal("the OPEN has no Graceful Restart Capability")
	return nil
}

// A neighbor may keep our paths over a restart only where packets go on without this process; that the
// forwarding state outlived a restart is never said. What the library was told before its session goes
// out before the End-of-RIB marker.
func TestWhatTheLibrarySaysOfARestart(t *testing.T) {
	home := netip.MustParseAddr("127.0.0.1")
	for _, stays := range []bool{false, true} {
		lib, told := newGoBGP(65001, netip.MustParseAddr("10.0.0.1")), newEars()
		s, err := lib.Start(neighbor{
			address: home, asn: 65001, id: lib.id, cluster: lib.id, stays: stays,
			peer: &config.BGPPeer{RemoteASNs: []uint32{65001}, Keepalive: 30 * time.Second, Hold: 90 * time.Second, GracefulRestart: time.Minute},
		}, told)
		if err != nil {
			t.Fatal(err)
		}
		hear(t, "the library is ready", told.ready)
		p := netip.MustParsePrefix("192.0.2.0/24")
		if err := s.Announce(p, &Attributes{NextHop: netip.IPv4Unspecified(), LocalPref: defaultLocalPref}); err != nil {
			t.Fatal(err)
		}
		ours, theirs := pipe(t)
		s.Take(ours)
		c := restartCapability(t, read(t, theirs))
		if c.Time != 60 || c.Flags&0x08 != 0 || len(c.Tuples) != map[bool]int{true: 1}[stays] {
			t.Errorf("stays %v: the capability is %+v", stays, c)
		}
		for _, f := range c.Tuples {
			if f.Flags&0x80 != 0 {
				t.Errorf("stays %v: forwarding is said to be preserved", stays)
			}
		}
		write(t, theirs, bgp.NewBGPOpenMessage(65001, 90, "10.0.0.2", []bgp.OptionParameterInterface{bgp.NewOptionParameterCapability([]bgp.ParameterCapabilityInterface{
			bgp.NewCapMultiProtocol(bgp.RF_IPv4_UC), bgp.NewCapGracefulRestart(false, false, 60, []*bgp.CapGracefulRestartTuple{bgp.NewCapGracefulRestartTuple(bgp.RF_IPv4_UC, true)}),
		})}))
		write(t, theirs, bgp.NewBGPKeepAliveMessage())
		var said []string
		for len(said) < 2 {
			u, ok := read(t, theirs).Body.(*bgp.BGPUpdate)
			if !ok {
				continue
			}
			if end, _ := u.IsEndOfRib(); end {
				said = append(said, "end")
				continue
			}
			for _, n := range u.NLRI {
				said = append(said, n.String())
			}
		}
		if said[0] != p.String() || said[1] != "end" {
			t.Errorf("stays %v: it says %v, want the prefix and then End-of-RIB", stays, said)
		}
		s.Close()
		_ = theirs.Close()
	}
}
