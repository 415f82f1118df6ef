package xfrm

import (
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane/kernel/nlmsg"
)

// Algorithm is a transform by the kernel's name.
type Algorithm struct {
	Name string
	Bits int // of the ICV, where there is one
	Key  []byte
}

// Direction of a state; kernels before 6.10 ignore it.
type Direction uint8

// The directions.
const (
	AnyDirection Direction = iota
	In
	Out
)

// Flags of a state (XFRM_STATE_…).
const (
	FlagNoPMTUDiscovery = 4
	FlagAFUnspec        = 32
	FlagESN             = 128
)

// ID names a state.
type ID struct {
	Dst netip.Addr
	SPI uint32
}

// State is one ESP security association.
type State struct {
	ID
	Src      netip.Addr
	Mode     uint8
	ReqID    uint32
	IfID     uint32
	Flags    uint8
	Selector Selector // with BEET: the addresses inside
	// Encap is ESP in UDP from SourcePort to DestinationPort; without it both are 0.
	SourcePort, DestinationPort uint16
	AEAD, Crypt, Auth           Algorithm
	Window                      uint32 // packets
	Direction                   Direction
	Lifetime                    Lifetime
	OutputMark                  uint32
	// MappingEvery bounds how often a changed source address is told, in seconds: without it, once
	// for every packet. Linux 5.17; In with UDP only.
	MappingEvery uint32
	// Replay continues another state's numbers; empty: from the beginning.
	Replay Replay
	// OffloadDevice is the index of a device that is asked to do the cryptography.
	OffloadDevice uint32
	Inbound       bool // with OffloadDevice: what it does

	// What follows is only read.
	Bytes, Packets         uint64
	Replayed, BadIntegrity uint32    // Replayed: below the window as well
	LastUsed               time.Time // before Linux 6.2: first used
	Sequence, SequenceOut  uint64    // highest received, last sent
	Offloaded              bool
}

// fixed is a struct xfrm_usersa_info.
func (s *State) fixed() []byte {
	b := s.Selector.append(make([]byte, 0, lenSA))
	b = s.ID.append(b)
	b = address(b, s.Src)
	b = s.Lifetime.append(b)
	b = append(b, make([]byte, 32+12+4)...) // current use, statistics, sequence of an acquire
	b = u32(b, s.ReqID)
	b = u16(b, family(s.Dst))
	return append(b, s.Mode, 0, s.Flags, 0, 0, 0, 0, 0, 0, 0)
}

// append is a struct xfrm_id.
func (id ID) append(b []byte) []byte {
	b = address(b, id.Dst)
	b = be32(b, id.SPI)
	return append(b, protoESP, 0, 0, 0)
}

// Add makes the state; it must not be there.
func (s *State) Add() *nlmsg.Message {
	return s.message(msgNewSA, unix.NLM_F_CREATE|unix.NLM_F_EXCL, "add")
}

// Update changes ports, lifetime and selector of a state that is there. Counters, sequence numbers
// and keys stay; but a key of the right length must be given.
func (s *State) Update() *nlmsg.Message { return s.message(msgUpdSA, unix.NLM_F_REPLACE, "update") }

func (s *State) message(kind, flags uint16, verb string) *nlmsg.Message {
	m := nlmsg.New(kind, flags, verb+" state "+s.ID.String(), s.fixed())
	s.AEAD.attr(m, attrAEAD, true)
	s.Crypt.attr(m, attrAlgCrypt, false)
	s.Auth.attr(m, attrAuthTrunc, true)
	if s.SourcePort != 0 {
		m.Attr(attrEncap, s.encap())
	}
	m.Attr(attrESN, s.replay())
	if s.OutputMark != 0 {
		m.Uint32(attrOutputMark, s.OutputMark).Uint32(attrOutputMask, ^uint32(0))
	}
	if s.IfID != 0 {
		m.Uint32(attrIfID, s.IfID)
	}
	if s.MappingEvery != 0 {
		m.Uint32(attrMappingLimit, s.MappingEvery)
	}
	if s.Direction != AnyDirection {
		m.Uint8(attrDirection, uint8(s.Direction))
	}
	if s.OffloadDevice != 0 {
		m.Attr(attrOffload, s.offload())
	}
	return m
}

