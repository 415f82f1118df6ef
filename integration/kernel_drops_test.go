package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// drops are why the kernels of some nodes dropped packets, from now on.
type drops map[*flexvpn]map[string]int

func watchDrops(t *testing.T, nodes ...*flexvpn) drops {
	t.Helper()
	d := drops{}
	for _, f := range nodes {
		d[f] = dropped(t, f)
	}
	return d
}

// dropped are the counters of IPsec, and of packets that IPv4, IPv6 and interfaces could not handle.
func dropped(t *testing.T, f *flexvpn) map[string]int {
	t.Helper()
	out, err := f.node.Run(context.Background(), "sh", "-c",
		"cat /proc/net/xfrm_stat; grep -E 'Discard|NoRoute|Errors' /proc/net/snmp6; nstat -asz | grep -E '^Ip(In|Out)(Discards|NoRoutes|AddrErrors|HdrErrors)'; "+
			"ip -s link | awk '/^[0-9]/ {n=$2} /[RT]X:/ {d=$1; getline; print n d \"errors\", $3; print n d \"dropped\", $4}'")
	must(t, err)
	all := map[string]int{}
	for line := range strings.Lines(out) {
		var name string
		var n int
		if _, err := fmt.Sscan(line, &name, &n); err == nil {
			all[name] = n
		}
	}
	return all
}

// since tells what was counted since.
func (d drops) since(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for f, before := range d {
		for name, n := range dropped(t, f) {
			if n != before[name] {
				fmt.Fprintf(&b, "%s %s +%d\n", f.node.Name, name, n-before[name])
			}
		}
	}
	return b.String()
}

// around is what ping said just before and after each packet that is missing.
func around(ping string, missing []int) string {
	var b strings.Builder
	for _, n := range missing {
		for _, seq := range []int{n - 1, n + 1} {
			for line := range strings.Lines(ping) {
				if strings.Contains(line, fmt.Sprintf("icmp_seq=%d ", seq)) {
					b.WriteString(line)
				}
			}
		}
	}
	return b.String()
}
