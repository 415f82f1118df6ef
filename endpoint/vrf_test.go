package endpoint_test

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"flexvpn/endpoint"
	"flexvpn/ikev2"
)

// mute owns SAs that ask nothing of it.
type mute struct{}

func (mute) Ask(*endpoint.Conn, ikev2.Question) {}
func (mute) Notice(*endpoint.Conn, ikev2.Event) {}

// A socket of a VRF has the port that the default routing domain has too, and a datagram that comes
// by the VRF's device is its. To the kernel a VRF is a device that sockets are bound to; lo is one.
func TestASocketInAVRFHasItsOwnTraffic(t *testing.T) {
	var order sync.Mutex
	seen := make(chan ikev2.Path, 10)
	addr := netip.MustParseAddr("127.0.0.1")
	e, err := endpoint.OpenFake(endpoint.Config{
		Listen: []netip.Addr{addr}, VRFs: map[string][]netip.Addr{"lo": {addr}}, IKEPort: endpoint.AnyPort, NATPort: endpoint.AnyPort,
		Common: &ikev2.Common{}, Accept: mute{},
	}, endpoint.Fakes{Responder: func(_ time.Time, _ *ikev2.Common, p ikev2.Path) endpoint.Machine {
		seen <- p
		sa := &fakeSA{order: &order, spi: 1 << 60}
		sa.onReceive = func(time.Time, []byte) {
			sa.out = append(sa.out, ikev2.Send{Path: p, Datagram: []byte("an answer that is long enough")})
		}
		return sa
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	port, _ := e.Ports()
	from := listen(t, "127.0.0.1", false)
	request := firstRequest(7)
	if _, err := from.Write([]endpoint.Packet{{Remote: netip.AddrPortFrom(addr, port), Data: request}}); err != nil {
		t.Fatal(err)
	}
	select {
	case p := <-seen:
		if p.VRF != "lo" {
			t.Errorf("it came in by VRF %q, want lo", p.VRF)
		}
	case <-time.After(patience):
		t.Fatal("the datagram did not arrive")
	}
	if got, _ := received(t, from, 1); string(got[0]) != "an answer that is long enough" {
		t.Errorf("the answer is %q", got[0])
	}
	if _, err := endpoint.Open(endpoint.Config{Listen: []netip.Addr{addr}, IKEPort: port, NATPort: endpoint.AnyPort, Common: &ikev2.Common{}}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second endpoint on the port: %v", err)
	}
	_, err = endpoint.Open(endpoint.Config{VRFs: map[string][]netip.Addr{"no-such-vrf": {addr}}, IKEPort: 40501, NATPort: 40502, Common: &ikev2.Common{}})
	if err == nil || !strings.Contains(err.Error(), "in VRF no-such-vrf: the VRF does not exist") {
		t.Errorf("a VRF that is not there: %v", err)
	}
}
