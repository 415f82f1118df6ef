package xfrm

import (
	"golang.org/x/sys/unix"

	"flexvpn/dataplane/kernel/nlmsg"
)

// EventKind is what happened to a state or policy.
type EventKind uint8

// The kinds.
const (
	SoftExpire EventKind = iota + 1
	HardExpire
	StateDeleted
	StatesFlushed
	PolicyChanged // deleted, flushed or replaced
	Mapping       // an authentic packet came from another address or port than the state's
)

// Event is one notification. State has what the kernel told: for Mapping and PolicyChanged the
// request identifier at most.
type Event struct {
	Kind   EventKind
	State  State
	PortID uint32 // of the socket that caused it; 0: the kernel
}

// Groups of notifications (XFRMNLGRP_…).
const (
	groupExpire  = 2
	groupSA      = 3
	groupPolicy  = 4
	groupMapping = 8
)

// Subscribe opens a socket for events in the network namespace of the calling thread.
func Subscribe() (*nlmsg.Watch, error) {
	return nlmsg.Subscribe(unix.NETLINK_XFRM, groupExpire, groupSA, groupPolicy, groupMapping)
}

// EventTypes are the types of message that ReadEvent knows.
var EventTypes = []uint16{msgExpire, msgDelSA, msgFlushSA, msgDelPolicy, msgFlushPolicy, msgUpdPolicy, msgMapping}

// ReadEvent reads a notification; ok is false for what is no event of these.
func ReadEvent(r nlmsg.Reply) (e Event, ok bool) {
	e.PortID = r.PortID
	switch r.Type {
	case msgExpire:
		if len(r.Body) < lenExpire {
			return e, false
		}
		e.State, e.Kind = readFixed(r.Body), SoftExpire
		if r.Body[lenSA] != 0 {
			e.Kind = HardExpire
		}
		e.State.attributes(nlmsg.Attributes(r.Body, lenExpire))
	case msgDelSA:
		e.Kind = StateDeleted
		if e.State, ok = ReadState(nlmsg.Attributes(r.Body, lenSAID)[attrSA]); !ok {
			return e, false
		}
	case msgFlushSA:
		e.Kind = StatesFlushed
	case msgDelPolicy, msgFlushPolicy, msgUpdPolicy:
		e.Kind = PolicyChanged
	case msgMapping:
		if len(r.Body) < lenMapping {
			return e, false
		}
		// The family of the address is not in the message: the SPI and the request identifier name
		// the state.
		e.Kind = Mapping
		e.State.SPI = readID(r.Body, unix.AF_INET).SPI
		e.State.ReqID = native.Uint32(r.Body[24:])
	default:
		return e, false
	}
	return e, true
}
