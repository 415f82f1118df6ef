package kernel

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// A thousand random states, in random order, leave the kernel exactly as declared. What it holds is
// read by iproute2, which shares no code with the plane; what is expected comes from what was declared.
func TestRandomStates(t *testing.T) {
	needKernel(t)
	const steps, every = 100, 25
	seeds := uint64(10)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			newNamespace(t)
			ip(t, "link set lo up", "link add stranger type bridge", "link set stranger up",
				"xfrm state add src 203.0.113.1 dst 203.0.113.2 proto esp spi 0x77 reqid 77 mode tunnel aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128",
				"xfrm policy add src 203.0.113.0/24 dst 198.18.0.0/24 dir out tmpl src 203.0.113.1 dst 203.0.113.2 proto esp reqid 77 mode tunnel")
			strangers := kernelState(t)
			p := newPlane(t, Options{})
			w := &walk{t: t, r: rand.New(rand.NewPCG(seed, 11)), plane: p, fake: planetest.NewFake(), spi: uint32(0x1000 * (seed + 1))}
			for step := range steps {
				w.step()
				if step%every == every-1 {
					p.settle()
					same(t, kernelState(t), w.declared(strangers), fmt.Sprintf("seed %d step %d", seed, step))
				}
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			same(t, kernelState(t), strangers, "after Close")
		})
	}
}

// walk changes a few interfaces at random.
type walk struct {
	t     *testing.T
	r     *rand.Rand
	plane *Plane
	fake  *planetest.Fake
	spi   uint32
}

const walkNames = 8

func (w *walk) step() {
	w.t.Helper()
	name := fmt.Sprintf("va%d", w.r.IntN(walkNames))
	if w.r.IntN(6) == 0 {
		_ = w.fake.Remove(name)
		if err := w.plane.Remove(name); err != nil {
			w.t.Fatalf("remove %s: %v", name, err)
		}
		return
	}
	spec := w.next(name)
	if err := w.fake.Apply(spec); err != nil {
		w.t.Fatalf("the test made a bad state: %v", err)
	}
	if err := w.plane.Apply(spec); err != nil {
		w.t.Fatalf("apply %s: %v", name, err)
	}
}

func (w *walk) next(name string) dataplane.Interface {
	spec, there := w.fake.Interface(name)
	if !there || w.r.IntN(10) == 0 {
		spec = planetest.NewInterface(name)
		spec.Mode = []dataplane.Mode{dataplane.IPsec, dataplane.GRE}[w.r.IntN(2)]
	}
	spec.Children = slices.Clone(spec.Children)
	if n := len(spec.Children); n > 0 && w.r.IntN(3) == 0 {
		spec.Children = slices.Delete(spec.Children, 0, 1+w.r.IntN(n))
	}
	for range w.r.IntN(3) {
		spec.Children = append(spec.Children, w.child(spec.Mode))
	}
	spec.Outbound = 0
	if n := len(spec.Children); n > 0 && w.r.IntN(5) != 0 {
		spec.Outbound = spec.Children[w.r.IntN(n)].SPIIn
	}
	spec.MTU = 1300 + w.r.IntN(200)
	spec.Alias = fmt.Sprintf("test %s %d", name, w.r.IntN(3))
	if w.r.IntN(3) == 0 {
		spec.Path = w.path()
	}
	for i := range spec.Children {
		switch w.r.IntN(6) {
		case 0:
			spec.Children[i].Path = w.path()
		case 1:
			spec.Children[i].Path = dataplane.Path{}
		}
	}
	spec.Addresses = nil
	for range w.r.IntN(3) {
		spec.Addresses = append(spec.Addresses, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(w.r.IntN(200)), 1}), 32))
	}
	if w.r.IntN(2) == 0 {
		spec.Addresses = append(spec.Addresses, netip.MustParsePrefix(fmt.Sprintf("2001:db8:9::%x/128", w.r.IntN(200))))
	}
	slices.SortFunc(spec.Addresses, netip.Prefix.Compare)
	spec.Addresses = slices.Compact(spec.Addresses)
	return spec
}

func (w *walk) child(m dataplane.Mode) dataplane.Child {
	w.spi++
	c := planetest.NewChild(w.spi, planetest.Algorithms[w.r.IntN(len(planetest.Algorithms))])
	c.Transport = m == dataplane.GRE
	c.ESN = w.r.IntN(2) == 0
	c.ReplayWindow = []uint32{0, 64, 4096}[w.r.IntN(3)]
	if m == dataplane.IPsec && w.r.IntN(3) == 0 {
		c.Local = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8:1::/48")}
		c.Remote = []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", 2+w.r.IntN(3))), netip.MustParsePrefix("::/0")}
	}
	return c
}

