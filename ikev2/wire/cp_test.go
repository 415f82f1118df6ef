package wire

import (
	"bytes"
	"testing"
)

func TestCP(t *testing.T) {
	checkSamples(t, []sample{
		{
			name: "request",
			kind: PayloadCP,
			bytes: `
				01 000000
				0001 0000  # address
				0003 0000  # DNS
				7003 0000  # Cisco split DNS
			`,
			value: CP{Type: CFGRequest, Attributes: []Attribute{
				{InternalIP4Address, []byte{}},
				{InternalIP4DNS, []byte{}},
				{CiscoSplitDNS, []byte{}},
			}},
			text: "CFG_REQUEST INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS CISCO_SPLIT_DNS",
			cuts: []int{4, 8, 12},
		},
		{
			name: "reply",
			kind: PayloadCP,
			bytes: `
				02 000000
				0001 0004 0a010102
				000d 0008 0a000000 ff000000
				000f 0011 20010db8000000000000000000000000 20
			`,
			value: CP{Type: CFGReply, Attributes: []Attribute{
				{InternalIP4Address, []byte{10, 1, 1, 2}},
				{InternalIP4Subnet, []byte{10, 0, 0, 0, 255, 0, 0, 0}},
				{InternalIP6Subnet, []byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20")},
			}},
			text: "CFG_REPLY INTERNAL_IP4_ADDRESS=10.1.1.2 INTERNAL_IP4_SUBNET=10.0.0.0/8 INTERNAL_IP6_SUBNET=2001:db8::/32",
			cuts: []int{4, 12, 24},
		},
		{
			name:  "empty acknowledgement",
			kind:  PayloadCP,
			bytes: `04 000000`,
			value: CP{Type: CFGAck},
			text:  "CFG_ACK",
		},
		{
			name:  "a type nobody knows",
			kind:  PayloadCP,
			bytes: `09 000000`,
			value: CP{Type: 9},
			text:  "CFG(9)",
		},
	})
}

func TestCPRefused(t *testing.T) {
	const length = "attribute of a wrong length"
	checkRefusals(t, []refusal{
		{"attribute cut short in its header", PayloadCP, `02 000000 0001 00`, cutShort},
		{"attribute longer than the payload", PayloadCP, `02 000000 0001 0004 0a0101`, cutShort},
		{"attribute of 65535 octets", PayloadCP, `02 000000 7000 ffff`, cutShort},
		{"second attribute cut short", PayloadCP, `02 000000 0001 0000 0001 0004 0a`, cutShort},
		{"address of 3", PayloadCP, `02 000000 0001 0003 0a0101`, length},
		{"address of 5", PayloadCP, `02 000000 0001 0005 0a01010101`, length},
		{"netmask of 1", PayloadCP, `02 000000 0002 0001 18`, length},
		{"IPv6 address without prefix length", PayloadCP, `02 000000 0008 0010 20010db8000000000000000000000000`, length},
		{"IPv6 resolver with prefix length", PayloadCP, `02 000000 000a 0011 20010db800000000000000000000000080`, length},
		{"subnet with a prefix length", PayloadCP, `02 000000 000d 0005 0a00000008`, length},
		{"expiry of 2", PayloadCP, `02 000000 0005 0002 0001`, length},
		{"odd list of attributes", PayloadCP, `02 000000 000e 0003 000100`, length},
		{"prefix length 129", PayloadCP, `02 000000 000f 0011 20010db8000000000000000000000000 81`, "prefix longer than an address"},
		{"IPv6 address with prefix length 255", PayloadCP, `02 000000 0008 0011 20010db8000000000000000000000000 ff`, "prefix longer than an address"},
	})
}

// The first bit of an attribute's type is reserved: ignored when received, zero when sent.
func TestCPReservedBit(t *testing.T) {
	p, err := only(PayloadCP, unhex(t, `01 ffffff 8001 0000`))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.appendTo(nil); !bytes.Equal(got, unhex(t, `01 000000 0001 0000`)) {
		t.Errorf("sent again as %x", got)
	}
}
