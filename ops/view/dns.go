package view

import (
	"net/netip"
	"time"
)

// DNS is the name service for the hosts behind a spoke.
type DNS struct {
	Enabled   bool          `json:"enabled"`
	Listeners []DNSListener `json:"listeners"`
	Default   []DNSServer   `json:"default_servers"`
	Views     []DNSView     `json:"views"`
	Lists     []DNSList     `json:"name_lists"`
	Cached    int           `json:"cached"`    // answers that are remembered
	InFlight  int           `json:"in_flight"` // queries under way
	Counters  DNSStats      `json:"counters"`
}

// DNSListener is an interface whose hosts are served.
type DNSListener struct {
	Interface string `json:"interface"`
	Error     string `json:"error,omitempty"` // why it is not served
}

// DNSServer is a name server that is asked.
type DNSServer struct {
	Address netip.Addr `json:"address"`
	Problem string     `json:"problem,omitempty"` // why the last question to it failed; empty: it answered, or was not asked
}

// DNSView is the names that take the way of one client.
type DNSView struct {
	Client        string      `json:"client"`
	State         string      `json:"state"` // up; away: its hub is gone, remembered answers are given
	Tunnel        string      `json:"tunnel"`
	Inside        []string    `json:"inside,omitempty"` // empty: every interface that is served
	Servers       []DNSServer `json:"servers"`
	Domains       []string    `json:"domains"`
	DefaultDomain string      `json:"default_domain,omitempty"`
}

// DNSList is a list of domains: pushed by a hub, or configured.
type DNSList struct {
	Name    string   `json:"name"`
	Client  string   `json:"client"`
	Origin  string   `json:"origin"` // hub or configured
	Active  bool     `json:"active"` // its client's tunnel is up
	Domains []string `json:"domains"`
}

// DNSStats are the counters of the name service. All only grow.
type DNSStats struct {
	Queries map[string]uint64 `json:"queries_total"` // by view: tunnel or default
	Answers map[string]uint64 `json:"answers_total"` // by origin: server, cache, stale, nobody
	Drops   map[string]uint64 `json:"drops_total"`   // by reason: malformed, response, refused, overload, mismatch
}

// DHCP is the address service for the hosts behind a spoke.
type DHCP struct {
	Pools    []DHCPPool `json:"pools"`
	Counters DHCPStats  `json:"counters"`
}

// DHCPPool is one pool with its leases.
type DHCPPool struct {
	Name      string         `json:"name"`
	Interface string         `json:"interface"`
	Network   netip.Prefix   `json:"network"`
	Error     string         `json:"error,omitempty"` // why it is not served
	Size      int            `json:"size"`            // addresses that may be leased
	Routers   []netip.Addr   `json:"default_routers,omitempty"`
	DNS       []netip.Addr   `json:"dns_servers,omitempty"`
	WINS      []netip.Addr   `json:"netbios_name_servers,omitempty"`
	Domain    string         `json:"domain_name,omitempty"`
	Lease     float64        `json:"lease_seconds"`
	Import    []DHCPImport   `json:"import,omitempty"` // what came from hubs
	Bindings  []DHCPBinding  `json:"bindings,omitempty"`
	Conflicts []DHCPConflict `json:"conflicts,omitempty"`
}

// DHCPImport is what one client's hub gave to a pool.
type DHCPImport struct {
	Client string       `json:"client"`
	DNS    []netip.Addr `json:"dns_servers,omitempty"`
	WINS   []netip.Addr `json:"netbios_name_servers,omitempty"`
	Domain string       `json:"domain_name,omitempty"`
}

// DHCPBinding is an address that a host has.
type DHCPBinding struct {
	Address  netip.Addr `json:"address"`
	Hardware string     `json:"hardware"` // the host's MAC address
	ClientID string     `json:"client_id,omitempty"`
	Name     string     `json:"name,omitempty"` // as the host calls itself
	Expires  *time.Time `json:"expires,omitempty"`
	State    string     `json:"state"` // bound, offered, expired, reserved
}

// DHCPConflict is an address that somebody else uses.
type DHCPConflict struct {
	Address netip.Addr `json:"address"`
	Method  string     `json:"method"` // arp, decline
	Found   time.Time  `json:"found"`
	Until   time.Time  `json:"until"` // not leased before
}

// DHCPStats are the counters of the address service.
type DHCPStats struct {
	Messages map[string]uint64            `json:"messages_total"` // by type, both directions: discover, offer …
	Drops    map[string]uint64            `json:"drops_total"`    // by reason
	Leases   map[string]map[string]uint64 `json:"leases"`         // by pool and state: free, bound, offered
}

// NAT is the address translation for the hosts behind a spoke.
type NAT struct {
	Rules        []NATRule        `json:"rules"`
	Translations []NATTranslation `json:"translations"`
	Truncated    bool             `json:"truncated,omitempty"` // there are more
}

// NATRule is one configured translation.
type NATRule struct {
	Inside       []string       `json:"inside"`
	Outside      string         `json:"outside"`
	Source       []netip.Prefix `json:"source,omitempty"`   // empty: all
	Addresses    []netip.Addr   `json:"addresses"`          // of the outside interface: what hosts are translated to
	Translations uint64         `json:"translations_total"` // connections translated so far
	Bytes        uint64         `json:"bytes_total"`        // of their first packets
	Error        string         `json:"error,omitempty"`
}

// NATTranslation is one connection that is translated.
type NATTranslation struct {
	Protocol      string         `json:"protocol"` // tcp, udp, icmp …
	InsideGlobal  netip.AddrPort `json:"inside_global"`
	InsideLocal   netip.AddrPort `json:"inside_local"`
	OutsideLocal  netip.AddrPort `json:"outside_local"`
	OutsideGlobal netip.AddrPort `json:"outside_global"`
	Outside       string         `json:"outside"` // interface
	Timeout       float64        `json:"timeout_seconds"`
}
