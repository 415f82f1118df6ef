package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"flexvpn/secret"
)

// rawKeyringPeer mirrors one entry of a keyring.
type rawKeyringPeer struct {
	header
	peer     given[string]
	address  given[netip.Prefix]
	identity given[Identity]
	key      rawKey
}

func (p *rawKeyringPeer) keys() []key {
	return []key{
		{name: "peer", part: named(&p.peer, word), required: true, example: "any", doc: "Name of the entry, for people; `any` is only a name."},
		{name: "address", part: network(&p.address), otherwise: "any address", example: "203.0.113.0/24", doc: "Peers that come from this address or prefix. `0.0.0.0/0` and `::/0` mean any peer, of either family."},
		{name: "identity", part: identityPattern(&p.identity), otherwise: "any identity", example: "{fqdn: spoke1.branch.example.net}", doc: "Peers that have this identity."},
		{name: "pre-shared-key", part: &p.key, required: true, example: "{file: /etc/flexvpn/spokes.psk}", doc: "The key: text in the file itself, `{file: PATH}`, or `{local: KEY, remote: KEY}` with either form for each direction. `0x…` is hexadecimal, `0s…` base64, everything else the octets of the text; a file's last newline does not count. A file must belong to root or the user of the process, and only the owner may read it. Make one with `openssl rand -base64 32`."},
	}
}

// rawKey mirrors pre-shared-key: one key for both directions or one for each.
type rawKey struct {
	at            place
	local, remote rawSecret
}

// rawSecret is a key in the file itself or the name of a file that holds it.
type rawSecret struct {
	at     place
	inline secret.Bytes
	file   string
	ok     bool
}

func (k *rawKey) absent(_ *reader, at place, _ string) { k.at = at }

func (k *rawKey) shape() shape {
	return shape{kind: "key: text, `{file: PATH}`, or `{local: KEY, remote: KEY}`", limits: "1 to 4096 octets"}
}

// read never shows what stands in the file: it may be the key.
func (k *rawKey) read(r *reader, f field) {
	k.at = placeOf(f.node)
	pairs, ok := pairsOf(f.node)
	if !ok || len(pairs) == 1 && keyText(pairs[0]) == "file" {
		k.local.read(r, f)
		k.remote = k.local
		return
	}
	var seen [2]bool
	for _, pair := range pairs {
		at := placeOf(pair.Key)
		i, into := 0, &k.local
		switch keyText(pair) {
		case "local":
		case "remote":
			i, into = 1, &k.remote
		default:
			r.fail(at, "known: file, or local with remote", "unknown key in %s", f.label)
			return
		}
		if seen[i] {
			r.fail(at, "", "key %q is given twice in %s", keyText(pair), f.label)
			return
		}
		seen[i] = true
		into.read(r, field{f.label + " " + keyText(pair), at, pair.Value})
	}
	if !seen[0] || !seen[1] {
		r.fail(k.at, "{local: KEY, remote: KEY}", "%s needs both local and remote", f.label)
	}
}

func keyText(pair *ast.MappingValueNode) string {
	s, _ := scalarText(pair.Key)
	return s
}

func (s *rawSecret) read(r *reader, f field) {
	s.at = placeOf(f.node)
	if text, ok := scalarText(f.node); ok {
		s.inline, s.ok = secret.FromString(text), true
		return
	}
	if pairs, ok := pairsOf(f.node); ok && len(pairs) == 1 && keyText(pairs[0]) == "file" {
		if path, ok := scalarText(pairs[0].Value); ok && path != "" {
			s.at = placeOf(pairs[0].Value)
			s.file, s.ok = path, true
			return
		}
	}
	r.fail(f.at, "", "%s must be text or {file: PATH}", f.label)
}

// maxKey is the most octets a key may have; more is not a key but the wrong file.
const maxKey = 4096

// shortKey is the length below which a key made of text can be guessed from one recorded handshake.
const shortKey = 16

