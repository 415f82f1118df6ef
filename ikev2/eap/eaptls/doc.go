// Package eaptls is EAP-TLS (RFC 5216, with TLS 1.3 RFC 9190), the peer's side. It is a room of its
// own because crypto/tls speaks to a net.Conn from a goroutine: here that is a pair of buffers, and
// nothing of this host's network is touched.
package eaptls
