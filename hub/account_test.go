package hub

import (
	"testing"

	"flexvpn/authz"
	"flexvpn/ikev2"
)

// Every reason that the engine has for the end of a session, and every cause that this end has for it
// itself, is told to the servers as what it is.
func TestTerminateCauseOfEachReason(t *testing.T) {
	for reason, want := range map[ikev2.CloseReason]authz.TerminateCause{
		ikev2.ReasonLocal:          authz.CauseNASRequest,
		ikev2.ReasonPeerDelete:     authz.CauseUserRequest,
		ikev2.ReasonReplaced:       authz.CauseNASRequest,
		ikev2.ReasonPeerDead:       authz.CauseLostCarrier,
		ikev2.ReasonTimeout:        authz.CauseLostCarrier,
		ikev2.ReasonExpired:        authz.CauseLostService,
		ikev2.ReasonInstall:        authz.CauseNASError,
		ikev2.ReasonSyntax:         authz.CauseNASError,
		ikev2.ReasonRefused:        authz.CauseNASError,
		ikev2.ReasonNoProposal:     authz.CauseNASError,
		ikev2.ReasonSelectors:      authz.CauseNASError,
		ikev2.ReasonAuthentication: authz.CauseNASError,
	} {
		if got := new(session).causeOf(reason); got != want {
			t.Errorf("%s is told as %d, want %d", reason, got, want)
		}
		s := new(session)
		s.account.cause = authz.CauseAdminReset
		if got := s.causeOf(reason); got != authz.CauseAdminReset {
			t.Errorf("what this end decided is told as %d when the engine says %s", got, reason)
		}
	}
}
