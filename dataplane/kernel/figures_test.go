package kernel

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// TestFigures prints the figures of the kernel's data plane for `make bench`, which runs it in the
// virtual machine. It asserts nothing: the machine is emulated, and only ratios mean something.
func TestFigures(t *testing.T) {
	needKernel(t)
	if os.Getenv("FLEXVPN_FIGURES") == "" {
		t.Skip("make bench runs this, and prints what it measures")
	}
	const count, block = 2100, 100
	newNamespace(t)
	ip(t, "link set lo up")
	p := newPlane(t, Options{})
	var plane [count / block]time.Duration
	for i := range count {
		spec := figureSpoke(i)
		begin := time.Now()
		if err := p.Apply(spec); err != nil {
			t.Fatal(err)
		}
		plane[i/block] += time.Since(begin)
	}
	begin := time.Now()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	teardown := time.Since(begin)

	newNamespace(t)
	ip(t, "link set lo up")
	start := batch(t, "link show lo\n") // what it costs to run the program at all
	var batches [count / block]time.Duration
	for b := range batches {
		var text strings.Builder
		for i := range block {
			writeSpoke(&text, b*block+i)
		}
		batches[b] = batch(t, text.String()) - start
	}
	ratio := func(a, b time.Duration) float64 { return float64(a) / float64(b) }
	sum := func(d []time.Duration) (all time.Duration) {
		for _, x := range d {
			all += x
		}
		return all
	}
	say := func(name string, v float64) { fmt.Printf("bench %s %.4g\n", name, v) }
	say("kernel_setup_over_batch", ratio(sum(plane[:]), sum(batches[:])))
	// The hundredth and the two thousandth stand in the middle of two blocks each.
	say("kernel_setup_growth", ratio(sum(plane[19:21]), sum(plane[0:2])))
	say("kernel_batch_growth", ratio(sum(batches[19:21]), sum(batches[0:2])))
	say("kernel_teardown_seconds_2000", teardown.Seconds()*2000/count)
}

func figureSpoke(i int) dataplane.Interface {
	c := planetest.NewChild(uint32(0x1000+i), planetest.Algorithms[2])
	c.ESN = true
	spec := planetest.NewInterface(fmt.Sprintf("va%d", i+1), c)
	spec.Alias = fmt.Sprintf("test spoke%d.branch.example.net", i)
	spec.Path.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 4500)
	spec.Addresses = []netip.Prefix{netip.MustParsePrefix("10.1.1.1/32")}
	return spec
}

// writeSpoke writes the same objects for iproute2.
func writeSpoke(b *strings.Builder, i int) {
	name, id, remote := fmt.Sprintf("va%d", i+1), i+1, fmt.Sprintf("198.51.%d.%d", i>>8, i&255)
	fmt.Fprintf(b, "link add %s mtu 1400 type xfrm if_id %d\nlink set %s alias \"test spoke%d.branch.example.net\" addrgenmode none\nlink set %s up\naddr add 10.1.1.1/32 dev %s\n", name, id, name, i, name, name)
	key := "0x" + strings.Repeat("5a", 36)
	state := func(src, dst string, spi uint32, sport, dport, more string) {
		fmt.Fprintf(b, "xfrm state add src %s dst %s proto esp spi %#x reqid %d mode tunnel %s flag af-unspec esn aead rfc4106(gcm(aes)) %s 128 encap espinudp %s %s 0.0.0.0 if_id %d\n", src, dst, spi, id, more, key, sport, dport, id)
	}
	state(remote, "192.0.2.1", uint32(0x1000+i), "4500", "4500", "replay-window 1024")
	state("192.0.2.1", remote, uint32(0x10001000+i), "4500", "4500", "replay-window 32")
	for _, any := range []string{"0.0.0.0/0", "::/0"} {
		for _, dir := range []string{"in", "fwd", "out"} {
			src, dst := remote, "192.0.2.1"
			if dir == "out" {
				src, dst = dst, src
			}
			fmt.Fprintf(b, "xfrm policy add src %s dst %s dir %s priority 1 tmpl src %s dst %s proto esp reqid %d mode tunnel if_id %d\n", any, any, dir, src, dst, id, id)
		}
	}
}

// batch runs ip -batch and says how long it took.
func batch(t *testing.T, text string) time.Duration {
	t.Helper()
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(text)
	begin := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip -batch: %v\n%s", err, out)
	}
	return time.Since(begin)
}
