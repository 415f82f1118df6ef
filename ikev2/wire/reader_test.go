package wire

import "testing"

// A reader gives zeroes after its first fault and keeps that one: decoders read straight through.
func TestReaderRemembersTheFirstFault(t *testing.T) {
	r := reader{b: []byte{1, 2, 3}}
	if r.u16() != 0x0102 || r.u16() != 0 || r.what != cutShort {
		t.Errorf("got %+v", r)
	}
	if r.u8() != 0 || r.bytes(1) != nil || len(r.rest()) != 0 {
		t.Error("octets came after the fault")
	}
	if r.fail("another"); r.what != cutShort {
		t.Errorf("the first fault was replaced by %q", r.what)
	}
	sub := r.substructure(8, 4)
	if !sub.failed() || sub.what != cutShort {
		t.Errorf("a substructure of a failed reader: %+v", sub)
	}
}

func TestReaderSubstructure(t *testing.T) {
	cases := []struct {
		name    string
		length  uint16
		already int
		what    string
		left    int
	}{
		{"whole", 8, 4, "", 0},
		{"empty", 4, 4, "", 4},
		{"too long", 9, 4, cutShort, 0},
		{"shorter than what was read", 3, 4, "length smaller than its own header", 0},
	}
	for _, c := range cases {
		r := reader{b: []byte{1, 2, 3, 4}}
		sub := r.substructure(c.length, c.already)
		if r.what != c.what || sub.what != c.what || len(r.b) != c.left {
			t.Errorf("%s: got %+v, %+v", c.name, r, sub)
		}
	}
	r := reader{b: []byte{1, 2, 3, 4}}
	sub := r.substructure(6, 4)
	sub.u8()
	sub.end(&r)
	if r.what != "octets left over" {
		t.Errorf("a substructure that was not read to its end: %q", r.what)
	}
}
