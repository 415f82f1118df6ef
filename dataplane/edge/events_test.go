package edge

import (
	"testing"

	"flexvpn/dataplane"
	"flexvpn/dataplane/planetest"
)

// What the inner plane's reader, which is this plane, lost is lost like what our own reader left.
func TestEventsDroppedOfBoth(t *testing.T) {
	inner := planetest.NewFake()
	p := &Plane{inner: inner, EventQueue: dataplane.NewEventQueue()}
	inner.Lose(3)
	room := cap(p.Events())
	for range room + 2 {
		p.Tell(dataplane.Event{Kind: dataplane.SoftExpire})
	}
	if n := p.EventsDropped(); n != 5 {
		t.Errorf("%d events were dropped, want the inner plane's 3 and 2", n)
	}
}
