package integration

import (
	"context"
	"testing"
)

// What the data plane of the kernel is made of is there: a test that finds it missing in the virtual
// machine has been given the wrong one.
func TestKernelCoreHasWhatItTakes(t *testing.T) {
	needKernel(t)
	l := newLab(t, "has")
	n := node(t, l, "a")
	must(t, n.IP("link add xf1 type xfrm dev lo if_id 7",
		"link add gr1 type gre local 100.64.255.1 remote 100.64.0.1 ttl 64",
		"link add red type vrf table 1001",
		"xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1001 mode beet aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128 sel src 100.64.255.1/32 dst 100.64.0.1/32"))
	nft(t, n, "table inet t {\n chain c {\n type filter hook forward priority 0;\n tcp flags syn tcp option maxseg size set rt mtu\n }\n}\n")
	if _, err := n.Run(context.Background(), "tc", "qdisc", "add", "dev", "gr1", "root", "handle", "1:", "htb"); err != nil {
		t.Error(err)
	}
}
