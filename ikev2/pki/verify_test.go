package pki

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/ikev2/wire"
)

const fqdn = "spoke1.example.net"

func TestVerifyChain(t *testing.T) {
	root := newRoot(t, "Root")
	sub := root.sub("Sub", nil)
	leaf := sub.leaf(nil)
	for what, chain := range map[string][][]byte{
		"leaf and intermediate":        {leaf.Raw, sub.cert.Raw},
		"the root too":                 {leaf.Raw, sub.cert.Raw, root.cert.Raw},
		"in any order behind the leaf": {leaf.Raw, root.cert.Raw, sub.cert.Raw},
		"with a stranger among them":   {leaf.Raw, newRoot(t, "Stranger").cert.Raw, sub.cert.Raw},
	} {
		got, err := Verify(now, chain, root.pool(), wire.IDFQDN, fqdn)
		if err != nil || !bytes.Equal(got.Raw, leaf.Raw) {
			t.Errorf("%s: %v", what, err)
		}
	}
	direct := root.leaf(nil)
	if _, err := Verify(now, [][]byte{direct.Raw}, root.pool(), wire.IDFQDN, fqdn); err != nil {
		t.Errorf("a leaf right below the root: %v", err)
	}
}

// Each error says what is wrong and what to do.
func TestVerifyErrors(t *testing.T) {
	root := newRoot(t, "Root")
	sub := root.sub("Sub", nil)
	leaf := root.leaf(nil)
	usage := func(eku ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = eku }
	}
	for _, v := range []struct {
		what  string
		at    time.Time
		chain [][]byte
		roots *x509.CertPool
		want  []string
	}{
		{"nothing sent", now, nil, root.pool(), []string{"the peer sent no certificate", "has to send"}},
		{"no anchors", now, [][]byte{leaf.Raw}, nil, []string{"no trust anchors", "name the CA"}},
		{"empty anchors", now, [][]byte{leaf.Raw}, x509.NewCertPool(), []string{"no configured trust anchor", `issued by "CN=Root"`, "add that CA"}},
		{"another anchor of the same name", now, [][]byte{leaf.Raw}, otherRoot(t).pool(), []string{"no configured trust anchor", "add that CA"}},
		{"the intermediate is missing", now, [][]byte{sub.leaf(nil).Raw}, root.pool(), []string{"let the peer send its intermediate certificates"}},
		{"expired", now.Add(13 * time.Hour), [][]byte{leaf.Raw}, root.pool(), []string{`"CN=Spoke 1,O=Example"`, "valid from 2030-01-01 00:00:00 to 2030-01-02 00:00:00 only", "renew"}},
		{"not yet valid", now.Add(-13 * time.Hour), [][]byte{leaf.Raw}, root.pool(), []string{"set the clock"}},
		{"an expired intermediate", now, [][]byte{root.sub("Sub", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }).leaf(nil).Raw, root.sub("Sub", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }).cert.Raw}, root.pool(), []string{`certificate "CN=Sub" is valid`}},
		{"a leaf signed by a leaf", now, [][]byte{authority{t, leaf, keys().p256}.leaf(nil).Raw, leaf.Raw}, root.pool(), []string{"no configured trust anchor"}},
		{"malformed", now, [][]byte{[]byte("no certificate")}, root.pool(), []string{"certificate 1 of the peer is malformed"}},
		{"a malformed intermediate", now, [][]byte{leaf.Raw, leaf.Raw[:100]}, root.pool(), []string{"certificate 2 of the peer is malformed"}},
		{"too many", now, bytes.Fields(bytes.Repeat([]byte("x "), 11)), root.pool(), []string{"11 certificates, at most 10"}},
		{"too long", now, [][]byte{make([]byte, 16<<10+1)}, root.pool(), []string{"16385 octets, at most 16384"}},
		{"not for signatures", now, [][]byte{root.leaf(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }).Raw}, root.pool(), []string{"digitalSignature"}},
		{"for code", now, [][]byte{root.leaf(usage(x509.ExtKeyUsageCodeSigning)).Raw}, root.pool(), []string{"for other purposes", "ipsecIKE"}},
		{"below a CA for mail", now, [][]byte{root.sub("Mail", usage(x509.ExtKeyUsageEmailProtection)).leaf(nil).Raw, root.sub("Mail", usage(x509.ExtKeyUsageEmailProtection)).cert.Raw}, root.pool(), []string{`"CN=Mail" is for other purposes`}},
		{"a critical extension nobody knows", now, [][]byte{root.leaf(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}).Raw}, root.pool(), []string{"critical"}},
		{"a short RSA key", now, [][]byte{root.issue(keys().rsa1024.Public(), leaf).Raw}, root.pool(), []string{"1024 bits", "2048"}},
		{"a name constraint", now, [][]byte{constrained(root).leaf(nil).Raw, constrained(root).cert.Raw}, root.pool(), []string{"does not hold"}},
	} {
		_, err := Verify(v.at, v.chain, v.roots, wire.IDFQDN, fqdn)
		if err == nil {
			t.Errorf("%s: accepted", v.what)
			continue
		}
		for _, w := range v.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the error %q does not say %q", v.what, err, w)
			}
		}
	}
}

