package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/config"
	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

func TestADecoratedPlanePassesTheSuite(t *testing.T) {
	t.Parallel()
	planetest.Run(t, func(t *testing.T) planetest.Rig {
		r := newRig(t)
		p := r.plane
		r.inside(r.hub, func() {
			var err error
			if r.plane, err = New(planetest.NewFake(), Options{Link: r.link}); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() { _, _ = r.plane.Close(), p })
		return planetest.Rig{Plane: r.plane}
	})
}

// elements are those of our table as nft sees them: "SET KEY".
func (r *rig) elements() []string {
	r.t.Helper()
	var out struct {
		Nftables []map[string]struct {
			Name string
			Elem []json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(r.in(r.hub, "nft -j list table inet "+tableName)), &out); err != nil {
		r.t.Fatal(err)
	}
	var all []string
	for _, object := range out.Nftables {
		for kind, s := range object {
			if kind != "set" && kind != "map" || strings.HasPrefix(s.Name, "meter_") {
				continue
			}
			for _, e := range s.Elem {
				all = append(all, s.Name+" "+elementText(e))
			}
		}
	}
	slices.Sort(all)
	return all
}

// elementText is an element of a map ("va1 : 1360"), or of a set with counters ("va1").
func elementText(raw json.RawMessage) string {
	var pair []json.RawMessage
	if json.Unmarshal(raw, &pair) == nil && len(pair) == 2 {
		var key string
		_ = json.Unmarshal(pair[0], &key)
		return key + " : " + string(pair[1])
	}
	var counted struct{ Elem struct{ Val string } }
	if json.Unmarshal(raw, &counted) == nil {
		return counted.Elem.Val
	}
	return strings.Trim(string(raw), `"`)
}

// want is what the elements should be, by other code than the plane's.
func want(all map[string]dataplane.Interface) (out []string) {
	for name, i := range all {
		if i.FilterIn != "" {
			out = append(out, "in_"+i.FilterIn+" "+name, "denied_in "+name)
		}
		if i.FilterOut != "" {
			out = append(out, "out_"+i.FilterOut+" "+name, "denied_out "+name)
		}
		if p := i.QoS.Police; p.Bits != 0 {
			out = append(out, fmt.Sprintf("police_%d_%d %s", p.Bits, max(p.Bits/8, uint64(p.Burst)), name), "policed "+name)
		}
		if i.AdjustMSS != 0 {
			out = append(out, fmt.Sprintf("mss4 %s : %d", name, i.AdjustMSS), fmt.Sprintf("mss6 %s : %d", name, i.AdjustMSS-20))
		}
	}
	slices.Sort(out)
	return out
}

// Whatever is declared in whatever order, the kernel has exactly that.
func TestTheKernelHasWhatWasDeclared(t *testing.T) {
	t.Parallel()
	r := newRig(t, list(t, "a", "permit ip any any"), list(t, "b", "deny ip any any"))
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[rnd.IntN(len(words))] }
	declared := map[string]dataplane.Interface{}
	for step := range 150 {
		name := fmt.Sprintf("va%d", 1+rnd.IntN(6))
		if rnd.IntN(4) == 0 {
			delete(declared, name)
			if err := r.plane.Remove(name); err != nil {
				t.Fatal(err)
			}
		} else {
			i := planetest.NewInterface(name)
			i.FilterIn, i.FilterOut = pick("", "a", "b"), pick("", "a", "b")
			i.AdjustMSS = []int{0, 1200, 1360}[rnd.IntN(3)]
			i.QoS.Police = []dataplane.Rate{{}, {Bits: 100_000, Burst: 5000}, {Bits: 2_000_000, Burst: 9000}}[rnd.IntN(3)]
			i.QoS.Shape = []dataplane.Rate{{}, {Bits: 8_000_000, Burst: 5000}, {Bits: 80_000_000, Burst: 100_000}}[rnd.IntN(3)]
			declared[name] = i
			if err := r.plane.Apply(i); err != nil {
				t.Fatal(err)
			}
		}
		if step%10 == 9 {
			r.compare(step, declared)
		}
	}
	for name := range declared {
		if err := r.plane.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	r.compare(-1, nil)
}

func (r *rig) compare(step int, declared map[string]dataplane.Interface) {
	r.t.Helper()
	if got, want := r.elements(), want(declared); !slices.Equal(got, want) {
		r.t.Fatalf("step %d: the table has\n%s\nwant\n%s", step, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	shapers, err := r.link.Shapers()
	if err != nil {
		r.t.Fatal(err)
	}
	for name, i := range declared {
		if _, shaped := shapers[name]; shaped != (i.QoS.Shape.Bits != 0) {
			r.t.Fatalf("step %d: %s shaped is %v, want %+v", step, name, shaped, i.QoS.Shape)
		}
		delete(shapers, name)
	}
	if len(shapers) != 0 {
		r.t.Fatalf("step %d: shapers are left: %v", step, slices.Collect(maps.Keys(shapers)))
	}
}

func TestWhatSomebodyFlushesIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, list(t, "from-spokes", "permit tcp any any eq 8080", "permit icmp any any"))
	filtered := func(i *dataplane.Interface) {
		i.FilterIn, i.QoS.Police = "from-spokes", dataplane.Rate{Bits: 1e9, Burst: 1e6}
	}
	r.apply(filtered)
	wanted := want(map[string]dataplane.Interface{"va1": r.spec(filtered)})
	for _, harm := range []string{
		"flush ruleset", "delete table inet " + tableName, "delete element inet " + tableName + " in_from-spokes { va1 }",
		"flush chain inet " + tableName + " from_peers", "flush chain inet " + tableName + " acl_in_from-spokes",
	} {
		r.in(r.hub, "nft "+harm)
		select {
		case what := <-r.noticed:
			if !strings.Contains(what, "made again") || !strings.HasSuffix(what, "<nil>") {
				t.Errorf("after %s it noticed: %s", harm, what)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("nobody noticed nft %s", harm)
		}
		if got := r.elements(); !slices.Equal(got, wanted) {
			t.Errorf("after %s the table has %v, want %v", harm, got, wanted)
		}
	}
	r.serve(r.lan, "192.168.10.5:9090")
	r.denied(r.far, "192.168.10.5:9090", func() uint64 { return r.lost("va1").FilterIn })
	// What others do elsewhere is their business.
	r.in(r.hub, "nft add table inet others")
	r.apply(nil)
	select {
	case what := <-r.noticed:
		t.Errorf("it noticed: %s", what)
	default:
	}
}

func TestAFailureLeavesThingsAsTheyWere(t *testing.T) {
	t.Parallel()
	r := newRig(t, list(t, "a", "permit ip any any"), list(t, "b", "permit ip any any"))
	boom := errors.New("boom")
	r.inner.Fail(boom)
	if err := r.plane.Apply(r.spec(func(i *dataplane.Interface) { i.FilterIn = "a" })); !errors.Is(err, boom) {
		t.Errorf("error is %v", err)
	}
	if got := r.elements(); len(got) != 0 {
		t.Errorf("of an interface that was not made there is %v", got)
	}
	first := func(i *dataplane.Interface) {
		i.FilterIn, i.AdjustMSS, i.QoS.Shape = "a", 1200, dataplane.Rate{Bits: 1e6, Burst: 5000}
	}
	r.apply(first)
	before := r.elements()
	r.inner.Fail(boom)
	if err := r.plane.Apply(r.spec(func(i *dataplane.Interface) { i.FilterIn, i.FilterOut = "b", "b" })); !errors.Is(err, boom) {
		t.Errorf("error is %v", err)
	}
	if got := r.elements(); !slices.Equal(got, before) {
		t.Errorf("the table has %v, want %v", got, before)
	}
	if s, err := r.link.Shapers(); err != nil || len(s) != 1 {
		t.Errorf("shapers are %v (%v), want that of before", s, err)
	}
	for text, change := range map[string]func(*dataplane.Interface){
		"there is no access list c: add it":    func(i *dataplane.Interface) { i.FilterOut = "c" },
		"there is no VRF red: ip link add red": func(i *dataplane.Interface) { i.VRF = "red" },
	} {
		spec := r.spec(change)
		spec.Name = "va2"
		if err := r.plane.Apply(spec); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error is %v, want %q", err, text)
		}
		if _, ok := r.inner.Interface("va2"); ok {
			t.Errorf("va2 is there in spite of: %s", text)
		}
	}
}

func TestWhatACrashLeftIsRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, list(t, "a", "permit ip any any"))
	r.apply(func(i *dataplane.Interface) { i.FilterIn = "a" })
	r.in(r.hub, "nft add table inet others")
	former := r.plane
	former.mu.Lock()
	former.closed = true // it no longer looks after anything
	former.mu.Unlock()
	defer close(former.done)
	r.open(false, []*config.AccessList{list(t, "b", "permit ip any any")}) // as a new process would, without the lists of before
	rules := r.in(r.hub, "nft list ruleset")
	if strings.Contains(rules, "va1") || strings.Contains(rules, "acl_in_a") || !strings.Contains(rules, "acl_in_b") || !strings.Contains(rules, "table inet others") {
		t.Errorf("after a new start:\n%s", rules)
	}
	if err := r.plane.Close(); err != nil {
		t.Error(err)
	}
	if rules := r.in(r.hub, "nft list ruleset"); strings.Contains(rules, tableName) {
		t.Errorf("after the end:\n%s", rules)
	}
	if err := r.plane.Apply(r.spec(nil)); !errors.Is(err, dataplane.ErrClosed) {
		t.Errorf("a closed plane says %v", err)
	}
}
