package ikev2_test

import (
	"errors"
	"net/netip"

	"flexvpn/ikev2/wire"
)

var errTest = errors.New("the test refuses")

func prefixes(list ...string) (out []wire.Selector) {
	for _, p := range list {
		out = append(out, wire.SelectorFromPrefix(netip.MustParsePrefix(p), 0))
	}
	return out
}