// secretOctets fetches what a secret is made of: from its file, or from the configuration itself if
// that is a secret, too.
func (r *reader) secretOctets(s rawSecret, noun string) ([]byte, bool) {
	switch {
	case !s.ok:
		return nil, false
	case s.file != "":
		text, err := r.secretFile(r.path(s.file))
		if err != nil {
			r.failSecretFile(s.at, s.file, err)
			return nil, false
		}
		return trimNewline(text), true
	case r.exposed != "":
		r.fail(s.at, "chmod 600 "+r.file+", or put it into a file of its own: {file: PATH}", "a %s stands here, and the configuration file %s", noun, r.exposed)
	}
	return s.inline.Reveal(), true
}

// resolveKey fetches and decodes one key.
func (r *reader) resolveKey(s rawSecret) secret.Bytes {
	text, ok := r.secretOctets(s, "pre-shared key")
	if !ok {
		return secret.Bytes{}
	}
	key, err := decodeKey(string(text))
	switch {
	case err != nil:
		r.fail(s.at, "", "pre-shared-key %v", err)
	case len(key) == 0:
		r.fail(s.at, "make one with: openssl rand -base64 32", "the pre-shared key is empty")
	case len(key) > maxKey:
		r.fail(s.at, "is this the right file?", "the pre-shared key has more than %d octets", maxKey)
	case len(key) < shortKey:
		r.warn(s.at, "make one with: openssl rand -base64 32", "the pre-shared key has only %d octets", len(key))
	}
	return secret.New(key)
}

// decodeKey knows the notation of swanctl.conf: 0x… is hexadecimal, 0s… is base64.
func decodeKey(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		b, err := hex.DecodeString(digits)
		if err != nil { // its text would show a digit of the key
			return nil, errors.New("begins with 0x but is not hexadecimal with an even number of digits")
		}
		return b, nil
	}
	if letters, ok := strings.CutPrefix(text, "0s"); ok {
		b, err := base64.StdEncoding.DecodeString(letters)
		if err != nil {
			b, err = base64.RawStdEncoding.DecodeString(letters)
		}
		if err != nil {
			return nil, errors.New("begins with 0s but is not base64")
		}
		return b, nil
	}
	return []byte(text), nil
}

func (r *reader) keyrings(raw []entry[rawKeyring], cfg *Config) map[string]*Keyring {
	out := make(map[string]*Keyring, len(raw))
	for i := range raw {
		k := &Keyring{Name: raw[i].name}
		if raw[i].v.byAAA {
			k.AAA = r.aaaKeys(&raw[i].v.aaa, cfg, "keyring "+k.Name)
		}
		names := map[string]place{}
		matches := map[string]string{}
		for j := range raw[i].v.peers {
			p := &raw[i].v.peers[j]
			made := KeyringPeer{Name: p.peer.v, Address: p.address.v, Local: r.resolveKey(p.key.local)}
			made.Remote = made.Local
			if p.key.remote != p.key.local {
				made.Remote = r.resolveKey(p.key.remote)
			}
			if p.identity.ok {
				made.Identity = &p.identity.v
			}
			k.Peers = append(k.Peers, made)
			r.checkKeyringPeer(p, k.Name, names, matches)
		}
		out[k.Name] = k
	}
	return out
}

// checkKeyringPeer refuses an entry that can never be used because an earlier one matches the same.
func (r *reader) checkKeyringPeer(p *rawKeyringPeer, in string, names map[string]place, matches map[string]string) {
	if !p.peer.ok {
		return
	}
	if first, again := names[p.peer.v]; again {
		r.fail(p.peer.at, "", "peer %s is given twice in keyring %s (first in line %d)", quote(p.peer.v), in, first.line)
		return
	}
	names[p.peer.v] = p.peer.at
	if p.address.typed && !p.address.ok || p.identity.typed && !p.identity.ok {
		return
	}
	match := p.address.v.String() + " " + string(p.identity.v.Kind) + " " + p.identity.v.Value
	if first, again := matches[match]; again {
		r.fail(p.peer.at, "", "peer %s of keyring %s matches the same peers as %s: it would never be used", p.peer.v, in, first)
		return
	}
	matches[match] = p.peer.v
}
