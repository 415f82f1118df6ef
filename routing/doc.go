// Package routing decides which routes the machine has because of us, and keeps its forwarding table
// (FIB) equal to that.
//
// A [Table] is the RIB: every way to a prefix that any source knows is a claim in it, one of which (or
// several of equal cost) wins, per prefix and VRF. Winners are written to the FIB under protocol
// numbers of ours ([ProtocolIKEv2], [ProtocolBGP], [ProtocolStatic]): what a crashed run left behind is
// found by them, and nobody else's route is ever touched.
package routing
