package wire

import "fmt"

// Nonce is the Nonce payload, section 3.9: 16 to 256 octets.
type Nonce struct{ Data []byte }

// Kind returns PayloadNonce.
func (Nonce) Kind() PayloadType { return PayloadNonce }

func (n *Nonce) decode(r *reader) {
	n.Data = r.rest()
	if len(n.Data) < 16 || len(n.Data) > 256 {
		r.fail("not 16 to 256 octets long")
	}
}

func (n Nonce) appendTo(b []byte) []byte { return append(b, n.Data...) }

func (n Nonce) String() string { return fmt.Sprintf("%d octets", len(n.Data)) }
