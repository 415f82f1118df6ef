package node

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestSpareMemory(t *testing.T) {
	for _, c := range []struct {
		live, spare uint64
		want        int
	}{
		{0, 64 << 20, 1600},
		{1 << 20, 64 << 20, 1600},
		{16 << 20, 64 << 20, 400},
		{32 << 20, 64 << 20, 200},
		{1 << 30, 64 << 20, 200},
		{1 << 20, 0, 200},
	} {
		if got := percentFor(c.live, c.spare); got != c.want {
			t.Errorf("with %d octets live and %d to spare the heap grows by %d %%, want %d", c.live, c.spare, got, c.want)
		}
	}
	if got := memory(); got < 1<<26 {
		t.Errorf("this process may have %d octets", got)
	}
}

// A hub with little that is live collects once for what it may spare, whatever it was told at its start,
// and again after each collection.
func TestGarbageIsGathered(t *testing.T) {
	const spare = 32 << 20
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	live := make([]byte, 4<<20) // as if of sessions
	runtime.GC()
	keepSpare(spare)
	// What other tests left alive counts, too.
	if goal := gauge("/gc/heap/goal:bytes"); goal > max(2*spare, 3*liveOctets()+smallest) {
		t.Errorf("the heap may grow to %d octets, with %d live and %d to spare", goal, liveOctets(), spare)
	}
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	for range 8 * max(spare, liveOctets()) / 1024 {
		garbage = make([]byte, 1024)
	}
	runtime.ReadMemStats(&b)
	// With little alive GOGC=100 would have collected about fifty times.
	if n := b.NumGC - a.NumGC; n < 2 || n > 16 {
		t.Errorf("%d collections for eight times what may be spared", n)
	}
	runtime.KeepAlive(live)
	live = make([]byte, 64<<20)
	for limit := time.Now().Add(time.Minute); growth() != leastPercent; runtime.GC() {
		if time.Now().After(limit) {
			t.Fatalf("with twice what may be spared live the heap still grows by %d %%", growth())
		}
	}
	runtime.KeepAlive(live)
}

// growth is what GOGC is now.
func growth() uint64 { return gauge("/gc/gogc:percent") }

func gauge(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

var garbage []byte
