package wire

import "testing"

func TestVendorID(t *testing.T) {
	checkSamples(t, []sample{
		{
			name:  "FlexVPN",
			kind:  PayloadVendorID,
			bytes: `464c455856504e2d535550504f52544544`,
			value: VendorID{[]byte("FLEXVPN-SUPPORTED")},
			text:  "FLEXVPN-SUPPORTED",
			open:  17,
		},
		{
			name:  "Cisco's copyright",
			kind:  PayloadVendorID,
			bytes: `434953434f28434f505952494748542926436f7079726967687420286329203230303920436973636f2053797374656d732c20496e632e`,
			value: VendorID{[]byte("CISCO(COPYRIGHT)&Copyright (c) 2009 Cisco Systems, Inc.")},
			text:  `"CISCO(COPYRIGHT)&Copyright (c) 2009 Cisco Systems, Inc."`,
			open:  55,
		},
		{
			name:  "strongSwan, a hash",
			kind:  PayloadVendorID,
			bytes: `882fe56d6fd20dbc2251613b2ebe5beb`,
			value: VendorID{[]byte("\x88\x2f\xe5\x6d\x6f\xd2\x0d\xbc\x22\x51\x61\x3b\x2e\xbe\x5b\xeb")},
			text:  "882fe56d6fd20dbc2251613b2ebe5beb",
			open:  16,
		},
		{name: "empty", kind: PayloadVendorID, bytes: ``, value: VendorID{[]byte{}}, text: `""`},
	})
}

// IOS puts one vendor ID first in IKE_AUTH, before the identity.
func TestVendorIDFirst(t *testing.T) {
	first, chain := AppendPayloads(nil, VendorID{make([]byte, 16)}, ID{Type: IDFQDN, Data: []byte("spoke1")})
	p, err := ParseInner(first, chain)
	if err != nil || first != PayloadVendorID || p.IDi == nil || len(p.Vendors) != 1 {
		t.Errorf("got %v, %v", p, err)
	}
}
