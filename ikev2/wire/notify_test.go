package wire

import "testing"

func TestNotify(t *testing.T) {
	checkSamples(t, []sample{
		{
			name:  "rekey",
			kind:  PayloadNotify,
			bytes: `03 04 4009 c0ffee12`,
			value: Notify{Protocol: ProtoESP, Type: RekeySA, SPI: []byte{0xc0, 0xff, 0xee, 0x12}, Data: []byte{}},
			text:  "N(REKEY_SA) ESP c0ffee12",
		},
		{
			name:  "status without data",
			kind:  PayloadNotify,
			bytes: `00 00 4000`,
			value: Notify{Type: InitialContact, SPI: []byte{}, Data: []byte{}},
			text:  "N(INITIAL_CONTACT)",
		},
		{
			name:  "invalid key exchange",
			kind:  PayloadNotify,
			bytes: `00 00 0011 0014`,
			value: Notify{Type: InvalidKEPayload, SPI: []byte{}, Data: []byte{0, 20}},
			text:  "N(INVALID_KE_PAYLOAD) wants KE_ECP_384",
			open:  2,
		},
		{
			name:  "unsupported critical payload",
			kind:  PayloadNotify,
			bytes: `00 00 0001 32`,
			value: Notify{Type: UnsupportedCriticalPayload, SPI: []byte{}, Data: []byte{50}},
			text:  "N(UNSUPPORTED_CRITICAL_PAYLOAD) IDg",
			open:  1,
		},
		{
			name:  "window",
			kind:  PayloadNotify,
			bytes: `01 00 4001 00000005`,
			value: Notify{Protocol: ProtoIKE, Type: SetWindowSize, SPI: []byte{}, Data: []byte{0, 0, 0, 5}},
			text:  "N(SET_WINDOW_SIZE) IKE 5",
			open:  4,
		},
		{
			name:  "a cookie, which is nobody's business",
			kind:  PayloadNotify,
			bytes: `00 00 4006 deadbeef`,
			value: Notify{Type: Cookie, SPI: []byte{}, Data: []byte{0xde, 0xad, 0xbe, 0xef}},
			text:  "N(COOKIE), 4 octets",
			open:  4,
		},
		{
			name:  "private status",
			kind:  PayloadNotify,
			bytes: `00 00 9cbb`,
			value: Notify{Type: 40123, SPI: []byte{}, Data: []byte{}},
			text:  "N(notify(40123))",
		},
	})
}

func TestNotifyRefused(t *testing.T) {
	checkRefusals(t, []refusal{
		{"SPI longer than the payload", PayloadNotify, `03 05 4009 c0ffee12`, cutShort},
		{"SPI of 255 octets", PayloadNotify, `03 ff 4009`, cutShort},
	})
}

func TestNotifyIsError(t *testing.T) {
	// RFC 7296 section 3.10.1: "0 - 16383" errors, "16384 - 65535" status.
	for n, want := range map[NotifyType]bool{0: true, 14: true, 8192: true, 16383: true, 16384: false, 40960: false, 65535: false} {
		if n.IsError() != want {
			t.Errorf("IsError(%d) = %v, want %v", n, !want, want)
		}
	}
}

func TestNotifyLookup(t *testing.T) {
	p := &Payloads{Notifies: []Notify{
		{Type: Cookie, Data: []byte{1}},
		{Type: NATDetectionSourceIP, Data: []byte{2}},
		{Type: NATDetectionSourceIP, Data: []byte{3}},
	}}
	if n := p.Notify(NATDetectionSourceIP); n == nil || n.Data[0] != 2 {
		t.Errorf("got %v, want the first of the two", n)
	}
	if n := p.Notify(RekeySA); n != nil {
		t.Errorf("found %v, which is not there", n)
	}
}
