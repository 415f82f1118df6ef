package ops

import (
	"context"

	"flexvpn/ops/view"
)

// InsideNode is the part of a Node that serves the hosts behind a spoke.
type InsideNode interface {
	DNS() view.DNS
}

// DNS tells about the name service.
func (c *Client) DNS(ctx context.Context) (v view.DNS, err error) {
	return v, c.get(ctx, "/v1/dns", nil, &v)
}