// attr is a struct xfrm_algo, with the ICV's length a struct xfrm_algo_aead or xfrm_algo_auth.
func (a Algorithm) attr(m *nlmsg.Message, kind uint16, withICV bool) {
	if a.Name == "" {
		return
	}
	b := make([]byte, 64, 72+len(a.Key))
	copy(b[:63], a.Name)
	b = u32(b, uint32(len(a.Key)*8))
	if withICV {
		b = u32(b, uint32(a.Bits))
	}
	m.Attr(kind, append(b, a.Key...))
	clear(b[:cap(b)]) // a copy of the key is in m only
}

const espInUDP = 2 // UDP_ENCAP_ESPINUDP

func (s *State) encap() []byte {
	b := u16(nil, espInUDP)
	b = be16(b, s.SourcePort)
	b = be16(b, s.DestinationPort)
	return append(b, make([]byte, 18)...)
}

// replay is a struct xfrm_replay_state_esn. It carries the window without ESN, too: the older
// attribute ends at 255 packets.
func (s *State) replay() []byte {
	if s.Replay != "" {
		return []byte(s.Replay)
	}
	words := (s.Window + 31) / 32
	b := u32(nil, words)
	b = append(b, make([]byte, 16)...)
	b = u32(b, s.Window)
	return append(b, make([]byte, 4*words)...)
}

// Replay is a struct xfrm_replay_state_esn: sequence numbers and what was seen of the window.
type Replay string

// Ahead is r with n numbers left out before the next to send.
func (r Replay) Ahead(n uint64) Replay {
	b := []byte(r)
	if len(b) < 24 {
		return r
	}
	next := (uint64(native.Uint32(b[12:]))<<32 | uint64(native.Uint32(b[4:]))) + n
	native.PutUint32(b[4:], uint32(next))
	native.PutUint32(b[12:], uint32(next>>32))
	return Replay(b)
}

// Continue gives a state that is there the numbers and the window of r (XFRM_MSG_NEWAE).
func (id ID) Continue(src netip.Addr, reqID uint32, r Replay) *nlmsg.Message {
	b := address(id.usersaID(), src) // a struct xfrm_aevent_id
	b = u32(b, 0)
	b = u32(b, reqID)
	return nlmsg.New(msgNewAE, unix.NLM_F_REPLACE, "set sequence numbers of state "+id.String(), b).Attr(attrESN, []byte(r))
}

// offload is a struct xfrm_user_offload: cryptography only.
func (s *State) offload() []byte {
	var flags uint8
	if s.Inbound {
		flags = 2 // XFRM_OFFLOAD_INBOUND
	}
	if s.Dst.Is6() {
		flags |= 1 // XFRM_OFFLOAD_IPV6
	}
	return append(u32(nil, s.OffloadDevice), flags, 0, 0, 0)
}

// String is the state's name in an error.
func (id ID) String() string { return hex(id.SPI) + " to " + id.Dst.String() }

// hex is %#08x, which costs more than all else of a message.
func hex(v uint32) string {
	b := []byte("0x00000000")
	digits := strconv.AppendUint(make([]byte, 0, 8), uint64(v), 16)
	copy(b[len(b)-len(digits):], digits)
	return string(b)
}

// usersaID is a struct xfrm_usersa_id.
func (id ID) usersaID() []byte {
	b := address(make([]byte, 0, lenSAID), id.Dst)
	b = be32(b, id.SPI)
	b = u16(b, family(id.Dst))
	return append(b, protoESP, 0)
}

// Delete removes the state; one that is gone is no error.
func (id ID) Delete() *nlmsg.Message {
	m := nlmsg.New(msgDelSA, 0, "delete state "+id.String(), id.usersaID())
	m.Absent = true
	return m
}

// State reads one state.
func (id ID) State(c *nlmsg.Conn) (s State, err error) {
	m := nlmsg.New(msgGetSA, 0, "read state "+id.String(), id.usersaID())
	err = c.Get(m, func(r nlmsg.Reply) {
		if got, ok := ReadState(r.Body); ok {
			s = got
		}
	})
	return s, err
}

// States are all states of the namespace.
func States(c *nlmsg.Conn) (map[ID]State, error) {
	all := map[ID]State{}
	m := nlmsg.New(msgGetSA, unix.NLM_F_DUMP, "list states", nil)
	err := c.Get(m, func(r nlmsg.Reply) {
		if s, ok := ReadState(r.Body); ok && r.Type == msgNewSA {
			all[s.ID] = s
		}
	})
	return all, err
}

// ReadState reads the body of a message that begins with a struct xfrm_usersa_info. Keys are left
// out.
func ReadState(b []byte) (s State, ok bool) {
	if len(b) < lenSA {
		return s, false
	}
	s = readFixed(b)
	s.attributes(nlmsg.Attributes(b, lenSA))
	return s, true
}

func readFixed(b []byte) (s State) {
	f := native.Uint16(b[212:])
	s.Selector = readSelector(b)
	s.ID = readID(b[56:], f)
	s.Src = readAddress(b[80:], f)
	s.Lifetime = readLifetime(b[96:])
	s.Bytes, s.Packets = native.Uint64(b[160:]), native.Uint64(b[168:])
	s.Replayed = native.Uint32(b[192:]) + native.Uint32(b[196:])
	s.BadIntegrity = native.Uint32(b[200:])
	if t := native.Uint64(b[184:]); t != 0 {
		s.LastUsed = time.Unix(int64(t), 0)
	}
	s.ReqID = native.Uint32(b[208:])
	s.Mode, s.Window, s.Flags = b[214], uint32(b[215]), b[216]
	return s
}

func readID(b []byte, f uint16) ID {
	return ID{Dst: readAddress(b, f), SPI: uint32(b[16])<<24 | uint32(b[17])<<16 | uint32(b[18])<<8 | uint32(b[19])}
}

func (s *State) attributes(a map[uint16][]byte) {
	s.AEAD, s.Crypt, s.Auth = readAlgorithm(a[attrAEAD], true), readAlgorithm(a[attrAlgCrypt], false), readAlgorithm(a[attrAuthTrunc], true)
	if b := a[attrEncap]; len(b) >= 6 {
		s.SourcePort, s.DestinationPort = uint16(b[2])<<8|uint16(b[3]), uint16(b[4])<<8|uint16(b[5])
	}
	if b := a[attrESN]; len(b) >= 24 {
		s.SequenceOut = uint64(native.Uint32(b[12:]))<<32 | uint64(native.Uint32(b[4:]))
		s.Sequence = uint64(native.Uint32(b[16:]))<<32 | uint64(native.Uint32(b[8:]))
		s.Window = native.Uint32(b[20:])
		s.Replay = Replay(b)
	}
	for kind, to := range map[uint16]*uint32{attrIfID: &s.IfID, attrOutputMark: &s.OutputMark, attrMappingLimit: &s.MappingEvery} {
		if b := a[kind]; len(b) >= 4 {
			*to = native.Uint32(b)
		}
	}
	if b := a[attrDirection]; len(b) >= 1 {
		s.Direction = Direction(b[0])
	}
	if b := a[attrOffload]; len(b) >= 4 {
		s.OffloadDevice, s.Offloaded = native.Uint32(b), true
	}
}

func readAlgorithm(b []byte, withICV bool) (a Algorithm) {
	if len(b) < 68 {
		return a
	}
	for i, c := range b[:64] {
		if c == 0 {
			a.Name = string(b[:i])
			break
		}
	}
	if withICV && len(b) >= 72 {
		a.Bits = int(native.Uint32(b[68:]))
	}
	return a
}
