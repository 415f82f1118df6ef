package rtnl

import (
	"strings"
	"testing"
	"time"

	"flexvpn/dataplane"
)

// A cable that is pulled is news, and one that is plugged in again: no address or route has to change.
func TestCarrierIsNews(t *testing.T) {
	inNamespace(t, func(run func(string) string) {
		run("ip link add wan0 type veth peer name port0")
		run("ip link set wan0 up")
		run("ip link set port0 up")
		// The kernel says that a carrier is there when it comes to it, up to a second later.
		for limit := time.Now().Add(20 * time.Second); !strings.Contains(run("ip -o link show wan0"), "state UP"); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Error("the line never has a carrier")
				return
			}
		}
		c, err := Open()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		done := make(chan struct{})
		defer close(done)
		news, err := c.Watch(done)
		if err != nil {
			t.Error(err)
			return
		}
		next := func(what string, kind dataplane.NetEventKind) {
			for limit := time.After(20 * time.Second); ; {
				select {
				case e := <-news:
					if e.Kind == kind && e.Link == "wan0" {
						return
					}
				case <-limit:
					t.Errorf("%s: nobody was told", what)
					return
				}
			}
		}
		next("the link is there", dataplane.LinkUp)
		run("ip link set port0 down")
		next("the carrier went", dataplane.Carrier)
		run("ip link set port0 up")
		next("the carrier came", dataplane.Carrier)
		run("ip link set wan0 down")
		next("the link is set down", dataplane.LinkDown)
	})
}
