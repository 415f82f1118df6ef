package config

import "net/netip"

// Kernel says how the kernel's data plane is used.
type Kernel struct {
	GRERange   netip.Prefix // of the invented inner addresses of GRE; invalid: the plane's default
	OutputMark uint32       // of packets that leave encrypted; 0: none
	Offload    bool         // ask devices for the cryptography
}

type rawKernel struct {
	header
	greRange   given[netip.Prefix]
	outputMark given[int]
	offload    given[string]
}

func (k *rawKernel) keys() []key {
	return []key{
		{name: "gre-range", part: network(&k.greRange), otherwise: "`240.0.0.0/12`, which no network uses", example: "100.64.0.0/12", doc: "IPv4 prefix of invented addresses, /30 or larger: one for this node and one for each spoke with GRE. They never leave the machine; no route of a real network may meet them."},
		{name: "output-mark", part: integer(&k.outputMark, 1, 1<<31-1), otherwise: "none", example: "66", doc: "Firewall mark of packets that leave encrypted, for `ip rule fwmark`."},
		{name: "offload", part: choice(&k.offload, "auto", "off"), def: "off", example: "auto", doc: "`auto` asks the device that packets leave by for the cryptography; what it cannot do the processor does."},
	}
}

func (r *reader) kernel(raw *rawKernel) Kernel {
	if p := raw.greRange.v; raw.greRange.ok && (!p.Addr().Is4() || p.Bits() > 30) {
		r.fail(raw.greRange.at, "give an IPv4 prefix of /30 or larger", "gre-range %s has no room for invented addresses", p)
	}
	return Kernel{GRERange: raw.greRange.v, OutputMark: uint32(raw.outputMark.v), Offload: raw.offload.v == "auto"}
}
