package ikev2

import (
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"flexvpn/ikev2/pki"
	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// The AUTH payload, RFC 7296 section 2.15; what EAP makes of it stands in eap.go.

// body is the body of an identity's ID payload, as it enters AUTH.
func (id Identity) body() []byte {
	b := make([]byte, 0, 4+len(id.Data))
	return append(append(b, byte(id.Type), 0, 0, 0), id.Data...)
}

// signedOctets is what an end signs: its own first message, the other's nonce, its identity.
func (sa *SA) signedOctets(initiator bool, id Identity) suite.Signed {
	hs, k := sa.hs, &sa.cur.keys
	if initiator {
		return suite.SignedOctets(sa.cur.suite, hs.request, hs.nr, k.PI, id.body())
	}
	return suite.SignedOctets(sa.cur.suite, hs.response, hs.ni, k.PR, id.body())
}

// prove makes the AUTH and CERT payloads of this end.
func (sa *SA) prove() (certs []wire.Payload, auth *wire.Auth, err error) {
	cred := sa.p.Credential
	octets := sa.signedOctets(sa.initiator, sa.local)
	sa.localAuth = cred.Kind
	switch cred.Kind {
	case AuthPSK:
		return nil, &wire.Auth{Method: wire.AuthSharedKey, Data: suite.PSKAuth(sa.cur.suite, cred.PSK, octets)}, nil
	case AuthCertificate:
		method, data, err := pki.Sign(cred.Key, sa.hs.hashes, octets.Octets())
		if err != nil {
			return nil, nil, err
		}
		for _, der := range cred.Chain {
			certs = append(certs, &wire.Cert{Encoding: wire.CertX509, Data: der})
		}
		return certs, &wire.Auth{Method: method, Data: data}, nil
	}
	return nil, nil, fmt.Errorf("profile %s has no credential for this end", sa.p.Name)
}

// methodOf is how a peer that signs with this method proves itself.
func methodOf(m wire.AuthMethod) AuthKind {
	switch m {
	case wire.AuthSharedKey:
		return AuthPSK
	case wire.AuthRSA, wire.AuthECDSA256, wire.AuthECDSA384, wire.AuthECDSA521, wire.AuthDigital:
		return AuthCertificate
	}
	return 0
}

var (
	errWrongPSK   = errors.New("the pre-shared keys of both ends differ: compare them, and the keyring entry that was used")
	errNoIdentity = errors.New("no profile matches this identity")
)

// verify checks the peer's AUTH. Whatever is wrong, a pre-shared key costs the same work: with no
// trust at all a random secret takes its place, so that an identity nobody knows looks like a
// wrong secret.
func (sa *SA) verify(now time.Time, trust *Trust, ps *wire.Payloads) error {
	octets := sa.signedOctets(!sa.initiator, sa.remote)
	if trust == nil {
		_ = sa.checkPSK(randomPSK(), ps.Auth.Data, octets)
		return errNoIdentity
	}
	method := methodOf(ps.Auth.Method)
	if method != trust.Kind {
		_ = sa.checkPSK(randomPSK(), ps.Auth.Data, octets)
		return fmt.Errorf("the peer authenticates with %s, profile %s does not accept that", ps.Auth.Method, sa.p.Name)
	}
	sa.peerAuth = method
	if method == AuthPSK {
		psk := trust.PSK
		if psk.IsEmpty() {
			psk = randomPSK()
		}
		return sa.checkPSK(psk, ps.Auth.Data, octets)
	}
	return sa.checkCertificate(now, trust, ps, octets.Octets())
}

func randomPSK() secret.Bytes {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return secret.New(b)
}

func equalMAC(a, b []byte) bool { return hmac.Equal(a, b) }

func (sa *SA) checkPSK(psk secret.Bytes, got []byte, octets suite.Signed) error {
	if !equalMAC(suite.PSKAuth(sa.cur.suite, psk, octets), got) {
		return errWrongPSK
	}
	return nil
}

func (sa *SA) checkCertificate(now time.Time, trust *Trust, ps *wire.Payloads, octets []byte) error {
	var chain [][]byte
	for _, c := range ps.Certs {
		if c.Encoding == wire.CertX509 {
			chain = append(chain, c.Data)
		}
	}
	leaf, err := pki.Verify(now, chain, trust.Roots, sa.remote.Type, sa.remote.Data)
	if err != nil {
		return err
	}
	return pki.VerifySignature(leaf.PublicKey, ps.Auth.Method, ps.Auth.Data, octets, false)
}
