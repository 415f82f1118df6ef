package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flexvpn/dataplane"
	"flexvpn/endpoint/endpointtest"
	"flexvpn/ops/view"
)

// A slow plane works as the fake does, but takes its time.
type slow struct {
	dataplane.Plane
	mu    sync.Mutex
	judge func(spec *dataplane.Interface) (stuck <-chan struct{}, err error)
}

// slowed puts a slow plane under an end that does not run yet.
func slowed(e *end, judge func(*dataplane.Interface) (<-chan struct{}, error)) {
	e.refer.Plane = &slow{Plane: e.fake, judge: judge}
}

func (s *slow) Apply(spec dataplane.Interface) error {
	s.mu.Lock()
	stuck, err := s.judge(&spec)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if stuck != nil {
		<-stuck
	}
	return s.Plane.Apply(spec)
}

// Somebody takes the name of a virtual-access between the look and the making: the next is taken.
func TestNameTakenMeanwhile(t *testing.T) {
	inWorld(t, func(w *world) {
		h, s := w.end("192.0.2.1", hubText(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		slowed(h, func(spec *dataplane.Interface) (<-chan struct{}, error) {
			if spec.Name == "va1" || spec.Name == "va2" {
				return nil, fmt.Errorf("interface %s: %w", spec.Name, dataplane.ErrNameTaken)
			}
			return nil, nil
		})
		h.run()
		s.run()
		w.after(time.Second)
		if got := h.wantUp(1, "two names are taken")[0].Interface; got != "va3" {
			t.Errorf("the session has %s", got)
		}
		// Every name is taken: the session ends with that reason.
		all := w.end("192.0.2.3", hubText("fqdn: hub1", "fqdn: hub3"), nil)
		slowed(all, func(spec *dataplane.Interface) (<-chan struct{}, error) {
			return nil, fmt.Errorf("interface %s: %w", spec.Name, dataplane.ErrNameTaken)
		})
		all.run()
		w.end("192.0.2.4", spokeText("spoke2", "address: 192.0.2.1}", "address: 192.0.2.3}"), nil).run()
		w.after(time.Second)
		if f := all.Failed(); len(f) == 0 || f[0].Reason != "install" || !strings.Contains(f[0].Detail, "somebody else has a device of this name") {
			t.Errorf("the hub lists %+v", f)
		}
		all.wantClean("no name is free")
	})
}

// Netlink hangs over one spoke's interface for longer than a handshake lives. No IKE_AUTH response
// leaves; the other spokes come, live and answer, and the operator sees them; and when the kernel goes
// on nothing of the half-built spoke stays.
func TestKernelHangsOverOneSpoke(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.end("192.0.2.1", hubText(), nil)
		stuck := make(chan struct{})
		first := true
		slowed(h, func(spec *dataplane.Interface) (<-chan struct{}, error) {
			if strings.Contains(spec.Alias, "spoke1") && first {
				first = false
				return stuck, nil
			}
			return nil, nil
		})
		var mu sync.Mutex
		replies := 0 // of the hub, beyond IKE_SA_INIT, to spoke1
		w.net.Filter(func(d *endpointtest.Datagram) bool {
			mu.Lock()
			defer mu.Unlock()
			const exchange, auth = 18, 35
			data := d.Data
			if len(data) > 4 && data[0]|data[1]|data[2]|data[3] == 0 && d.From.Port() == 4500 {
				data = data[4:] // the non-ESP marker
			}
			if d.From.Addr().String() == "192.0.2.1" && d.To.Addr().String() == "192.0.2.2" && len(data) > exchange && data[exchange] == auth {
				replies++
			}
			return true
		})
		h.run()
		s1 := w.end("192.0.2.2", spokeText("spoke1"), nil)
		stop1 := s1.run()
		w.after(time.Second)
		s2 := w.end("192.0.2.5", spokeText("spoke2"), nil)
		s2.run()
		w.after(10 * time.Second)
		up := h.wantUp(1, "the other spoke is up while the kernel hangs over the first")
		if !strings.Contains(up[0].Identity, "spoke2") {
			t.Errorf("up is %s", up[0].Identity)
		}
		mu.Lock()
		if replies != 0 {
			t.Errorf("%d IKE_AUTH responses left before the plane was ready", replies)
		}
		mu.Unlock()
		stop1() // it gives up
		w.after(50 * time.Second)
		if now := h.wantUp(1, "a minute later"); now[0].ID != up[0].ID {
			t.Error("the other spoke's session did not live through it")
		}
		close(stuck)
		w.after(time.Second)
		if state := h.fake.String(); strings.Count(state, "interface ") != 1 || !strings.Contains(state, "spoke2") {
			t.Errorf("the plane has\n%s", state)
		}
		if got := h.pools.Usage()[0].Used; got != 1 {
			t.Errorf("%d leases are in use", got)
		}
		// And he may come again.
		s1 = w.end("192.0.2.6", spokeText("spoke1"), nil)
		s1.run()
		w.after(5 * time.Second)
		h.wantUp(2, "the first spoke came again")
	})
}

