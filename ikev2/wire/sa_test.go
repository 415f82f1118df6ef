package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

func TestSA(t *testing.T) {
	checkSamples(t, []sample{
		{
			name: "IKE with one suite",
			kind: PayloadSA,
			bytes: `
				00 00 0024 01 01 00 03      # last, length 36, number 1, IKE, no SPI, 3 transforms
				03 00 000c 01 00 0014 800e 0100  # more, ENCR 20, key length 256
				03 00 0008 02 00 0006       # more, PRF 6
				00 00 0008 04 00 001f       # last, KE 31
			`,
			value: SA{[]Proposal{{Number: 1, Protocol: ProtoIKE, SPI: []byte{}, Transforms: []Transform{
				{Type: TransformENCR, ID: 20, KeyBits: 256}, {Type: TransformPRF, ID: 6}, {Type: TransformKE, ID: 31},
			}}}},
			text: "1 IKE: ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_384 KE_CURVE25519",
		},
		{
			// RFC 7296 section 3.3: both proposals of this kind of offer name the same SPI.
			name: "ESP with two proposals",
			kind: PayloadSA,
			bytes: `
				02 00 0020 01 03 04 02  c0ffee12  # more, number 1, ESP, SPI of 4
				03 00 000c 01 00 0014 800e 0080   # AES-GCM-16, 128
				00 00 0008 05 00 0000             # no ESN
				00 00 0028 02 03 04 03  c0ffee12  # last, number 2
				03 00 000c 01 00 000c 800e 0100   # AES-CBC, 256
				03 00 0008 03 00 000c             # HMAC-SHA2-256-128
				00 00 0008 05 00 0001             # ESN
			`,
			value: SA{[]Proposal{
				{Number: 1, Protocol: ProtoESP, SPI: []byte{0xc0, 0xff, 0xee, 0x12}, Transforms: []Transform{
					{Type: TransformENCR, ID: 20, KeyBits: 128}, {Type: TransformESN},
				}},
				{Number: 2, Protocol: ProtoESP, SPI: []byte{0xc0, 0xff, 0xee, 0x12}, Transforms: []Transform{
					{Type: TransformENCR, ID: 12, KeyBits: 256}, {Type: TransformINTEG, ID: 12}, {Type: TransformESN, ID: 1},
				}},
			}},
			text: "1 ESP c0ffee12: ENCR_AES_GCM_16-128 ESN_NO; " +
				"2 ESP c0ffee12: ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128 ESN_YES",
		},
		{
			name: "IKE rekey with an SPI of 8 octets",
			kind: PayloadSA,
			bytes: `
				00 00 0018 01 01 08 01  0102030405060708
				00 00 0008 02 00 0005
			`,
			value: SA{[]Proposal{{
				Number: 1, Protocol: ProtoIKE, SPI: []byte{1, 2, 3, 4, 5, 6, 7, 8},
				Transforms: []Transform{{Type: TransformPRF, ID: 5}},
			}}},
			text: "1 IKE 0102030405060708: PRF_HMAC_SHA2_256",
		},
		{
			// A responder must be able to pass over what it does not know, section 3.3.6.
			name: "unknown protocol, transform type and transform",
			kind: PayloadSA,
			bytes: `
				00 00 001b 09 63 03 02  aabbcc
				03 00 0008 f0 00 1234
				00 00 0008 01 00 ffff
			`,
			value: SA{[]Proposal{{
				Number: 9, Protocol: 99, SPI: []byte{0xaa, 0xbb, 0xcc},
				Transforms: []Transform{{Type: 240, ID: 0x1234}, {Type: TransformENCR, ID: 0xffff}},
			}}},
			text: "9 protocol(99) aabbcc: transform type(240)(4660) ENCR(65535)",
		},
		{
			name:  "proposal without transforms",
			kind:  PayloadSA,
			bytes: `00 00 0008 01 01 00 00`,
			value: SA{[]Proposal{{Number: 1, Protocol: ProtoIKE, SPI: []byte{}, Transforms: []Transform{}}}},
			text:  "1 IKE:",
		},
	})
}

