package ops

import (
	"context"
	"net/netip"
	"net/url"

	"flexvpn/ops/view"
)

func (c call) bgp() error {
	q, err := c.query("neighbor")
	if err != nil {
		return err
	}
	neighbor, err := neighborOf(q["neighbor"])
	if err != nil {
		return err
	}
	ctx, cancel := c.ctx()
	defer cancel()
	list, err := c.node.BGP(ctx, neighbor)
	if err != nil {
		return err
	}
	return writeList(c.w, list)
}

func neighborOf(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, badRequest("a neighbor is an address", "flexvpn show bgp summary lists them")
	}
	return a, nil
}

func (c call) bgpRoutes() error {
	q, err := c.query("prefix")
	if err != nil {
		return err
	}
	var prefix netip.Prefix
	if text := q["prefix"]; text != "" {
		if prefix, err = netip.ParsePrefix(text); err != nil {
			return badRequest("the prefix is none", "for example 10.0.0.0/8")
		}
	}
	ctx, cancel := c.ctx()
	defer cancel()
	list, err := c.node.BGPRoutes(ctx, prefix.Masked())
	if err != nil {
		return err
	}
	return writeList(c.w, list)
}

type bgpBody struct {
	Neighbor string `json:"neighbor"` // empty means all
}

func (c call) clearBGP() error {
	var b bgpBody
	if err := c.body(&b); err != nil {
		return err
	}
	neighbor, err := neighborOf(b.Neighbor)
	if err != nil {
		return err
	}
	ctx, cancel := c.ctx()
	defer cancel()
	n, err := c.node.ClearBGP(ctx, neighbor)
	if err != nil {
		return err
	}
	return c.answer(clearedBody{Cleared: n})
}

// BGP tells about the BGP speakers, or with an address about one neighbor.
func (c *Client) BGP(ctx context.Context, neighbor string) (out []view.BGP, err error) {
	q := url.Values{}
	add(q, "neighbor", neighbor)
	return out, c.get(ctx, "/v1/bgp", q, &out)
}

// BGPRoutes are the speakers' tables, or what they have for one prefix.
func (c *Client) BGPRoutes(ctx context.Context, prefix string) (out []view.BGPRoute, err error) {
	q := url.Values{}
	add(q, "prefix", prefix)
	return out, c.get(ctx, "/v1/bgp/routes", q, &out)
}

// ClearBGP begins the session with a neighbor anew; without one, all.
func (c *Client) ClearBGP(ctx context.Context, neighbor string) (int, error) {
	var out clearedBody
	err := c.post(ctx, "/v1/bgp/clear", bgpBody{neighbor}, &out)
	return out.Cleared, err
}
