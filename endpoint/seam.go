// Package endpoint owns the UDP sockets of IKE, the shards and their timers. It feeds SAs with
// datagrams and time, and carries their questions out and the answers in. It is the only caller of
// time.Now for IKE.
package endpoint

import (
	"net/netip"

	"flexvpn/ikev2"
)

// Handler is the owner of an SA: hub, client or load. Its methods are called on the goroutine of
// the shard that owns the SA: they must not block. Answers may be given at once or later from any
// goroutine with Conn.Answer.
type Handler interface {
	Ask(c *Conn, q ikev2.Question)
	Notice(c *Conn, e ikev2.Event)
}

// DataSink takes ESP packets that arrive on the NAT-traversal sockets (userspace plane).
// buf holds packets of segment octets each, the last may be shorter (UDP GRO); it is the caller's
// and reused after the call.
type DataSink interface {
	ReceiveESP(local, remote netip.AddrPort, buf []byte, segment int)
}

// Config describes an endpoint.
type Config struct {
	Listen  []netip.Addr // default 0.0.0.0 and ::
	IKEPort uint16       // default 500; 65535 in tests means any free port
	NATPort uint16       // default 4500
	Shards  int          // default GOMAXPROCS
	// Common is the template; Open makes one per shard with its own NewSPI and Counters.
	Common *ikev2.Common
	Accept Handler // of peers' SAs; nil: initiate only, and IKE_SA_INIT requests are dropped
	Sink   DataSink
	// MaxHalfOpen is the number of half-open SAs over which a COOKIE is asked for (default 100 per
	// shard x shards); CookieAlways asks everybody.
	MaxHalfOpen  int
	CookieAlways bool
}
