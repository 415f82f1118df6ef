package ikev2

import (
	"time"

	"flexvpn/ikev2/wire"
)

// Question is something the SA must be told before it can go on. While it is open the SA absorbs
// repeats of the request and lets nothing else out; silence becomes a refusal after AnswerLimit.
type Question interface {
	Output
	QuestionID() QuestionID
}

// Authenticate asks the outside which policy applies to a peer that claims an identity. It is asked
// of a responder before AUTH is checked: nothing in it is proven. Answer: AuthenticateAnswer.
type Authenticate struct {
	ID     QuestionID
	Path   Path
	Remote Identity        // claimed
	Wanted Identity        // the IDr the peer asked for; zero: none
	Method wire.AuthMethod // AuthMethodNone: the peer wants EAP
}

// Authorize asks what a proven peer gets. Asked of a responder. Answer: AuthorizeAnswer.
type Authorize struct {
	ID        QuestionID
	Path      Path
	Remote    Identity
	HasConfig bool             // a CFG_REQUEST was there
	Config    []wire.Attribute // its attributes
	// TSi and TSr as proposed, with NAT substitution done (RFC 7296 section 2.23.1).
	TSi, TSr       []wire.Selector
	Transport      bool // USE_TRANSPORT_MODE was asked for
	FlexVPN        bool // the peer sent FLEXVPN-SUPPORTED
	InitialContact bool
	Version        string // the peer's APPLICATION_VERSION
	EAPIdentity    string // what EAP proved; empty without EAP
}

// Install asks for a Child SA to be put into the data plane, inbound and outbound, so that inbound
// packets are accepted when the answer is given. Asked of both roles. Answer: InstallAnswer.
// When Child.Replaces is set, outbound traffic stays on the old one until UseChild.
type Install struct {
	ID    QuestionID
	Path  Path
	Child Child
}

// Traffic asks when the data plane last received and sent a packet of this peer. Answer: TrafficAnswer.
type Traffic struct{ ID QuestionID }

// ConfigSet asks to take over what the peer announces by CFG_SET, such as the networks behind it. It is
// acknowledged when the answer is given, so that what the peer sends then finds its way back. Asked of
// both roles. Answer: ConfigSetAnswer.
type ConfigSet struct {
	ID         QuestionID
	Attributes []wire.Attribute
}

// A Refusal says no: the notify the peer gets and the reason people get.
type Refusal struct {
	Notify wire.NotifyType
	Reason string
}

// Answer is the reply to a Question.
type Answer interface{ answers() QuestionID }

// AuthenticateAnswer answers Authenticate; Refusal wins over Policy. For an unknown peer give a
// refusal only: the SA does the same work as for a wrong secret before it answers.
type AuthenticateAnswer struct {
	ID      QuestionID
	Policy  *Policy
	Refusal *Refusal
}

// AuthorizeAnswer answers Authorize.
type AuthorizeAnswer struct {
	ID      QuestionID
	Refusal *Refusal
	Config  []wire.Attribute // CFG_REPLY; sent only if a CFG_REQUEST was there
	// TSi and TSr to narrow to, in the initiator's order; the SA refuses with TS_UNACCEPTABLE when
	// nothing of the proposal is left.
	TSi, TSr  []wire.Selector
	Transport bool
}

// InstallAnswer answers Install; an error refuses the Child SA.
type InstallAnswer struct {
	ID  QuestionID
	Err error
}

// TrafficAnswer answers Traffic; zero times mean never.
type TrafficAnswer struct {
	ID              QuestionID
	LastIn, LastOut time.Time
}

// ConfigSetAnswer answers ConfigSet.
type ConfigSetAnswer struct{ ID QuestionID }

// QuestionID implements Question.
func (q Authenticate) QuestionID() QuestionID { return q.ID }

// QuestionID implements Question.
func (q Authorize) QuestionID() QuestionID { return q.ID }

// QuestionID implements Question.
func (q Install) QuestionID() QuestionID { return q.ID }

// QuestionID implements Question.
func (q Traffic) QuestionID() QuestionID { return q.ID }

// QuestionID implements Question.
func (q ConfigSet) QuestionID() QuestionID { return q.ID }

func (a AuthenticateAnswer) answers() QuestionID { return a.ID }
func (a AuthorizeAnswer) answers() QuestionID    { return a.ID }
func (a InstallAnswer) answers() QuestionID      { return a.ID }
func (a TrafficAnswer) answers() QuestionID      { return a.ID }
func (a ConfigSetAnswer) answers() QuestionID    { return a.ID }
