package wire

import (
	"bytes"
	"errors"
	"testing"
)

func TestHeader(t *testing.T) {
	b := unhex(t, `
		bba9ba45243c5549 0102030405060708  # SPIs
		29 20 25 28 00000007 0000001e      # Notify, 2.0, INFORMATIONAL, response of the initiator, id 7
		aabb
	`)
	want := Header{
		SPIi: 0xbba9ba45243c5549, SPIr: 0x0102030405060708, Next: PayloadNotify, Major: 2,
		Exchange: Informational, Flags: FlagInitiator | FlagResponse, MessageID: 7, Length: 30,
	}
	h, err := ParseHeader(b)
	if err != nil || h != want {
		t.Fatalf("got %+v, %v, want %+v", h, err, want)
	}
	if got := h.appendTo(nil); !bytes.Equal(got, b[:HeaderLen]) {
		t.Errorf("encoded %x, want %x", got, b[:HeaderLen])
	}
	for n := range b {
		what := "length differs from the datagram's"
		if n < HeaderLen {
			what = "shorter than the header"
		}
		_, err := ParseHeader(b[:n])
		wantSyntax(t, err, NoNext, what)
	}
	_, err = ParseHeader(append(b, 0))
	wantSyntax(t, err, NoNext, "length differs from the datagram's")
}

func TestHeaderString(t *testing.T) {
	cases := []struct {
		h    Header
		want string
	}{
		{Header{Exchange: IKESAInit, Flags: FlagInitiator}, "IKE_SA_INIT request 0"},
		{Header{Exchange: IKEAuth, Flags: FlagResponse, MessageID: 1}, "IKE_AUTH response 1"},
		{Header{Exchange: 250, Flags: FlagResponse | FlagInitiator, MessageID: 4294967295}, "exchange(250) response 4294967295"},
	}
	for _, c := range cases {
		if got := c.h.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// RFC 7296 section 2.5: a higher major version is answered, so its header must be readable; the
// minor version and the flags that are not defined are ignored.
func TestHeaderOfOtherVersions(t *testing.T) {
	b := unhex(t, `0102030405060708 0000000000000000 21 3f 22 cf 00000000 0000001c`)
	h, err := ParseHeader(b)
	if err != nil || h.Major != 3 || h.Minor != 15 || h.Flags&FlagInitiator == 0 || h.Flags&FlagResponse != 0 {
		t.Errorf("got %+v, %v", h, err)
	}
	if got := h.appendTo(nil); !bytes.Equal(got, b) {
		t.Errorf("encoded %x, want %x", got, b)
	}
}

func TestHeaderLengthsThatLie(t *testing.T) {
	for _, length := range [][]byte{{0, 0, 0, 0}, {0, 0, 0, 27}, {0, 0, 0, 29}, {0xff, 0xff, 0xff, 0xff}, {0x80, 0, 0, 28}} {
		b := append(make([]byte, 24), length...)
		_, err := ParseHeader(b)
		wantSyntax(t, err, NoNext, "length differs from the datagram's")
	}
}

func TestErrorTexts(t *testing.T) {
	cases := []struct {
		err  error
		want string
	}{
		{&SyntaxError{What: "shorter than the header"}, "IKE message: shorter than the header"},
		{&SyntaxError{Payload: PayloadTSi, What: cutShort}, "IKE message: TSi payload: cut short"},
		{&CriticalError{Type: 50}, "IKE message: IDg is critical and not supported"},
		{&CriticalError{Type: 200}, "IKE message: payload(200) is critical and not supported"},
	}
	for _, c := range cases {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if _, ok := errors.AsType[*CriticalError](cases[0].err); ok {
		t.Error("a SyntaxError is no CriticalError")
	}
}
