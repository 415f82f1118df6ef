package suite

import (
	"strconv"
	"strings"
)

// EncrName names an encryption transform without its key size: "AES-GCM".
func EncrName(id uint16) string {
	for i := range ciphers {
		if ciphers[i].ID == id {
			return ciphers[i].name
		}
	}
	return number("ENCR", id)
}

// PRFName names a pseudo-random function by its hash: "SHA384".
func PRFName(id uint16) string {
	if row := findPRF(id); row != nil {
		return row.name
	}
	return number("PRF", id)
}

// IntegName names an integrity transform by its hash; none (an AEAD cipher) is empty.
func IntegName(id uint16) string {
	if id == none {
		return ""
	}
	if row := findInteg(id); row != nil {
		return row.name
	}
	return number("INTEG", id)
}

// GroupName names a key exchange method as the configuration does: "x25519"; none is empty.
func GroupName(id uint16) string {
	if id == none {
		return ""
	}
	if row := findGroup(id); row != nil {
		return row.name
	}
	return number("KE", id)
}

// number names what the tables do not have, so that an operator can look it up at IANA.
func number(kind string, id uint16) string { return kind + "-" + strconv.Itoa(int(id)) }

func cipherText(c Cipher) string {
	if c.KeyBits == 0 {
		return EncrName(c.ID)
	}
	return EncrName(c.ID) + "-" + strconv.Itoa(int(c.KeyBits))
}

// String is the suite in one word: "AES-GCM-256/SHA384/x25519".
func (s IKE) String() string {
	return words(cipherText(Cipher{s.Encr, s.KeyBits}), PRFName(s.PRF), IntegName(s.Integ), GroupName(s.Group))
}

// String is the suite in one word: "AES-CBC-256/SHA256/ESN".
func (s ESP) String() string {
	esn := ""
	if s.ESN {
		esn = "ESN"
	}
	return words(cipherText(Cipher{s.Encr, s.KeyBits}), IntegName(s.Integ), GroupName(s.Group), esn)
}

func words(all ...string) string {
	var b strings.Builder
	for _, w := range all {
		if w != "" && b.Len() > 0 {
			b.WriteByte('/')
		}
		b.WriteString(w)
	}
	return b.String()
}
