package ikev2

import (
	"bytes"
	"strings"

	"flexvpn/ikev2/wire"
)

// Vendor IDs of Cisco: ASCII, neither hashed nor terminated. IOS compares the whole body.
var (
	// VendorFlexVPN keeps an IOS hub from narrowing TSi to the address it assigns, without which
	// GRE and any-any tunnels break.
	VendorFlexVPN = []byte("FLEXVPN-SUPPORTED")
	// VendorDeleteReason says that a reason may stand beside a Delete.
	VendorDeleteReason = []byte("CISCO-DELETE-REASON")
	// VendorDynamicRoute says that CFG_SET is understood after IKE_AUTH too.
	VendorDynamicRoute = []byte("CISCO-DYNAMIC-ROUTE")
)

// VendorIDs are those a node of ours sends: it does what each of them promises.
func VendorIDs() [][]byte { return [][]byte{VendorDeleteReason, VendorDynamicRoute, VendorFlexVPN} }

// recognise takes note of vendor IDs that change what this end does; all others mean nothing
// (RFC 7296 section 3.12). They may stand anywhere in any message.
func (sa *SA) recognise(vendors []wire.VendorID) {
	for _, v := range vendors {
		switch {
		case bytes.Equal(v.Data, VendorFlexVPN):
			sa.peer.flexVPN = true
		case bytes.Equal(v.Data, VendorDeleteReason):
			sa.peer.deleteReason = true
		}
	}
}

// vendorPayloads are the vendor IDs of this end.
func (sa *SA) vendorPayloads() []wire.Payload {
	ps := make([]wire.Payload, 0, len(sa.c.VendorIDs))
	for _, v := range sa.c.VendorIDs {
		ps = append(ps, &wire.VendorID{Data: v})
	}
	return ps
}

// withVersion puts this end's APPLICATION_VERSION into a CFG_REQUEST, as IOS does (RFC 7296
// section 3.15.1), unless the policy has one.
func (sa *SA) withVersion(attrs []wire.Attribute) []wire.Attribute {
	if sa.c.Version == "" || findAttribute(attrs, wire.ApplicationVersion) != nil {
		return attrs
	}
	out := make([]wire.Attribute, 0, len(attrs)+1)
	out = append(out, attrs...)
	return append(out, wire.Attribute{Type: wire.ApplicationVersion, Value: []byte(sa.c.Version)})
}

func findAttribute(attrs []wire.Attribute, t wire.AttributeType) *wire.Attribute {
	for i := range attrs {
		if attrs[i].Type == t {
			return &attrs[i]
		}
	}
	return nil
}

// maxVersion bounds what is kept of a peer's version: IOS sends its whole banner.
const maxVersion = 256

// learnVersion keeps the peer's APPLICATION_VERSION.
func (sa *SA) learnVersion(attrs []wire.Attribute) {
	if a := findAttribute(attrs, wire.ApplicationVersion); a != nil {
		sa.peer.version = string(a.Value[:min(len(a.Value), maxVersion)])
	}
}

// ownVersion begins the APPLICATION_VERSION of every node of ours.
const ownVersion = "flexvpn "

// peerIsOurs reports whether the peer understands what only our nodes say: CISCO-DELETE-REASON promises
// to bear a reason beside a Delete, but not in which form, so that only a peer that names itself as ours
// gets one. What it does not understand it would ignore (RFC 7296 section 3.10.1).
func (sa *SA) peerIsOurs() bool {
	return sa.peer.deleteReason && strings.HasPrefix(sa.peer.version, ownVersion)
}

// cloneAttributes copies attributes that alias a message.
func cloneAttributes(attrs []wire.Attribute) []wire.Attribute {
	if attrs == nil {
		return nil
	}
	out := make([]wire.Attribute, len(attrs))
	for i, a := range attrs {
		out[i] = wire.Attribute{Type: a.Type, Value: bytes.Clone(a.Value)}
	}
	return out
}
