package main

import "flexvpn/ops/view"

// mobikeText says whether a session can change its addresses, and where else its peer is.
func mobikeText(sa view.SA) string {
	switch {
	case !sa.MOBIKE:
		return "no"
	case len(sa.Additional) == 0:
		return "yes"
	}
	return "yes, the peer is also at " + addressesText(sa.Additional)
}

// iosMobike is the same for an IOS engineer, who has no such line: it reads like its neighbours.
func iosMobike(sa view.SA) string {
	switch {
	case !sa.MOBIKE:
		return "MOBIKE: disabled"
	case len(sa.Additional) == 0:
		return "MOBIKE: enabled"
	}
	return "MOBIKE: enabled, additional addresses: " + addressesText(sa.Additional)
}