// Netlink hangs over everything, and there are more spokes than workers: none is half-built, those that
// stand answer their peers, and all come when it goes on.
func TestKernelHangs(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.end("192.0.2.1", hubText("range: 10.1.1.2-10.1.1.9", "range: 10.1.1.2-10.1.1.250"), nil)
		var stuck chan struct{}
		var mu sync.Mutex
		slowed(h, func(*dataplane.Interface) (<-chan struct{}, error) {
			mu.Lock()
			defer mu.Unlock()
			return stuck, nil
		})
		h.run()
		w.end("192.0.2.2", spokeText("spoke1"), nil).run()
		w.after(time.Second)
		before := h.wantUp(1, "before")[0].ID
		mu.Lock()
		stuck = make(chan struct{})
		mu.Unlock()
		const spokes = 40
		for i := range spokes {
			w.end(fmt.Sprintf("192.0.2.%d", 10+i), spokeText(fmt.Sprintf("spoke%d", 10+i)), nil).run()
		}
		w.after(2 * time.Minute)
		if now := h.wantUp(1, "the kernel has been hanging for two minutes")[0].ID; now != before {
			t.Error("the session that stood did not live through it")
		}
		mu.Lock()
		close(stuck)
		stuck = nil
		mu.Unlock()
		w.after(2 * time.Minute)
		h.wantUp(1+spokes, "the kernel goes on")
		if n := strings.Count(h.fake.String(), "interface "); n != 1+spokes {
			t.Errorf("the plane has %d interfaces", n)
		}
		if got := h.pools.Usage()[0].Used; got != 1+spokes {
			t.Errorf("%d leases are in use", got)
		}
	})
}

// An error of the kernel's in the middle of a rekey costs the rekey, not the session.
func TestPlaneRefusesARekey(t *testing.T) {
	inWorld(t, func(w *world) {
		h, s := w.end("192.0.2.1", hubText(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		s.run()
		w.after(time.Second)
		before := h.wantUp(1, "before")[0]
		children := func() string { return h.fake.String() }
		had := children()
		h.refer.refuse(errors.New("no buffer space"))
		_ = h.Rekey(context.Background(), before.ID, view.RekeyChild)
		w.after(10 * time.Second)
		h.refer.refuse(nil)
		if now := h.wantUp(1, "after a rekey that the plane refused")[0]; now.ID != before.ID || children() != had {
			t.Errorf("session %s has\n%s\nbefore %s had\n%s", now.ID, children(), before.ID, had)
		}
		_ = h.Rekey(context.Background(), before.ID, view.RekeyChild)
		w.after(10 * time.Second)
		if h.wantUp(1, "after another")[0].ID != before.ID || children() == had {
			t.Errorf("the keys were not renewed\n%s\n%s", h.log, s.log)
		}
		synctest.Wait()
	})
}
