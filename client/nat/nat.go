// Package nat translates the addresses of the hosts behind a spoke to that of the interface by which
// their packets leave: the tunnel's negotiated address (EzVPN client mode), the WAN's for internet-bound
// traffic, each by its own rule. What no rule names keeps its addresses (network extension mode).
//
// The kernel does the work, through one nftables table of our own name; tables of others are never
// touched. The rules name interfaces and masquerade, so they follow every change of address without
// being written again. Translations are read from conntrack. The room is the only importer of nftables
// and conntrack for NAT; it needs no tunnel.
package nat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/nftables"

	"flexvpn/dataplane/nft"
)

// table is the name of our nftables table.
const table = "flexvpn_nat"

// A Rule translates what hosts behind Inside send out by Outside.
type Rule struct {
	Inside  []string
	Outside string
	Source  []netip.Prefix // empty: all
}

// Config is what NAT works with.
type Config struct {
	Rules []Rule
	// Owned lets the table go with the process however that ends, as the tunnels do; else what a crash
	// leaves goes on until the next start.
	Owned bool
	// Addresses are those of an interface.
	Addresses func(name string) ([]netip.Prefix, error)
	Log       *slog.Logger
}

// A Tunnel is what matters of a client's tunnel: what leads through it now.
type Tunnel struct {
	Device string
	Routes []netip.Prefix
}

// NAT is the translation. Up may be called from any goroutine and does not wait.
type NAT struct {
	cfg   Config
	poke  chan struct{}
	table *nft.Table // nil before Apply

	mu  sync.Mutex
	ups []Tunnel // to be looked at by Run
}

// New makes a NAT that translates nothing until Apply.
func New(cfg Config) *NAT { return &NAT{cfg: cfg, poke: make(chan struct{}, 1)} }

// Sweep removes what a former run left. A kernel without nftables has nothing of it, and what another
// process owns is no remainder.
func Sweep() error {
	t, err := nft.Open(table, false)
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }()
	if err := t.Remove(); !errors.Is(err, nft.ErrTaken) {
		return err
	}
	return nil
}

// Apply makes the rules the kernel's, in place of any that are there.
func (n *NAT) Apply() (err error) {
	if n.table, err = nft.Open(table, n.cfg.Owned); err != nil {
		return err
	}
	if err := n.make(); err != nil {
		return err
	}
	for _, r := range n.cfg.Rules {
		n.cfg.Log.Info("nat", "inside", r.Inside, "outside", r.Outside, "source", r.Source)
	}
	if why := forwarding(); why != "" {
		n.cfg.Log.Warn("nat", "err", why)
	}
	return nil
}

func (n *NAT) make() error {
	err := n.table.Make(func(c *nftables.Conn) error {
		chain := c.AddChain(&nftables.Chain{
			Name: chainName, Table: n.table.Ref(), Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
		})
		hosts, err := n.addHosts(c)
		if err != nil {
			return err
		}
		for i, r := range n.cfg.Rules {
			for _, e := range append(r.expressions(), r.fromVRFs(hosts)...) {
				c.AddRule(&nftables.Rule{Table: n.table.Ref(), Chain: chain, Exprs: e, UserData: mark(i)})
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, nft.ErrTaken):
		return err
	case err != nil:
		return fmt.Errorf("make the nftables table %s: %w: NAT needs a kernel with nftables and masquerade (modules nf_tables, nft_masq)", table, err)
	}
	return nil
}

// forwarding says why the kernel would forward nothing.
func forwarding() string {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err == nil && strings.TrimSpace(string(b)) == "0" {
		return "packets of hosts are not forwarded: sysctl -w net.ipv4.ip_forward=1"
	}
	return ""
}

// lookAgain is how often it is made sure that nobody flushed our table.
const lookAgain = 10 * time.Second

// Run keeps the table there until ctx ends.
func (n *NAT) Run(ctx context.Context) error {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.poke:
			n.followTunnels()
		case <-again.C:
			n.restore()
		}
	}
}

// restore makes the table anew when somebody removed it, as a reload of the firewall does.
func (n *NAT) restore() {
	if have, err := n.table.Exists(); err != nil || have {
		return // what cannot be asked now is asked again soon
	}
	n.cfg.Log.Warn("nat: the nftables table was removed by somebody else and is made anew", "table", table)
	if err := n.make(); err != nil {
		n.cfg.Log.Error("nat", "err", err)
	}
}

// Up says that a tunnel stands: connections that began before it, towards what now leads through it, are
// forgotten, or they would go on with their old addresses.
func (n *NAT) Up(t Tunnel) {
	n.mu.Lock()
	if len(n.ups) < 64 { // more wait for the same look
		n.ups = append(n.ups, t)
	}
	n.mu.Unlock()
	select {
	case n.poke <- struct{}{}:
	default:
	}
}

func (n *NAT) followTunnels() {
	n.mu.Lock()
	ups := n.ups
	n.ups = nil
	n.mu.Unlock()
	for _, t := range ups {
		for _, r := range n.cfg.Rules {
			if r.Outside != t.Device {
				continue
			}
			if gone, err := n.forgetUntranslated(r, t); err != nil {
				n.cfg.Log.Warn("nat: look at connections that began before the tunnel", "interface", t.Device, "err", err)
			} else if gone > 0 {
				n.cfg.Log.Info("nat: connections that began before the tunnel begin anew", "interface", t.Device, "count", gone)
			}
		}
	}
}

// Close removes the table.
func (n *NAT) Close() error {
	if n.table == nil {
		return nil
	}
	return errors.Join(n.table.Remove(), n.table.Close())
}
