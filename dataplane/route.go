package dataplane

import "net/netip"

// Route is one route of the machine's forwarding table. It is comparable.
type Route struct {
	Prefix    netip.Prefix // masked
	Interface string
	Via       netip.Addr // gateway; invalid: on the link
	Source    netip.Addr // preferred source; invalid: the machine chooses
	Metric    int        // 0: the kernel's default for the family
	Table     int        // 0: main
	Protocol  int        // who made it (rtm_protocol); ours is routing.Protocol
}