// otherRoot has the name of a root but another key.
func otherRoot(t *testing.T) authority {
	a := authority{t: t, key: keys().new}
	a.cert = caTemplate("Root")
	a.cert = a.issue(keys().new.Public(), caTemplate("Root"))
	return a
}

func constrained(root authority) authority {
	return root.sub("Elsewhere", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"elsewhere.example.com"}
	})
}

func TestUsagesOfIKE(t *testing.T) {
	root := newRoot(t, "Root")
	for what, change := range map[string]func(*x509.Certificate){
		"none":        nil,
		"any":         func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} },
		"serverAuth":  func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
		"clientAuth":  func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
		"ipsecIKE":    func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidIPsecIKE} },
		"iKEIntermed": func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidIKEIntermediate} },
		"nonRepud":    func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment },
		"no usage":    func(c *x509.Certificate) { c.KeyUsage = 0 },
	} {
		if _, err := Verify(now, [][]byte{root.leaf(change).Raw}, root.pool(), wire.IDFQDN, fqdn); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestIdentity(t *testing.T) {
	root := newRoot(t, "Root")
	plain := root.leaf(nil)
	wild := root.leaf(func(c *x509.Certificate) { c.DNSNames = []string{"*.example.net"} })
	named := root.leaf(func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = fqdn, nil })
	anonymous := root.leaf(func(c *x509.Certificate) { c.Subject, c.SubjectKeyId = pkix.Name{}, nil })
	mapped := root.leaf(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("2001:db8::2")} })
	v6 := string(net.ParseIP("2001:db8::1"))
	for _, v := range []struct {
		what string
		cert *x509.Certificate
		t    wire.IDType
		id   string
		ok   bool
	}{
		{"FQDN", plain, wire.IDFQDN, fqdn, true},
		{"FQDN in capitals", plain, wire.IDFQDN, "SPOKE1.Example.NET", true},
		{"FQDN of another", plain, wire.IDFQDN, "spoke2.example.net", false},
		{"FQDN with an end", plain, wire.IDFQDN, fqdn + ".evil.example", false},
		{"FQDN cut", plain, wire.IDFQDN, "example.net", false},
		{"FQDN with the Kelvin sign", plain, wire.IDFQDN, "spo\u212ae1.example.net", false},
		{"FQDN with a zero octet", plain, wire.IDFQDN, fqdn + "\x00", false},
		{"FQDN under a wildcard", wild, wire.IDFQDN, fqdn, false},
		{"FQDN that is the wildcard", wild, wire.IDFQDN, "*.example.net", true},
		{"FQDN in the common name only", named, wire.IDFQDN, fqdn, false},
		{"nothing claimed", plain, wire.IDFQDN, "", false},
		{"mail", plain, wire.IDEmail, "Ops@example.NET", true},
		{"mail of another mailbox", plain, wire.IDEmail, "ops@Example.net", false},
		{"mail of another domain", plain, wire.IDEmail, "Ops@Example.org", false},
		{"a domain as mail", plain, wire.IDEmail, fqdn, false},
		{"IPv4", plain, wire.IDIPv4, "\xc0\x00\x02\x01", true},
		{"another IPv4", plain, wire.IDIPv4, "\xc0\x00\x02\x02", false},
		{"IPv4 in IPv6 clothes", plain, wire.IDIPv6, string(net.IPv4(192, 0, 2, 1)), false},
		{"IPv6", plain, wire.IDIPv6, v6, true},
		{"IPv6 called IPv4", plain, wire.IDIPv4, v6, false},
		{"another IPv6", mapped, wire.IDIPv6, v6, false},
		{"DN", plain, wire.IDDN, string(plain.RawSubject), true},
		{"the issuer's DN", plain, wire.IDDN, string(plain.RawIssuer), false},
		{"the empty DN", anonymous, wire.IDDN, "\x30\x00", false},
		{"DN with octets behind it", plain, wire.IDDN, string(plain.RawSubject) + "\x00", false},
		{"key id", plain, wire.IDKeyID, "\xca\xfe", true},
		{"another key id", plain, wire.IDKeyID, "\xca\xff", false},
		{"part of the key id", plain, wire.IDKeyID, "\xca", false},
		{"a general name", plain, wire.IDGN, fqdn, false},
		{"no type", plain, 0, fqdn, false},
	} {
		_, err := Verify(now, [][]byte{v.cert.Raw}, root.pool(), v.t, v.id)
		if (err == nil) != v.ok {
			t.Errorf("%s: %v", v.what, err)
		}
	}
}

