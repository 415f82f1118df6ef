package wire

import (
	"net/netip"
	"reflect"
	"testing"
)

// FuzzParseMessage is what an unknown sender can reach: header and outer chain.
func FuzzParseMessage(f *testing.F) {
	for _, c := range captures(f, "messages") {
		f.Add(c.bytes)
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		h, err := ParseHeader(datagram)
		if err != nil {
			return
		}
		_ = h.String()
		o, outerErr := ParseOuter(h.Next, datagram, HeaderLen)
		p, err := ParsePayloads(h.Next, datagram, HeaderLen)
		if err != nil {
			_ = err.Error()
			return
		}
		checkOuter(t, o, outerErr, p)
		_, _ = Describe(p), p.String()
		if e := p.Encrypted; e != nil && len(datagram)-e.Offset != len(e.Body) {
			t.Fatalf("the body of SK at %d has %d octets of %d", e.Offset, len(e.Body), len(datagram))
		}
		if f := p.Fragment; f != nil && (len(datagram)-f.Offset != len(f.Body) || f.Number < 1 || f.Number > f.Total) {
			t.Fatalf("fragment %+v of %d octets", f, len(datagram))
		}
		checkRoundTrip(t, h.Next, datagram[HeaderLen:], p)
	})
}

// checkOuter holds what stands around a message against the whole of it.
func checkOuter(t *testing.T, o Outer, err error, p *Payloads) {
	want := Outer{}
	switch {
	case p.Encrypted != nil:
		want.Kind, want.Encrypted = PayloadEncrypted, *p.Encrypted
	case p.Fragment != nil:
		want.Kind, want.Fragment = PayloadFragment, *p.Fragment
	}
	if err != nil || !reflect.DeepEqual(o, want) {
		t.Fatalf("around the message stands %+v (%v), want %+v", o, err, want)
	}
}

// FuzzParseInner is what a peer can reach that has keys.
func FuzzParseInner(f *testing.F) {
	for _, c := range captures(f, "inner") {
		f.Add(uint8(c.first), c.bytes)
	}
	f.Fuzz(func(t *testing.T, first uint8, plain []byte) {
		p, err := ParseInner(PayloadType(first), plain)
		if err != nil {
			_ = err.Error()
			return
		}
		if p.Encrypted != nil || p.Fragment != nil {
			t.Fatal("an encrypted payload inside an encrypted payload")
		}
		_, _ = Describe(p), p.String()
		checkRoundTrip(t, PayloadType(first), plain, p)
	})
}

// FuzzRoundTrip tries each kind of payload by itself, so that the fuzzer need not find out about
// generic headers.
func FuzzRoundTrip(f *testing.F) {
	for _, c := range captures(f, "inner") {
		at := 0
		for _, kind := range kindsOf(c.first, c.bytes) {
			length := int(c.bytes[at+2])<<8 | int(c.bytes[at+3])
			f.Add(uint8(kind), c.bytes[at+genericLen:at+length])
			at += length
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		if len(body) > 0xffff-genericLen || !PayloadType(kind).known() {
			return
		}
		chain := wrap(body)
		if p, err := ParseInner(PayloadType(kind), chain); err == nil {
			checkRoundTrip(t, PayloadType(kind), chain, p)
		}
	})
}

// FuzzSelector checks the arithmetic of ranges against the plain comparison of addresses.
func FuzzSelector(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1}, []byte{10, 0, 0, 9}, []byte{10, 0, 0, 5}, uint16(0), uint16(65535))
	f.Add([]byte{0, 0, 0, 0}, []byte{255, 255, 255, 255}, []byte{127, 0, 0, 1}, uint16(80), uint16(80))
	v6 := netip.MustParseAddr("2001:db8::1").As16()
	f.Add(make([]byte, 16), v6[:], v6[:], uint16(65535), uint16(0))
	f.Fuzz(func(t *testing.T, start, end, probe []byte, low, high uint16) {
		s := Selector{StartPort: low, EndPort: high}
		s.Start, _ = netip.AddrFromSlice(start)
		s.End, _ = netip.AddrFromSlice(end)
		at, _ := netip.AddrFromSlice(probe)
		_ = s.String()

		inside := s.hasAddresses() && at.BitLen() == s.Start.BitLen() && !at.Less(s.Start) && !s.End.Less(at)
		list := s.Prefixes()
		hits := 0
		for _, p := range list {
			if p.Contains(at) {
				hits++
			}
		}
		if len(list) > 254 || inside && hits != 1 || !inside && hits != 0 {
			t.Fatalf("%v is in %d of the prefixes %v", at, hits, list)
		}
		meet, ok := s.Intersect(Selector{Start: at, End: at, EndPort: 65535})
		if want := inside && (low <= high || s.opaque()); ok != want {
			t.Fatalf("%v meets %v: %v, want %v", s, at, ok, want)
		}
		if ok && (meet.Start != at || meet.End != at || meet.StartPort != low || meet.EndPort != high) {
			t.Fatalf("%v meets %v in %v", s, at, meet)
		}
	})
}

// FuzzAttribute tries the readers of configuration attributes on any type and value.
func FuzzAttribute(f *testing.F) {
	f.Add(uint16(InternalIP4Subnet), []byte{10, 0, 0, 0, 255, 0, 0, 0})
	f.Add(uint16(InternalIP6Subnet), append(make([]byte, 16), 64))
	f.Add(uint16(InternalIP6Address), append(make([]byte, 16), 128))
	f.Add(uint16(CiscoBackupServers), []byte("203.0.113.225, hub2.example.net\x00"))
	f.Add(uint16(CiscoBanner), []byte("welcome\r\n"))
	f.Fuzz(func(t *testing.T, kind uint16, value []byte) {
		a := Attribute{AttributeType(kind), value}
		_ = a.String()
		if addr, bits, ok := a.Addr(); ok {
			if again, _, _ := AttrAddr(a.Type, addr, bits).Addr(); again != addr.Unmap() && !addr.Is4In6() {
				t.Fatalf("%v became %v", addr, again)
			}
		}
		if p, ok := a.Prefix(); ok {
			if again, _ := AttrPrefix(p).Prefix(); again != p || p != p.Masked() {
				t.Fatalf("%v became %v", p, again)
			}
		}
		for _, s := range a.Texts() {
			if s == "" {
				t.Fatal("an empty text")
			}
		}
	})
}
