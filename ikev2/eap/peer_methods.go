package eap

import (
	"crypto/md5" //nolint:gosec // the method is defined over it
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"flexvpn/secret"
)

// peerMD5 is MD5-Challenge, RFC 3748 section 5.4: CHAP. It makes no key.
type peerMD5 struct{ answered bool }

func (m *peerMD5) answer(p *Peer, q Packet) ([]byte, error) {
	challenge, _, err := valueOf(q.Data)
	if err != nil {
		return nil, err
	}
	m.answered = true
	return append([]byte{md5.Size}, md5Response(q.ID, p.login.Password, challenge)...), nil
}

func (m *peerMD5) key() (secret.Bytes, bool) { return secret.Bytes{}, m.answered }

// valueOf is the value of a challenge or response, which begins with its size, and what follows it.
func valueOf(data []byte) (value, rest []byte, err error) {
	if len(data) < 1 || data[0] == 0 || len(data) < 1+int(data[0]) {
		return nil, nil, errShort
	}
	n := 1 + int(data[0])
	return data[1:n], data[n:], nil
}

// md5Response is RFC 1994 section 4.1.
func md5Response(id byte, password secret.Bytes, challenge []byte) []byte {
	h := md5.New() //nolint:gosec // see the import
	_, _ = h.Write([]byte{id})
	_, _ = h.Write(password.Reveal())
	_, _ = h.Write(challenge)
	return h.Sum(nil)
}

// peerGTC is the Generic Token Card, RFC 3748 section 5.6: the password as it is, to a hub that has
// proven itself, under the IKE SA. It makes no key.
type peerGTC struct{ answered bool }

func (m *peerGTC) answer(p *Peer, _ Packet) ([]byte, error) {
	if m.answered { // a second question is for another password, which this end does not have
		return nil, errors.New("the hub asks again: the password was wrong, or it wants a second one")
	}
	m.answered = true
	return p.login.Password.Reveal(), nil
}

func (m *peerGTC) key() (secret.Bytes, bool) { return secret.Bytes{}, m.answered }

// The operations of EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2 section 2).
const (
	opChallenge = 1
	opResponse  = 2
	opSuccess   = 3
	opFailure   = 4
)

// mschapHeader is operation, identifier and length.
const mschapHeader = 4

// mschapPacket is an MSCHAPv2 packet inside EAP, whose length is that of the rest.
func mschapPacket(op, id byte, body []byte) []byte {
	n := mschapHeader + len(body)
	return append([]byte{op, id, byte(n >> 8), byte(n)}, body...)
}

func parseMSCHAP(data []byte) (op, id byte, body []byte, err error) {
	if len(data) < mschapHeader || int(data[2])<<8|int(data[3]) != len(data) {
		return 0, 0, nil, errors.New("its length is wrong")
	}
	return data[0], data[1], data[mschapHeader:], nil
}

// peerMSCHAP is EAP-MSCHAPv2: both ends prove that they know the password.
type peerMSCHAP struct {
	expected string // the server's proof
	msk      secret.Bytes
	proven   bool
	failure  string // why the server refused
}

func (m *peerMSCHAP) answer(p *Peer, q Packet) ([]byte, error) {
	op, id, body, err := parseMSCHAP(q.Data)
	if err != nil {
		return nil, err
	}
	switch {
	case op == opChallenge && m.expected == "":
		return m.respond(p, id, body)
	case op == opSuccess && m.expected != "":
		proof, _, _ := strings.Cut(string(body), " ")
		if subtle.ConstantTimeCompare([]byte(proof), []byte(m.expected)) != 1 {
			return nil, errors.New("the hub does not know the password: it gave a wrong proof of it")
		}
		m.proven = true
		return []byte{opSuccess}, nil
	case op == opFailure && m.expected != "":
		m.failure = explainMSCHAP(body)
		return []byte{opFailure}, nil
	}
	return nil, fmt.Errorf("operation %d has no place here", op)
}

func (m *peerMSCHAP) respond(p *Peer, id byte, body []byte) ([]byte, error) {
	server, _, err := valueOf(body)
	if err != nil || len(server) != challengeLen {
		return nil, errors.New("the challenge has a wrong length")
	}
	own := make([]byte, challengeLen)
	_, _ = rand.Read(own)
	hash := NTHash(p.login.Password)
	defer hash.Wipe()
	challenge := challengeHash(own, server, p.Username())
	response := ntResponse(hash, challenge)
	m.expected = authenticatorResponse(hash, response, challenge)
	m.msk = mschapKey(hash, response)
	return mschapPacket(opResponse, id, mschapResponse(own, response, p.Username())), nil
}

// mschapResponse is the body of a response: a value of 49 octets and the name.
func mschapResponse(peerChallenge, response []byte, name string) []byte {
	b := append([]byte{challengeLen + 8 + ntRespLen + 1}, peerChallenge...)
	b = append(b, make([]byte, 8)...)
	b = append(append(b, response...), 0)
	return append(b, name...)
}

func (m *peerMSCHAP) key() (secret.Bytes, bool) { return m.msk, m.proven }

// explainMSCHAP reads "E=691 R=0 C=… V=3 M=…" (RFC 2759 section 6).
func explainMSCHAP(body []byte) string {
	text := printable(body)
	for code, why := range map[string]string{
		"646": "the account may not log in at this time", "647": "the account is disabled", "648": "the password has expired",
		"649": "the account may not dial in", "691": "user name or password is wrong", "709": "the password could not be changed",
	} {
		if strings.Contains(text, "E="+code) {
			return why
		}
	}
	return "it says " + text
}
