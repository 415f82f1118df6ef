package wire

// A Payload is one payload of an IKEv2 message, RFC 7296 section 3.2 onwards. The set is closed:
// every implementation stands in this package, one file each. Section numbers without an RFC, here
// and there, are those of RFC 7296.
type Payload interface {
	// Kind is the number that announces this payload in the chain.
	Kind() PayloadType
	// appendTo appends the payload's body, without the generic header.
	appendTo(b []byte) []byte
}

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
