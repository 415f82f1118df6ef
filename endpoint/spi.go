package endpoint

import (
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
)

// maxShards is how many shards an SPI can tell apart.
const maxShards = 256

// An SPI that this host chooses for an IKE SA:
//
//	 63                                                    8 7        0
//	+-------------------------------------------------------+----------+
//	|                     56 random bits                    |  shard   |
//	+-------------------------------------------------------+----------+
//
// so that a reader finds the owner of an SA without a table. A number that no shard has, in a
// datagram that somebody made up, is folded onto one that exists.
func newSPI(shard int) uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
		if spi := binary.BigEndian.Uint64(b[:])&^0xFF | uint64(shard); spi != 0 {
			return spi
		}
	}
}

func shardOf(spi uint64, shards int) int { return int(spi&0xFF) % shards }

// halfKey names a peer's attempt before its SA has an SPI that the peer knows (RFC 7296 section
// 2.1: repeats of IKE_SA_INIT are told by the peer's SPI and address).
type halfKey struct {
	remote netip.AddrPort
	spi    uint64 // the peer's
}

// shard spreads attempts by a keyed hash, so that nobody outside can aim at one shard.
func (k halfKey) shard(seed maphash.Seed, shards int) int {
	return int(maphash.Comparable(seed, k) % uint64(shards))
}
