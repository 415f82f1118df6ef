package wire

const (
	genericLen  = 4 // generic payload header, section 3.2
	fragmentLen = 4 // fragment number and total, RFC 7383 section 2.5

	// maxPayloads bounds the work one datagram can cause. The longest honest message, a first
	// IKE_AUTH request with a chain of certificates, has fewer than 30.
	maxPayloads = 128
)

// once has a bit, counted from PayloadSA, for each payload that a message carries once at most.
const once = 1 | 1<<(PayloadKE-PayloadSA) | 1<<(PayloadIDi-PayloadSA) |
	1<<(PayloadIDr-PayloadSA) | 1<<(PayloadAuth-PayloadSA) | 1<<(PayloadNonce-PayloadSA) |
	1<<(PayloadTSi-PayloadSA) | 1<<(PayloadTSr-PayloadSA) | 1<<(PayloadEncrypted-PayloadSA) |
	1<<(PayloadCP-PayloadSA) | 1<<(PayloadEAP-PayloadSA) | 1<<(PayloadFragment-PayloadSA)

// ParsePayloads decodes the chain of a datagram that starts at offset with a payload of type
// first. Everything in the result aliases the datagram. An error is a *SyntaxError or a
// *CriticalError, whichever fault stands first in the chain's headers.
func ParsePayloads(first PayloadType, datagram []byte, offset int) (*Payloads, error) {
	if offset < 0 || offset > len(datagram) {
		return nil, &SyntaxError{What: "the chain starts outside the datagram"}
	}
	return parse(chain{next: first, b: datagram, at: offset}, false)
}

// ParseOuter finds the payload that hides the rest of a protected message. The whole chain must be good; what else stands in it is
// authenticated, but has no meaning (section 3.14), and is not decoded.
func ParseOuter(first PayloadType, datagram []byte, offset int) (o Outer, err error) {
	if offset < 0 || offset > len(datagram) {
		return o, &SyntaxError{What: "the chain starts outside the datagram"}
	}
	c := chain{next: first, b: datagram, at: offset}
	if _, err := survey(c, false); err != nil {
		return o, err
	}
	for c.next != NoNext {
		p := c.step()
		r := reader{b: c.b[p.start:p.end:p.end]}
		switch p.kind {
		case PayloadEncrypted:
			o.Kind = p.kind
			o.Encrypted.decode(p, &r)
		case PayloadFragment:
			o.Kind = p.kind
			o.Fragment.decode(p, &r)
		}
		if r.failed() {
			return o, &SyntaxError{Payload: p.kind, What: r.what}
		}
	}
	return o, nil
}

// An Outer is what ParseOuter finds: Kind says which of the two it is.
type Outer struct {
	Kind      PayloadType // PayloadEncrypted, PayloadFragment, or NoNext
	Encrypted Encrypted
	Fragment  Fragment
}

// ParseInner decodes the chain that was inside an Encrypted payload or inside reassembled
// fragments, its padding removed. Another encrypted payload in there is an error.
func ParseInner(first PayloadType, plain []byte) (*Payloads, error) {
	return parse(chain{next: first, b: plain}, true)
}

func parse(c chain, inner bool) (*Payloads, error) {
	counts, err := survey(c, inner)
	if err != nil {
		return nil, err
	}
	d := new(decoded)
	d.reserve(&counts)
	for c.next != NoNext {
		p := c.step() // the survey has seen that every step is good
		r := reader{b: c.b[p.start:p.end:p.end]}
		d.decode(p, &r)
		if len(r.b) > 0 {
			r.fail("octets left over")
		}
		if r.failed() {
			return nil, &SyntaxError{Payload: p.kind, What: r.what}
		}
	}
	return &d.Payloads, nil
}

// A chain walks over generic payload headers, section 3.2.
type chain struct {
	next PayloadType
	b    []byte
	at   int
}

// A link is one payload of a chain: its body is b[start:end].
type link struct {
	kind, next PayloadType
	critical   bool
	start, end int
	what       string // the fault that ends the walk
}

func (c *chain) step() link {
	l := link{kind: c.next}
	r := reader{b: c.b[c.at:]}
	l.next = PayloadType(r.u8())
	// Only the first bit means something, the others are reserved and ignored.
	l.critical = r.u8()&0x80 != 0
	length := int(r.u16())
	switch {
	case r.failed():
		l.what = "cut short in the generic header"
	case length < genericLen:
		l.what = "length smaller than the generic header"
	case length > len(c.b)-c.at:
		l.what = "length beyond the end of the message"
	default:
		l.start, l.end = c.at+genericLen, c.at+length
		c.at = l.end
	}
	c.next = l.next
	if l.kind.closed() {
		// What an encrypted payload announces stands inside it; it is the last one, section 3.14.
		c.next = NoNext
	}
	return l
}

