package ops

import (
	"context"
	"net/http"
	"net/netip"

	"flexvpn/ops/view"
)

// A Node is what the control socket serves. Its methods are called from many goroutines. An error
// that is an [Error] reaches the caller as it is, any other as an internal failure with its text.
type Node interface {
	// Sessions lists the sessions that pass the filter, without attributes, routes, SA and DPD.
	Sessions(ctx context.Context, filter view.SessionFilter) ([]view.Session, error)
	// Session tells everything about one session; id is its id, its identity or its interface.
	Session(ctx context.Context, id string) (view.Session, error)
	// Failed lists the latest refused and lost peers, newest first.
	Failed() []view.Failed
	SAs(ctx context.Context) ([]view.SA, error)
	Pools(leases bool) []view.Pool
	Interfaces() []view.Interface
	Routes() []view.Route
	Clients() []view.Client
	Tracker
	InsideNode
	AccessNode
	LoginNode
	AAANode
	PolicyNode
	// BGP tells about the BGP speakers; with a valid address, everything about that neighbor.
	BGP(ctx context.Context, neighbor netip.Addr) ([]view.BGP, error)
	// BGPRoutes are the speakers' tables, or what they have for one prefix.
	BGPRoutes(ctx context.Context, prefix netip.Prefix) ([]view.BGPRoute, error)
	// ClearBGP begins the session with a neighbor anew, or all of them, and says how many.
	ClearBGP(ctx context.Context, neighbor netip.Addr) (int, error)

	// ClearSession ends one session, named as in Session; its peer is told.
	ClearSession(ctx context.Context, id string) error
	// Rekey begins rekeying a session's IKE SA or Child SA.
	Rekey(ctx context.Context, id string, kind view.RekeyKind) error
	// ClearAll ends every session and says how many.
	ClearAll(ctx context.Context) (int, error)
	Connect(ctx context.Context, client string) error
	Disconnect(ctx context.Context, client string) error
	// ClearClient takes a client profile's tunnel down; in mode auto it connects again at once. An
	// empty name means every client profile.
	ClearClient(ctx context.Context, name string) error

	Stats() view.Stats
	// Trace calls f for each message that passes the filter until stop is called. f does not block
	// and may be called from several goroutines; it is not called after stop has returned. A
	// [Debug] does all that.
	Trace(filter view.TraceFilter, f func(view.TraceLine)) (stop func())
	Info() view.Info
}

// An Error is an answer of no: what is wrong and what to do about it.
type Error struct {
	Status  int    `json:"-"` // of HTTP
	Message string `json:"error"`
	Hint    string `json:"hint,omitempty"` // the next step; may be empty
}

// Error is the message and, if there is one, the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + ": " + e.Hint
}

// NotFound says that there is no such object.
func NotFound(message, hint string) *Error {
	return &Error{Status: http.StatusNotFound, Message: message, Hint: hint}
}

// Refused says that the object is not in a state to do this.
func Refused(message, hint string) *Error {
	return &Error{Status: http.StatusConflict, Message: message, Hint: hint}
}

func badRequest(message, hint string) *Error {
	return &Error{Status: http.StatusBadRequest, Message: message, Hint: hint}
}
