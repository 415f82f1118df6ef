// Package floor is the bare cryptography of one handshake, the yardstick of the bench figure
// handshake_cpu_over_crypto.
package floor

// Handshake does the cryptographic work of one PSK handshake on the responder once.
func Handshake() { panic("BUG: being built") }