// path is one of either family, with and without UDP.
func (w *walk) path() dataplane.Path {
	local, remote := "192.0.2.1", fmt.Sprintf("198.51.100.%d", 1+w.r.IntN(5))
	if w.r.IntN(3) == 0 {
		local, remote = "2001:db8:ffff::1", fmt.Sprintf("2001:db8:fffe::%d", 1+w.r.IntN(5))
	}
	p := dataplane.Path{Encap: w.r.IntN(2) == 0}
	p.Local = netip.AddrPortFrom(netip.MustParseAddr(local), 4500)
	p.Remote = netip.AddrPortFrom(netip.MustParseAddr(remote), uint16(4500+w.r.IntN(3)))
	return p
}

// declared is what the kernel has to hold, as kernelState prints it.
func (w *walk) declared(strangers []string) []string {
	out := slices.Clone(strangers)
	gre := false
	for i := range walkNames {
		spec, ok := w.fake.Interface(fmt.Sprintf("va%d", i))
		if !ok {
			continue
		}
		kind, mode := "xfrm", "tunnel"
		if spec.Mode == dataplane.GRE {
			kind, mode, gre = "gre", "beet", true
		}
		out = append(out, fmt.Sprintf("link %s %s mtu %d up %q", spec.Name, kind, spec.MTU, spec.Alias))
		for _, a := range spec.Addresses {
			out = append(out, fmt.Sprintf("address %s %s", spec.Name, a))
		}
		for i := range spec.Children {
			out = append(out, declaredStates(&spec, &spec.Children[i], mode)...)
		}
		out = append(out, declaredPolicies(&spec, mode)...)
	}
	if gre || slices.ContainsFunc(kernelState(w.t), func(s string) bool { return strings.HasPrefix(s, "link flexvpn-") }) {
		// The device of the invented addresses stays when the last GRE interface goes.
		name := w.plane.anchorName()
		out = append(out, fmt.Sprintf("link %s xfrm mtu 65535 up %q", name, "test inner addresses of GRE"), "address "+name+" 240.0.0.1/32")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func declaredStates(spec *dataplane.Interface, c *dataplane.Child, mode string) []string {
	p := spec.PathOf(c)
	l, r := p.Local, p.Remote
	in, out := "", ""
	if p.Encap {
		in, out = fmt.Sprintf(" udp %d-%d", r.Port(), l.Port()), fmt.Sprintf(" udp %d-%d", l.Port(), r.Port())
	}
	window := c.ReplayWindow
	if window == 0 {
		window = 1024
	}
	flags := ""
	if spec.Mode == dataplane.IPsec {
		flags += " af-unspec"
	}
	if c.ESN {
		flags += " esn"
	}
	outWindow := 32
	if atLeast(6, 10) {
		outWindow = 0
	}
	return []string{
		fmt.Sprintf("state %s > %s %#08x %s%s%s window %d", r.Addr(), l.Addr(), c.SPIIn, mode, in, flags, window),
		fmt.Sprintf("state %s > %s %#08x %s%s%s window %d", l.Addr(), r.Addr(), c.SPIOut, mode, out, flags, outWindow),
	}
}

func declaredPolicies(spec *dataplane.Interface, mode string) (out []string) {
	tmplIn := map[bool]string{false: "0.0.0.0 > 0.0.0.0 0 " + mode, true: ":: > :: 0 " + mode}
	tmplOut := "block"
	for i := range spec.Children {
		if c := &spec.Children[i]; c.SPIIn == spec.Outbound {
			p := spec.PathOf(c)
			tmplOut = fmt.Sprintf("%s > %s %#08x %s", p.Local.Addr(), p.Remote.Addr(), c.SPIOut, mode)
		}
	}
	put := func(dir, src, dst, tmpl string) {
		out = append(out, fmt.Sprintf("policy %s %s %s > %s by %s", spec.Name, dir, src, dst, tmpl))
	}
	if spec.Mode == dataplane.GRE {
		put("out", "L", "V", tmplOut)
		if len(spec.Children) > 0 {
			put("in", "V", "L", tmplIn[false])
		}
		return out
	}
	pairs := func(c *dataplane.Child) (all [][2]string) {
		local, remote := c.Local, c.Remote
		if len(local) == 0 {
			local = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
			remote = local
		}
		for _, x := range local {
			for _, y := range remote {
				if x.Addr().Is4() == y.Addr().Is4() {
					all = append(all, [2]string{x.String(), y.String()})
				}
			}
		}
		return all
	}
	for i := range spec.Children {
		c := &spec.Children[i]
		for _, p := range pairs(c) {
			six := strings.Contains(p[0], ":")
			put("in", p[1], p[0], tmplIn[six])
			put("fwd", p[1], p[0], tmplIn[six])
			if c.SPIIn == spec.Outbound {
				put("out", p[0], p[1], tmplOut)
			}
		}
	}
	if spec.Outbound == 0 {
		for _, p := range pairs(&dataplane.Child{}) {
			put("out", p[0], p[1], tmplOut)
		}
	}
	return out
}

// kernelState is what iproute2 says of the namespace, a line for each object, sorted.
func kernelState(t *testing.T) []string {
	t.Helper()
	var links []struct {
		Name  string   `json:"ifname"`
		MTU   int      `json:"mtu"`
		Flags []string `json:"flags"`
		Alias string   `json:"ifalias"`
		Info  struct {
			Kind string `json:"info_kind"`
			Data struct {
				IfID   string `json:"if_id"`
				Remote string `json:"remote"`
				Local  string `json:"local"`
			} `json:"info_data"`
		} `json:"linkinfo"`
		Addresses []struct {
			Local  string `json:"local"`
			Length int    `json:"prefixlen"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(said(t, "ip", "-d", "-j", "addr")), &links); err != nil {
		t.Fatal(err)
	}
	var out []string
	byID := map[string]string{}   // if_id -> interface
	byPeer := map[string]string{} // V -> interface
	local := ""
	for _, l := range links {
		if l.Info.Kind == "" || strings.HasPrefix(l.Name, "gre") || strings.HasPrefix(l.Name, "erspan") {
			continue // lo, and what a module makes
		}
		up := map[bool]string{true: "up", false: "down"}[slices.Contains(l.Flags, "UP")]
		out = append(out, fmt.Sprintf("link %s %s mtu %d %s %q", l.Name, l.Info.Kind, l.MTU, up, l.Alias))
		if l.Info.Data.IfID != "" {
			byID[l.Info.Data.IfID] = l.Name
		}
		if l.Info.Kind == "gre" {
			byPeer[l.Info.Data.Remote], local = l.Name, l.Info.Data.Local
		}
		for _, a := range l.Addresses {
			out = append(out, fmt.Sprintf("address %s %s/%d", l.Name, a.Local, a.Length))
		}
	}
	out = append(out, states(said(t, "ip", "xfrm", "state"))...)
	out = append(out, policies(said(t, "ip", "xfrm", "policy"), byID, byPeer, local)...)
	slices.Sort(out)
	return out
}

// blocks cuts iproute2's text: an object begins at the margin.
func blocks(text string) (all []map[string]string) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if line[0] != '\t' && line[0] != ' ' {
			all = append(all, map[string]string{})
		}
		b := all[len(all)-1]
		prefix := ""
		for i := 0; i < len(words); i++ {
			switch words[i] {
			case "tmpl", "sel":
				b["in"] = words[i]
				continue
			case "flag":
				b["flags"] = strings.Join(words[i+1:], " ")
			}
			if line[0] == '\t' && (b["in"] != "") {
				prefix = b["in"] + " "
			}
			if i+1 < len(words) {
				key := prefix + words[i]
				if _, known := b[key]; !known {
					b[key] = words[i+1]
				}
				i++
			}
		}
		if strings.Contains(line, "type espinudp") {
			f := strings.Fields(line)
			b["udp"] = fmt.Sprintf(" udp %s-%s", f[slices.Index(f, "sport")+1], f[slices.Index(f, "dport")+1])
		}
	}
	return all
}

func states(text string) (out []string) {
	for _, b := range blocks(text) {
		flags := ""
		for _, f := range []string{"af-unspec", "esn"} {
			if strings.Contains(b["flags"], f) {
				flags += " " + f
			}
		}
		window := b["replay-window"]
		if w := b["replay_window"]; w != "" {
			window = w
		}
		out = append(out, fmt.Sprintf("state %s > %s %s %s%s%s window %s", b["src"], b["dst"], b["spi"], b["mode"], b["udp"], flags, strings.TrimSuffix(window, ",")))
	}
	return out
}

func policies(text string, byID, byPeer map[string]string, local string) (out []string) {
	for _, b := range blocks(text) {
		if b["socket"] != "" {
			continue
		}
		name, src, dst := byID[b["if_id"]], b["src"], b["dst"]
		if n := byID[b["tmpl if_id"]]; n != "" {
			name = n
		}
		for _, end := range []*string{&src, &dst} {
			host := strings.TrimSuffix(*end, "/32")
			if n := byPeer[host]; n != "" {
				name, *end = n, "V"
			} else if host == local {
				*end = "L"
			}
		}
		by := "block"
		if b["tmpl src"] != "" {
			spi := b["tmpl spi"]
			if spi == "" {
				spi = "0"
			}
			by = fmt.Sprintf("%s > %s %s %s", b["tmpl src"], b["tmpl dst"], spi, b["tmpl mode"])
		}
		out = append(out, fmt.Sprintf("policy %s %s %s > %s by %s", name, b["dir"], src, dst, by))
	}
	return out
}

// same compares two sorted lists.
func same(t *testing.T, got, want []string, when string) {
	t.Helper()
	has := func(list []string) map[string]bool {
		m := map[string]bool{}
		for _, s := range list {
			m[s] = true
		}
		return m
	}
	g, w := has(got), has(want)
	for _, s := range slices.Sorted(maps.Keys(w)) {
		if !g[s] {
			t.Errorf("%s: the kernel lacks: %s", when, s)
		}
	}
	for _, s := range slices.Sorted(maps.Keys(g)) {
		if !w[s] {
			t.Errorf("%s: the kernel has besides: %s", when, s)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}
