package planetest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"hash"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"flexvpn/dataplane"
)

// End is the far end of a child: plain ESP after RFC 4303, 4106, 7634, 3602 and 4868, written for
// reading, with every value in the caller's hand. It shares no code with a plane.
type End struct {
	Child *dataplane.Child // of the plane under test: its "in" is this end's "out"
	Seq   uint64           // last sent
}

// Options change what Seal makes; the zero value is an ordinary packet.
type Options struct {
	Seq      uint64 // 0: the next
	Pad      int    // octets of padding beyond what alignment needs, a multiple of it
	TFC      int    // octets between the inner packet and the padding: RFC 4303 section 2.7
	BreakICV bool
}

// Seal makes the ESP packet that carries payload to the plane.
func (e *End) Seal(payload []byte, next uint8, o Options) []byte {
	c := e.Child
	seq := o.Seq
	if seq == 0 {
		e.Seq++
		seq = e.Seq
	}
	align := 4
	if c.Encr == 12 {
		align = aes.BlockSize
	}
	body := append(slices.Clone(payload), make([]byte, o.TFC)...)
	pad := (align-(len(body)+2)%align)%align + o.Pad
	for i := range pad {
		body = append(body, byte(i+1))
	}
	body = append(body, byte(pad), next)
	header := binary.BigEndian.AppendUint32(nil, c.SPIIn)
	header = binary.BigEndian.AppendUint32(header, uint32(seq))
	var packet []byte
	if c.Encr == 12 {
		iv := sha256.Sum256(binary.BigEndian.AppendUint64(nil, seq))
		packet = append(header, iv[:aes.BlockSize]...)
		cipher.NewCBCEncrypter(block(c.KeyIn.Reveal()), iv[:aes.BlockSize]).CryptBlocks(body, body)
		packet = append(packet, body...)
		packet = append(packet, icv(c, c.IntegIn.Reveal(), packet, seq)...)
	} else {
		key, salt := split(c.KeyIn.Reveal())
		iv := binary.BigEndian.AppendUint64(nil, ^seq)
		packet = append(slices.Clone(header), iv...)
		packet = append(packet, aead(c, key).Seal(nil, append(salt, iv...), body, additional(c, header, seq))...)
	}
	if o.BreakICV {
		packet[len(packet)-1] ^= 1
	}
	return packet
}

// Opened is what an ESP packet of the plane's holds.
type Opened struct {
	SPI     uint32
	Seq     uint32
	Payload []byte // without padding
	Next    uint8
}

// Open verifies an ESP packet that the plane sent; high is the upper half of its sequence number.
func (e *End) Open(packet []byte, high uint32) (Opened, error) {
	c := e.Child
	if len(packet) < 8 {
		return Opened{}, errors.New("shorter than an ESP header")
	}
	o := Opened{SPI: binary.BigEndian.Uint32(packet), Seq: binary.BigEndian.Uint32(packet[4:])}
	seq := uint64(high)<<32 | uint64(o.Seq)
	var plain []byte
	if c.Encr == 12 {
		n := len(packet) - len(icv(c, c.IntegOut.Reveal(), nil, 0))
		if n < 8+2*aes.BlockSize || n%aes.BlockSize != 8 {
			return o, errors.New("no whole blocks")
		}
		if !hmac.Equal(packet[n:], icv(c, c.IntegOut.Reveal(), packet[:n], seq)) {
			return o, errors.New("wrong ICV")
		}
		plain = slices.Clone(packet[8+aes.BlockSize : n])
		cipher.NewCBCDecrypter(block(c.KeyOut.Reveal()), packet[8:8+aes.BlockSize]).CryptBlocks(plain, plain)
	} else {
		key, salt := split(c.KeyOut.Reveal())
		var err error
		plain, err = aead(c, key).Open(nil, append(salt, packet[8:16]...), packet[16:], additional(c, packet[:8], seq))
		if err != nil {
			return o, err
		}
		if len(plain)%4 != 0 {
			return o, errors.New("the trailer is not aligned to 4 octets")
		}
	}
	pad := int(plain[len(plain)-2])
	o.Next, o.Payload = plain[len(plain)-1], plain[:len(plain)-2-pad]
	for i, b := range plain[len(o.Payload) : len(plain)-2] {
		if int(b) != i+1 {
			return o, errors.New("padding is not 1, 2, 3, …")
		}
	}
	return o, nil
}

func split(key []byte) (cipherKey, salt []byte) {
	n := len(key) - 4
	return key[:n:n], slices.Clone(key[n:])
}

func block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	return b
}

func aead(c *dataplane.Child, key []byte) cipher.AEAD {
	var a cipher.AEAD
	var err error
	if c.Encr == 28 {
		a, err = chacha20poly1305.New(key)
	} else {
		a, err = cipher.NewGCM(block(key))
	}
	if err != nil {
		panic(err)
	}
	return a
}

func additional(c *dataplane.Child, header []byte, seq uint64) []byte {
	if c.ESN {
		return binary.BigEndian.AppendUint64(slices.Clone(header[:4]), seq)
	}
	return header
}

func icv(c *dataplane.Child, key, signed []byte, seq uint64) []byte {
	kinds := map[uint16]struct {
		hash func() hash.Hash
		size int
	}{2: {sha1.New, 12}, 12: {sha256.New, 16}, 13: {sha512.New384, 24}, 14: {sha512.New, 32}}
	k := kinds[c.Integ]
	m := hmac.New(k.hash, key)
	m.Write(signed)
	if c.ESN {
		m.Write(binary.BigEndian.AppendUint32(nil, uint32(seq>>32)))
	}
	return m.Sum(nil)[:k.size]
}
