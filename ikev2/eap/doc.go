// Package eap is EAP (RFC 3748) and its methods as small machines, both sides, without I/O.
//
// A Peer is the side that logs in: it eats the packets that a server sends and gives the answers,
// or says that it needs a name or a password, which a person may have to type. A Server is the other
// side, for one login. What both ends know in the end is the method's key, where it makes one.
//
// Methods: MD5-Challenge, GTC and MSCHAPv2 on both sides, TLS on the peer's.
package eap
