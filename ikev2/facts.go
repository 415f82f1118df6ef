package ikev2

import (
	"net/netip"
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
	EAPIdentity            string    // of the initiator, if it authenticated by EAP
	Made                   time.Time // of the session
	Keyed                  time.Time // of the current keys
	RekeyAt                time.Time
	NATLocal, NATRemote    bool
	MOBIKE                 bool         // both ends know it (RFC 4555)
	Additional             []netip.Addr // further addresses of the peer
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

// Facts describes the SA as it is now.
func (sa *SA) Facts() Facts {
	f := Facts{
		Initiator: sa.initiator, State: sa.state.String(), SPILocal: sa.firstSPI,
		Local: sa.local, Remote: sa.remote, Path: sa.path,
		LocalAuth: sa.localAuth, RemoteAuth: sa.peerAuth, EAPIdentity: sa.eapIdentity, Made: sa.made,
		NATLocal: sa.nat.local, NATRemote: sa.nat.remote,
		Fragmentation: sa.peer.fragmentation, FlexVPN: sa.peer.flexVPN, PeerVersion: sa.peer.version,
	}
	if g := sa.cur; g != nil {
		f.SPILocal, f.SPIRemote, f.Suite = g.local, g.remote, g.suite
		f.Keyed, f.RekeyAt, f.NextSend, f.NextReceive = g.made, g.rekeyAt, g.sendID, g.receiveID
	}
	if sa.state == stateReady && (sa.ex.is(taskRekeyIKE) || len(sa.old) > 0) {
		f.State = "REKEYING"
	}
	f.MOBIKE = sa.peer.mobike
	f.Additional = sa.peerList()
	for i := range sa.children {
		ch := &sa.children[i]
		f.Children = append(f.Children, ChildFacts{
			SPIIn: ch.spiIn, SPIOut: ch.spiOut, Suite: ch.suite, Transport: ch.transport,
			TSLocal: ch.local, TSRemote: ch.remote, Made: ch.made, RekeyAt: ch.rekeyAt,
		})
	}
	return f
}
