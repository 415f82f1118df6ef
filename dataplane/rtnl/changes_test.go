package rtnl

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// soon is the next value; half a minute is for ever.
func soon[T any](t *testing.T, what string, from <-chan T) (v T, ok bool) {
	t.Helper()
	select {
	case v, ok = <-from:
	case <-time.After(30 * time.Second):
		t.Errorf("not within half a minute: %s", what)
	}
	return v, ok
}

func TestChangesAndNoticesAreToldUntilTheEnd(t *testing.T) {
	inNamespace(t, func(run func(string) string) {
		c, err := Open()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		done := make(chan struct{})
		changes, err := c.Changes(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		notices, err := c.NoticeLinks(done)
		if err != nil {
			t.Error(err)
			return
		}
		run("ip link add br9 type bridge")
		run("ip link set br9 up")
		run("ip addr add 192.0.2.1/24 dev br9")
		soon(t, "a notice", notices)
		if v, _ := soon(t, "a change of links", changes); !v.Links {
			t.Errorf("the first change is %+v", v)
		}
		run("ip route add 198.18.0.0/15 via 192.0.2.9")
		for want := netip.MustParsePrefix("198.18.0.0/15"); !t.Failed(); {
			if v, _ := soon(t, "a change of that route", changes); v.Route == want {
				break
			}
		}
		cancel()
		close(done)
		for ok := true; ok && !t.Failed(); {
			_, ok = soon(t, "the end of the changes", changes)
		}
	})
}
