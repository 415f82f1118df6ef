package ikev2

import (
	"errors"
	"time"

	"flexvpn/ikev2/wire"
)

const defaultAnswerLimit = 20 * time.Second

// An asking is the question that holds everything up: nothing is received and nothing is sent
// until it is answered or its time is over.
type asking struct {
	id       QuestionID
	step     step
	deadline time.Time
	demand   demand   // the peer's request that waits for it; none in stepFirstInitiator, stepRekeying
	offer    *offer   // stepRekeyed, stepRekeying
	child    Child    // that is being installed
	response response // of this end, all but what the answer brings
}

// response is what a request will be answered with.
type response []wire.Payload

// step is what goes on when the answer is there.
type step uint8

const (
	stepAuthenticate   step = iota + 1
	stepAuthorize           // responder: what does the peer get?
	stepEAP                 // the next move of an EAP conversation
	stepConfigured          // answer CFG_SET
	stepFirstResponder      // install, then answer IKE_AUTH
	stepFirstInitiator      // install, then the SA stands
	stepRekeyed             // install, then answer CREATE_CHILD_SA
	stepRekeying            // install what the peer's answer made
)

func (a *asking) open() bool { return a != nil }

// ask opens a question; the caller emits it with the id.
func (sa *SA) ask(now time.Time, a asking) QuestionID {
	sa.nextID++
	a.id = sa.nextID
	a.deadline = now.Add(or(sa.c.AnswerLimit, defaultAnswerLimit))
	sa.asking = &a
	return a.id
}

// install asks for a Child SA in the data plane.
func (sa *SA) install(now time.Time, a asking) {
	id := sa.ask(now, a)
	sa.emit(Install{ID: id, Path: sa.dataPath(), Child: a.child})
}

// answered goes on where the question was asked. An answer of another kind is none.
func (sa *SA) answered(now time.Time, answer Answer) {
	a := sa.asking
	switch answer := answer.(type) {
	case AuthenticateAnswer:
		if a.step == stepAuthenticate {
			sa.asking = nil
			sa.authenticated(now, a, answer)
		}
	case AuthorizeAnswer:
		if a.step == stepAuthorize {
			sa.asking = nil
			sa.authorized(now, a, answer)
		}
	case EAPAnswer:
		if a.step == stepEAP {
			sa.asking = nil
			sa.eapAnswered(now, a, answer)
		}
	case ConfigSetAnswer:
		if a.step == stepConfigured {
			sa.asking = nil
			sa.respond(a.demand, a.response...)
		}
	case InstallAnswer:
		if a.step >= stepFirstResponder {
			sa.asking = nil
			sa.installed(now, a, answer.Err)
		}
	}
}

func (sa *SA) installed(now time.Time, a *asking, err error) {
	switch a.step {
	case stepFirstResponder:
		sa.firstResponderInstalled(now, a, err)
	case stepFirstInitiator:
		sa.firstInitiatorInstalled(now, a, err)
	case stepRekeyed:
		sa.rekeyedInstalled(now, a, err)
	case stepRekeying:
		sa.rekeyingInstalled(now, a, err)
	}
}

var errNoAnswer = errors.New("no answer in time")

// advanceQuestion turns silence into a refusal.
func (sa *SA) advanceQuestion(now time.Time) {
	if !sa.asking.open() || !due(sa.asking.deadline, now) {
		return
	}
	id, late := sa.asking.id, &Refusal{Notify: wire.TemporaryFailure, Reason: errNoAnswer.Error()}
	switch sa.asking.step {
	case stepAuthenticate:
		sa.answered(now, AuthenticateAnswer{ID: id, Refusal: &Refusal{Notify: wire.AuthenticationFailed, Reason: late.Reason}})
	case stepAuthorize:
		sa.answered(now, AuthorizeAnswer{ID: id, Refusal: late})
	case stepEAP:
		sa.answered(now, EAPAnswer{ID: id, Refusal: &Refusal{Notify: late.Notify, Reason: "EAP: " + late.Reason}})
	case stepConfigured: // CFG_ACK has no way to refuse
		sa.answered(now, ConfigSetAnswer{ID: id})
	default:
		sa.answered(now, InstallAnswer{ID: id, Err: errNoAnswer})
	}
}
