package planetest

import (
	"bytes"
	"net/netip"
	"testing"

	"flexvpn/dataplane"
)

// testHandover goes from one hub to another as a spoke does that has found a better one: the new
// hub's child stands before anything changes, then it carries what is sent, then the old one goes.
// Whatever either hub sent until then arrives, and nothing else is sent to anybody.
func testHandover(t *testing.T, b *bench) {
	for _, mode := range []dataplane.Mode{dataplane.IPsec, dataplane.GRE} {
		h := newHandover(b, mode)
		h.wants("before", h.old, true, false)
		h.apply(h.old, h.old, h.next)
		h.wants("both stand", h.old, true, true)
		h.apply(h.next, h.next, h.old)
		h.wants("the new one carries", h.next, true, true)
		h.apply(h.next, h.next)
		if b.Settle != nil {
			b.Settle()
		}
		h.wants("the old one is gone", h.next, false, true)
		// The old hub is the better one again, and the new one's child is rekeyed while both stand.
		h.old.Child.SPIIn, h.old.Child.SPIOut = h.old.Child.SPIIn+0x20, h.old.Child.SPIOut+0x20
		h.apply(h.next, h.next, h.old)
		h.wants("and back", h.next, true, true)
		h.moves(h.next, "203.0.113.77:4500")
		h.apply(h.next, h.next, h.old)
		h.wants("the one that carries moves", h.next, true, true)
		h.moves(h.old, "203.0.113.78:4500")
		h.apply(h.old, h.old, h.next)
		h.wants("the other moves and carries", h.old, true, true)
		h.moves(h.next, "203.0.113.78:4500")
		h.apply(h.old, h.old, h.next)
		h.wants("both are at one address", h.old, true, true)
		h.moves(h.next, "203.0.113.79:4500")
		h.apply(h.next, h.next, h.old)
		h.wants("one leaves it and carries", h.next, true, true)
		if err := b.Plane.Remove("fvt0"); err != nil {
			t.Fatal(err)
		}
	}
}

// handover is a spoke's tunnel between two hubs.
type handover struct {
	*bench
	spec      dataplane.Interface
	old, next *End
}

func newHandover(b *bench, mode dataplane.Mode) *handover {
	b.t.Helper()
	h := &handover{bench: b, spec: NewInterface("fvt0")}
	h.spec.Mode = mode
	one, two := gcm(0x1001+uint32(mode)*0x100), gcm(0x1002+uint32(mode)*0x100)
	h.old, h.next = &End{Child: &one}, &End{Child: &two}
	for e, hub := range map[*End]string{h.old: "198.51.100.7:4500", h.next: "203.0.113.9:4500"} {
		e.Child.Transport = mode == dataplane.GRE
		e.Child.Path = h.spec.Path
		h.moves(e, hub)
	}
	h.apply(h.old, h.old)
	return h
}

func (h *handover) moves(e *End, to string) { e.Child.Path.Remote = netip.MustParseAddrPort(to) }

// apply lets the tunnel have the children of ends, the first of which gives it its path.
func (h *handover) apply(sends *End, ends ...*End) {
	h.t.Helper()
	h.spec.Children, h.spec.Path, h.spec.Outbound = nil, ends[0].Child.Path, sends.Child.SPIIn
	for _, e := range ends {
		h.spec.Children = append(h.spec.Children, *e.Child)
	}
	h.bench.apply(h.spec)
}

// wants sends a packet, which sends must carry to its hub, and one from each hub.
func (h *handover) wants(when string, sends *End, old, next bool) {
	h.t.Helper()
	text := []byte(when)
	out, in := UDP(inside4, outside4, text), UDP(outside4, inside4, text)
	kind := uint8(4)
	wrap := func(p []byte) []byte { return p }
	if h.spec.Mode == dataplane.GRE {
		kind, wrap = 47, func(p []byte) []byte { return append([]byte{0, 0, 8, 0}, p...) }
	}
	h.Traffic.Send("fvt0", out)
	local, remote, esp := h.Traffic.Sent()
	o, err := sends.Open(esp, 0)
	if err != nil || !bytes.Equal(o.Payload, wrap(out)) || remote != sends.Child.Path.Remote || local != sends.Child.Path.Local {
		h.t.Fatalf("%s: sent %+v from %s to %s, %v; want child %x to %s", when, o, local, remote, err, sends.Child.SPIOut, sends.Child.Path.Remote)
	}
	for e, arrives := range map[*End]bool{h.old: old, h.next: next} {
		h.Traffic.Deliver(e.Child.Path.Local, e.Child.Path.Remote, e.Seal(wrap(in), kind, Options{}))
		if got := h.Traffic.Received("fvt0"); arrives != bytes.Equal(got, in) || !arrives && got != nil {
			h.t.Fatalf("%s: of the hub at %s the host received %x", when, e.Child.Path.Remote, got)
		}
	}
}
