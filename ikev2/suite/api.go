package suite

import (
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// PrivateKE is one key exchange of ours.
type PrivateKE struct{ group uint16 }

func (p Proposal) Wire(number uint8, proto wire.ProtocolID, spi []byte) []wire.Proposal {
	panic("BUG: being built")
}

func Offer(ours []Proposal, proto wire.ProtocolID, spi []byte, withKE bool) []wire.Proposal {
	panic("BUG: being built")
}

func ChooseIKE(ours []Proposal, offered []wire.Proposal) (s IKE, reply wire.Proposal, ok bool) {
	panic("BUG: being built")
}

func ChooseESP(ours []Proposal, offered []wire.Proposal, withKE bool) (s ESP, reply wire.Proposal, ok bool) {
	panic("BUG: being built")
}
func AcceptIKE(ours []Proposal, reply []wire.Proposal) (IKE, error) { panic("BUG: being built") }
func AcceptESP(ours []Proposal, reply []wire.Proposal, withKE bool) (ESP, error) {
	panic("BUG: being built")
}
func KnownGroup(g uint16) bool                                { panic("BUG: being built") }
func NewKE(group uint16) (*PrivateKE, error)                  { panic("BUG: being built") }
func (k *PrivateKE) Group() uint16                            { return k.group }
func (k *PrivateKE) Public() []byte                           { panic("BUG: being built") }
func (k *PrivateKE) Shared(peer []byte) (secret.Bytes, error) { panic("BUG: being built") }
func (s IKE) Derive(ni, nr []byte, shared secret.Bytes, spii, spir uint64) IKEKeys {
	panic("BUG: being built")
}

func (s IKE) DeriveRekey(old IKE, oldD secret.Bytes, shared secret.Bytes, ni, nr []byte, spii, spir uint64) IKEKeys {
	panic("BUG: being built")
}
func (s IKE) Sum(key secret.Bytes, data ...[]byte) []byte { panic("BUG: being built") }
func ChildKeys(ike IKE, d secret.Bytes, s ESP, shared secret.Bytes, ni, nr []byte) (encrI, integI, encrR, integR secret.Bytes) {
	panic("BUG: being built")
}
func (s IKE) SealedLen(plain int) int { panic("BUG: being built") }
func (s IKE) Seal(dst []byte, encr, integ secret.Bytes, plain []byte) []byte {
	panic("BUG: being built")
}

func (s IKE) Open(datagram []byte, offset int, encr, integ secret.Bytes) (plain []byte, err error) {
	panic("BUG: being built")
}
func (s IKE) String() string        { panic("BUG: being built") }
func (s ESP) String() string        { panic("BUG: being built") }
func EncrName(id uint16) string     { panic("BUG: being built") }
func PRFName(id uint16) string      { panic("BUG: being built") }
func IntegName(id uint16) string    { panic("BUG: being built") }
func GroupName(group uint16) string { panic("BUG: being built") }
func ParseProposal(name string, encr, prf, integ, groups []string, esn string, forESP bool) (Proposal, []error) {
	panic("BUG: being built")
}
func DefaultIKE() []Proposal                                { panic("BUG: being built") }
func DefaultESP() []Proposal                                { panic("BUG: being built") }
func IsWeak(p Proposal) (reason string, weak bool)          { panic("BUG: being built") }
func PSKAuth(s IKE, psk secret.Bytes, signed []byte) []byte { panic("BUG: being built") }
func SignedOctets(s IKE, message, nonce []byte, skp secret.Bytes, idBody []byte) []byte {
	panic("BUG: being built")
}
