package node

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"flexvpn/client"
)

// told is an inside service that writes down what it is told.
type told struct {
	mu    sync.Mutex
	lines []string
	last  client.TunnelUp
}

func (o *told) Up(u client.TunnelUp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = u
	o.lines = append(o.lines, fmt.Sprintf("up %s %s %v dns %v domains %v routes %v", u.Client, u.Tunnel, u.Addresses, u.Pushed.DNS, u.Pushed.SplitDNS, u.Pushed.Routes))
}

func (o *told) Down(d client.TunnelDown) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, fmt.Sprintf("down %s wanted %v", d.Client, d.Wanted))
}

// take is what was told since the last call.
func (o *told) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := strings.Join(o.lines, "; ")
	o.lines = nil
	return out
}

func TestInsideServicesLearnOfTheTunnel(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.end("192.0.2.1", hubText("dns: [192.168.10.5]", "dns: [192.168.10.5], split-dns: [example.net]"), nil)
		s := w.end("192.0.2.2", spokeText("spoke1", "tunnel: tunnel1", "tunnel: tunnel1, inside: [eth1]"), nil)
		h.run()
		stop := s.run()
		w.after(time.Second)
		up := "up c tunnel1 [10.1.1.2] dns [192.168.10.5] domains [example.net] routes [10.1.1.1/32 10.0.0.0/8]"
		if got := s.told.take(); !strings.HasSuffix(got, up) || strings.Contains(got, "down") {
			t.Errorf("told %q, want in the end %q", got, up)
		}
		if u := s.told.last; fmt.Sprint(u.Inside) != "[eth1]" || u.Local.String() != "192.0.2.2" {
			t.Errorf("told of inside %v and the outer address %v", u.Inside, u.Local)
		}
		if _, err := h.ClearAll(w.ctx); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		if got := s.told.take(); !strings.HasPrefix(got, "down c wanted true") || strings.Count(got, "down") != 1 {
			t.Errorf("when the hub ended the session, told %q: the hub is away, and the client goes on trying", got)
		}
		w.after(time.Minute)
		s.wantUp(1, "the client has come back")
		s.told.take()
		stop()
		if got := s.told.take(); got != "down c wanted false" {
			t.Errorf("at the end told %q", got)
		}
	})
}