func TestIdentityErrorHelps(t *testing.T) {
	root := newRoot(t, "Root")
	_, err := Verify(now, [][]byte{root.leaf(nil).Raw}, root.pool(), wire.IDFQDN, "Spoke 1\n")
	want := `the peer claims the identity "Spoke 1\n", which its certificate "CN=Spoke 1,O=Example" does not prove: it proves "spoke1.example.net", "Ops@Example.net", 192.0.2.1, 2001:db8::1, the subject "CN=Spoke 1,O=Example", the key id cafe. Issue the certificate with that identity as a subjectAltName (the common name does not count), or let the peer use one of these`
	if err == nil || err.Error() != want {
		t.Errorf("the error is\n%v, want\n%s", err, want)
	}
}

// dn encodes RDNs, each of which is a list of attributes: type by last arc of 2.5.4, string tag, text.
type ava struct {
	arc, tag int
	text     string
}

func dn(t *testing.T, rdns ...[]ava) []byte {
	t.Helper()
	var seq []attributeSET
	for _, rdn := range rdns {
		var set attributeSET
		for _, a := range rdn {
			set = append(set, attribute{asn1.ObjectIdentifier{2, 5, 4, a.arc}, asn1.RawValue{Tag: a.tag, Bytes: []byte(a.text)}})
		}
		seq = append(seq, set)
	}
	der, err := asn1.Marshal(seq)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestSameDN(t *testing.T) {
	const cn, o, printable, utf8, bmp = 3, 10, asn1.TagPrintableString, asn1.TagUTF8String, asn1.TagBMPString
	base := dn(t, []ava{{o, printable, "Example"}}, []ava{{cn, printable, "spoke1"}})
	for what, v := range map[string]struct {
		other []byte
		same  bool
	}{
		"itself":                 {base, true},
		"another kind of string": {dn(t, []ava{{o, utf8, "Example"}}, []ava{{cn, bmp, "\x00s\x00p\x00o\x00k\x00e\x001"}}), true},
		"another order":          {dn(t, []ava{{cn, printable, "spoke1"}}, []ava{{o, printable, "Example"}}), false},
		// As IOS writes a name with two attributes in one RDN.
		"one RDN with both":     {dn(t, []ava{{o, printable, "Example"}, {cn, printable, "spoke1"}}), false},
		"another value":         {dn(t, []ava{{o, printable, "Example"}}, []ava{{cn, printable, "spoke2"}}), false},
		"capitals":              {dn(t, []ava{{o, printable, "EXAMPLE"}}, []ava{{cn, printable, "spoke1"}}), false},
		"one attribute less":    {dn(t, []ava{{o, printable, "Example"}}), false},
		"one attribute more":    {dn(t, []ava{{o, printable, "Example"}}, []ava{{cn, printable, "spoke1"}}, []ava{{cn, printable, "x"}}), false},
		"an integer of its own": {dn(t, []ava{{o, printable, "Example"}}, []ava{{cn, asn1.TagInteger, "spoke1"}}), false},
		"nothing":               {nil, false},
		"no name":               {[]byte{0x30, 0}, false},
		"cut":                   {base[:len(base)-1], false},
	} {
		if sameDN(base, v.other) != v.same || sameDN(v.other, base) != v.same {
			t.Errorf("%s: not %v", what, v.same)
		}
	}
	set := dn(t, []ava{{o, printable, "Example"}, {cn, printable, "spoke1"}})
	swapped := dn(t, []ava{{cn, utf8, "spoke1"}, {o, printable, "Example"}})
	if !sameDN(set, swapped) {
		t.Error("an RDN is no set: order inside it matters")
	}
	if sameDN(nil, nil) || sameDN([]byte{0x30, 0}, []byte{0x30, 0}) {
		t.Error("the empty name is somebody")
	}
}

func TestCertReq(t *testing.T) {
	hash := bytes.Repeat([]byte{3}, 20)
	req := CertReq([][]byte{hash, bytes.Repeat([]byte{7}, 20)})
	if req.Encoding != wire.CertX509 || len(req.Authorities) != 40 || !bytes.Equal(req.Authorities[:20], hash) {
		t.Errorf("the request is %+v", req)
	}
}

func FuzzVerify(f *testing.F) {
	root := newRoot(f, "Root")
	sub := root.sub("Sub", nil)
	leaf := sub.leaf(nil)
	roots := root.pool()
	f.Add(leaf.Raw, sub.cert.Raw, uint8(wire.IDFQDN), "spoke2.example.net")
	f.Add(leaf.Raw, []byte{}, uint8(wire.IDDN), string(leaf.RawSubject))
	f.Add(sub.cert.Raw, root.cert.Raw, uint8(wire.IDKeyID), "")
	ours := [][]byte{leaf.Raw, sub.cert.Raw, root.cert.Raw}
	f.Fuzz(func(t *testing.T, first, second []byte, idType uint8, id string) {
		got, err := Verify(now, [][]byte{first, second}, roots, wire.IDType(idType), id)
		if err == nil {
			// Only what our own CA signed can pass; a mutation of it cannot.
			if !slices.ContainsFunc(ours, func(o []byte) bool { return bytes.Equal(o, got.Raw) }) {
				t.Error("a certificate that nobody signed was accepted")
			}
		}
		_ = sameDN([]byte(id), leaf.RawSubject)
	})
}
