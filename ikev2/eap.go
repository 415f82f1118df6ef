package ikev2

import (
	"errors"
	"fmt"
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
	"flexvpn/secret"
)

// EAP inside IKE_AUTH, RFC 7296 section 2.16: the initiator leaves AUTH out, the responder proves
// itself by certificate and asks, EAP packets go to and fro, and both ends prove with the method's
// key that they spoke to each other:
//
//	HDR, SK {IDi, [CERTREQ,] [IDr,] [CP,] SAi2, TSi, TSr}  -->
//	                             <--  HDR, SK {IDr, CERT, AUTH, EAP}
//	HDR, SK {EAP}                -->
//	                             <--  HDR, SK {EAP (success)}
//	HDR, SK {AUTH}               -->
//	                             <--  HDR, SK {AUTH, [CP,] SAr2, TSi, TSr}
//
// The engine carries the packets and knows no method: those are the outside's, which is asked EAP.

// EAP asks for the next move of an EAP conversation. Asked of both roles. Answer: EAPAnswer.
// Packet is what the peer sent: a response, or nil for a responder that begins; of an initiator a
// request, a success or a failure.
type EAP struct {
	ID     QuestionID
	Path   Path
	Remote Identity // a responder's peer: claimed; an initiator's: proven
	Packet []byte   // the receiver owns it
}

// EAPAnswer answers EAP; Refusal wins.
type EAPAnswer struct {
	ID QuestionID
	// Packet goes to the peer. With Done it is the success (responder) or nothing (initiator); with
	// Refusal it is the failure, or nil for one that the engine makes.
	Packet []byte
	// Done: the conversation has succeeded. MSK is the key that both ends have from the method,
	// empty when it makes none.
	Done    bool
	MSK     secret.Bytes
	Refusal *Refusal
	// Identity is who the peer proved to be (responder), or who this end said it was (initiator).
	Identity string
}

// QuestionID implements Question.
func (q EAP) QuestionID() QuestionID { return q.ID }

func (a EAPAnswer) answers() QuestionID { return a.ID }

func (EAP) output() {}

const (
	// defaultEAPLife leaves a person time to look a password up and to type it.
	defaultEAPLife = 2 * time.Minute
	// maxEAPRounds bounds a conversation: EAP-TLS with two long chains in fragments of 1 KiB takes
	// about forty.
	maxEAPRounds = 80
	// maxEAPPacket is above what a RADIUS server can send (RFC 2865 section 3: 4096 octets in all).
	maxEAPPacket = 8 << 10
	eapHeaderLen = 4
)

// The codes of EAP packets, RFC 3748 section 4.
const (
	eapRequest  = 1
	eapResponse = 2
	eapSuccess  = 3
	eapFailure  = 4
)

// An eapState is an EAP conversation under way.
type eapState struct {
	begun  bool           // initiator: the responder has proven itself
	first  []wire.Payload // responder: what goes with its first packet
	rounds int
	last   []byte // head of the peer's last packet
	done   bool   // the method has succeeded: nothing but AUTH may come
	msk    secret.Bytes
}

func (e *eapState) wipe() {
	if e != nil {
		e.msk.Wipe()
	}
}

var errEAPRounds = fmt.Errorf("the EAP conversation does not end: %d rounds", maxEAPRounds)

// take checks a packet of the peer before anybody looks into it.
func (e *eapState) take(p *wire.EAP, codes ...byte) error {
	if e.rounds++; e.rounds > maxEAPRounds {
		return errEAPRounds
	}
	if p == nil {
		return errors.New("the peer's message has no EAP packet, though the EAP conversation has not ended")
	}
	if n := len(p.Packet); n > maxEAPPacket {
		return fmt.Errorf("the peer's EAP packet has %d octets, at most %d are accepted", n, maxEAPPacket)
	}
	for _, c := range codes {
		if p.Packet[0] == c {
			e.last = append(e.last[:0], p.Packet[:eapHeaderLen]...)
			return nil
		}
	}
	return fmt.Errorf("the peer's EAP packet (%s) has no place here", p)
}

// failure is the EAP failure that ends the conversation: its identifier is that of the response it
// answers (RFC 3748 section 4.2).
func (e *eapState) failure() []byte {
	id := byte(1)
	if len(e.last) > 1 {
		id = e.last[1]
	}
	return []byte{eapFailure, id, 0, eapHeaderLen}
}

// fits reports whether a packet of the outside can go onto the wire with that code.
func fits(packet []byte, code byte) bool {
	return len(packet) >= eapHeaderLen && packet[0] == code && int(packet[2])<<8|int(packet[3]) == len(packet)
}

// askEAP asks the outside for its next move; an initiator's is a person perhaps.
func (sa *SA) askEAP(now time.Time, d demand, packet []byte) {
	id := sa.ask(now, asking{step: stepEAP, demand: d})
	if sa.initiator {
		sa.asking.deadline = now.Add(or(sa.p.EAPLife, defaultEAPLife))
	}
	if packet != nil {
		packet = append([]byte(nil), packet...)
	}
	sa.emit(EAP{ID: id, Path: sa.path, Remote: sa.remote, Packet: packet})
}

// eapAnswered goes on with the outside's move.
func (sa *SA) eapAnswered(now time.Time, a *asking, answer EAPAnswer) {
	if sa.initiator {
		sa.eapAnsweredInitiator(now, answer)
	} else {
		sa.eapAnsweredResponder(a.demand, answer)
	}
}

// succeeded keeps what AUTH will be made of.
func (sa *SA) succeeded(answer EAPAnswer) {
	e := sa.hs.eap
	e.done, e.msk = true, answer.MSK
	sa.eapIdentity = answer.Identity
}

// eapAuth is the AUTH data of an end after EAP: with the method's key in the place of a pre-shared
// one, or with SK_pi and SK_pr where the method makes none (section 2.16).
func (sa *SA) eapAuth(initiator bool, id Identity) []byte {
	key := sa.hs.eap.msk
	if key.IsEmpty() {
		key = sa.cur.keys.PR
		if initiator {
			key = sa.cur.keys.PI
		}
	}
	return suite.PSKAuth(sa.cur.suite, key, sa.signedOctets(initiator, id))
}

func (sa *SA) proveEAP() *wire.Auth {
	return &wire.Auth{Method: wire.AuthSharedKey, Data: sa.eapAuth(sa.initiator, sa.local)}
}

var errEAPKey = errors.New("the keys that EAP gave to both ends differ: somebody stands between them, or the authenticator passed a wrong key on (MS-MPPE keys of RADIUS)")

// verifyEAP checks the peer's AUTH after EAP.
func (sa *SA) verifyEAP(auth *wire.Auth) error {
	switch {
	case auth == nil:
		return errors.New("the peer sent no AUTH after EAP")
	case auth.Method != wire.AuthSharedKey:
		return fmt.Errorf("the peer's AUTH after EAP is of method %s", auth.Method)
	case !equalMAC(sa.eapAuth(!sa.initiator, sa.remote), auth.Data):
		return errEAPKey
	}
	return nil
}
