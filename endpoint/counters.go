package endpoint

import (
	"reflect"
	"strings"
	"sync/atomic"
	"unicode"
)

// counters are the endpoint's own; every field only grows.
type counters struct {
	RxDatagrams  atomic.Uint64 // IKE datagrams that reached a shard's queue
	TxDatagrams  atomic.Uint64
	RxKeepalives atomic.Uint64
	RxESPPackets atomic.Uint64 // handed to the data plane
	TxESPPackets atomic.Uint64
	ReadErrors   atomic.Uint64
	Panics       atomic.Uint64 // SAs that died of a bug

	DroppedShort      atomic.Uint64 // shorter than any header
	DroppedOversized  atomic.Uint64
	DroppedQueueFull  atomic.Uint64
	DroppedNoSink     atomic.Uint64 // ESP without a userspace plane
	DroppedNoAcceptor atomic.Uint64 // IKE_SA_INIT requests to a node that only initiates
	DroppedUnknownSPI atomic.Uint64
	DroppedHalfOpen   atomic.Uint64 // too many handshakes under way, even with cookies
	DroppedNoCookie   atomic.Uint64 // asked to come again with a cookie
	DroppedUnusable   atomic.Uint64 // IKE_SA_INIT requests that the engine did not answer
	DroppedSend       atomic.Uint64 // IKE datagrams that the kernel did not take
}

// addTo puts every field of a struct of atomic.Uint64 into m, under its name in snake_case.
func addTo(m map[string]uint64, counters any) {
	v := reflect.ValueOf(counters).Elem()
	for i := range v.NumField() {
		if n, ok := v.Field(i).Addr().Interface().(*atomic.Uint64); ok {
			m[snake(v.Type().Field(i).Name)] += n.Load()
		}
	}
}

// snake writes a Go name with underscores: BadMessageID is bad_message_id.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 {
			afterLower := unicode.IsLower(runes[i-1])
			// The last capital of an abbreviation begins the next word: NATMappings, IKERetries.
			beforeLower := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if afterLower || beforeLower {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Counters are those of the engine, of the shards and of the sockets, by name; all only grow.
// Names that begin with dropped_ count datagrams that came to nothing, by reason.
func (e *Endpoint) Counters() map[string]uint64 {
	m := map[string]uint64{}
	addTo(m, &e.count)
	for _, s := range e.shards {
		addTo(m, s.common.Counters)
	}
	return m
}
