package endpoint_test

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/ikev2/suite"
)

func TestDeadlinesComeInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var heap endpoint.Deadlines
	want := map[*endpoint.Conn]int64{}
	var conns []*endpoint.Conn
	for range 200 {
		conns = append(conns, endpoint.NewConn())
	}
	for range 20000 {
		c := conns[r.IntN(len(conns))]
		if r.IntN(3) == 0 {
			heap.Remove(c)
			delete(want, c)
		} else {
			at := r.Int64N(1000)
			heap.Set(c, at)
			want[c] = at
		}
		first, at, ok := heap.First()
		if ok != (len(want) > 0) {
			t.Fatalf("the heap says %v with %d deadlines", ok, len(want))
		}
		if !ok {
			continue
		}
		least := at
		for _, w := range want {
			least = min(least, w)
		}
		if want[first] != at || at != least {
			t.Fatalf("first is %d, least is %d", at, least)
		}
	}
	var order []int64
	for {
		c, at, ok := heap.First()
		if !ok {
			break
		}
		order = append(order, at)
		heap.Remove(c)
	}
	if len(order) != len(want) || !slices.IsSorted(order) {
		t.Errorf("%d of %d deadlines came out, in order: %v", len(order), len(want), slices.IsSorted(order))
	}
}

func TestSPILeadsToItsShard(t *testing.T) {
	seen := map[uint64]bool{}
	for shard := range 256 {
		spi := endpoint.NewSPI(shard)
		if spi == 0 || seen[spi] || endpoint.ShardOf(spi, 256) != shard {
			t.Fatalf("SPI %016x of shard %d", spi, shard)
		}
		seen[spi] = true
	}
	if n := endpoint.ShardOf(^uint64(0), 3); n < 0 || n > 2 {
		t.Errorf("an SPI that nobody chose leads to shard %d of 3", n)
	}
}

func TestCounterNames(t *testing.T) {
	for name, want := range map[string]string{
		"Retransmitted": "retransmitted", "BadMessageID": "bad_message_id", "RekeysIKE": "rekeys_ike",
		"InvalidKERetries": "invalid_ke_retries", "NATMappingsChanged": "nat_mappings_changed",
		"RxESPPackets": "rx_esp_packets", "DroppedUnknownSPI": "dropped_unknown_spi",
	} {
		if got := endpoint.Snake(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	e := unbound(t, nil)
	m := e.Counters()
	for i := range reflect.TypeFor[ikev2.Counters]().NumField() {
		name := endpoint.Snake(reflect.TypeFor[ikev2.Counters]().Field(i).Name)
		if _, ok := m[name]; !ok {
			t.Errorf("the engine's counter %s is missing", name)
		}
	}
}

// TestCommonIsCopiedWhole fails when the engine's Common gets a field that shards would not see.
func TestCommonIsCopiedWhole(t *testing.T) {
	tracer := ikev2.Tracer(func(ikev2.TraceRecord) {})
	template := &ikev2.Common{
		Proposals: []suite.Proposal{{}}, ForceEncap: true, VendorIDs: [][]byte{{1}}, Version: "v",
		HalfOpenLife: time.Second, AnswerLimit: time.Second, NewSPI: func() uint64 { return 1 },
		NewChildSPI: func() uint32 { return 256 }, NATPort: 1, Anchors: [][]byte{{1}}, Counters: &ikev2.Counters{},
		Addresses: []netip.Addr{netip.IPv4Unspecified()},
	}
	template.Tracer.Store(&tracer)
	own := []string{"NewSPI", "Counters"} // every shard has its own
	got := reflect.ValueOf(endpoint.CopyCommon(template)).Elem()
	set := reflect.ValueOf(template).Elem()
	for i := range got.NumField() {
		name := got.Type().Field(i).Name
		if set.Field(i).IsZero() {
			t.Errorf("this test does not know the field %s", name)
		}
		if got.Field(i).IsZero() != slices.Contains(own, name) {
			t.Errorf("field %s: copied is %v", name, !got.Field(i).IsZero())
		}
	}
}

func TestSocketIsPickedByFamilyAndAddress(t *testing.T) {
	var sockets []endpoint.Socket
	for _, a := range []string{"192.0.2.1:4500", "192.0.2.2:4500", "[2001:db8::1]:4500", "[fe80::1%2]:4500"} {
		sockets = append(sockets, deaf{addr: netip.MustParseAddrPort(a)})
	}
	for _, c := range []struct{ local, remote, want string }{
		{"192.0.2.2", "198.51.100.7", "192.0.2.2:4500"},
		{"", "198.51.100.7", "192.0.2.1:4500"},
		{"0.0.0.0", "198.51.100.7", "192.0.2.1:4500"},
		{"192.0.2.3", "198.51.100.7", ""},
		{"2001:db8::1", "2001:db8::7", "[2001:db8::1]:4500"},
		{"fe80::1%2", "fe80::7%2", "[fe80::1%2]:4500"},
		{"192.0.2.1", "2001:db8::7", ""},
	} {
		var local netip.Addr
		if c.local != "" {
			local = netip.MustParseAddr(c.local)
		}
		got := ""
		if s := endpoint.Pick(sockets, local, netip.MustParseAddr(c.remote)); s != nil {
			got = s.Addr().String()
		}
		if got != c.want {
			t.Errorf("from %s to %s: socket %q, want %q", c.local, c.remote, got, c.want)
		}
	}
}

// TestIdleSessionIsSmall holds the endpoint's share of the memory of an idle session.
func TestIdleSessionIsSmall(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench) {
		const sessions = 20000
		fake := sized{next: time.Now().Add(time.Hour)}
		b.machine = func(c *ikev2.Common) endpoint.Machine {
			return &sized{spi: c.NewSPI(), next: fake.next, out: []ikev2.Output{ikev2.Established{}}}
		}
		b.e.SetAdmission(sessions, false)
		before := heapInUse()
		for spi := range uint64(sessions) {
			b.send(peer4, hub4, firstRequest(spi+1))
		}
		after := heapInUse()
		b.sleep(0)
		if n := b.e.Counters()["rx_datagrams"]; n != sessions {
			t.Fatalf("%d sessions, want %d", n, sessions)
		}
		const machine = 64 // what the fake itself takes
		per := (int64(after)-int64(before))/sessions - machine
		t.Logf("an idle session takes %d octets here", per)
		if per > 400 {
			t.Errorf("an idle session takes %d octets here, want at most 400", per)
		}
	})
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// sized is a machine of 64 octets.
type sized struct {
	spi  uint64
	next time.Time
	out  []ikev2.Output
}

func (s *sized) Receive(time.Time, ikev2.Path, []byte) {}
func (s *sized) Answer(time.Time, ikev2.Answer)        {}
func (s *sized) Advance(time.Time)                     {}
func (s *sized) Next() time.Time                       { return s.next }
func (s *sized) SPI() uint64                           { return s.spi }
func (s *sized) Facts() ikev2.Facts                    { return ikev2.Facts{} }
func (s *sized) Take() []ikev2.Output {
	out := s.out
	s.out = nil
	return out
}
