package wire

import "encoding/binary"

// AppendMessage appends a whole message that is not protected. It fills in Next and Length of h.
func AppendMessage(dst []byte, h Header, ps ...Payload) []byte {
	start := len(dst)
	h.Next = NoNext
	if len(ps) > 0 {
		h.Next = ps[0].Kind()
	}
	dst = h.appendTo(dst)
	_, dst = AppendPayloads(dst, ps...)
	binary.BigEndian.PutUint32(dst[start+24:], uint32(len(dst)-start))
	return dst
}

// AppendPayloads appends a chain of payloads with their generic headers, section 3.2: what stands
// inside an Encrypted payload. first is what its generic header announces.
func AppendPayloads(dst []byte, ps ...Payload) (first PayloadType, out []byte) {
	for i, p := range ps {
		next := NoNext
		if i+1 < len(ps) {
			next = ps[i+1].Kind()
		}
		start := len(dst)
		// The critical bit is never set on payloads of RFC 7296, section 2.5.
		dst = append(dst, uint8(next), 0)
		dst = p.appendTo(appendLength(dst))
		patchLength(dst, start, start+2)
	}
	if len(ps) > 0 {
		first = ps[0].Kind()
	}
	return first, dst
}

// AppendEncryptedHeader appends the header of a protected message and the generic header of its
// Encrypted payload, section 3.14, with final lengths: all of it is authenticated data. The caller
// appends the sealed body of sealedLen octets. inner is the first payload inside.
func AppendEncryptedHeader(dst []byte, h Header, inner PayloadType, sealedLen int) []byte {
	h.Next = PayloadEncrypted
	h.Length = uint32(HeaderLen + genericLen + sealedLen)
	return appendGeneric(h.appendTo(dst), inner, sealedLen)
}

// AppendFragmentHeader does the same for one fragment, RFC 7383 section 2.5: up to and with the
// fragment numbers. inner is announced by the first fragment only, whatever the caller gives.
func AppendFragmentHeader(dst []byte, h Header, inner PayloadType, number, total uint16, sealedLen int) []byte {
	if number != 1 {
		inner = NoNext
	}
	h.Next = PayloadFragment
	h.Length = uint32(HeaderLen + genericLen + fragmentLen + sealedLen)
	dst = appendGeneric(h.appendTo(dst), inner, fragmentLen+sealedLen)
	dst = binary.BigEndian.AppendUint16(dst, number)
	return binary.BigEndian.AppendUint16(dst, total)
}

func appendGeneric(b []byte, next PayloadType, bodyLen int) []byte {
	b = append(b, uint8(next), 0)
	return binary.BigEndian.AppendUint16(b, uint16(min(genericLen+bodyLen, 0xffff)))
}
