package kernel

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// A packet that was on its way when its child was replaced still arrives (RFC 7296 section 2.8); a
// moment later nothing of the old child is left. One that nothing replaced ends at once.
func TestReplacedChildLingers(t *testing.T) {
	needKernel(t)
	r := newRig(t)
	old, young := planetest.NewChild(0x1001, planetest.Algorithms[2]), planetest.NewChild(0x1002, planetest.Algorithms[2])
	there := func(spis ...uint32) error {
		text := said(t, "ip", "xfrm", "state")
		for _, spi := range []uint32{old.SPIIn, old.SPIOut, young.SPIIn, young.SPIOut} {
			want := false
			for _, s := range spis {
				want = want || s == spi
			}
			if strings.Contains(text, fmt.Sprintf("spi 0x%08x", spi)) != want {
				return fmt.Errorf("state %#x: want %v in\n%s", spi, want, text)
			}
		}
		return nil
	}
	apply := func(children ...dataplane.Child) {
		t.Helper()
		spec := planetest.NewInterface("fvt0", children...)
		spec.Outbound = 0
		if n := len(children); n > 0 {
			spec.Outbound = children[n-1].SPIIn
		}
		if err := r.plane.Apply(spec); err != nil {
			t.Fatal(err)
		}
	}
	want := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	r.plane.linger = time.Hour // timing decides nothing
	path := planetest.NewInterface("fvt0").Path
	apply(old)
	apply(old, young)
	late := planetest.UDP(netip.MustParseAddrPort("10.1.1.1:1000"), netip.MustParseAddrPort("10.2.2.2:2000"), []byte("late"))
	apply(young)
	r.Deliver(path.Local, path.Remote, (&planetest.End{Child: &old}).Seal(late, 4, planetest.Options{}))
	if got := r.Received("fvt0"); !bytes.Equal(got, late) {
		t.Errorf("of a late packet the host received %x", got)
	}
	r.plane.linger = time.Millisecond
	apply(young, old)
	apply(young)
	for end := time.Now().Add(time.Minute); there(young.SPIIn, young.SPIOut) != nil && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	want(there(young.SPIIn, young.SPIOut))

	r.plane.linger = time.Hour
	apply(young, old)
	apply(young)
	apply(young, old) // its SPI is used again while it lingers
	want(there(old.SPIIn, old.SPIOut, young.SPIIn, young.SPIOut))
	apply()
	want(there())
	apply(old)
	apply(old, young)
	apply(young)
	want(r.plane.Remove("fvt0"))
	want(there())
}
