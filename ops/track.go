package ops

import (
	"context"

	"flexvpn/ops/view"
)

// Tracker is what a node tells of its tracked objects.
type Tracker interface {
	Tracks() []view.Track
}

// Tracks lists the tracked objects.
func (c *Client) Tracks(ctx context.Context) (v []view.Track, err error) {
	return v, c.get(ctx, "/v1/tracks", nil, &v)
}
