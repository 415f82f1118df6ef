package dns

import (
	"net/netip"

	"github.com/miekg/dns"
)

// NameServers are the servers of a file in the form of resolv.conf(5); none when it cannot be read.
func NameServers(path string) (out []netip.Addr) {
	c, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil
	}
	for _, s := range c.Servers {
		if a, err := netip.ParseAddr(s); err == nil && len(out) < maxDefault {
			out = append(out, a)
		}
	}
	return out
}

const maxDefault = 8
