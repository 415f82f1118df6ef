package node

import (
	"context"
	"fmt"

	"flexvpn/authz"
	"flexvpn/authz/eaplocal"
	"flexvpn/config"
	"flexvpn/ops"
	"flexvpn/ops/view"
)

// eapAuthenticators are who judges the peers of each profile that authenticates by EAP.
func (n *Node) eapAuthenticators() (map[string]authz.EAPAuthenticator, error) {
	out := map[string]authz.EAPAuthenticator{}
	for _, p := range n.cfg.IKEv2.Profiles {
		if p.Remote != config.AuthEAP || p.VirtualTemplate == nil {
			continue
		}
		if p.EAP.List == "radius" {
			out[p.Name] = n.aaa.EAP(p.EAP.Servers.Name, listNetworks(n.cfg))
			continue
		}
		s, err := eaplocal.New(p.EAP, n.cfg.Node)
		if err != nil {
			return nil, fmt.Errorf("profile %s: %w", p.Name, err)
		}
		out[p.Name] = s
	}
	return out, nil
}

// Login implements ops.Node.
func (n *Node) Login(ctx context.Context, name string, tell func(view.Login) error) error {
	c, err := n.client(name)
	if err != nil {
		return err
	}
	if !c.Asks() {
		return c.Connect()
	}
	return c.Login(ctx, tell)
}

// AnswerLogin implements ops.Node.
func (n *Node) AnswerLogin(_ context.Context, name string, number uint64, value []byte) error {
	c, err := n.client(name)
	if err != nil {
		return err
	}
	ok, err := c.Answer(number, value)
	if err == nil && !ok {
		err = ops.Refused("the client "+name+" does not wait for that any more", "flexvpn connect "+name+" begins a new login")
	}
	return err
}
