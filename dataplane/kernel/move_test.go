package kernel

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// Whatever the path does, sequence numbers go on: "the sender's counter is initialized to 0 when an SA
// is established" and never again (RFC 4303 section 3.3.3), and what was received once is not received
// again (section 3.4.3).
func TestMovesKeepSequenceNumbers(t *testing.T) {
	needKernel(t)
	for _, mode := range []dataplane.Mode{dataplane.IPsec, dataplane.GRE} {
		t.Run(mode.String(), func(t *testing.T) {
			r := newRig(t)
			child := planetest.NewChild(0x1001, planetest.Algorithms[2])
			child.ESN, child.Transport = true, mode == dataplane.GRE
			spec := planetest.NewInterface("fvt0", child)
			spec.Mode = mode
			if err := r.plane.Apply(spec); err != nil {
				t.Fatal(err)
			}
			end := &planetest.End{Child: &child}
			inside, outside := netip.MustParseAddrPort("10.1.1.1:1000"), netip.MustParseAddrPort("10.2.2.2:2000")
			in, next := planetest.UDP(outside, inside, []byte("in")), uint8(4)
			payload := in
			if child.Transport {
				payload, next = slices.Concat([]byte{0, 0, 8, 0}, in), 47
			}
			first := end.Seal(payload, next, planetest.Options{})
			deliver := func(esp []byte) []byte {
				if spec.Path.Encap {
					r.Deliver(spec.Path.Local, spec.Path.Remote, esp)
				} else {
					r.deliverBare(spec.Path.Local.Addr(), spec.Path.Remote.Addr(), esp)
				}
				return r.Received("fvt0")
			}
			if got := deliver(slices.Clone(first)); !bytes.Equal(got, in) {
				t.Fatalf("the host received %x", got)
			}
			sent := uint32(0)
			for _, step := range []struct {
				what, remote string
				encap        bool
				address      bool // changes
			}{
				{"nothing", "198.51.100.7:4500", true, false},
				{"another port", "198.51.100.7:4999", true, false},
				{"another address", "203.0.113.9:4999", true, true},
				{"no UDP", "203.0.113.9:4999", false, false},
				{"another address without UDP", "198.51.100.8:4500", false, true},
				{"UDP again", "198.51.100.8:4500", true, false},
				{"no UDP at another address", "198.51.100.9:4500", false, true},
			} {
				spec.Path.Remote, spec.Path.Encap = netip.MustParseAddrPort(step.remote), step.encap
				if err := r.plane.Apply(spec); err != nil {
					t.Fatalf("%s: %v", step.what, err)
				}
				r.Send("fvt0", planetest.UDP(inside, outside, []byte("out")))
				_, remote, esp := r.Sent()
				o, err := end.Open(esp, 0)
				if err != nil || o.Seq <= sent || remote.Addr() != spec.Path.Remote.Addr() || step.encap && remote != spec.Path.Remote || !step.encap && remote.Port() != 0 {
					t.Fatalf("%s: sent number %d after %d to %s: %v", step.what, o.Seq, sent, remote, err)
				}
				if step.address && o.Seq < sent+sequenceJump {
					t.Errorf("%s: number %d follows %d: what left while the state moved could have the same", step.what, o.Seq, sent)
				}
				sent = o.Seq
				if got := deliver(slices.Clone(first)); got != nil {
					t.Errorf("%s: a replay reached the host: %x", step.what, got)
				}
				if got := deliver(end.Seal(payload, next, planetest.Options{})); !bytes.Equal(got, in) {
					t.Errorf("%s: the host received %x", step.what, got)
				}
			}
			c, _ := r.plane.Counters("fvt0")
			if row := c.Children[0]; row.InPackets != 8 || row.OutPackets != 7 || row.Replayed != 7 || row.InBytes != uint64(8*len(in)) {
				t.Errorf("the child's counters do not span its moves: %+v", row)
			}
			// A move is no reason for a rekey: until a hard limit comes, nothing but its first packet is told.
			spec.Children[0].Limits.HardPackets = 1
			if err := r.plane.Apply(spec); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				deliver(end.Seal(payload, next, planetest.Options{}))
			}
			for _, want := range []dataplane.EventKind{dataplane.FirstInbound, dataplane.HardExpire} {
				select {
				case got := <-r.plane.Events():
					if got.Kind != want {
						t.Errorf("event %+v, want kind %d", got, want)
					}
				case <-time.After(time.Minute):
					t.Fatalf("no event of kind %d", want)
				}
			}
		})
	}
}

// deliverBare is Deliver for ESP without UDP.
func (r *rig) deliverBare(local, remote netip.Addr, packet []byte) {
	p := []byte{0x45, 0, byte((20 + len(packet)) >> 8), byte(20 + len(packet)), 0, 1, 0, 0, 64, 50, 0, 0}
	p = append(append(p, remote.AsSlice()...), local.AsSlice()...)
	binary.BigEndian.PutUint16(p[10:], sum(p))
	if _, err := unix.Write(r.network, append(p, packet...)); err != nil {
		r.t.Errorf("deliver: %v", err)
	}
}
