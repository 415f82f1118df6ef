package authz

import (
	"errors"
	"net/netip"
	"time"

	"flexvpn/radiusdict"
	"flexvpn/secret"
)

// Why a server gave no attributes; errors.Is tells.
var (
	// ErrRejected is an Access-Reject.
	ErrRejected = errors.New("rejected")
	// ErrUnreachable means that no server of the group answered.
	ErrUnreachable = errors.New("no AAA server answers")
)

// An Ask is one question to a group of AAA servers.
type Ask struct {
	Group    string // of servers
	User     string
	Password secret.Bytes
	Session  SessionFacts
}

// SessionFacts are what servers are told of a session in every request about it.
type SessionFacts struct {
	ID, AuditID   string
	Identity      string // the IKE identity
	Local, Remote netip.AddrPort
	Interface     string // empty while there is none
	Number        uint32 // NAS-Port
}

// An Answer is what became of an Ask.
type Answer struct {
	Reply  *radiusdict.Reply // nil with Err
	Server string            // who answered; empty: nobody
	Err    error             // ErrRejected, ErrUnreachable, or why the answer makes no sense
}

// RecordKind is what an accounting record reports.
type RecordKind uint8

// The kinds, with the numbers of Acct-Status-Type (RFC 2866 section 5.1).
const (
	RecordStart   RecordKind = 1
	RecordStop    RecordKind = 2
	RecordInterim RecordKind = 3
	RecordOn      RecordKind = 7
	RecordOff     RecordKind = 8
)

// TerminateCause is why a session ended, with the numbers of RFC 2866 section 5.10.
type TerminateCause uint32

// The causes that a hub has.
const (
	CauseUserRequest    TerminateCause = 1
	CauseLostCarrier    TerminateCause = 2
	CauseLostService    TerminateCause = 3
	CauseIdleTimeout    TerminateCause = 4
	CauseSessionTimeout TerminateCause = 5
	CauseAdminReset     TerminateCause = 6
	CauseAdminReboot    TerminateCause = 7
	CauseNASError       TerminateCause = 9
	CauseNASRequest     TerminateCause = 10
)

// A Record is one accounting record.
type Record struct {
	Group      string
	Kind       RecordKind
	At         time.Time
	User       string
	Session    SessionFacts
	Attributes Attributes // addresses and Class
	Local      bool       // this node authenticated the peer itself, not a server
	// Of Interim and Stop, from the network's point of view: Input is what came from the spoke.
	Duration                    time.Duration
	InputOctets, OutputOctets   uint64
	InputPackets, OutputPackets uint64
	Cause                       TerminateCause // of Stop
}
