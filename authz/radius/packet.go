// Package radius speaks RADIUS for a hub: it asks servers for authorization and keys, passes EAP
// through to them, accounts sessions, and takes orders to end or change them. It is the one room of
// layeh.com/radius, which serves as codec only: that module's client has no Message-Authenticator,
// fail-over or reuse of sockets.
//
// Nothing here blocks its caller: questions are answered by a callback. One mutex guards a Client;
// it is never held while a callback runs or a peer is waited for.
package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"layeh.com/radius"

	"flexvpn/secret"
)

// Attributes that this package reads or writes itself; radiusdict has those that say what a spoke
// gets.
const (
	attrUserName          = 1
	attrUserPassword      = 2
	attrNASIPAddress      = 4
	attrNASPort           = 5
	attrServiceType       = 6
	attrFramedProtocol    = 7
	attrFramedIPAddress   = 8
	attrFramedMTU         = 12
	attrState             = 24
	attrClass             = 25
	attrVendorSpecific    = 26
	attrCalledStationID   = 30
	attrCallingStationID  = 31
	attrNASIdentifier     = 32
	attrProxyState        = 33
	attrAcctStatusType    = 40
	attrAcctDelayTime     = 41
	attrAcctInputOctets   = 42
	attrAcctOutputOctets  = 43
	attrAcctSessionID     = 44
	attrAcctAuthentic     = 45
	attrAcctSessionTime   = 46
	attrAcctInputPackets  = 47
	attrAcctOutputPackets = 48
	attrAcctTerminate     = 49
	attrAcctInputGiga     = 52
	attrAcctOutputGiga    = 53
	attrEventTimestamp    = 55
	attrNASPortType       = 61
	attrTunnelPassword    = 69
	attrEAPMessage        = 79
	attrMessageAuth       = 80
	attrNASPortID         = 87
	attrNASIPv6Address    = 95
	attrFramedIPv6Prefix  = 97
	attrErrorCause        = 101
	attrDelegatedPrefix   = 123
	attrFramedIPv6Address = 168
)

const (
	headerLen   = 20
	messageAuth = 2 + md5.Size // octets of a Message-Authenticator
	maxAttr     = 253
)

// seal encodes a packet that this end begins. Message-Authenticator stands first, so that nothing
// an attacker may choose stands before it (CVE-2024-3596). Access-Request and Status-Server have a
// random authenticator; that of the others is computed over the packet (RFC 2866 section 3, RFC 5176
// section 2.3), and Message-Authenticator before it with zeros in its place.
func seal(code radius.Code, id byte, attrs radius.Attributes, password secret.Bytes, key secret.Bytes) ([]byte, error) {
	p := &radius.Packet{Code: code, Identifier: id, Secret: key.Reveal()}
	random := code == radius.CodeAccessRequest || code == radius.CodeStatusServer
	if random {
		_, _ = rand.Read(p.Authenticator[:]) // never fails
	}
	p.Add(attrMessageAuth, make([]byte, md5.Size))
	if !password.IsEmpty() {
		hidden, err := radius.NewUserPassword(password.Reveal(), p.Secret, p.Authenticator[:])
		if err != nil {
			return nil, fmt.Errorf("User-Password: %w", err)
		}
		p.Add(attrUserPassword, hidden)
	}
	p.Attributes = append(p.Attributes, attrs...)
	b, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	sign(b, headerLen, key)
	if !random {
		sum := md5.New()
		sum.Write(b)
		sum.Write(p.Secret)
		sum.Sum(b[4:4:headerLen])
	}
	return b, nil
}

// sealAnswer encodes the answer to request, with Message-Authenticator first.
func sealAnswer(code radius.Code, request []byte, attrs radius.Attributes, key secret.Bytes) ([]byte, error) {
	p := &radius.Packet{Code: code, Identifier: request[1], Secret: key.Reveal()}
	copy(p.Authenticator[:], request[4:headerLen])
	p.Add(attrMessageAuth, make([]byte, md5.Size))
	p.Attributes = append(p.Attributes, attrs...)
	b, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	sign(b, headerLen, key)
	sum := md5.New()
	sum.Write(b)
	sum.Write(p.Secret)
	sum.Sum(b[4:4:headerLen])
	return b, nil
}

// sign fills the Message-Authenticator whose attribute begins at at.
func sign(b []byte, at int, key secret.Bytes) {
	mac := hmac.New(md5.New, key.Reveal())
	mac.Write(b)
	mac.Sum(b[at+2 : at+2 : at+messageAuth])
}

// Why a packet is not believed; errors.Is tells, and counters have them as labels.
var (
	errMalformed = errors.New("malformed")
	errForged    = errors.New("wrong authenticator")
	errUnsigned  = errors.New("no Message-Authenticator")
)

// trim checks the length of a packet and cuts what stands behind it (RFC 2865 section 3).
func trim(b []byte) ([]byte, error) {
	if len(b) < headerLen {
		return nil, fmt.Errorf("%w: %d octets", errMalformed, len(b))
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < headerLen || n > len(b) || n > radius.MaxPacketLength {
		return nil, fmt.Errorf("%w: it says it has %d octets of %d", errMalformed, n, len(b))
	}
	return b[:n], nil
}

// openAnswer checks an answer against the request it belongs to, and parses it.
func openAnswer(b, request []byte, key secret.Bytes, signed bool) (*radius.Packet, error) {
	b, err := trim(b)
	if err != nil {
		return nil, err
	}
	if !radius.IsAuthenticResponse(b, request, key.Reveal()) {
		return nil, errForged
	}
	if err := checkSignature(b, request[4:headerLen], key, signed); err != nil {
		return nil, err
	}
	return parse(b, key)
}

func parse(b []byte, key secret.Bytes) (*radius.Packet, error) {
	p, err := radius.Parse(b, key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errMalformed, err)
	}
	return p, nil
}

// checkSignature verifies Message-Authenticator, which is computed with authenticator in the header
// and zeros in its own place (RFC 3579 section 3.2).
func checkSignature(b, authenticator []byte, key secret.Bytes, required bool) error {
	at, err := findSignature(b)
	if err != nil {
		return err
	}
	if at == 0 {
		if required {
			return errUnsigned
		}
		return nil
	}
	blank := append([]byte(nil), b...)
	copy(blank[4:headerLen], authenticator)
	clear(blank[at+2 : at+messageAuth])
	mac := hmac.New(md5.New, key.Reveal())
	mac.Write(blank)
	if subtle.ConstantTimeCompare(mac.Sum(nil), b[at+2:at+messageAuth]) != 1 {
		return errForged
	}
	return nil
}

// findSignature is where Message-Authenticator stands, 0 when it is not there.
func findSignature(b []byte) (int, error) {
	found := 0
	for at := headerLen; at < len(b); {
		if len(b)-at < 2 || int(b[at+1]) < 2 || int(b[at+1]) > len(b)-at {
			return 0, fmt.Errorf("%w: an attribute's length", errMalformed)
		}
		if b[at] == attrMessageAuth {
			if b[at+1] != messageAuth || found != 0 {
				return 0, fmt.Errorf("%w: Message-Authenticator", errMalformed)
			}
			found = at
		}
		at += int(b[at+1])
	}
	return found, nil
}

// zeroAuthenticator stands in the header while the authenticator of an accounting or dynamic
// authorization request is computed.
var zeroAuthenticator [md5.Size]byte

// openRequest checks a request whose authenticator is computed over it (RFC 5176 section 2.3).
func openRequest(b []byte, key secret.Bytes, signed bool) (*radius.Packet, error) {
	b, err := trim(b)
	if err != nil {
		return nil, err
	}
	if !radius.IsAuthenticRequest(b, key.Reveal()) {
		return nil, errForged
	}
	if err := checkSignature(b, zeroAuthenticator[:], key, signed); err != nil {
		return nil, err
	}
	return parse(b, key)
}
