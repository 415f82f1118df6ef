package config

import (
	"net/netip"
	"time"

	"flexvpn/secret"
)

// AAA is the aaa section: the servers that authenticate, authorize, account and steer.
type AAA struct {
	Servers       map[string]*AAAServer
	Groups        map[string]*AAAGroup
	NASIdentifier string     // default: the node's name
	NASAddress    netip.Addr // invalid: each server's source address
	Dynamic       AAADynamic
}

// AAATransport is how a server is reached.
type AAATransport string

// The transports.
const (
	AAAOverUDP AAATransport = "udp"
	AAAOverTLS AAATransport = "tls" // RadSec, RFC 6614
)

// AAAServer is one RADIUS server.
type AAAServer struct {
	Name      string
	Address   netip.Addr
	Transport AAATransport
	AuthPort  uint16 // TLS: for everything
	AcctPort  uint16
	Secret    secret.Bytes
	Timeout   time.Duration
	Tries     int
	Source    netip.Addr // invalid: chosen by the routing table
	VRF       string     // device; empty: the default routing domain
	// Unsigned accepts answers without Message-Authenticator, which Blast-RADIUS can forge.
	Unsigned    bool
	Certificate *Certificate // TLS
	ServerName  string       // TLS: the name in the server's certificate; empty: its address
}

// AAAGroup is servers in the order in which they are asked.
type AAAGroup struct {
	Name     string
	Servers  []*AAAServer
	DeadTime time.Duration
}

// AAADynamic is who may steer sessions (RFC 5176); no clients: nobody.
type AAADynamic struct {
	Listen  []netip.Addr
	Ports   []uint16
	Clients []AAAClient
}

// AAAClient is one sender of Disconnect and CoA.
type AAAClient struct {
	Address netip.Prefix
	Secret  secret.Bytes
	// Unsigned accepts requests without Message-Authenticator.
	Unsigned bool
}

// NameMangler derives the name asked for from an identity; an empty part has no rule.
type NameMangler struct {
	Name  string
	Fixed string
	FQDN  string // all | hostname | domain
	Email string // all | username | domain
	DN    string // all | common-name | country | domain | locality | organization | organization-unit | state
	EAP   EAPNamePart
}

// EAPNamePart is all, or what stands before (prefix) or behind (suffix) the delimiter.
type EAPNamePart struct {
	Part      string // "" | all | prefix | suffix
	Delimiter string // . @ or \
}

// AAAKeys is a keyring that asks servers for the keys of each peer.
type AAAKeys struct {
	Group    *AAAGroup
	Mangler  *NameMangler // nil: the identity itself
	Password secret.Bytes
}

// ProfileAccounting says where a profile's sessions are accounted; a nil Group: nowhere.
type ProfileAccounting struct {
	Group   *AAAGroup
	Interim time.Duration // 0: only when the server asks for it
}
