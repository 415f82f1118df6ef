package suite

import (
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"

	"flexvpn/secret"
)

// PrivateKE is one key exchange of ours: it lives from our KE payload to the peer's.
type PrivateKE struct {
	group  uint16
	public []byte
	agree  func(peer []byte) ([]byte, error) // holds the private value, where nothing prints it
}

// NewKE makes the private and public value for a group, RFC 7296 section 1.2.
func NewKE(group uint16) (*PrivateKE, error) {
	row := findGroup(group)
	if row == nil {
		return nil, fmt.Errorf("key exchange %s is unknown", GroupName(group))
	}
	public, agree, err := row.method.generate()
	if err != nil {
		return nil, fmt.Errorf("make a key for group %s: %w", row.name, err)
	}
	return &PrivateKE{group: group, public: public, agree: agree}, nil
}

// Group is the number of the key exchange method.
func (k *PrivateKE) Group() uint16 { return k.group }

// Public is the data of our KE payload. The caller must not change it.
func (k *PrivateKE) Public() []byte { return k.public }

// Shared combines our private value with the data of the peer's KE payload. The peer's value is
// checked as RFC 6989 section 2 asks, before anything depends on it.
func (k *PrivateKE) Shared(peer []byte) (secret.Bytes, error) {
	if want := len(k.public); len(peer) != want {
		return secret.Bytes{}, fmt.Errorf("the peer's public value for group %s has %d octets, %d are right", GroupName(k.group), len(peer), want)
	}
	shared, err := k.agree(peer)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("the peer's public value for group %s is bad: %w", GroupName(k.group), err)
	}
	return secret.New(shared), nil
}

// A method is the mathematics of a group. What agree takes has the length of public.
type method interface {
	generate() (public []byte, agree func(peer []byte) ([]byte, error), err error)
}

// The exponents of MODP groups have twice the higher estimate of their group's strength, RFC 3526
// section 8: longer ones cost time and gain nothing. Group 2 is in no table of estimates.
var (
	modp1024 = modp{prime1024, 224}
	modp1536 = modp{prime1536, 240}
	modp2048 = modp{prime2048, 320}
	modp3072 = modp{prime3072, 424}
	modp4096 = modp{prime4096, 480}
	ecp256   = ecp{ecdh.P256()}
	ecp384   = ecp{ecdh.P384()}
	ecp521   = ecp{ecdh.P521()}
	x25519   = montgomery{}
)

// modp is a MODP group with generator 2, RFC 2409 and RFC 3526. math/big does not run in constant time; the
// exponent serves one exchange only, so that a measurement cannot be repeated.
type modp struct {
	p    *big.Int
	bits int // of the private exponent
}

var one, two = big.NewInt(1), big.NewInt(2)

func (m modp) generate() ([]byte, func([]byte) ([]byte, error), error) {
	octets := make([]byte, m.bits/8)
	_, _ = rand.Read(octets) // cannot fail: crypto/rand stops the program rather
	x := new(big.Int).SetBytes(octets)
	agree := func(peer []byte) ([]byte, error) { return m.shared(x, peer) }
	return m.pad(new(big.Int).Exp(two, x, m.p)), agree, nil
}

func (m modp) shared(x *big.Int, peer []byte) ([]byte, error) {
	y := new(big.Int).SetBytes(peer)
	// RFC 6989 section 2.1: 1 < y < p-1. The primes are safe primes: there is nothing else to check.
	if y.Cmp(one) <= 0 || y.Cmp(new(big.Int).Sub(m.p, one)) >= 0 {
		return nil, errors.New("it is not between 1 and p-1")
	}
	return m.pad(y.Exp(y, x, m.p)), nil
}

// pad gives values the length of the prime (RFC 7296 sections 2.14 and 3.4).
func (m modp) pad(v *big.Int) []byte { return v.FillBytes(make([]byte, (m.p.BitLen()+7)/8)) }

// ecp is a random ECP group, RFC 5903: public values are x|y without the octet 4 that stands before
// them elsewhere, the shared secret is the x coordinate (section 7).
type ecp struct{ curve ecdh.Curve }

const uncompressed = 4

func (e ecp) generate() ([]byte, func([]byte) ([]byte, error), error) {
	key, err := e.curve.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	public, agree := e.use(key)
	return public, agree, nil
}

func (e ecp) use(key *ecdh.PrivateKey) (public []byte, agree func([]byte) ([]byte, error)) {
	agree = func(peer []byte) ([]byte, error) {
		return agreed(key, append([]byte{uncompressed}, peer...))
	}
	return key.PublicKey().Bytes()[1:], agree
}

// montgomery is X25519, RFC 8031.
type montgomery struct{}

func (montgomery) generate() ([]byte, func([]byte) ([]byte, error), error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	return key.PublicKey().Bytes(), func(peer []byte) ([]byte, error) { return agreed(key, peer) }, nil
}

// agreed leaves the checks to crypto/ecdh: a point must be on its curve, X25519 must not give zero
// (RFC 8031 section 3).
func agreed(key *ecdh.PrivateKey, point []byte) ([]byte, error) {
	peer, err := key.Curve().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	return key.ECDH(peer)
}
