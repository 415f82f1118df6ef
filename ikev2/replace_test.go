package ikev2_test

import (
	"testing"
	"time"

	"flexvpn/ikev2"
	"flexvpn/ikev2/iketest"
)

// A session that gives way to a newer one of its identity tells a peer of ours so. Others get the
// Delete alone: what they do not know they would have to ignore (RFC 7296 section 3.10.1), but nothing
// is gained by trying.
func TestReplacedSessionIsTold(t *testing.T) {
	for version, want := range map[string]ikev2.CloseReason{
		"flexvpn 1.2.3": ikev2.ReasonReplaced, "Cisco IOS Software": ikev2.ReasonPeerDelete, "": ikev2.ReasonPeerDelete,
	} {
		p := iketest.Up(t, func(p *iketest.Pair) {
			p.Spoke.Common.Version, p.Spoke.Common.VendorIDs = version, ikev2.VendorIDs()
		})
		p.Hub.Do(func(now time.Time, sa *ikev2.SA) { sa.Replace(now, "a newer one came") })
		p.Deliver()
		if c := iketest.Want[ikev2.Closed](p.Spoke, "the session is over"); c.Reason != want {
			t.Errorf("a spoke of version %q hears %s, want %s", version, c.Reason, want)
		}
		if c := iketest.Want[ikev2.Closed](p.Hub, "at the hub, too"); c.Reason != ikev2.ReasonLocal || c.Detail != "a newer one came" {
			t.Errorf("the hub says %+v", c)
		}
	}
}
