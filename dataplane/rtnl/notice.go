package rtnl

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// NoticeLinks says that links or addresses have changed, without saying which: several changes may be one
// notice. It ends when done is closed. It must be called in the network namespace of the Conn.
func (c *Conn) NoticeLinks(done <-chan struct{}) (<-chan struct{}, error) {
	links, addrs := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64)
	lost := func(error) {} // an overrun loses news; its reader goes on
	err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: lost})
	if err == nil {
		err = netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{ErrorCallback: lost})
	}
	if err != nil {
		return nil, fmt.Errorf("watch links and addresses: %w", err)
	}
	out := make(chan struct{}, 1)
	notice := func() {
		select {
		case out <- struct{}{}:
		default: // one is waiting already
		}
	}
	go func() {
		for range links {
			notice()
		}
	}()
	go func() {
		for range addrs {
			notice()
		}
	}()
	return out, nil
}
