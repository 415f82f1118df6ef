// Package bgp is the BGP speaker of a node: one for the main table, one more for each VRF.
//
// The library (GoBGP, in the gobgp files alone) runs sessions: messages, timers, capabilities, graceful
// restart. It runs each session for itself, so that a thousand of them cost a thousand times one. What
// a speaker believes and tells is decided here: who may be a neighbor, which paths come in, which of
// them is best, what is aggregated, suppressed and reflected, and who is told. Best paths go to the
// node's RIB, which resolves their next hops and writes them.
//
// A listen range does not wait for strangers. When a session of IKEv2 gives a spoke an address inside a
// range, that address becomes a neighbor; when the session ends, the neighbor and its paths are gone
// in the same moment. A TCP handshake from that address can be completed only over the interface that
// the RIB has for it, which is the spoke's own virtual-access.
package bgp
