package ops

import (
	"context"

	"flexvpn/ops/view"
)

// AccessNode is the part of a Node that tells about access lists.
type AccessNode interface {
	AccessLists() ([]view.AccessList, error)
}

// AccessLists tells about all access lists.
func (c *Client) AccessLists(ctx context.Context) (v []view.AccessList, err error) {
	return v, c.get(ctx, "/v1/access-lists", nil, &v)
}

func (c call) accessLists() error {
	all, err := c.node.AccessLists()
	if err != nil {
		return err
	}
	return writeList(c.w, all)
}
