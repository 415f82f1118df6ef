// Package ikev2 is the Internet Key Exchange protocol, RFC 7296, for both roles, as a value that
// eats datagrams and time.
//
// An [SA] is one end of an IKE SA with its Child SAs. It does no I/O: no socket, goroutine, clock
// or logger is inside. Its owner hands it datagrams ([SA.Receive]), the moments it asked for
// ([SA.Next], [SA.Advance]) and answers to its questions ([SA.Answer]), and after every call takes
// what leaves it ([SA.Take]): datagrams to send, events, questions.
//
// An error of the outside world never surprises the SA's owner: a datagram that is malformed,
// forged, replayed or reflected costs a counter and changes nothing. What ends an SA is said once,
// by the event [Closed].
//
// One SA object lives over rekeys of its IKE SA: it holds generations, each with its SPIs, keys,
// message ids and window; [SPIAdded] and [SPIRemoved] tell which SPIs lead to it.
//
// The rooms below: wire (bytes), suite (cryptography), pki (certificates), eap (methods, which the
// engine does not know: its owner does); iketest holds the test language.
package ikev2
