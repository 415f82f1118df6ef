package ikev2

import (
	"time"

	"flexvpn/ikev2/suite"
	"flexvpn/ikev2/wire"
)

// Facts describe an SA for show.
type Facts struct {
	Initiator              bool
	State                  string // "SA_INIT", "AUTH", "READY", "REKEYING", "DELETING"
	SPILocal, SPIRemote    uint64
	Local, Remote          Identity
	Path                   Path
	Suite                  suite.IKE
	LocalAuth, RemoteAuth  AuthKind
	Made                   time.Time // of the session
	Keyed                  time.Time // of the current keys
	RekeyAt                time.Time
	NATLocal, NATRemote    bool
	Fragmentation, FlexVPN bool
	PeerVersion            string
	NextSend, NextReceive  uint32 // message ids
	Children               []ChildFacts
}

// ChildFacts describe a Child SA for show.
type ChildFacts struct {
	SPIIn, SPIOut     uint32
	Suite             suite.ESP
	Transport         bool
	TSLocal, TSRemote []wire.Selector
	Made, RekeyAt     time.Time
}
