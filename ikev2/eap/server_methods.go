package eap

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"flexvpn/secret"
)

type serverMD5 struct{ challenge []byte }

func (m *serverMD5) begin(s *Server) []byte {
	s.method = m
	m.challenge = newChallenge()
	return append(append([]byte{challengeLen}, m.challenge...), s.c.Name...)
}

func (m *serverMD5) answer(s *Server, data []byte) ([]byte, error) {
	got, _, err := valueOf(data)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(got, md5Response(s.id, s.account.Password, m.challenge)) != 1 {
		return nil, s.wrong()
	}
	return nil, nil
}

func (*serverMD5) key() secret.Bytes { return secret.Bytes{} }

type serverGTC struct{}

func (m *serverGTC) begin(s *Server) []byte {
	s.method = m
	return []byte("Password: ")
}

func (*serverGTC) answer(s *Server, data []byte) ([]byte, error) {
	password, a := secret.New(append([]byte(nil), data...)), s.account
	defer password.Wipe()
	good := false
	switch {
	case a.Check != nil:
		good = a.Check(password)
	case !a.Password.IsEmpty():
		good = password.Equal(a.Password)
	default:
		good = NTHash(password).Equal(a.NTHash)
	}
	if !good {
		return nil, s.wrong()
	}
	return nil, nil
}

func (*serverGTC) key() secret.Bytes { return secret.Bytes{} }

// serverMSCHAP is EAP-MSCHAPv2: challenge, response, the server's own proof, its acknowledgement.
type serverMSCHAP struct {
	challenge []byte
	msk       secret.Bytes
	judged    bool
	refused   error
}

func (m *serverMSCHAP) begin(s *Server) []byte {
	s.method = m
	m.challenge = newChallenge()
	body := append([]byte{challengeLen}, m.challenge...)
	return mschapPacket(opChallenge, s.id+1, append(body, s.c.Name...))
}

func (m *serverMSCHAP) answer(s *Server, data []byte) ([]byte, error) {
	switch {
	case !m.judged:
		return m.judge(s, data)
	case m.refused != nil: // whatever it says to that
		return nil, m.refused
	case len(data) == 1 && data[0] == opSuccess:
		return nil, nil
	}
	return nil, errors.New("the peer does not accept this server's proof of the password")
}

func (m *serverMSCHAP) judge(s *Server, data []byte) ([]byte, error) {
	op, id, body, err := parseMSCHAP(data)
	if err != nil {
		return nil, err
	}
	value, name, err := valueOf(body)
	if op != opResponse || id != s.id || err != nil || len(value) != challengeLen+8+ntRespLen+1 {
		return nil, errors.New("the peer's MSCHAPv2 response is malformed")
	}
	m.judged = true
	peer, got := value[:challengeLen], value[challengeLen+8:challengeLen+8+ntRespLen]
	hash := s.account.ntHash()
	challenge := challengeHash(peer, m.challenge, string(name))
	want := ntResponse(hash, challenge)
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return m.refuse(s, s.wrong()), nil
	}
	if string(name) != s.name { // else one user could log in as another
		return m.refuse(s, fmt.Errorf("the peer says it is %q inside MSCHAPv2: its EAP identity has to be the same", printable(name))), nil
	}
	m.msk = mschapKey(hash, want)
	return mschapPacket(opSuccess, s.id, []byte(authenticatorResponse(hash, want, challenge)+" M=OK")), nil
}

// refuse says no without a second try, as RFC 2759 section 6 spells it; the EAP failure follows the
// peer's acknowledgement.
func (m *serverMSCHAP) refuse(s *Server, err error) []byte {
	m.refused = err
	text := fmt.Sprintf("E=691 R=0 C=%X V=3 M=Authentication failed", newChallenge())
	return mschapPacket(opFailure, s.id, []byte(text))
}

func (m *serverMSCHAP) key() secret.Bytes { return m.msk }
