// Package edge is what happens to packets where an interface meets the machine: access lists, rates,
// the clamp of TCP's segment size, and the VRF that the interface belongs to. It decorates a data
// plane of any kind: devices and SAs are that plane's, all this is nftables, tc and a link's master.
//
// # One table
//
// Everything of nftables stands in the table inet flexvpn_edge, whose rules do not grow with the
// number of spokes: they look the interface up in sets and maps.
//
//	chain from_peers (prerouting)   iifname @in_LIST             -> chain acl_in_LIST
//	                                tcp syn: maxseg by @mss4, @mss6
//	                                iifname @police_RATE_BURST   -> chain police_RATE_BURST
//	chain to_peers (postrouting)    oifname @out_LIST            -> chain acl_out_LIST
//	                                tcp syn: maxseg by @mss4, @mss6
//
// A spoke costs an element in each set that concerns it and one in the set that counts what it lost.
// The chains hang where the packet still, or already, has the interface itself as its device: in the
// forward hook a packet from a VRF has the VRF's. As on IOS, an input list sees addresses before, an
// output list after translation.
//
// # Order
//
// What is to stop packets is there before the device is, and goes after it. A table that somebody
// flushes (a firewall's reload) is noticed and made again. Where devices go with the process the table
// belongs to it (package nft): nobody can flush it, and it goes with them.
package edge
