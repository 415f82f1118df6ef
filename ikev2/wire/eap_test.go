package wire

import (
	"strings"
	"testing"
)

func TestEAP(t *testing.T) {
	checkSamples(t, []sample{
		{
			name:  "identity request",
			kind:  PayloadEAP,
			bytes: `01 07 0005 01`,
			value: EAP{[]byte{1, 7, 0, 5, 1}},
			text:  "Request 7 Identity, 5 octets",
		},
		{
			name:  "response with something private",
			kind:  PayloadEAP,
			bytes: `02 08 000c 04 73656372657421`,
			value: EAP{[]byte("\x02\x08\x00\x0c\x04secret!")},
			text:  "Response 8 MD5, 12 octets",
		},
		{name: "success", kind: PayloadEAP, bytes: `03 09 0004`, value: EAP{[]byte{3, 9, 0, 4}}, text: "Success 9, 4 octets"},
		{name: "failure", kind: PayloadEAP, bytes: `04 09 0004`, value: EAP{[]byte{4, 9, 0, 4}}, text: "Failure 9, 4 octets"},
		{name: "unknown code", kind: PayloadEAP, bytes: `00 09 0004`, value: EAP{[]byte{0, 9, 0, 4}}, text: "code(0) 9, 4 octets"},
	})
}

func TestEAPRefused(t *testing.T) {
	const what = "packet and payload differ in length"
	checkRefusals(t, []refusal{
		{"longer than the payload", PayloadEAP, `01 07 0006 01`, what},
		{"shorter than the payload", PayloadEAP, `01 07 0004 01`, what},
		{"shorter than its header", PayloadEAP, `01 07 00`, cutShort},
	})
}

func TestEAPKeepsItsContent(t *testing.T) {
	e := EAP{[]byte("\x02\x08\x00\x0c\x04secret!")}
	if line := Describe(&Payloads{EAP: &e})[0]; strings.Contains(line, "secret") || strings.Contains(line, "736563") {
		t.Errorf("debug shows an EAP packet: %s", line)
	}
	if got := (EAP{}).String(); got != "no packet" {
		t.Errorf("an empty EAP prints as %q", got)
	}
}
