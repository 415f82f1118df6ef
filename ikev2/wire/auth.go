package wire

import "fmt"

// Auth is the Authentication payload, section 3.8.
type Auth struct {
	Method AuthMethod
	Data   []byte // aliases the datagram
}

// Kind returns PayloadAuth.
func (Auth) Kind() PayloadType { return PayloadAuth }

func (a *Auth) decode(r *reader) {
	a.Method = AuthMethod(r.u8())
	r.bytes(3)
	a.Data = r.rest()
	// Method 0 is reserved. It must not pass: to us it means that no AUTH payload was there at all.
	if a.Method == AuthMethodNone {
		r.fail("reserved method 0")
	}
}

func (a Auth) appendTo(b []byte) []byte {
	return append(append(b, uint8(a.Method), 0, 0, 0), a.Data...)
}

// String names the method only: the data helps whoever guesses a pre-shared key.
func (a Auth) String() string { return fmt.Sprintf("%s, %d octets", a.Method, len(a.Data)) }
