// Package profile turns configured IKEv2 profiles into the engine's policies: it matches a claimed
// identity to a profile, finds the keyring entry, and prepares proposals and credentials once, so
// that a session only points at them.
package profile

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"flexvpn/config"
	"flexvpn/ikev2"
	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// A Profile is one IKEv2 profile, ready for use. It is immutable.
type Profile struct {
	Config *config.Profile
	base   ikev2.Policy
	local  *ikev2.Identity // nil: the local address of each path
	keys   []key           // most specific first; empty without a keyring
}

// A key is one keyring entry with the policy that uses it. Policies are made once per entry, so
// that ten thousand sessions share them.
type key struct {
	peer   config.KeyringPeer
	policy *ikev2.Policy
}

// New prepares the profile p of cfg.
func New(cfg *config.Config, p *config.Profile) (*Profile, error) {
	ike, err := proposals(p.Proposals, false)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", p.Name, err)
	}
	esp, err := proposals(p.IPsec, true)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", p.Name, err)
	}
	out := &Profile{Config: p}
	out.base = ikev2.Policy{
		Name:             p.Name,
		IKE:              ike,
		ESP:              esp,
		IKELife:          p.IKELifetime,
		ChildLife:        p.Lifetime.Time,
		ReplayWindow:     cfg.IPsec.ReplayWindow,
		Liveness:         livenessMode(p.DPD.Mode),
		LivenessInterval: p.DPD.Interval,
		LivenessRetry:    p.DPD.Retry,
		NATKeepalive:     cfg.IKEv2.NATKeepalive,
		FragmentSize:     cfg.IKEv2.FragmentSize,
		MOBIKE:           p.Mobility.Enabled,
		UncheckedMoves:   !p.Mobility.Check,
		MoveTo:           p.Mobility.MoveTo,
		NoNATs:           !p.Mobility.NAT,
		EAPLife:          p.EAP.Timeout,
	}
	if err := out.localIdentity(p); err != nil {
		return nil, err
	}
	if out.local != nil {
		out.base.Local = *out.local
	}
	out.credentials(p)
	if p.Keyring != nil {
		out.keys = keysOf(p, &out.base)
	}
	return out, nil
}

// Proposals resolves configured proposal names to numbers; esp selects the Child SA registry.
func Proposals(list []config.Proposal, esp bool) ([]suite.Proposal, error) {
	return proposals(list, esp)
}

// CheckProposal says what is wrong with the names in p. It is what config asks for a check.
func CheckProposal(p config.Proposal, esp bool) []error {
	_, errs := parse(p, esp)
	return errs
}

func parse(p config.Proposal, esp bool) (suite.Proposal, []error) {
	return suite.ParseProposal(p.Name, p.Encryption, p.PRF, p.Integrity, p.Groups, p.ESN, esp)
}

func proposals(list []config.Proposal, esp bool) ([]suite.Proposal, error) {
	if len(list) == 0 {
		if esp {
			return suite.DefaultESP(), nil
		}
		return suite.DefaultIKE(), nil
	}
	var out []suite.Proposal
	for _, p := range list {
		parsed, errs := parse(p, esp)
		if len(errs) > 0 {
			return nil, fmt.Errorf("proposal %s: %w", p.Name, errors.Join(errs...))
		}
		out = append(out, parsed)
	}
	return out, nil
}

func livenessMode(mode string) ikev2.LivenessMode {
	switch mode {
	case "periodic":
		return ikev2.LivenessPeriodic
	case "off":
		return ikev2.LivenessOff
	}
	return ikev2.LivenessOnDemand
}

func (p *Profile) localIdentity(c *config.Profile) error {
	if c.Identity == nil {
		if c.Local != config.AuthCertificate {
			return nil
		}
		leaf, err := x509.ParseCertificate(c.Certificate.Chain[0])
		if err != nil {
			return fmt.Errorf("profile %s: certificate: %w", c.Name, err)
		}
		p.local = &ikev2.Identity{Type: wire.IDDN, Data: string(leaf.RawSubject)}
		return nil
	}
	id, err := identity(*c.Identity)
	if err != nil {
		return fmt.Errorf("profile %s: identity: %w", c.Name, err)
	}
	p.local = &id
	return nil
}

func (p *Profile) credentials(c *config.Profile) {
	if c.Local == config.AuthCertificate {
		p.base.Credential = ikev2.Credential{Kind: ikev2.AuthCertificate, Key: c.Certificate.Key, Chain: c.Certificate.Chain}
	}
	if c.Local == config.AuthEAP {
		p.base.Credential = ikev2.Credential{Kind: ikev2.AuthEAP}
	}
	if c.Remote == config.AuthEAP {
		p.base.Trust = ikev2.Trust{Kind: ikev2.AuthEAP}
	}
	if c.Remote == config.AuthCertificate {
		p.base.Trust = ikev2.Trust{Kind: ikev2.AuthCertificate, Roots: c.Certificate.Roots, RootSubjectKeys: c.Certificate.RootSubjectKeys}
	}
}

// keysOf makes a policy per keyring entry, the most specific entry first: an identity before an
// address, a longer prefix before a shorter one, the file's order last.
func keysOf(c *config.Profile, base *ikev2.Policy) []key {
	var out []key
	for _, peer := range c.Keyring.Peers {
		pol := *base
		if c.Local == config.AuthPSK {
			pol.Credential = ikev2.Credential{Kind: ikev2.AuthPSK, PSK: peer.Local}
		}
		if c.Remote == config.AuthPSK {
			pol.Trust = ikev2.Trust{Kind: ikev2.AuthPSK, PSK: peer.Remote}
		}
		out = append(out, key{peer: peer, policy: &pol})
	}
	slices.SortStableFunc(out, func(a, b key) int {
		return cmp.Compare(specificity(b.peer), specificity(a.peer))
	})
	return out
}

func specificity(p config.KeyringPeer) int {
	n := 0
	if p.Identity != nil {
		n = 1000
		if strings.HasSuffix(string(p.Identity.Kind), "-domain") || p.Identity.Kind == config.MatchAny {
			n = 500
		}
	}
	if p.Address.IsValid() {
		n += p.Address.Bits()
	}
	return n
}

// Policy is the policy for a peer that claims remote and comes from addr; local is this end's
// address, which is its identity when the profile names none. The error says which key is missing.
func (p *Profile) Policy(remote ikev2.Identity, addr, local netip.Addr) (*ikev2.Policy, error) {
	pol := &p.base
	if p.Config.Keyring != nil {
		k := p.findKey(remote, addr)
		if k == nil {
			return nil, fmt.Errorf("keyring %s has no key for %s at %s: add a peer entry or check the identity",
				p.Config.Keyring.Name, IdentityText(remote), addr)
		}
		pol = k.policy
	}
	if p.local != nil {
		return pol, nil
	}
	own := *pol
	own.Local = AddressIdentity(local)
	return &own, nil
}

// PolicyWithKeys is the policy for one peer whose keys somebody else has found; local is this end's
// address.
func (p *Profile) PolicyWithKeys(own, peers secret.Bytes, local netip.Addr) (*ikev2.Policy, error) {
	pol := p.base
	if p.Config.Local == config.AuthPSK {
		if own.IsEmpty() {
			return nil, errors.New("there is no pre-shared key for this end")
		}
		pol.Credential = ikev2.Credential{Kind: ikev2.AuthPSK, PSK: own}
	}
	if p.Config.Remote == config.AuthPSK {
		if peers.IsEmpty() {
			return nil, errors.New("there is no pre-shared key for the peer")
		}
		pol.Trust = ikev2.Trust{Kind: ikev2.AuthPSK, PSK: peers}
	}
	if p.local == nil {
		pol.Local = AddressIdentity(local)
	}
	return &pol, nil
}

func (p *Profile) findKey(remote ikev2.Identity, addr netip.Addr) *key {
	for i := range p.keys {
		peer := &p.keys[i].peer
		if peer.Identity != nil && !Matches(*peer.Identity, remote) {
			continue
		}
		// 0.0.0.0/0 means any peer, as on IOS: one that comes over IPv6 is a peer too.
		if peer.Address.IsValid() && peer.Address.Bits() > 0 && !peer.Address.Contains(addr.Unmap()) {
			continue
		}
		return &p.keys[i]
	}
	return nil
}

// AddressIdentity is the identity of an end that is known by its address only.
func AddressIdentity(a netip.Addr) ikev2.Identity {
	a = a.Unmap()
	t := wire.IDIPv6
	if a.Is4() {
		t = wire.IDIPv4
	}
	return ikev2.Identity{Type: t, Data: string(a.AsSlice())}
}

func identity(c config.Identity) (ikev2.Identity, error) {
	switch c.Kind {
	case config.IDFQDN:
		return ikev2.Identity{Type: wire.IDFQDN, Data: c.Value}, nil
	case config.IDEmail:
		return ikev2.Identity{Type: wire.IDEmail, Data: c.Value}, nil
	case config.IDKeyID:
		return ikev2.Identity{Type: wire.IDKeyID, Data: c.Value}, nil
	case config.IDAddress:
		a, err := netip.ParseAddr(c.Value)
		if err != nil {
			return ikev2.Identity{}, fmt.Errorf("%q is no address: %w", c.Value, err)
		}
		return AddressIdentity(a), nil
	}
	return ikev2.Identity{}, fmt.Errorf("a local identity cannot be of kind %s: use fqdn, email, address or key-id", c.Kind)
}
