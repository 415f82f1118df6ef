// Package endpoint owns the UDP sockets of IKE, the shards and their timers. It feeds SAs with
// datagrams and time, and carries their questions out and the answers in. It is the only caller of
// time.Now for IKE.
//
// A datagram's way: one reader per socket takes batches from the kernel, hands ESP to the data
// plane at once, copies IKE into a pooled buffer and queues it to the shard that owns the SA. A
// shard is one goroutine that owns its SAs, their SPIs and one timer; it never blocks. What an SA
// wants sent leaves in batches when the shard has no more work at hand.
//
// Goroutines: one per reader and one per shard, all started by [Endpoint.Run], which waits for
// them. An idle session has none and causes no wake-up besides its own deadlines.
//
// Queues: datagrams to a shard wait in a queue of fixed length and are dropped and counted when it
// is full, for the peer repeats them. Answers, Do and Initiate wait in the shard's mailbox, which
// is never full: each SA has at most one question open, and callers of the others are our own.
package endpoint
