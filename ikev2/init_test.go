package ikev2_test

import (
	"testing"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
)

func TestHandshake(t *testing.T) {
	p := iketest.NewPair(t)
	p.Spoke.Initiate()
	p.Deliver()
	s := iketest.Want[ikev2.Established](p.Spoke, "the spoke's session stands")
	h := iketest.Want[ikev2.Established](p.Hub, "the hub's session stands")
	if s.Child.SPIIn != h.Child.SPIOut || !s.Child.KeyIn.Equal(h.Child.KeyOut) || !s.Child.KeyOut.Equal(h.Child.KeyIn) {
		t.Error("the ends do not share a Child SA")
	}
}
