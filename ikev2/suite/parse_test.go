package suite

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseProposal(t *testing.T) {
	ike, errs := ParseProposal("strong", []string{"aes-gcm-256", "ChaCha20-Poly1305", "aes-cbc-128"}, []string{"SHA384"},
		[]string{"sha512"}, []string{"x25519", "20", "modp2048"}, "", false)
	want := Proposal{
		Name: "strong", Encr: []Cipher{{20, 256}, {28, 0}, {12, 128}},
		PRF: []uint16{6}, Integ: []uint16{14}, Group: []uint16{31, 20, 14},
	}
	if len(errs) > 0 || !reflect.DeepEqual(ike, want) {
		t.Errorf("parsed %+v %v, want %+v", ike, errs, want)
	}
	for esn, ids := range map[string][]uint16{"": {1, 0}, "prefer": {1, 0}, "yes": {1}, "no": {0}} {
		esp, errs := ParseProposal("esp", []string{"aes-gcm-128"}, nil, nil, nil, esn, true)
		if len(errs) > 0 || !slices.Equal(esp.ESN, ids) {
			t.Errorf("esn %q: %+v %v", esn, esp, errs)
		}
	}
}

// Every name of the tables can be configured, every group by number too.
func TestEveryNameParses(t *testing.T) {
	for _, c := range ciphers {
		for _, p := range prfs {
			for _, i := range integs {
				for _, g := range groups {
					integ := []string{i.config}
					if c.isAEAD() {
						integ = nil
					}
					got, errs := ParseProposal("p", []string{c.config}, []string{p.config}, integ, []string{g.name}, "", false)
					if len(errs) > 0 || got.Encr[0] != c.Cipher || got.PRF[0] != p.id || got.Group[0] != g.id {
						t.Errorf("%s %s %s %s: %+v %v", c.config, p.config, i.config, g.name, got, errs)
					}
				}
			}
		}
	}
}

func TestParseProposalErrors(t *testing.T) {
	list := func(s string) []string { return strings.Fields(s) }
	for _, v := range []struct {
		encr, prf, integ, groups, esn string
		esp                           bool
		want                          []string
	}{
		{"aes-gcm-265", "sha384", "", "x25519", "", false, []string{`unknown encryption algorithm "aes-gcm-265": did you mean aes-gcm-256? Known are aes-cbc-128, aes-cbc-192, aes-cbc-256, aes-gcm-128, aes-gcm-192, aes-gcm-256, chacha20-poly1305`}},
		{"3des", "sha38", "md5", "x2551 1", "", false, []string{
			`unknown encryption algorithm "3des": known are aes-cbc-128, aes-cbc-192, aes-cbc-256, aes-gcm-128, aes-gcm-192, aes-gcm-256, chacha20-poly1305`,
			`unknown PRF "sha38": did you mean sha384? Known are sha1, sha256, sha384, sha512`,
			`unknown integrity algorithm "md5": known are sha1, sha256, sha384, sha512`,
			`unknown group "x2551": did you mean x25519? Known are modp1024, modp1536, modp2048, modp3072, modp4096, ecp256, ecp384, ecp521, x25519`,
			`unknown group "1": known are modp1024, modp1536, modp2048, modp3072, modp4096, ecp256, ecp384, ecp521, x25519`,
		}},
		{"aes-cbc-256", "sha384", "", "x25519", "", false, []string{"aes-cbc does not protect integrity: add an integrity algorithm, for example sha256, or use aes-gcm"}},
		{"aes-gcm-256", "sha384", "sha256", "x25519", "", false, []string{"these ciphers protect integrity themselves: remove the integrity algorithms, or add an aes-cbc that needs them (RFC 7296 section 3.3)"}},
		{"", "", "", "", "yes", false, []string{
			"no encryption algorithm is given: add one, for example aes-gcm-256",
			"an IKE proposal needs a PRF: add one, for example sha384",
			"an IKE proposal needs a group: add one, for example x25519",
			"extended sequence numbers belong to ESP proposals: remove esn here",
		}},
		{"aes-gcm-256", "sha384", "", "", "maybe", true, []string{`unknown choice of extended sequence numbers "maybe": known are prefer, yes, no`}},
		{"aes-gcm-256", "sha384", "", "", "", true, []string{"a PRF belongs to IKE proposals: remove it here"}},
	} {
		p, errs := ParseProposal("p", list(v.encr), list(v.prf), list(v.integ), list(v.groups), v.esn, v.esp)
		var got []string
		for _, err := range errs {
			got = append(got, err.Error())
		}
		if !slices.Equal(got, v.want) || !reflect.DeepEqual(p, Proposal{}) {
			t.Errorf("%+v: errors\n%s\nwant\n%s", v, strings.Join(got, "\n"), strings.Join(v.want, "\n"))
		}
	}
	long := strings.Repeat("x", 100000)
	if _, errs := ParseProposal("p", []string{long}, nil, nil, nil, "", true); len(errs) != 1 || len(errs[0].Error()) > 300 {
		t.Error("a long name makes a long error")
	}
}

