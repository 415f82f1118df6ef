package floor

import "testing"

// The floor runs; that it does what a handshake needs is what BenchmarkResponderCrypto compares.
func TestHandshake(*testing.T) { Handshake() }
