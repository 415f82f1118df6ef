package node

import (
	"net/netip"
	"os"
	"sync"
	"time"

	"flexvpn/client/dns"
	"flexvpn/ops/view"
)

func (in *inside) buildDNS() error {
	cfg := in.n.cfg.DNS
	changed, err := in.n.rtnl.NoticeLinks(in.n.stopped)
	if err != nil {
		return err
	}
	c := dns.Config{
		Interfaces: func() []string { return in.interfaces(cfg.Listen) }, Changed: changed,
		Default:    func() []netip.Addr { return cfg.Default },
		DefaultVRF: cfg.VRF,
		RouteTo:    in.routeTo,
		Log:        in.n.log,
		Trace:      func(host string, line func() string) { in.n.debug.Say(view.TopicDNS, host, line) },
	}
	if len(cfg.Default) == 0 {
		c.Default = (&resolvConf{path: "/etc/resolv.conf"}).servers
	}
	for _, l := range cfg.Lists {
		c.Lists = append(c.Lists, dns.List{Name: l.Name, Client: l.Client, Domains: l.Domains, Servers: l.Servers})
	}
	in.dns = dns.New(c)
	return nil
}

// routeTo is the interface by which packets to a leave in a tunnel's VRF.
func (in *inside) routeTo(a netip.Addr, tunnel string) (string, error) {
	vrf := ""
	if t := in.n.cfg.Tunnels[tunnel]; t != nil {
		vrf = t.VRF
	}
	r, err := in.n.rtnl.RouteInVRF(a, vrf)
	return r.Interface, err
}

// resolvConf are the servers of the machine itself, read again when the file has changed.
type resolvConf struct {
	path string

	mu     sync.Mutex
	looked time.Time
	stamp  time.Time
	list   []netip.Addr
}

// relook is how long the file is not looked at again.
const relook = time.Second

func (c *resolvConf) servers() []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < relook {
		return c.list
	}
	c.looked = time.Now()
	info, err := os.Stat(c.path)
	if err != nil {
		c.list, c.stamp = nil, time.Time{}
		return nil
	}
	if !info.ModTime().Equal(c.stamp) {
		c.list, c.stamp = dns.NameServers(c.path), info.ModTime()
	}
	return c.list
}
