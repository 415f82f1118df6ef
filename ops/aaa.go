package ops

import (
	"context"
	"net/url"

	"flexvpn/ops/view"
)

// AAANode is the part of a Node that asks AAA servers.
type AAANode interface {
	// AAA tells about servers, accounting and orders of servers.
	AAA() view.AAA
	// AAAAttributes asks the servers what a peer of an identity would get, and gives it nothing.
	AAAAttributes(ctx context.Context, identity string) (view.AAAAttributes, error)
}

func (c call) aaaAttributes() error {
	q, err := c.query("identity")
	if err != nil {
		return err
	}
	if q["identity"] == "" {
		return badRequest("identity is missing", "flexvpn show aaa attributes IDENTITY")
	}
	ctx, cancel := c.ctx()
	defer cancel()
	v, err := c.node.AAAAttributes(ctx, q["identity"])
	if err != nil {
		return err
	}
	return c.answer(v)
}

// AAA tells about servers, accounting and orders of servers.
func (c *Client) AAA(ctx context.Context) (v view.AAA, err error) {
	return v, c.get(ctx, "/v1/aaa", nil, &v)
}

// AAAAttributes asks the servers what a peer of an identity would get.
func (c *Client) AAAAttributes(ctx context.Context, identity string) (v view.AAAAttributes, err error) {
	return v, c.get(ctx, "/v1/aaa/attributes", url.Values{"identity": {identity}}, &v)
}
