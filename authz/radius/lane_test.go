package radius

import (
	"net/netip"
	"testing"
	"time"

	"layeh.com/radius"

	"flexvpn/authz"
	"flexvpn/secret"
)

// The server may be reached from one address of this host only, and through one device.
func TestSourceAndDevice(t *testing.T) {
	f := startFake(t, accept())
	s := f.server("r1")
	s.Source, s.VRF = netip.MustParseAddr("127.0.0.7"), "lo"
	r := newRig(t, time.Minute, s)
	if a := r.ask("alice"); a.Err != nil {
		t.Fatal(a.Err)
	}
	for _, from := range f.sources() {
		if from.Addr() != s.Source {
			t.Errorf("the request came from %s", from)
		}
	}
	nowhere := f.server("r2")
	nowhere.VRF = "no-such-vrf"
	r = newRig(t, time.Minute, nowhere)
	if a := r.ask("alice"); a.Err == nil {
		t.Error("a device that is not there was passed over")
	}
	if v := r.Servers()[0]; v.State != "dead" || v.LastError == "" {
		t.Errorf("show aaa servers tells %+v", v)
	}
}

// A request that waits for an identifier gets the one of a request that nobody answers.
func TestWaitingRequestsAreNotForgotten(t *testing.T) {
	f := startFake(t, func(f *fakeServer, request []byte, from netip.AddrPort) {
		p, _ := radius.Parse(request, f.key.Reveal())
		if string(p.Get(attrUserName)) != "lost" {
			accept()(f, request, from)
		}
	})
	s := f.server("r1")
	s.Timeout, s.Tries = 300*time.Millisecond, 1
	r := newRig(t, time.Minute, s)
	if a := r.ask("first"); a.Err != nil { // one lane is open
		t.Fatal(a.Err)
	}
	p := r.groups["g"].auth[0]
	done := make(chan error, 1)
	r.mu.Lock()
	p.dialing = true // no further lanes
	r.mu.Unlock()
	for range len(p.lanes[0].ids) {
		r.Ask(authz.Ask{Group: "g", User: "lost", Password: secret.FromString("cisco")}, func(authz.Answer) {})
	}
	r.mu.Lock()
	p.lastAnswer = time.Now().Add(time.Hour) // others are answered: the silence is theirs
	r.mu.Unlock()
	r.Ask(authz.Ask{Group: "g", User: "waits", Password: secret.FromString("cisco")}, func(a authz.Answer) { done <- a.Err })
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits for ever")
	}
}
