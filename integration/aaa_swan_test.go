package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flexvpn/ops/view"
)

const aaaSwan = `connections {
  hub {
    version = 2
    local_addrs = 192.0.2.3
    remote_addrs = 192.0.2.1
    proposals = aes256gcm16-prfsha384-x25519
    encap = yes
    vips = 0.0.0.0,::
    local {
      auth = psk
      id = spoke1.branch.example.net
    }
    remote {
      auth = psk
      id = hub.example.net
    }
    children {
      net {
        remote_ts = 0.0.0.0/0,::/0
        esp_proposals = aes256gcm16
        mode = tunnel
      }
    }
  }
}
secrets {
  ike-hub {
    secret = "a test secret, not for use"
  }
}
`

// strongSwan gets what RADIUS gives and it can ask for: addresses of both families.
func TestAAAStrongswan(t *testing.T) {
	t.Parallel()
	s := newStar(t, "aaad", "hub", "radius", "swan")
	startFreeradius(t, s.nodes["radius"], newCA(t), nil)
	hub := startFlexvpn(t, s.nodes["hub"], "hub", aaaHubText([]string{"192.0.2.2"}), aaaFiles())
	swan := startStrongswan(t, s.nodes["swan"], aaaSwan, nil)
	swan.must("--initiate", "--child", "net")
	if got := fmt.Sprint(hub.up().Addresses); !strings.HasPrefix(got, "[10.1.1.77 2001:db8:fff::") {
		t.Errorf("the session has %s", got)
	}
	log, err := os.ReadFile(filepath.Join(swan.dir, "charon.log"))
	must(t, err)
	wantLines(t, "strongSwan's log", string(log), "installing new virtual IP 10.1.1.77", "installing new virtual IP 2001:db8:fff::2", "DNS")
	if a := show[view.Session](hub, "session", "spoke1.branch.example.net").Attributes; len(a) < 10 {
		t.Errorf("show session tells %+v", a)
	}
}