func TestDefaults(t *testing.T) {
	for _, p := range slices.Concat(DefaultIKE(), DefaultESP()) {
		if reason, weak := isWeak(p); weak {
			t.Errorf("%s is weak: %s", p.Name, reason)
		}
		if len(p.parts()) != 1 {
			t.Errorf("%s mixes AEAD with other ciphers", p.Name)
		}
		for _, g := range p.Group {
			if findGroup(g) == nil {
				t.Errorf("%s has the unknown group %d", p.Name, g)
			}
		}
	}
	if got := DefaultIKE()[0].Group; !slices.Equal(got, []uint16{31, 20, 19, 21, 16, 15, 14}) {
		t.Errorf("the order of groups is %v", got)
	}
}

// isWeak reports whether a proposal allows what RFC 8247 advises against, and what that is.
func isWeak(p Proposal) (reason string, weak bool) {
	var found []string
	for _, id := range p.PRF {
		if id == prfSHA1 {
			found = append(found, "SHA1 as PRF")
		}
	}
	for _, id := range p.Integ {
		if id == integSHA1 {
			found = append(found, "SHA1 as integrity")
		}
	}
	for _, id := range p.Group {
		if g, ok := findGroup(id).method.(modp); ok && g.p.BitLen() < 2048 {
			found = append(found, "group "+GroupName(id))
		}
	}
	return strings.Join(found, ", "), len(found) > 0
}

func TestIsWeak(t *testing.T) {
	p, _ := ParseProposal("legacy", []string{"aes-cbc-128"}, []string{"sha1"}, []string{"sha256", "sha1"}, []string{"14", "2", "modp1536"}, "", false)
	if reason, weak := isWeak(p); !weak || reason != "SHA1 as PRF, SHA1 as integrity, group "+GroupName(2)+", group "+GroupName(5) {
		t.Errorf("%v %q", weak, reason)
	}
}

func TestNames(t *testing.T) {
	for _, v := range []struct{ got, want string }{
		{EncrName(20), "AES-GCM"},
		{EncrName(12), "AES-CBC"},
		{EncrName(28), "ChaCha20-Poly1305"},
		{EncrName(3), "ENCR-3"},
		{PRFName(6), "SHA384"},
		{PRFName(4), "PRF-4"},
		{IntegName(0), ""},
		{IntegName(14), "SHA512"},
		{IntegName(5), "INTEG-5"},
		{GroupName(0), ""},
		{GroupName(31), "x25519"},
		{GroupName(24), "KE-24"},
		{IKE{20, 256, 6, 0, 31}.String(), "AES-GCM-256/SHA384/x25519"},
		{IKE{12, 128, 5, 12, 19}.String(), "AES-CBC-128/SHA256/SHA256/ecp256"},
		{ESP{28, 0, 0, 0, true}.String(), "ChaCha20-Poly1305/ESN"},
		{ESP{12, 256, 14, 20, false}.String(), "AES-CBC-256/SHA512/ecp384"},
	} {
		if v.got != v.want {
			t.Errorf("%q, want %q", v.got, v.want)
		}
	}
}
