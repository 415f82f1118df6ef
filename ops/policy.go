package ops

import (
	"context"
	"net/url"

	"flexvpn/ops/view"
)

// PolicyNode is the part of a Node that tells about local authorization policies.
type PolicyNode interface {
	// Policies are all of them, or the one of a name with the sessions that use it.
	Policies(name string) ([]view.Policy, error)
}

func (c call) policies() error {
	q, err := c.query("name")
	if err != nil {
		return err
	}
	list, err := c.node.Policies(q["name"])
	if err != nil {
		return err
	}
	return writeList(c.w, list)
}

// Policies tells about the local authorization policies, or the one of a name and who uses it.
func (c *Client) Policies(ctx context.Context, name string) (v []view.Policy, err error) {
	q := url.Values{}
	add(q, "name", name)
	return v, c.get(ctx, "/v1/policies", q, &v)
}
