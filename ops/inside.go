package ops

import (
	"context"

	"flexvpn/ops/view"
)

// InsideNode is the part of a Node that serves the hosts behind a spoke.
type InsideNode interface {
	DNS() view.DNS
	DHCP() view.DHCP
	NAT(ctx context.Context) (view.NAT, error)
}

// DHCP tells about the address service.
func (c *Client) DHCP(ctx context.Context) (v view.DHCP, err error) {
	return v, c.get(ctx, "/v1/dhcp", nil, &v)
}

func (c call) nat() error {
	ctx, cancel := c.ctx()
	defer cancel()
	v, err := c.node.NAT(ctx)
	if err != nil {
		return err
	}
	return c.answer(v)
}

// NAT tells about the address translation.
func (c *Client) NAT(ctx context.Context) (v view.NAT, err error) {
	return v, c.get(ctx, "/v1/nat", nil, &v)
}

// DNS tells about the name service.
func (c *Client) DNS(ctx context.Context) (v view.DNS, err error) {
	return v, c.get(ctx, "/v1/dns", nil, &v)
}
