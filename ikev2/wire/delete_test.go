package wire

import (
	"reflect"
	"testing"
)

func TestDelete(t *testing.T) {
	checkSamples(t, []sample{
		{
			name:  "the IKE SA",
			kind:  PayloadDelete,
			bytes: `01 00 0000`,
			value: Delete{Protocol: ProtoIKE},
			text:  "IKE",
		},
		{
			name:  "two Child SAs",
			kind:  PayloadDelete,
			bytes: `03 04 0002 c0ffee12 00000100`,
			value: Delete{Protocol: ProtoESP, SPIs: []uint32{0xc0ffee12, 0x100}},
			text:  "ESP c0ffee12 00000100",
		},
		{
			name:  "AH",
			kind:  PayloadDelete,
			bytes: `02 04 0001 00000100`,
			value: Delete{Protocol: ProtoAH, SPIs: []uint32{0x100}},
			text:  "AH 00000100",
		},
	})
}

func TestDeleteRefused(t *testing.T) {
	const fill = "SPIs do not fill the payload"
	checkRefusals(t, []refusal{
		{"more SPIs than there are", PayloadDelete, `03 04 0003 c0ffee12 00000100`, fill},
		{"65535 SPIs of nothing", PayloadDelete, `03 04 ffff`, fill},
		{"SPIs of size 0", PayloadDelete, `03 00 ffff`, fill},
		{"fewer SPIs than there are", PayloadDelete, `03 04 0001 c0ffee12 00000100`, fill},
		{"ESP SPIs of 8 octets", PayloadDelete, `03 08 0001 c0ffee1200000100`, "SPIs that are not 4 octets long"},
		{"SPI for IKE", PayloadDelete, `01 08 0001 c0ffee1200000100`, "SPIs for the IKE SA itself"},
		{"SPI of 4 for IKE", PayloadDelete, `01 04 0001 c0ffee12`, "SPIs for the IKE SA itself"},
	})
}

// What is allowed though nobody should send it: it deletes nothing.
func TestDeleteOfNothing(t *testing.T) {
	for _, body := range []string{`03 04 0000`, `03 00 0000`, `63 08 0001 0102030405060708`, `01 08 0000`} {
		p, err := only(PayloadDelete, unhex(t, body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if d := p.(Delete); len(d.SPIs) != 0 {
			t.Errorf("%s deletes %v", body, d.SPIs)
		}
	}
}

func TestDeletesOfSeveralProtocols(t *testing.T) {
	want := []Delete{{Protocol: ProtoESP, SPIs: []uint32{1}}, {Protocol: ProtoAH, SPIs: []uint32{2}}, {Protocol: ProtoIKE}}
	first, chain := AppendPayloads(nil, want[0], want[1], want[2])
	p, err := ParseInner(first, chain)
	if err != nil || !reflect.DeepEqual(p.Deletes, want) {
		t.Errorf("got %v, %v, want %v", p, err, want)
	}
}
