package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Whatever order the message has, debug shows the order of the RFC's exchanges.
func TestPayloadsString(t *testing.T) {
	first, chain := AppendPayloads(nil,
		VendorID{[]byte("v")}, TS{Responder: true, Selectors: []Selector{any4}}, Notify{Type: InitialContact},
		Delete{Protocol: ProtoIKE}, TS{Selectors: []Selector{any4}}, Nonce{make([]byte, 16)}, KE{Group: 31},
		SA{[]Proposal{{Number: 1, Protocol: ProtoIKE}}}, CP{Type: CFGReply}, EAP{[]byte{3, 0, 0, 4}},
		Auth{Method: AuthSharedKey}, ID{Responder: true, Type: IDFQDN}, CertReq{Encoding: CertX509},
		Cert{Encoding: CertX509}, ID{Type: IDFQDN}, Notify{Type: UseTransportMode},
	)
	p, err := ParseInner(first, chain)
	if err != nil {
		t.Fatal(err)
	}
	const want = "IDi CERT CERTREQ IDr AUTH EAP CP(CFG_REPLY) SA KE Nonce TSi TSr " +
		"N(INITIAL_CONTACT) N(USE_TRANSPORT_MODE) D V"
	if got := p.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if lines := Describe(p); len(lines) != len(strings.Fields(want)) {
		t.Errorf("%d lines for %d payloads", len(lines), len(strings.Fields(want)))
	}
}

// Nothing in a debug line helps an eavesdropper: every payload that carries a value of its own gets
// the same tell-tale octets, and no line shows them in any form.
func TestDescribeKeepsSecrets(t *testing.T) {
	secret := []byte("tell-tale-octets")
	p := &Payloads{
		KE:       &KE{31, secret},
		Auth:     &Auth{AuthSharedKey, secret},
		Nonce:    secret,
		EAP:      &EAP{append([]byte{2, 1, 0, 20}, secret...)},
		Certs:    []Cert{{CertX509, secret}},
		Notifies: []Notify{{Type: Cookie, Data: secret}, {Type: 16413, Data: secret}, {Type: QuickCrashDetection, Data: secret}},
		CP:       &CP{CFGRequest, []Attribute{{28700, secret}, {CiscoSavePassword, secret}}},
	}
	p.Encrypted = &Encrypted{Inner: PayloadIDi, Body: secret}
	p.Fragment = &Fragment{Number: 1, Total: 1, Body: secret}
	text := strings.Join(Describe(p), "\n") + p.String()
	for _, form := range []string{string(secret), fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret[:4]), fmt.Sprint(secret[:4])} {
		if strings.Contains(text, form) {
			t.Errorf("%q appears in\n%s", form, text)
		}
	}
}

func TestPrintable(t *testing.T) {
	cases := []struct{ text, want string }{
		{"", `""`},
		{"hub1.example.net", "hub1.example.net"},
		{"two words", `"two words"`},
		{`a"b`, `"a\"b"`},
		{"a\x00b", `"a\x00b"`},
		{"m\u00fcller", `"m\u00fcller"`},
		{"\u202egnp", `"\u202egnp"`}, // right-to-left override
		{"\xff\x00", "ff00"},
		{strings.Repeat("\xff", 32), strings.Repeat("ff", 32)},
		{strings.Repeat("\xff", 33), strings.Repeat("ff", 32) + "… (33 octets)"},
		{strings.Repeat("a", 64), strings.Repeat("a", 64)},
		{strings.Repeat("a", 63) + "\u00fcb", strings.Repeat("a", 63) + "… (66 octets)"}, // not cut inside a letter
	}
	for _, c := range cases {
		if got := printable([]byte(c.text)); got != c.want {
			t.Errorf("%q: got %s, want %s", c.text, got, c.want)
		}
	}
}

// One payload is one line, whatever a peer writes into it.
func TestDescribeIsOneLineEach(t *testing.T) {
	nasty := bytes.Repeat([]byte("a\n\r\v\u2028"), 5)
	p := &Payloads{
		IDi:     &ID{Type: IDFQDN, Data: nasty},
		IDr:     &ID{Responder: true, Type: IDDN, Data: nasty},
		Vendors: []VendorID{{nasty}},
		CP:      &CP{CFGReply, []Attribute{{CiscoBanner, nasty}, {InternalDNSDomain, nasty}}},
	}
	for _, line := range Describe(p) {
		if strings.ContainsAny(line, "\n\r\v\u2028") {
			t.Errorf("%q has more than one line", line)
		}
	}
}
