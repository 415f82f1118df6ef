package kernel

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"flexvpn/dataplane"
	"flexvpn/dataplane/kernel/xfrm"
	"flexvpn/dataplane/planetest"
)

var (
	insideHere  = netip.MustParseAddrPort("10.1.1.1:1000")
	insideThere = netip.MustParseAddrPort("10.2.2.2:2000")
)

// kernel.output-mark marks what leaves encrypted: a rule sends that, and nothing else, by a way of its
// own. Here there is no other.
func TestOutputMark(t *testing.T) {
	needKernel(t)
	r := newRigWith(t, Options{OutputMark: 0x42})
	ip(t, "route del default", "route add default dev net0 table 200", "rule add fwmark 0x42 lookup 200")
	for i, mode := range []dataplane.Mode{dataplane.IPsec, dataplane.GRE} {
		name := fmt.Sprintf("fvt%d", i)
		if err := r.plane.Apply(spoke(name, mode, uint32(0x1001+i))); err != nil {
			t.Fatal(err)
		}
		r.Send(name, planetest.UDP(insideHere, insideThere, []byte("out")))
		if _, remote, esp := r.Sent(); esp == nil {
			t.Errorf("%s: nothing left by the way of the mark", mode)
		} else if remote.Addr().String() != "198.51.100.7" {
			t.Errorf("%s: a packet left to %s", mode, remote)
		}
	}
	for block := range strings.SplitSeq(said(t, "ip", "xfrm", "state"), "\nsrc ") {
		out := strings.HasPrefix(strings.TrimPrefix(block, "src "), "192.0.2.1 ")
		if strings.Contains(block, "output-mark 0x42") != out {
			t.Errorf("sends: %v, and iproute2 says\n%s", out, block)
		}
	}
}

// What show says of an SA is what the kernel counts, as iproute2 reads it.
func TestCountersOfStates(t *testing.T) {
	needKernel(t)
	r := newRig(t)
	spec := spoke("fvt0", dataplane.IPsec, 0x1001)
	if err := r.plane.Apply(spec); err != nil {
		t.Fatal(err)
	}
	end := &planetest.End{Child: &spec.Children[0]}
	in := planetest.UDP(insideThere, insideHere, []byte("in"))
	for range 3 {
		r.Deliver(spec.Path.Local, spec.Path.Remote, end.Seal(in, 4, planetest.Options{}))
	}
	r.Deliver(spec.Path.Local, spec.Path.Remote, end.Seal(in, 4, planetest.Options{Seq: 1}))
	r.Deliver(spec.Path.Local, spec.Path.Remote, end.Seal(in, 4, planetest.Options{BreakICV: true}))
	for range 2 {
		r.Send("fvt0", planetest.UDP(insideHere, insideThere, []byte("out")))
		r.Sent()
	}
	c, _ := r.plane.Counters("fvt0")
	row := c.Children[0]
	if row.InPackets != 3 || row.OutPackets != 2 || row.Replayed != 1 || row.BadIntegrity != 1 || row.Offloaded {
		t.Errorf("the plane counted %+v", row)
	}
	counts := regexp.MustCompile(`(?s)lifetime current:\s+(\d+)\(bytes\), (\d+)\(packets\).*replay (\d+) failed (\d+)`)
	for block := range strings.SplitSeq(said(t, "ip", "-s", "xfrm", "state"), "\nsrc ") {
		want := fmt.Sprintf("%d %d %d %d", row.InBytes, row.InPackets, row.Replayed, row.BadIntegrity)
		if strings.HasPrefix(strings.TrimPrefix(block, "src "), "192.0.2.1 ") {
			want = fmt.Sprintf("%d %d 0 0", row.OutBytes, row.OutPackets)
		}
		if m := counts.FindStringSubmatch(block); m == nil || strings.Join(m[1:], " ") != want {
			t.Errorf("iproute2 has %q, show has %s:\n%s", m, want, block)
		}
	}
}

// From Linux 6.10 on a state has a direction; before, the kernel knows none.
func TestDirectionOfStates(t *testing.T) {
	needKernel(t)
	newNamespace(t)
	p := newPlane(t, Options{})
	spec := spoke("va1", dataplane.IPsec, 0x1001)
	if err := p.Apply(spec); err != nil {
		t.Fatal(err)
	}
	k, err := p.dump()
	if err != nil {
		t.Fatal(err)
	}
	for id, s := range k.states {
		want := xfrm.AnyDirection
		if atLeast(6, 10) {
			want = map[bool]xfrm.Direction{true: xfrm.In, false: xfrm.Out}[id.SPI == 0x1001]
		}
		if s.Direction != want {
			t.Errorf("state %s has direction %d, want %d", id, s.Direction, want)
		}
	}
}

// offload: auto over a device that has none, and over one that has and refuses: a bond whose port has
// none. The processor does the work, packets pass, and the log and show say so. (Debian's kernels have no
// device that takes it in a virtual machine: netdevsim is not built.)
func TestOffloadFallsBack(t *testing.T) {
	needKernel(t)
	t.Run("a device without", func(t *testing.T) {
		var log bytes.Buffer
		r := newRigWith(t, Options{Offload: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for i := range 2 {
			spec := spoke(fmt.Sprintf("fvt%d", i), dataplane.IPsec, uint32(0x1001+i))
			spec.Path.Encap = false
			if err := r.plane.Apply(spec); err != nil {
				t.Fatal(err)
			}
			r.Send(spec.Name, planetest.UDP(insideHere, insideThere, []byte("out")))
			if _, _, esp := r.Sent(); esp == nil {
				t.Error("no packet left")
			}
			if c, _ := r.plane.Counters(spec.Name); c.Children[0].OutPackets != 1 || c.Children[0].Offloaded {
				t.Errorf("counted %+v", c.Children[0])
			}
		}
		if n := strings.Count(log.String(), "the device below has no cryptography: the processor does it\" device=net0"); n != 1 {
			t.Errorf("said %d times:\n%s", n, &log)
		}
	})
	t.Run("a device that refuses", func(t *testing.T) {
		newNamespace(t)
		ip(t, "link set lo up", "link add bond0 type bond mode active-backup", "link add port0 type veth peer name far0",
			"link set port0 master bond0", "link set bond0 up", "link set port0 up", "link set far0 up", "addr add 192.0.2.1/24 dev bond0", "route add default dev bond0")
		var log bytes.Buffer
		p := newPlane(t, Options{Offload: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
		spec := spoke("va1", dataplane.IPsec, 0x1001)
		spec.Path.Encap = false
		if err := p.Apply(spec); err != nil {
			t.Fatal(err)
		}
		if out := said(t, "ip", "xfrm", "state"); strings.Count(out, "proto esp") != 2 || strings.Contains(out, "offload") {
			t.Errorf("iproute2 says\n%s", out)
		}
		if !strings.Contains(log.String(), "the device below does not take the cryptography, the processor does it") {
			t.Errorf("the log says\n%s", &log)
		}
		// A rekey over it as well.
		spec = spoke("va1", dataplane.IPsec, 0x1001, 0x1002)
		spec.Path.Encap = false
		if err := p.Apply(spec); err != nil {
			t.Fatal(err)
		}
		if out := said(t, "ip", "xfrm", "state"); strings.Count(out, "proto esp") != 4 {
			t.Errorf("iproute2 says\n%s", out)
		}
	})
}
