package wire

// A SyntaxError is a message that does not follow the format. The engine answers INVALID_SYNTAX
// once it believes the sender, RFC 7296 section 3.10.1, and is silent before.
type SyntaxError struct {
	Payload PayloadType // NoNext: the header or the chain itself
	What    string      // always a constant of this package: nothing a peer wrote
}

func (e *SyntaxError) Error() string {
	if e.Payload == NoNext {
		return "IKE message: " + e.What
	}
	return "IKE message: " + e.Payload.String() + " payload: " + e.What
}

// A CriticalError is a payload of unknown type with the critical bit. The whole message is refused
// with UNSUPPORTED_CRITICAL_PAYLOAD, whose data is Type in one octet, RFC 7296 section 2.5.
type CriticalError struct{ Type PayloadType }

func (e *CriticalError) Error() string {
	return "IKE message: " + e.Type.String() + " is critical and not supported"
}
