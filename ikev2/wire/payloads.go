package wire

import "net/netip"

// A Payload is one payload of an IKEv2 message, RFC 7296 section 3.2 onwards.
// The set is closed: every implementation stands in this package, one file each.
type Payload interface {
	// Kind is the number that announces this payload in the chain.
	Kind() PayloadType
	// appendTo appends the payload's body, without the generic header.
	appendTo(b []byte) []byte
}

// SA is the Security Association payload, section 3.3.
type SA struct{ Proposals []Proposal }

// A Proposal is a proposal substructure, section 3.3.1.
type Proposal struct {
	Number     uint8
	Protocol   ProtocolID
	SPI        []byte // empty in IKE_SA_INIT, 8 octets for an IKE rekey, 4 for ESP; aliases the datagram
	Transforms []Transform
}

// A Transform is a transform substructure, section 3.3.2.
type Transform struct {
	Type    TransformType
	ID      uint16
	KeyBits uint16 // Key Length attribute in bits, 0 when absent
	// Unrecognized is set when an attribute other than Key Length was present: section 3.3.6
	// forbids choosing such a transform.
	Unrecognized bool
}

// KE is the Key Exchange payload, section 3.4.
type KE struct {
	Group uint16
	Data  []byte // aliases the datagram
}

// ID is an Identification payload, section 3.5.
type ID struct {
	Responder bool // IDr rather than IDi
	Type      IDType
	Data      []byte // aliases the datagram
}

// Cert is the Certificate payload, section 3.6.
type Cert struct {
	Encoding CertEncoding
	Data     []byte // aliases the datagram
}

// CertReq is the Certificate Request payload, section 3.7.
type CertReq struct {
	Encoding    CertEncoding
	Authorities []byte // concatenated SHA-1 hashes of trust anchors' SubjectPublicKeyInfo; aliases the datagram
}

// Auth is the Authentication payload, section 3.8.
type Auth struct {
	Method AuthMethod
	Data   []byte // aliases the datagram
}

// Nonce is the Nonce payload, section 3.9: 16 to 256 octets.
type Nonce struct{ Data []byte }

// Notify is the Notify payload, section 3.10.
type Notify struct {
	Protocol ProtocolID // 0 unless it concerns a Child SA
	Type     NotifyType
	SPI      []byte // aliases the datagram
	Data     []byte // aliases the datagram
}

// Delete is the Delete payload, section 3.11. For IKE it has no SPIs, for ESP 4-octet ones.
type Delete struct {
	Protocol ProtocolID
	SPIs     []uint32
}

// VendorID is the Vendor ID payload, section 3.12.
type VendorID struct{ Data []byte }

// TS is a Traffic Selector payload, section 3.13.
type TS struct {
	Responder bool // TSr rather than TSi
	Selectors []Selector
}

// A Selector is one traffic selector: an address range, a protocol, a port range, section 3.13.1.
// It is comparable.
type Selector struct {
	Protocol  uint8 // 0: any
	StartPort uint16
	EndPort   uint16
	Start     netip.Addr // same family as End
	End       netip.Addr
}

// CP is the Configuration payload, section 3.15.
type CP struct {
	Type       CFGType
	Attributes []Attribute
}

// An Attribute is a configuration attribute, section 3.15.1.
type Attribute struct {
	Type  AttributeType
	Value []byte // aliases the datagram
}

// EAP is the Extensible Authentication payload, section 3.16: a whole EAP packet.
type EAP struct{ Packet []byte }

// Payloads is a decoded chain, every payload in the field of its kind. Repeated payloads that
// RFC 7296 allows once only are a syntax error. All slices alias the datagram.
type Payloads struct {
	SA       *SA
	KE       *KE
	IDi, IDr *ID
	Certs    []Cert
	CertReqs []CertReq
	Auth     *Auth
	Nonce    []byte // nil when absent
	Notifies []Notify
	Deletes  []Delete
	Vendors  []VendorID
	TSi, TSr *TS
	CP       *CP
	EAP      *EAP
	// Encrypted and Fragment close the outer chain of a protected message; at most one is set.
	Encrypted *Encrypted
	Fragment  *Fragment
	// Skipped counts payloads of unknown type without the critical bit (section 2.5).
	Skipped int
}

// Notify returns the first notify of type t, or nil.
func (p *Payloads) Notify(t NotifyType) *Notify {
	for i := range p.Notifies {
		if p.Notifies[i].Type == t {
			return &p.Notifies[i]
		}
	}
	return nil
}

// Encrypted is the Encrypted (SK) payload, section 3.14, still closed.
type Encrypted struct {
	Inner  PayloadType // first payload inside
	Offset int         // where the body starts in the datagram: everything before it is authenticated data
	Body   []byte      // IV, ciphertext, integrity check value; aliases the datagram
}

// Fragment is the Encrypted Fragment (SKF) payload, RFC 7383 section 2.5, still closed.
type Fragment struct {
	Inner  PayloadType // first payload of the whole message; only in fragment 1, else 0
	Number uint16      // 1 to Total
	Total  uint16
	Offset int    // where Body starts in the datagram
	Body   []byte // IV, ciphertext, integrity check value; aliases the datagram
}
