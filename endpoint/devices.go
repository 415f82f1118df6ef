package endpoint

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
)

// devices are the network devices by which packets from certain addresses of this host must leave,
// whatever the routing table thinks best: a host with two ways to the internet sends from each
// provider's address by that provider's line. A nil devices, and an address that is not in it, leave
// it to the routing table.
type devices struct {
	table atomic.Pointer[map[netip.Addr]uint32] // read for each packet, replaced as a whole
	write sync.Mutex
}

// of is the index of the device for packets from local; 0: any.
func (d *devices) of(local netip.Addr) uint32 {
	if d == nil {
		return 0
	}
	table := d.table.Load()
	if table == nil {
		return 0
	}
	return (*table)[local]
}

func (d *devices) set(local netip.Addr, index uint32) {
	if d.of(local) == index {
		return
	}
	d.write.Lock()
	defer d.write.Unlock()
	next := map[netip.Addr]uint32{}
	if old := d.table.Load(); old != nil {
		next = maps.Clone(*old)
	}
	next[local] = index
	if index == 0 {
		delete(next, local)
	}
	d.table.Store(&next)
}

// SendBy has packets from an address of this host leave by the device of that index; 0 leaves it to
// the routing table again. It is for the kernel's UDP alone.
func (e *Endpoint) SendBy(local netip.Addr, index int) {
	if k, ok := e.network.(kernelUDP); ok {
		k.devices.set(local.Unmap(), uint32(index))
	}
}
