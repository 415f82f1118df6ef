package suite

// DefaultIKE is what IKE SAs offer and accept when nothing is configured, best first: no SHA-1, no
// group under 2048 bits (RFC 8247). The second proposal is for peers without AEAD, such as an
// IOS-XE that has its default proposal: AES-CBC-256, SHA512 or SHA384, group 19, 14 or 21.
func DefaultIKE() []Proposal {
	return []Proposal{
		{
			Name:  "default-aead",
			Encr:  []Cipher{{encrAESGCM, 256}, {encrChaCha20, 0}, {encrAESGCM, 128}},
			PRF:   strongPRFs(),
			Group: strongGroups(),
		},
		{
			Name:  "default-cbc",
			Encr:  []Cipher{{encrAESCBC, 256}, {encrAESCBC, 128}},
			PRF:   strongPRFs(),
			Integ: []uint16{13, 12, 14},
			Group: strongGroups(),
		},
	}
}

// DefaultESP is what Child SAs offer and accept when nothing is configured, best first. It has no
// key exchange: a peer without one would be refused when it rekeys.
func DefaultESP() []Proposal {
	return []Proposal{
		{
			Name: "default-aead",
			Encr: []Cipher{{encrAESGCM, 256}, {encrChaCha20, 0}, {encrAESGCM, 128}},
			ESN:  []uint16{1, 0},
		},
		{
			Name:  "default-cbc",
			Encr:  []Cipher{{encrAESCBC, 256}, {encrAESCBC, 128}},
			Integ: []uint16{12, 13, 14}, // SHA256 first: the cheapest of the strong ones per packet
			ESN:   []uint16{1, 0},
		},
	}
}

func strongPRFs() []uint16   { return []uint16{6, 5, 7} }
func strongGroups() []uint16 { return []uint16{31, 20, 19, 21, 16, 15, 14} }
