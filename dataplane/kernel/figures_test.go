package kernel

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// Spokes are made in blocks, in turns by the plane and by ip -batch: whatever else the host does, or the
// emulator, meets both, and a median leaves out what met one block only.
const figureSpokes, figureBlock = 2100, 50

// TestFigures prints the figures of the kernel's data plane for `make bench`, which runs it in the
// virtual machine. It asserts nothing: the machine is emulated, and only ratios mean something.
func TestFigures(t *testing.T) {
	needKernel(t)
	if os.Getenv("FLEXVPN_FIGURES") == "" {
		t.Skip("make bench runs this, and prints what it measures")
	}
	elsewhere := inAnotherNamespace(t)
	newNamespace(t)
	ip(t, "link set lo up")
	p := newPlane(t, Options{})
	const blocks = figureSpokes / figureBlock
	var plane, batches, start, speed []float64
	for b := range blocks {
		speed = append(speed, fixedWork())
		turns := []func(){
			func() { plane = append(plane, applyBlock(t, p, b)) },
			func() { batches = append(batches, elsewhere(blockText(b))) },
			func() { start = append(start, elsewhere("link show lo\n")) }, // what it costs to run the program at all
		}
		if b%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			turn()
		}
	}
	var ratios []float64
	for b := range blocks {
		batches[b] -= median(start)
		ratios = append(ratios, plane[b]/batches[b])
	}
	begin := time.Now()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	teardown := time.Since(begin)
	// The hundredth and the two thousandth stand in the middle of four blocks each.
	growth := func(all []float64) float64 { return median(all[blocks-4:]) / median(all[:4]) }
	drift := growth(speed)
	say := func(name string, v float64) { fmt.Printf("bench %s %.4g\n", name, v) }
	say("kernel_setup_over_batch", median(ratios))
	say("kernel_setup_growth", growth(plane)/drift)
	say("kernel_batch_growth", growth(batches)/drift)
	say("kernel_machine_drift", drift)
	say("kernel_setup_milliseconds", median(plane)/figureBlock*1000)
	say("kernel_teardown_seconds_2000", teardown.Seconds()*2000/figureSpokes)
}

// fixedWork is how many seconds the same work takes, which has nothing to do with interfaces. Minutes lie
// between the hundredth spoke and the two thousandth, and the machine, which shares its host, may have become
// slower.
func fixedWork() float64 {
	begin := time.Now()
	var b [4 << 10]byte
	for i := range 2000 {
		b[i%len(b)] += byte(unix.Getppid())
		if i%10 == 0 {
			copy(b[:], fmt.Sprintf("%x", sha256.Sum256(b[:])))
		}
	}
	return time.Since(begin).Seconds()
}

func median(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// applyBlock makes the spokes of a block by the plane, and says how many seconds it took.
func applyBlock(t *testing.T, p *Plane, block int) float64 {
	t.Helper()
	var sum time.Duration
	for i := range figureBlock {
		spec := figureSpoke(block*figureBlock + i)
		begin := time.Now()
		if err := p.Apply(spec); err != nil {
			t.Fatal(err)
		}
		sum += time.Since(begin)
	}
	return sum.Seconds()
}

func blockText(block int) string {
	var text strings.Builder
	for i := range figureBlock {
		writeSpoke(&text, block*figureBlock+i)
	}
	return text.String()
}

// inAnotherNamespace gives what runs ip -batch in a namespace of its own, for as long as the test runs, and
// says how many seconds it took.
func inAnotherNamespace(t *testing.T) func(text string) float64 {
	t.Helper()
	work, done := make(chan string), make(chan float64)
	go func() { // ends with the test
		defer close(done)
		newNamespace(t)
		for text := range work {
			done <- batch(t, text).Seconds()
		}
	}()
	t.Cleanup(func() { close(work) })
	run := func(text string) float64 {
		work <- text
		seconds, ok := <-done
		if !ok {
			t.FailNow()
		}
		return seconds
	}
	run("link set lo up\n")
	return run
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
