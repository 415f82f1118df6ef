package node

import (
	"context"
	"net/netip"
	"time"

	"flexvpn/authz"
	"flexvpn/authz/radius"
	"flexvpn/config"
	"flexvpn/hub"
)

// aaa is what a node has of AAA: questions, accounting, orders of servers.
type aaa struct {
	*radius.Client
	accountant *radius.Accountant
	dynamic    *radius.Dynamic // nil when nobody may steer
}

// Account implements hub.AAA.
func (a *aaa) Account(r authz.Record) { a.accountant.Account(r) }

// acctGrace is how long servers have to take the last records when the node stops; the rest waits
// on disk for the next start.
const acctGrace = 3 * time.Second

// buildAAA makes the client of the configured servers; nothing without any.
func (n *Node) buildAAA() (err error) {
	if len(n.cfg.AAA.Groups) == 0 {
		return nil
	}
	n.aaa = &aaa{Client: radius.New(n.cfg.AAA, n.cfg.Node, n.log)}
	n.traceAAA()
	n.aaa.accountant, err = n.aaa.Accountant(n.store)
	return err
}

// startAAA tells servers that this node is there (RFC 2866 section 5.1, Accounting-On) and takes
// their orders.
func (n *Node) startAAA(ctx context.Context) (err error) {
	if n.aaa == nil {
		return nil
	}
	n.accountNode(authz.RecordOn)
	if len(n.cfg.AAA.Dynamic.Clients) > 0 && n.hub != nil {
		n.aaa.dynamic, err = n.aaa.Listen(ctx, n.cfg.AAA.Dynamic, n.hub)
	}
	return err
}

// accountNode sends Accounting-On or -Off to every group that gets records.
func (n *Node) accountNode(kind authz.RecordKind) {
	told := map[string]bool{}
	for _, p := range n.cfg.IKEv2.Profiles {
		if g := p.Accounting.Group; g != nil && !told[g.Name] {
			told[g.Name] = true
			n.aaa.Account(authz.Record{Group: g.Name, Kind: kind, At: time.Now()})
		}
	}
}

// closeAAA ends it: the last records go to the servers or to disk.
func (n *Node) closeAAA() error {
	if n.aaa == nil {
		return nil
	}
	if n.aaa.dynamic != nil {
		n.aaa.dynamic.Close()
	}
	var err error
	if n.aaa.accountant != nil {
		n.accountNode(authz.RecordOff)
		ctx, cancel := context.WithTimeout(context.Background(), acctGrace)
		defer cancel()
		err = n.aaa.accountant.Close(ctx)
	}
	n.aaa.Client.Close()
	return err
}

// hubAAA is what the hub asks; nil without servers, which no profile then names.
func (n *Node) hubAAA() hub.AAA {
	if n.aaa == nil {
		return nil
	}
	return n.aaa
}

// listNetworks are the networks that a list permits: the sources of its entries, as IOS takes them
// from a standard access list.
func listNetworks(cfg *config.Config) func(string) ([]netip.Prefix, bool) {
	return func(name string) ([]netip.Prefix, bool) {
		list := cfg.AccessLists[name]
		if list == nil {
			return nil, false
		}
		var out []netip.Prefix
		for _, e := range list.Entries {
			switch {
			case !e.Permit:
			case e.Source.IsValid():
				out = append(out, e.Source)
			default:
				out = append(out, netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0))
			}
		}
		return out, true
	}
}
