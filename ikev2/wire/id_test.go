package wire

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
)

func TestID(t *testing.T) {
	checkSamples(t, []sample{
		{
			name:  "FQDN",
			kind:  PayloadIDi,
			bytes: `02 000000 73706f6b65312e6578616d706c652e6e6574`,
			value: ID{Type: IDFQDN, Data: []byte("spoke1.example.net")},
			text:  "ID_FQDN spoke1.example.net",
			open:  18,
		},
		{
			name:  "address of a responder",
			kind:  PayloadIDr,
			bytes: `01 000000 cb007101`,
			value: ID{Responder: true, Type: IDIPv4, Data: []byte{203, 0, 113, 1}},
			text:  "ID_IPV4_ADDR 203.0.113.1",
		},
		{
			name:  "IPv6 address",
			kind:  PayloadIDi,
			bytes: `05 000000 20010db8000000000000000000000001`,
			value: ID{Type: IDIPv6, Data: []byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")},
			text:  "ID_IPV6_ADDR 2001:db8::1",
		},
		{
			name:  "mail address",
			kind:  PayloadIDi,
			bytes: `03 000000 61406578616d706c652e6e6574`,
			value: ID{Type: IDEmail, Data: []byte("a@example.net")},
			text:  "ID_RFC822_ADDR a@example.net",
			open:  13,
		},
		{
			name:  "key ID that is no text",
			kind:  PayloadIDi,
			bytes: `0b 000000 00ff10`,
			value: ID{Type: IDKeyID, Data: []byte{0, 255, 16}},
			text:  "ID_KEY_ID 00ff10",
			open:  3,
		},
		{
			name:  "a type nobody knows",
			kind:  PayloadIDi,
			bytes: `c8 000000 41`,
			value: ID{Type: 200, Data: []byte("A")},
			text:  "ID(200) A",
			open:  1,
		},
		{
			name:  "empty",
			kind:  PayloadIDr,
			bytes: `0b 000000`,
			value: ID{Responder: true, Type: IDKeyID, Data: []byte{}},
			text:  `ID_KEY_ID ""`,
		},
	})
}

func TestIDRefused(t *testing.T) {
	const what = "address of a wrong length"
	checkRefusals(t, []refusal{
		{"IPv4 with 3 octets", PayloadIDi, `01 000000 cb0071`, what},
		{"IPv4 with 16 octets", PayloadIDi, `01 000000 20010db8000000000000000000000001`, what},
		{"IPv6 with 4 octets", PayloadIDr, `05 000000 cb007101`, what},
		{"IPv6 with a prefix length", PayloadIDr, `05 000000 20010db800000000000000000000000140`, what},
	})
}

func TestIDPrintsNames(t *testing.T) {
	der, err := asn1.Marshal(pkix.Name{CommonName: "spoke1\nroot logged in", Organization: []string{"Example"}}.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		id   ID
		want string
	}{
		{ID{Type: IDDN, Data: der}, `ID_DER_ASN1_DN "CN=spoke1\nroot logged in,O=Example"`},
		{ID{Type: IDDN, Data: der[:len(der)-1]}, "ID_DER_ASN1_DN 51 octets that are no DN"},
		{ID{Type: IDDN, Data: append(der, 0)}, "ID_DER_ASN1_DN 53 octets that are no DN"},
		{ID{Type: IDGN, Data: []byte{1, 2}}, "ID_DER_ASN1_GN 2 octets"},
		{ID{Type: IDIPv4, Data: []byte{1}}, "ID_IPV4_ADDR " + `"\x01"`},
		// Nobody forges a line of a log before it is known who speaks.
		{ID{Type: IDFQDN, Data: []byte("a\nlevel=INFO msg=\"session up\"")}, `ID_FQDN "a\nlevel=INFO msg=\"session up\""`},
		{ID{Type: IDFQDN, Data: []byte("\x1b[2J")}, `ID_FQDN "\x1b[2J"`},
		{ID{Type: IDFQDN, Data: []byte(strings.Repeat("a", 65))}, "ID_FQDN " + strings.Repeat("a", 64) + "… (65 octets)"},
	}
	for _, c := range cases {
		if got := c.id.String(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
