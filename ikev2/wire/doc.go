// Package wire turns IKEv2 messages into typed values and back, byte for byte (RFC 7296 section 3,
// RFC 7383 section 2.5), and names the IANA numbers. It imports the standard library only, keeps
// no state, and accepts any input without panic: lengths are checked before anything is allocated.
package wire
