package ops_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"testing"
	"time"

	"flexvpn/ops"
	"flexvpn/ops/opstest"
	"flexvpn/ops/view"
)

func line(identity, remote string) view.TraceLine {
	return view.TraceLine{
		Time: time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC), Identity: identity, Remote: remote,
		Message: "IKE_AUTH request 1 [IDi AUTH]", Text: []string{"IDi: " + identity},
	}
}

func TestDebugFilters(t *testing.T) {
	spoke1, spoke2 := line("Spoke1.example.net", "198.51.100.7:4500"), line("", "[2001:db8:20::2]:500")
	bare := func(l view.TraceLine) view.TraceLine { l.Text = nil; return l }
	hexed := func(l view.TraceLine) view.TraceLine { l.Text, l.Hex = nil, "c0ffee"; return l }
	for _, c := range []struct {
		filter view.TraceFilter
		want   []view.TraceLine
	}{
		{view.TraceFilter{}, []view.TraceLine{bare(spoke1), bare(spoke2)}},
		{view.TraceFilter{Peer: "SPOKE1"}, []view.TraceLine{bare(spoke1)}},
		{view.TraceFilter{Peer: "2001:DB8:20::2", Packet: true}, []view.TraceLine{spoke2}},
		{view.TraceFilter{Peer: "198.51.100.7", Hex: true}, []view.TraceLine{hexed(spoke1)}},
		{view.TraceFilter{Peer: "nobody"}, nil},
	} {
		var d ops.Debug
		var got []view.TraceLine
		stop := d.Trace(c.filter, func(l view.TraceLine) { got = append(got, l) })
		d.Emit(spoke1, []byte{0xc0, 0xff, 0xee})
		d.Emit(spoke2, []byte{0xbe, 0xef})
		stop()
		d.Emit(spoke1, nil)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("filter %+v let through\n%+v\nwant\n%+v", c.filter, got, c.want)
		}
	}
}

func TestTracingIsOnOnlyWhileSomebodyReads(t *testing.T) {
	var told []bool
	d := ops.Debug{Changed: func(wanted bool) { told = append(told, wanted) }}
	ignore := func(view.TraceLine) {}
	stop1, stop2 := d.Trace(view.TraceFilter{}, ignore), d.Trace(view.TraceFilter{}, ignore)
	stop1()
	stop1()
	if !d.Wanted() {
		t.Error("tracing is off though one reader is left")
	}
	stop2()
	if want := []bool{true, false}; !reflect.DeepEqual(told, want) || d.Wanted() {
		t.Errorf("Changed was told %v, want %v", told, want)
	}
}

func TestDebugOverTheSocket(t *testing.T) {
	node := &opstest.Node{}
	_, c, _ := serve(t, node)
	enough := errors.New("enough")
	want := line("spoke1", "198.51.100.7:500")
	var got view.TraceLine
	err := c.Trace(t.Context(), view.TraceFilter{Peer: "spoke1", Packet: true}, func() {
		node.Emit(line("other", "192.0.2.1:500"), nil)
		node.Emit(want, nil)
	}, func(l view.TraceLine) error { got = l; return enough })
	if !errors.Is(err, enough) || !reflect.DeepEqual(got, want) {
		t.Errorf("debug gave %+v, %v, want %+v", got, err, want)
	}
}

// A reader that does not read costs a bounded queue; what it missed is counted in the line after.
func TestSlowReaderLosesLinesAndIsTold(t *testing.T) {
	node := &opstest.Node{}
	_, c, _ := serve(t, node)
	const emitted = 100_000
	big := line("spoke1", "198.51.100.7:500")
	big.Text = []string{string(make([]byte, 2000))}
	enough := errors.New("enough")
	var read, lost uint64
	err := c.Trace(t.Context(), view.TraceFilter{Packet: true}, func() {
		for range emitted {
			node.Emit(big, nil)
		}
		time.AfterFunc(0, func() { // the last line carries what was lost before it
			for read := range 1000 {
				last := line("last", strconv.Itoa(read))
				node.Emit(last, nil)
				time.Sleep(time.Millisecond)
			}
		})
	}, func(l view.TraceLine) error {
		if lost += l.Lost; l.Identity == "last" {
			return enough
		}
		read++
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if lost == 0 || read+lost < emitted {
		t.Errorf("of %d lines %d came and %d were reported lost", emitted, read, lost)
	}
}

func TestDebugStreamsAreLimited(t *testing.T) {
	_, c, _ := serve(t, &opstest.Node{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, ops.MaxTraces)
	for range ops.MaxTraces {
		started := make(chan struct{})
		go func() {
			ended <- c.Trace(ctx, view.TraceFilter{}, func() { close(started) }, func(view.TraceLine) error { return nil })
		}()
		<-started
	}
	err := c.Trace(t.Context(), view.TraceFilter{}, nil, nil)
	if e, ok := errors.AsType[*ops.Error](err); !ok || e.Status != http.StatusTooManyRequests {
		t.Errorf("one debug stream too many got %v, want status 429", err)
	}
	cancel()
	for range ops.MaxTraces {
		if err := <-ended; err != nil {
			t.Errorf("a debug stream that its reader ended gave %v", err)
		}
	}
}
