package pool

import (
	"errors"
	"net/netip"
	"testing"

	"flexvpn/store"
)

// An address that a server assigned is nobody else's, inside and outside of the pools.
func TestFixedAddresses(t *testing.T) {
	p, err := New(store.Memory(), []Definition{{Name: "a", Ranges: []Range{{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	for _, text := range []string{"10.0.0.1", "192.0.2.7", "2001:db8::7"} {
		addr := netip.MustParseAddr(text)
		if err := p.Fix(addr, "alice"); err != nil {
			t.Fatal(err)
		}
		if err := p.Fix(addr, "bob"); !errors.Is(err, ErrTaken) {
			t.Errorf("%s goes to bob too: %v", text, err)
		}
	}
	if got, err := p.Lease("a", "carol", netip.MustParseAddr("10.0.0.1")); err != nil || got.String() != "10.0.0.2" {
		t.Errorf("carol got %s, %v: 10.0.0.1 is alice's", got, err)
	}
	if got := p.Usage()[0].Used; got != 2 {
		t.Errorf("%d of the pool are used, want 2", got)
	}
	for _, text := range []string{"10.0.0.1", "192.0.2.7", "2001:db8::7"} {
		p.Release(netip.MustParseAddr(text))
		if err := p.Fix(netip.MustParseAddr(text), "bob"); err != nil {
			t.Errorf("%s was released: %v", text, err)
		}
		p.Release(netip.MustParseAddr(text))
	}
	if got, err := p.Lease("a", "bob", netip.Addr{}); err != nil || got.String() != "10.0.0.1" {
		t.Errorf("bob had 10.0.0.1 and now got %s, %v", got, err)
	}
	if p.Of(netip.MustParseAddr("10.0.0.2")) != "a" || p.Of(netip.MustParseAddr("10.0.0.3")) != "" {
		t.Error("Of does not find the pool")
	}
}
