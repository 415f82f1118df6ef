package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"

	"flexvpn/config"
	"flexvpn/dataplane/none"
	"flexvpn/dataplane/rtnl"
	"flexvpn/dataplane/userspace"
	"flexvpn/endpoint"
	"flexvpn/ikev2"
	"flexvpn/ikev2/wire"
	"flexvpn/load"
	"flexvpn/profile"
)

// LoadOptions say how `flexvpn load` uses a spoke's configuration.
type LoadOptions struct {
	ConfigPath string
	Client     string // the client profile whose hub and credentials are used; empty: the only one
	Load       load.Options
}

// anyPort makes the endpoint of a load run bind free ports beside a daemon of the same machine.
const anyPort = 65535

// Load runs a load as the configuration's client describes: its first peer, its credentials. With
// dataplane none it makes no objects here; with userspace, one TUN device a session.
func Load(ctx context.Context, w io.Writer, opt LoadOptions) (load.Result, error) {
	cfg, err := CheckConfig(opt.ConfigPath)
	if err != nil {
		return load.Result{}, err
	}
	c, err := chooseClient(cfg, opt.Client)
	if err != nil {
		return load.Result{}, err
	}
	n := &Node{cfg: cfg, stopped: make(chan struct{})}
	out := &sender{}
	if err := n.loadPlane(out); err != nil {
		return load.Result{}, err
	}
	defer func() { _ = n.close() }()
	if err := n.loadEndpoint(out); err != nil {
		return load.Result{}, err
	}
	if err := n.aim(ctx, c, &opt.Load); err != nil {
		return load.Result{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- n.endpoint.Run(ctx) }()
	res, err := load.Run(ctx, w, n.endpoint, opt.Load)
	cancel()
	if runErr := <-ran; err == nil {
		err = runErr
	}
	return res, err
}

func chooseClient(cfg *config.Config, name string) (*config.Client, error) {
	if name != "" {
		if c := cfg.Clients[name]; c != nil {
			return c, nil
		}
		return nil, fmt.Errorf("there is no client profile %q", name)
	}
	if len(cfg.Clients) != 1 {
		return nil, fmt.Errorf("the configuration has %d client profiles: name one with --client", len(cfg.Clients))
	}
	for _, c := range cfg.Clients {
		return c, nil
	}
	return nil, nil
}

func (n *Node) loadPlane(out *sender) (err error) {
	if n.cfg.DataPlane == config.PlaneNone {
		n.plane = none.New()
		return nil
	}
	if n.rtnl, err = rtnl.Open(); err != nil {
		return err
	}
	n.plane, err = userspace.New(userspace.Options{Sender: out, Link: n.rtnl})
	return err
}

func (n *Node) loadEndpoint(out *sender) (err error) {
	var in endpoint.DataSink
	if p, ok := n.plane.(*userspace.Plane); ok {
		in = p
	}
	n.endpoint, err = endpoint.Open(endpoint.Config{
		Listen: n.cfg.IKEv2.Listen, IKEPort: anyPort, NATPort: anyPort, Sink: in,
		Common: &ikev2.Common{ForceEncap: n.plane.NeedsEncap(), VendorIDs: ikev2.VendorIDs(), NATPort: n.cfg.IKEv2.NATPort},
	})
	out.endpoint = n.endpoint
	return err
}

// aim fills in whom the load goes to and with what.
func (n *Node) aim(ctx context.Context, c *config.Client, o *load.Options) error {
	if c.Profile.Local == config.AuthEAP {
		return fmt.Errorf("profile %s of client %s logs in by EAP, which load does not: give it a pre-shared key or a certificate", c.Profile.Name, c.Name)
	}
	p, err := profile.New(n.cfg, c.Profile)
	if err != nil {
		return err
	}
	addr := c.Peers[0].Address
	if !addr.IsValid() {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", c.Peers[0].FQDN)
		if err != nil {
			return fmt.Errorf("resolve %s: %w", c.Peers[0].FQDN, err)
		}
		addr = found[0].Unmap()
	}
	o.Hub, o.Local = netip.AddrPortFrom(addr, n.cfg.IKEv2.Port), c.Tunnel.Source
	o.Policy, err = p.Policy(ikev2.Identity{}, addr, o.Local)
	o.Plane, o.Interfaces = n.plane, n.plane.Name() != "none"
	o.SharedIdentity = c.Profile.Local == config.AuthCertificate || o.Policy != nil && o.Policy.Local.Type != wire.IDFQDN && o.Policy.Local.Type != wire.IDEmail
	return err
}
