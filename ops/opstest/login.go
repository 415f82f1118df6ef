package opstest

import (
	"context"
	"fmt"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// Login implements ops.Node: it asks for a user name and a password, and lets in who types "sesame".
func (n *Node) Login(ctx context.Context, client string, tell func(view.Login) error) error {
	if err := n.client("login", client); err != nil {
		return err
	}
	if !n.Asking {
		return nil
	}
	for i, need := range []string{view.NeedUsername, view.NeedPassword} {
		e := view.Login{Client: client, Need: need, Number: uint64(i + 1), Hub: "hub1.example.net", User: "spoke1", Prompt: "Token:"}
		if err := tell(e); err != nil {
			return err
		}
		select {
		case n.typed() <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n.mu.Lock()
	password := n.password
	n.mu.Unlock()
	if password != "sesame" {
		return tell(view.Login{Client: client, Failed: "the hub refused the login of spoke1"})
	}
	return tell(view.Login{Client: client, Up: true})
}

// AnswerLogin implements ops.Node.
func (n *Node) AnswerLogin(ctx context.Context, client string, number uint64, value []byte) error {
	n.mu.Lock()
	n.password = string(value)
	n.calls = append(n.calls, fmt.Sprintf("answer %d of %s with %d octets", number, client, len(value)))
	n.mu.Unlock()
	select {
	case <-n.typed():
		return n.Fail
	case <-ctx.Done():
		return ops.Refused("nobody waits for that", "")
	}
}

// typed is the channel over which an answer meets its question.
func (n *Node) typed() chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.meeting == nil {
		n.meeting = make(chan struct{})
	}
	return n.meeting
}
