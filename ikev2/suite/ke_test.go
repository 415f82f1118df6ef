package suite

import (
	"bytes"
	"crypto/ecdh"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The test values of RFC 5903 section 8.
func TestECPVectors(t *testing.T) {
	for _, v := range []struct {
		group                uint16
		i, gi, r, gr, shared string
	}{
		{
			19,
			"C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
			"DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180 5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3",
			"C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
			"D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63 56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
			"D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE",
		},
		{
			20,
			"099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194",
			"667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6DE3AC808ACB4BDB4C88732AEE95F41AA 9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38EEB9FCFF3C2C947DAE69B4C634573A81C",
			"41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A7448FC",
			"E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D0D1AC43A0336DEF96FDA41D0774A3571 DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FFF83FA40142209DFF5EAAD96DB9E6386C",
			"11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746",
		},
		{
			21,
			"0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A095AA85A30FE1C2952C6771D937BA9777F5957B2639BAB072462F68C27A57382D4A52",
			"0015417E84DBF28C0AD3C278713349DC7DF153C897A1891BD98BAB4357C9ECBEE1E3BF42E00B8E380AEAE57C2D107564941885942AF5A7F4601723C4195D176CED3E 017CAE20B6641D2EEB695786D8C946146239D099E18E1D5A514C739D7CB4A10AD8A788015AC405D7799DC75E7B7D5B6CF2261A6A7F1507438BF01BEB6CA3926F9582",
			"0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E9C677D600B343757A3BDBF2A3163E4C2F869CCA7458AA4A4EFFC311F5CB151685EB9",
			"00D0B3975AC4B799F5BEA16D5E13E9AF971D5E9B984C9F39728B5E5739735A219B97C356436ADC6E95BB0352F6BE64A6C2912D4EF2D0433CED2B6171640012D9460F 015C68226383956E3BD066E797B623C27CE0EAC2F551A10C2C724D9852077B87220B6536C5C408A1D2AEBB8E86D678AE49CB57091F4732296579AB44FCD17F0FC56A",
			"01144C7D79AE6956BC8EDB8E7C787C4521CB086FA64407F97894E5E6B2D79B04D1427E73CA4BAA240A34786859810C06B3C715A3A8CC3151F2BEE417996D19F3DDEA",
		},
	} {
		e := findGroup(v.group).method.(ecp)
		for _, side := range []struct{ private, public, peer string }{{v.i, v.gi, v.gr}, {v.r, v.gr, v.gi}} {
			key, err := e.curve.NewPrivateKey(unhex(t, side.private))
			if err != nil {
				t.Fatal(err)
			}
			k := &PrivateKE{group: v.group}
			k.public, k.agree = e.use(key)
			if want := unhex(t, side.public); !bytes.Equal(k.Public(), want) {
				t.Errorf("group %d: public value %x, want %x", v.group, k.Public(), want)
			}
			shared, err := k.Shared(unhex(t, side.peer))
			if want := unhex(t, v.shared); err != nil || !bytes.Equal(shared.Reveal(), want) {
				t.Errorf("group %d: shared secret differs from %x (%v)", v.group, want, err)
			}
		}
	}
}

// RFC 7748 section 6.1.
func TestX25519Vector(t *testing.T) {
	key, err := ecdh.X25519().NewPrivateKey(unhex(t, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := agreed(key, unhex(t, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
	if want := unhex(t, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("shared secret %x (%v), want %x", got, err, want)
	}
}

// lengths of the KE payload's data and of the shared secret: RFC 7296 sections 2.14 and 3.4, RFC
// 5903 section 7, RFC 8031 section 2.
var lengths = map[uint16][2]int{
	2: {128, 128}, 5: {192, 192},
	14: {256, 256}, 15: {384, 384}, 16: {512, 512},
	19: {64, 32}, 20: {96, 48}, 21: {132, 66}, 31: {32, 32},
}

func TestBothEndsAgree(t *testing.T) {
	if len(groups) != len(lengths) {
		t.Fatalf("%d groups, %d known to this test", len(groups), len(lengths))
	}
	for _, row := range groups {
		t.Run(row.name, func(t *testing.T) {
			a, b := newKE(t, row.id), newKE(t, row.id)
			if a.Group() != row.id || findGroup(row.id) == nil {
				t.Errorf("the group is %d, want %d", a.Group(), row.id)
			}
			if bytes.Equal(a.Public(), b.Public()) {
				t.Error("two key exchanges have one public value")
			}
			x, errX := a.Shared(b.Public())
			y, errY := b.Shared(a.Public())
			if errX != nil || errY != nil || !x.Equal(y) {
				t.Errorf("the ends do not agree (%v, %v)", errX, errY)
			}
			if got := [2]int{len(a.Public()), x.Len()}; got != lengths[row.id] {
				t.Errorf("lengths of public value and secret are %v, want %v", got, lengths[row.id])
			}
		})
	}
}

func newKE(t testing.TB, group uint16) *PrivateKE {
	t.Helper()
	k, err := NewKE(group)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestUnknownGroup(t *testing.T) {
	for _, g := range []uint16{0, 1, 3, 6, 17, 22, 32, 35, 65535} {
		if _, err := NewKE(g); err == nil || findGroup(g) != nil {
			t.Errorf("group %d is known", g)
		}
	}
}

// RFC 6989 section 2: "…the tests are REQUIRED": values that would give the shared secret away.
func TestBadPublicValues(t *testing.T) {
	for _, row := range groups {
		for what, peer := range badPeers(row) {
			if _, err := newKE(t, row.id).Shared(peer); err == nil {
				t.Errorf("%s: %s was accepted", row.name, what)
			}
		}
	}
}

func badPeers(row groupRow) map[string][]byte {
	n := lengths[row.id][0]
	bad := map[string][]byte{
		"nothing":          nil,
		"zeros":            make([]byte, n),
		"one octet less":   bytes.Repeat([]byte{9}, n-1),
		"one octet more":   bytes.Repeat([]byte{9}, n+1),
		"the format octet": append([]byte{uncompressed}, bytes.Repeat([]byte{9}, n)...),
	}
	switch m := row.method.(type) {
	case modp:
		bad["1"] = big.NewInt(1).FillBytes(make([]byte, n))
		bad["p-1"] = new(big.Int).Sub(m.p, big.NewInt(1)).FillBytes(make([]byte, n))
		bad["p"] = m.p.FillBytes(make([]byte, n))
		bad["more than p"] = bytes.Repeat([]byte{0xff}, n)
	case ecp:
		bad["a point beside the curve"] = bytes.Repeat([]byte{1}, n)
	case montgomery:
		bad["a point of order 8"], _ = hex.DecodeString("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
	}
	return bad
}

// The formula of RFC 3526 with pi computed here, and the primality of p and (p-1)/2.
func TestPrimes(t *testing.T) {
	for _, v := range []struct {
		bits uint
		add  int64
		p    *big.Int
	}{{1024, 129093, prime1024}, {1536, 741804, prime1536}, {2048, 124476, prime2048}, {3072, 1690314, prime3072}, {4096, 240904, prime4096}} {
		power := func(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }
		want := power(v.bits)
		want.Sub(want, power(v.bits-64)).Sub(want, big.NewInt(1))
		inner := new(big.Int).Add(pi(v.bits-130), big.NewInt(v.add))
		want.Add(want, inner.Lsh(inner, 64))
		if v.p.Cmp(want) != 0 {
			t.Errorf("the prime of %d bits is not that of RFC 2409 or RFC 3526", v.bits)
		}
		half := new(big.Int).Rsh(v.p, 1)
		if !v.p.ProbablyPrime(1) || !half.ProbablyPrime(1) {
			t.Errorf("the number of %d bits is no safe prime", v.bits)
		}
	}
}

// pi is [2^bits pi] by Machin's formula.
func pi(bits uint) *big.Int {
	const guard = 64
	unity := new(big.Int).Lsh(big.NewInt(1), bits+guard)
	arctan := func(x int64) *big.Int {
		sum, term := new(big.Int), new(big.Int).Div(unity, big.NewInt(x))
		for n := int64(1); term.Sign() != 0; n += 2 {
			part := new(big.Int).Div(term, big.NewInt(n))
			if n%4 == 3 {
				part.Neg(part)
			}
			sum.Add(sum, part)
			term.Div(term, big.NewInt(x*x))
		}
		return sum
	}
	out := new(big.Int).Mul(big.NewInt(4), arctan(5))
	out.Sub(out, arctan(239)).Mul(out, big.NewInt(4))
	return out.Rsh(out, guard)
}

// OpenSSL has these groups too (of group 2 nobody has anything but the prime): it judges our public values and shared secrets.
func TestMODPAgainstOpenSSL(t *testing.T) {
	for _, bits := range []int{1536, 2048, 3072, 4096} {
		t.Run(fmt.Sprint(bits), func(t *testing.T) {
			dir := t.TempDir()
			m := map[int]modp{1536: modp1536, 2048: modp2048, 3072: modp3072, 4096: modp4096}[bits]
			file := func(name string) string { return filepath.Join(dir, name) }
			for _, who := range []string{"a", "b"} {
				openssl(t, "genpkey", "-algorithm", "DH", "-pkeyopt", fmt.Sprintf("group:modp_%d", bits), "-outform", "DER", "-out", file(who))
				openssl(t, "pkey", "-inform", "DER", "-in", file(who), "-pubout", "-outform", "DER", "-out", file(who+".pub"))
			}
			x, y := privateDH(t, file("a")), publicDH(t, file("a.pub"))
			if new(big.Int).Exp(two, x, m.p).Cmp(y) != 0 {
				t.Error("the public value differs from OpenSSL's")
			}
			want := openssl(t, "pkeyutl", "-derive", "-keyform", "DER", "-inkey", file("a"), "-peerform", "DER", "-peerkey", file("b.pub"), "-pkeyopt", "pad:1")
			got, err := m.shared(x, m.pad(publicDH(t, file("b.pub"))))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the shared secret differs from OpenSSL's (%v)", err)
			}
		})
	}
}

// openssl runs the program that this test cannot do without.
func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("openssl", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v: %s (Debian has it in the package openssl)", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

func privateDH(t *testing.T, file string) *big.Int {
	t.Helper()
	var key struct {
		Version   int
		Algorithm asn1.RawValue
		Key       []byte
	}
	unmarshalFile(t, file, &key)
	x := new(big.Int)
	if _, err := asn1.Unmarshal(key.Key, &x); err != nil {
		t.Fatal(err)
	}
	return x
}

func publicDH(t *testing.T, file string) *big.Int {
	t.Helper()
	var key struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	unmarshalFile(t, file, &key)
	y := new(big.Int)
	if _, err := asn1.Unmarshal(key.Key.Bytes, &y); err != nil {
		t.Fatal(err)
	}
	return y
}

func unmarshalFile(t *testing.T, file string, into any) {
	t.Helper()
	der, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(der, into); err != nil {
		t.Fatal(err)
	}
}
