package edge

import (
	"fmt"
	"testing"

	"flexvpn/dataplane/planetest"
)

// What one more spoke costs the table must not grow with how many there are.
func BenchmarkSpoke(b *testing.B) {
	for _, there := range []int{0, 2000} {
		b.Run(fmt.Sprintf("after %d", there), func(b *testing.B) {
			t := &testing.T{}
			r := newRig(t, list(t, "a", "permit ip any any"))
			defer func() { _ = r.plane.Close() }()
			r.inside(r.hub, func() {
				r.plane, _ = New(planetest.NewFake(), Options{Lists: r.plane.opt.Lists, ClampMSS: true, Link: r.link})
			})
			apply := func(n int) {
				i := planetest.NewInterface(fmt.Sprintf("va%d", n))
				i.FilterIn, i.AdjustMSS = "a", 1360
				if err := r.plane.Apply(i); err != nil {
					b.Fatal(err)
				}
			}
			for n := range there {
				apply(n)
			}
			b.ResetTimer()
			for n := range b.N {
				apply(there + n)
			}
		})
	}
}
