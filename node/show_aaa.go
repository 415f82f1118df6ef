package node

import (
	"context"
	"errors"
	"fmt"

	"flexvpn/authz/radius"
	"flexvpn/hub"
	"flexvpn/ops"
	"flexvpn/ops/view"
)

// AAA implements ops.Node.
func (n *Node) AAA() view.AAA {
	if n.aaa == nil {
		return view.AAA{Servers: []view.AAAServer{}, Orders: map[string]uint64{}}
	}
	v := view.AAA{Servers: n.aaa.Servers(), Orders: map[string]uint64{}}
	v.Waiting, v.Dropped = n.aaa.accountant.Waiting()
	if n.aaa.dynamic != nil {
		v.Orders = n.aaa.dynamic.Counts()
	}
	return v
}

// AAAAttributes implements ops.Node.
func (n *Node) AAAAttributes(ctx context.Context, identity string) (view.AAAAttributes, error) {
	if n.hub == nil {
		return view.AAAAttributes{}, ops.Refused("no profile of this node answers peers", "ask on a hub")
	}
	v, err := n.hub.Preview(ctx, identity)
	switch {
	case errors.Is(err, hub.ErrNoProfile):
		return v, ops.NotFound(err.Error(), "compare it with the match of the profiles")
	case err != nil:
		return v, ops.Refused(fmt.Sprintf("a peer %s would be refused: %v", identity, err), "flexvpn show aaa servers, flexvpn debug radius --packet")
	}
	return v, nil
}

// traceAAA hands RADIUS packets to those who debug.
func (n *Node) traceAAA() {
	n.aaa.Trace(n.debug.Wanted, func(t radius.Trace) {
		n.debug.Emit(view.TraceLine{
			Topic: view.TopicRadius, Time: t.Time, Sent: t.Sent, Remote: t.Server + " " + t.Remote.String(), Identity: t.User, Message: t.Message, Text: t.Text,
		}, nil)
	})
}
