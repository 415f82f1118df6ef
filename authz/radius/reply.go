package radius

import (
	"fmt"

	"layeh.com/radius"

	"flexvpn/radiusdict"
	"flexvpn/secret"
)

// vendorAttributes calls f for each attribute inside the Vendor-Specific ones.
func vendorAttributes(attrs radius.Attributes, f func(vendor uint32, n byte, value []byte) error) error {
	for _, a := range attrs {
		if a.Type != attrVendorSpecific {
			continue
		}
		vendor, rest, err := radius.VendorSpecific(a.Attribute)
		if err != nil {
			return fmt.Errorf("Vendor-Specific: %w", err)
		}
		for len(rest) > 0 {
			if len(rest) < 2 || int(rest[1]) < 2 || int(rest[1]) > len(rest) {
				return fmt.Errorf("Vendor-Specific of vendor %d: an attribute's length is wrong", vendor)
			}
			if err := f(vendor, rest[0], rest[2:rest[1]]); err != nil {
				return err
			}
			rest = rest[rest[1]:]
		}
	}
	return nil
}

// readReply turns an answer's attributes into a reply; request has the authenticator with which
// Tunnel-Password was hidden.
func readReply(p *radius.Packet, request []byte) (*radiusdict.Reply, error) {
	var r radiusdict.Reply
	for _, a := range p.Attributes {
		value := []byte(a.Attribute)
		switch a.Type {
		case attrVendorSpecific:
			continue
		case attrTunnelPassword:
			var err error
			if value, err = reveal(value, p.Secret, request); err != nil {
				return nil, label(unusableAttribute, fmt.Errorf("Tunnel-Password: %w", err))
			}
		}
		if err := r.Add(byte(a.Type), value); err != nil {
			return nil, label(unusableAttribute, err)
		}
	}
	err := vendorAttributes(p.Attributes, func(vendor uint32, n byte, value []byte) error {
		err := r.AddVendor(vendor, n, value)
		if vendor == radiusdict.VendorCisco && n == radiusdict.CiscoAVPair {
			err = label(unusablePair, err)
		}
		return err
	})
	return &r, label(unusableAttribute, err)
}

// reveal decrypts Tunnel-Password, which begins with a tag (RFC 2868 section 3.5).
func reveal(value, key, request []byte) ([]byte, error) {
	if len(value) < 1 {
		return nil, errMalformed
	}
	plain, _, err := radius.TunnelPassword(value[1:], key, request[4:headerLen])
	return plain, err
}

// sessionKey is the MSK that MS-MPPE-Recv-Key and MS-MPPE-Send-Key make (RFC 2548 section 2.4; their
// order and the padding to 64 octets are those of RFC 3748 section 7.10), empty when they are not there.
func sessionKey(p *radius.Packet, request []byte) (secret.Bytes, error) {
	var recv, send []byte
	err := vendorAttributes(p.Attributes, func(vendor uint32, n byte, value []byte) (err error) {
		if vendor != radiusdict.VendorMicrosoft {
			return nil
		}
		switch n {
		case radiusdict.MSMPPERecvKey:
			recv, _, err = radius.TunnelPassword(value, p.Secret, request[4:headerLen])
		case radiusdict.MSMPPESendKey:
			send, _, err = radius.TunnelPassword(value, p.Secret, request[4:headerLen])
		}
		return err
	})
	if err != nil {
		return secret.Bytes{}, label(unusableKey, fmt.Errorf("the server's key for the session cannot be read: %w", err))
	}
	if len(recv)+len(send) == 0 {
		return secret.Bytes{}, nil
	}
	msk := make([]byte, max(64, len(recv)+len(send)))
	copy(msk, recv)
	copy(msk[len(recv):], send)
	return secret.New(msk), nil
}
