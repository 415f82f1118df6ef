package radius

import (
	"testing"

	"layeh.com/radius"

	"flexvpn/secret"
)

// FuzzPacket gives everything that reads a packet octets that are authentic, so that the fuzzer gets
// past the authenticators.
func FuzzPacket(f *testing.F) {
	key := secret.FromString("a test secret")
	request, err := seal(radius.CodeAccessRequest, 1, radius.Attributes{{Type: attrUserName, Attribute: radius.Attribute("alice")}}, secret.FromString("cisco"), key)
	if err != nil {
		f.Fatal(err)
	}
	for _, attributes := range []radius.Attributes{
		{{Type: 8, Attribute: radius.Attribute{10, 0, 0, 1}}, {Type: 97, Attribute: radius.Attribute{0, 64, 0x20, 1}}, {Type: 25, Attribute: radius.Attribute("class")}},
		{pair("ipsec:dns-servers=10.0.0.1"), {Type: attrEAPMessage, Attribute: radius.Attribute{3, 1, 0, 4}}, {Type: attrTunnelPassword, Attribute: make(radius.Attribute, 19)}},
		{pair("audit-session-id=x"), {Type: attrVendorSpecific, Attribute: radius.Attribute{0, 0, 1, 55, 17, 20, 0x80, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}},
	} {
		b, err := sealAnswer(radius.CodeAccessAccept, request, attributes, key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("short"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = describe(b)
		_, _ = openAnswer(b, request, key, false)
		_, _ = openRequest(b, key, false)
		_ = checkSignature(b, request[4:headerLen], key, true)
		cut, err := trim(b)
		if err != nil {
			return
		}
		p, err := parse(cut, key)
		if err != nil {
			return
		}
		_, _ = readReply(p, request)
		_, _ = sessionKey(p, request)
		_, _ = eapOf(p)
		_, _, _ = parseOrder(p)
	})
}