// closed reports whether a payload of this type hides the rest of the message in itself.
func (t PayloadType) closed() bool { return t == PayloadEncrypted || t == PayloadFragment }

// known reports whether this package decodes payloads of type t.
func (t PayloadType) known() bool {
	return t >= PayloadSA && t <= PayloadEAP || t == PayloadFragment
}

// repeats counts the payloads that may stand in a message more than once.
type repeats struct{ certs, certReqs, notifies, deletes, vendors int }

// survey walks over the whole chain without decoding any body: lengths, order, repetition, the
// critical bit. It costs no allocation, so that a hostile chain costs nothing either.
func survey(c chain, inner bool) (counts repeats, err error) {
	var seen uint32
	for n := 0; c.next != NoNext; n++ {
		if n == maxPayloads {
			return counts, &SyntaxError{What: "more than 128 payloads"}
		}
		l := c.step()
		if l.what != "" {
			return counts, &SyntaxError{Payload: l.kind, What: l.what}
		}
		if !l.kind.known() {
			if l.critical {
				return counts, &CriticalError{Type: l.kind}
			}
			continue
		}
		// The critical bit of a known payload is ignored, section 2.5.
		bit := uint32(1) << (l.kind - PayloadSA)
		if bit&once&seen != 0 {
			return counts, &SyntaxError{Payload: l.kind, What: "there twice"}
		}
		seen |= bit
		if inner && l.kind.closed() {
			return counts, &SyntaxError{Payload: l.kind, What: "inside an encrypted payload"}
		}
		counts.add(l.kind)
	}
	if c.at != len(c.b) {
		return counts, &SyntaxError{What: "octets after the last payload"}
	}
	return counts, nil
}

func (c *repeats) add(t PayloadType) {
	switch t {
	case PayloadCert:
		c.certs++
	case PayloadCertReq:
		c.certReqs++
	case PayloadNotify:
		c.notifies++
	case PayloadDelete:
		c.deletes++
	case PayloadVendorID:
		c.vendors++
	}
}

// decoded keeps the payloads that stand once beside the Payloads that point to them, so that a
// message costs one allocation and not one for each payload.
type decoded struct {
	Payloads
	sa        SA
	ke        KE
	idi, idr  ID
	auth      Auth
	tsi, tsr  TS
	cp        CP
	eap       EAP
	encrypted Encrypted
	fragment  Fragment
}

// reserve makes room for all payloads that repeat, exactly as many as the survey counted.
func (d *decoded) reserve(n *repeats) {
	d.Certs = room[Cert](n.certs)
	d.CertReqs = room[CertReq](n.certReqs)
	d.Notifies = room[Notify](n.notifies)
	d.Deletes = room[Delete](n.deletes)
	d.Vendors = room[VendorID](n.vendors)
}

func room[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, 0, n)
}

// extend appends a zero value in place and returns it.
func extend[T any](s *[]T) *T {
	*s = append(*s, *new(T))
	return &(*s)[len(*s)-1]
}

func (d *decoded) decode(l link, r *reader) {
	switch l.kind {
	case PayloadSA:
		d.SA = &d.sa
		d.sa.decode(r)
	case PayloadKE:
		d.KE = &d.ke
		d.ke.decode(r)
	case PayloadIDi:
		d.IDi = &d.idi
		d.idi.decode(r)
	case PayloadIDr:
		d.IDr = &d.idr
		d.idr.Responder = true
		d.idr.decode(r)
	case PayloadCert:
		extend(&d.Certs).decode(r)
	case PayloadCertReq:
		extend(&d.CertReqs).decode(r)
	case PayloadAuth:
		d.Auth = &d.auth
		d.auth.decode(r)
	case PayloadNonce:
		var n Nonce
		n.decode(r)
		d.Nonce = n.Data
	case PayloadNotify:
		extend(&d.Notifies).decode(r)
	case PayloadDelete:
		extend(&d.Deletes).decode(r)
	case PayloadVendorID:
		extend(&d.Vendors).decode(r)
	case PayloadTSi:
		d.TSi = &d.tsi
		d.tsi.decode(r)
	case PayloadTSr:
		d.TSr = &d.tsr
		d.tsr.Responder = true
		d.tsr.decode(r)
	case PayloadEncrypted:
		d.Encrypted = &d.encrypted
		d.encrypted.decode(l, r)
	case PayloadCP:
		d.CP = &d.cp
		d.cp.decode(r)
	case PayloadEAP:
		d.EAP = &d.eap
		d.eap.decode(r)
	case PayloadFragment:
		d.Fragment = &d.fragment
		d.fragment.decode(l, r)
	default:
		// Unknown and not critical: skipped, section 2.5. The survey has refused the critical ones.
		d.Skipped++
		r.rest()
	}
}
