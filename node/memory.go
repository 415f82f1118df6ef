package node

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

const (
	// leastPercent lets the heap grow to three times what is live before garbage is collected, instead
	// of twice: sessions live long and are marked again each time.
	leastPercent = 200
	// mostSpare is how much garbage a hub may gather whatever is live: with a few thousand sessions that
	// is one collection in thousands of handshakes instead of one in hundreds.
	mostSpare = 64 << 20
	// spareShare is the part of the machine's memory, or of the unit's limit, that it is at most.
	spareShare = 16
)

// collectLess has garbage collected seldom. An operator who is short of memory sets GOGC, or GOMEMLIMIT,
// which the runtime keeps in any case.
func collectLess(role string) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(leastPercent)
	if role == "hub" {
		keepSpare(min(mostSpare, memory()/spareShare))
	}
}

// keepSpare adjusts the collector after each collection to what that left alive. An object that only
// the collector sees tells when.
func keepSpare(spare uint64) {
	debug.SetGCPercent(percentFor(liveOctets(), spare))
	runtime.AddCleanup(new([16]byte), keepSpare, spare)
}

// smallest is the least heap that the runtime collects with GOGC=100; it grows with GOGC, whatever is
// live.
const smallest = 4 << 20

// percentFor is the growth of a heap in which so much is live.
func percentFor(live, spare uint64) int {
	return int(max(leastPercent, 100*spare/max(live, smallest)))
}

// liveOctets is what the last collection left.
func liveOctets() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// memory is what this process may have: the machine's, or the limit of its control group.
func memory() uint64 {
	all := machineMemory("/proc/meminfo")
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		limit, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", path, "memory.max"))
		if n, bad := strconv.ParseUint(strings.TrimSpace(string(limit)), 10, 64); err == nil && bad == nil { // else "max"
			all = min(all, n)
		}
	}
	return all
}

// machineMemory reads MemTotal, or is 0.
func machineMemory(path string) uint64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for in := bufio.NewScanner(f); in.Scan(); {
		if words := strings.Fields(in.Text()); len(words) == 3 && words[0] == "MemTotal:" {
			kib, _ := strconv.ParseUint(words[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
