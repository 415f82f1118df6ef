package endpoint

import (
	"net/netip"
	"slices"
	"time"

	"flexvpn/ikev2"
)

// SetAddresses says at which addresses peers reach this host now. Every SA that knows MOBIKE tells its
// peer; one whose path begins at an address that is gone goes on from another. A shard tells a few SAs
// at a time and does its other work in between.
func (e *Endpoint) SetAddresses(list []netip.Addr) {
	list = slices.Clone(list)
	for _, s := range e.shards {
		s.mail.put(letter{run: func(time.Time) { s.setAddresses(list) }})
	}
}

func (s *shard) setAddresses(list []netip.Addr) {
	if slices.Equal(list, s.common.Addresses) {
		return
	}
	s.common.Addresses = list
	all := make([]*Conn, 0, len(s.conns))
	for spi, c := range s.conns {
		if c.spis[0] == spi { // each but once, though it may have several SPIs
			all = append(all, c)
		}
	}
	s.addressesChanged(all)
}

func (s *shard) addressesChanged(list []*Conn) {
	for _, c := range list[:min(burst, len(list))] {
		if c.gone.Load() {
			continue
		}
		s.call(c, func() {
			now := time.Now()
			if sa, ok := c.sa.(*ikev2.SA); ok {
				sa.AddressesChanged(now)
				s.carry(c, now)
			}
		})
	}
	if rest := list[min(burst, len(list)):]; len(rest) > 0 {
		s.mail.put(letter{run: func(time.Time) { s.addressesChanged(rest) }})
	}
}
