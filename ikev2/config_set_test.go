package ikev2_test

import (
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
	"flexvpn/ikev2/wire"
)

// What a peer announces is acknowledged when it has been taken over, not before: the peer may send by what
// it announced as soon as it knows. One who never says so holds the SA up for a while only.
func TestConfigSetIsAcknowledgedWhenItIsUsed(t *testing.T) {
	attributes := []wire.Attribute{{Type: wire.InternalIP4Subnet, Value: []byte{172, 16, 1, 0, 255, 255, 255, 0}}}
	announce := func(p *iketest.Pair) {
		p.Spoke.Do(func(now time.Time, sa *ikev2.SA) { sa.SetConfig(now, attributes) })
	}
	for what, after := range map[string]time.Duration{"answered": 0, "nobody answers": 25 * time.Second} {
		t.Run(what, func(t *testing.T) {
			p := iketest.Up(t)
			var asked []ikev2.ConfigSet
			p.Hub.World.ConfigSet = func(q ikev2.ConfigSet) ikev2.Answer { asked = append(asked, q); return nil }
			announce(p)
			p.Run(3 * time.Second)
			iketest.WantNone[ikev2.ConfigAcknowledged](p.Spoke, "the hub has not taken it over")
			if len(asked) != 1 || len(asked[0].Attributes) != 1 || string(asked[0].Attributes[0].Value) != string(attributes[0].Value) {
				t.Fatalf("repeats of one request were asked as %+v", asked)
			}
			if after == 0 {
				p.Hub.Answer(ikev2.ConfigSetAnswer{ID: asked[0].ID + 1}) // to another question
				p.Run(time.Millisecond)
				iketest.WantNone[ikev2.ConfigAcknowledged](p.Spoke, "that was no answer")
				p.Hub.Answer(ikev2.ConfigSetAnswer{ID: asked[0].ID})
			}
			p.Run(after + 5*time.Second)
			iketest.Want[ikev2.ConfigAcknowledged](p.Spoke, "CFG_ACK has come")
			p.WantConsistent("afterwards")
		})
	}
}