func TestSARefused(t *testing.T) {
	checkRefusals(t, []refusal{
		{"no proposal", PayloadSA, ``, cutShort},
		{"proposal shorter than its header", PayloadSA, `00 00 0007 01 01 00 00`, cutShort},
		{"proposal of length 0", PayloadSA, `00 00 0000 01 01 00 00`, "length smaller than its own header"},
		{"proposal longer than the payload", PayloadSA, `00 00 0009 01 01 00 00`, cutShort},
		{"transform of length 0", PayloadSA, `00 00 0010 01 01 00 01  00 00 0000 01 00 0014`, "length smaller than its own header"},
		{"transform longer than the proposal", PayloadSA, `00 00 0010 01 01 00 01  00 00 0009 01 00 0014`, cutShort},
		{
			"said to be last and is not", PayloadSA,
			`00 00 0008 01 01 00 00  00 00 0008 02 01 00 00`, "proposals do not end where the payload does",
		},
		{"said to be followed and is not", PayloadSA, `02 00 0008 01 01 00 00`, "proposals do not end where the payload does"},
		{
			"transform said to be followed", PayloadSA,
			`00 00 0010 01 01 00 01  03 00 0008 01 00 0014`, "transforms do not end where the proposal does",
		},
		{
			"transform said to be last", PayloadSA,
			`00 00 0018 01 01 00 02  00 00 0008 01 00 0014  00 00 0008 02 00 0005`, "transforms do not end where the proposal does",
		},
		{"more transforms than fit", PayloadSA, `00 00 0010 01 01 00 ff  03 00 0008 01 00 0014`, "more transforms announced than there are"},
		{"fewer transforms than there are", PayloadSA, `00 00 0010 01 01 00 00  00 00 0008 01 00 0014`, "octets left over"},
		{"SPI that swallows the transforms", PayloadSA, `00 00 0010 01 63 08 01  00 00 0008 01 00 0014`, "more transforms announced than there are"},
		{"ESP without SPI", PayloadSA, `00 00 0008 01 03 00 00`, "proposal with a wrong SPI size"},
		{"AH with an SPI of 8", PayloadSA, `00 00 0010 01 02 08 00 0000000000000000`, "proposal with a wrong SPI size"},
		{"IKE with an SPI of 4", PayloadSA, `00 00 000c 01 01 04 00 00000000`, "proposal with a wrong SPI size"},
		{"attribute cut short", PayloadSA, `00 00 0012 01 01 00 01  00 00 000a 01 00 0014 800e`, cutShort},
		{
			"long attribute that passes the end", PayloadSA,
			`00 00 0014 01 01 00 01  00 00 000c 01 00 0014 000e 0001`, cutShort,
		},
	})
}

// RFC 7296 section 3.3.6: a transform with an attribute that is not understood must not be chosen.
// The message stays good, for there may be other transforms.
func TestTransformAttributes(t *testing.T) {
	cases := []struct {
		name, attributes string
		want             Transform
	}{
		{"none", ``, Transform{}},
		{"key length", `800e 0080`, Transform{KeyBits: 128}},
		{"key length in the long form", `000e 0002 0080`, Transform{Unrecognized: true}},
		{"key length of zero", `800e 0000`, Transform{Unrecognized: true}},
		{"key length twice", `800e 0080 800e 0100`, Transform{KeyBits: 128, Unrecognized: true}},
		{"unknown attribute", `8011 0001`, Transform{Unrecognized: true}},
		{"unknown attribute before the key length", `0011 0003 aabbcc 800e 0100`, Transform{KeyBits: 256, Unrecognized: true}},
		{"empty long attribute", `0011 0000`, Transform{Unrecognized: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			attributes := unhex(t, c.attributes)
			n := len(attributes)
			body := []byte{0, 0, 0, uint8(16 + n), 1, 1, 0, 1, 0, 0, 0, uint8(8 + n), 1, 0, 0, 20}
			p, err := only(PayloadSA, append(body, attributes...))
			if err != nil {
				t.Fatal(err)
			}
			c.want.Type, c.want.ID = TransformENCR, 20
			if got := p.(SA).Proposals[0].Transforms[0]; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	if got := (Transform{Type: TransformENCR, ID: 20, Unrecognized: true}).String(); got != "ENCR_AES_GCM_16 with unknown attributes" {
		t.Errorf("printed %q", got)
	}
}

// Reserved octets are ignored when received and zero when sent, section 2.5.
func TestSAReservedOctets(t *testing.T) {
	noisy := unhex(t, `00 ff 0010 01 01 00 01  00 ff 0008 02 ff 0005`)
	clean := unhex(t, `00 00 0010 01 01 00 01  00 00 0008 02 00 0005`)
	p, err := only(PayloadSA, noisy)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.appendTo(nil); !bytes.Equal(got, clean) {
		t.Errorf("got %x, want %x", got, clean)
	}
}

func manyProposals(n int) []byte {
	var b []byte
	for i := range n {
		b = append(b, substructureMark(i == n-1, moreProposals), 0, 0, 8, uint8(i+1), 1, 0, 0)
	}
	return b
}

func TestSABounds(t *testing.T) {
	p, err := only(PayloadSA, manyProposals(255))
	if err != nil || len(p.(SA).Proposals) != 255 {
		t.Errorf("255 proposals: %v", err)
	}
	_, err = only(PayloadSA, manyProposals(256))
	wantSyntax(t, err, PayloadSA, "more than 255 proposals")
}

// Counts are the peer's word. However they are set, the block that is allocated for transforms is
// never larger than the payload could fill.
func TestSACountsDoNotAllocate(t *testing.T) {
	body := manyProposals(200)
	for i := range 200 {
		body[8*i+7] = 255
	}
	if _, transforms := countSubstructures(body); transforms != 0 {
		t.Errorf("room for %d transforms in proposals that have none", transforms)
	}
	binary.BigEndian.PutUint16(body[2:], 8+80)
	if _, transforms := countSubstructures(body); transforms > 10 {
		t.Errorf("room for %d transforms where 10 fit", transforms)
	}
}

func ExampleSA_String() {
	fmt.Println(SA{[]Proposal{{Number: 1, Protocol: ProtoESP, SPI: []byte{0, 0, 1, 0}, Transforms: []Transform{
		{Type: TransformENCR, ID: 28}, {Type: TransformESN, ID: 0},
	}}}})
	// Output: 1 ESP 00000100: ENCR_CHACHA20_POLY1305 ESN_NO
}
