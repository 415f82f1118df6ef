// Package secret holds key material that cannot be printed.
//
// It is a leaf on the standard library: every room may hold a [Bytes], none can leak one
// by a format verb, a log attribute or JSON.
package secret

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
	"unsafe"
)

// redacted stands wherever a secret would have been printed.
const redacted = "[redacted]"

// Bytes is a secret octet string. fmt cannot call the methods of an unexported field; it prints
// what is in there, following a pointer to a slice when the verb does not fit. So the octets stand
// behind a pointer without a type: what fmt prints then is an address and a length, never the secret.
// The zero value is empty and ready to use. Copies share the same octets.
type Bytes struct {
	p unsafe.Pointer // to n octets
	n int
}

// New takes ownership of b: the caller must not change or keep it.
func New(b []byte) Bytes { return Bytes{p: unsafe.Pointer(unsafe.SliceData(b)), n: len(b)} }

// FromString copies s.
func FromString(s string) Bytes { return New([]byte(s)) }

// Reveal returns the octets themselves, not a copy. Callers must neither change nor keep them.
func (s Bytes) Reveal() []byte { return unsafe.Slice((*byte)(s.p), s.n) }

// Len is the number of octets.
func (s Bytes) Len() int { return s.n }

// IsEmpty reports whether there is no secret at all.
func (s Bytes) IsEmpty() bool { return s.Len() == 0 }

// Equal compares in constant time for secrets of one length.
func (s Bytes) Equal(t Bytes) bool { return subtle.ConstantTimeCompare(s.Reveal(), t.Reveal()) == 1 }

// Wipe overwrites the octets in place; every copy of s is wiped with it.
func (s Bytes) Wipe() { clear(s.Reveal()) }

// Format prints [redacted] for every verb.
func (s Bytes) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue logs [redacted].
func (s Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText encodes [redacted], also into JSON and YAML.
func (s Bytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }
