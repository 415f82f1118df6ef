package ops

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"flexvpn/ops/view"
)

// Limits of the debug stream: at most maxTraces readers, each with a queue of traceQueue lines; what
// does not fit is dropped and counted in the next line's Lost.
const (
	maxTraces  = 8
	traceQueue = 1024
)

// traceRenew is how often an idle debug stream looks whether its reader is still there.
const traceRenew = 15 * time.Second

func parseQuery(raw string) (url.Values, error) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("the query is malformed", "")
	}
	return v, nil
}

// writeList writes a JSON array one element at a time: a hub's thousands of sessions are never
// encoded in memory as a whole.
func writeList[T any](w http.ResponseWriter, list []T) error {
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(out)
	_ = out.WriteByte('[')
	for i := range list {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		// Once the status is out, breaking the connection is the only way left to say no; the
		// reader's JSON then ends in the middle.
		if err := enc.Encode(&list[i]); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	_, _ = out.WriteString("]\n")
	_ = out.Flush()
	return nil
}

// trace streams lines as NDJSON until the reader or the node goes away. The first line is sent at
// once and empty, so that the reader knows that the filter is in place.
func (c call) trace() error {
	filter, err := c.traceFilter()
	if err != nil {
		return err
	}
	select {
	case c.control.traces <- struct{}{}:
		defer func() { <-c.control.traces }()
	default:
		return &Error{Status: http.StatusTooManyRequests, Message: "too many debug streams are open", Hint: "end one of them"}
	}
	lines := make(chan view.TraceLine, traceQueue)
	var lost atomic.Uint64
	stop := c.node.Trace(filter, func(l view.TraceLine) {
		select {
		case lines <- l:
		default:
			lost.Add(1)
		}
	})
	defer stop()
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.pump(lines, &lost)
	return nil
}

func (c call) traceFilter() (view.TraceFilter, error) {
	q, err := c.query("topic", "peer", "packet", "hex")
	if err != nil {
		return view.TraceFilter{}, err
	}
	packet, err := flag("packet", q["packet"])
	if err != nil {
		return view.TraceFilter{}, err
	}
	hex, err := flag("hex", q["hex"])
	switch view.Topic(q["topic"]) {
	case view.TopicIKE, view.TopicDNS, view.TopicDHCP, view.TopicRadius, view.TopicClient:
	default:
		return view.TraceFilter{}, badRequest("there is nothing to follow of that name", "flexvpn debug --help lists what there is")
	}
	return view.TraceFilter{Topic: view.Topic(q["topic"]), Peer: q["peer"], Packet: packet, Hex: hex}, err
}

// pump writes lines and, now and then, an empty one, which the reader skips. Each write has a time
// limit of its own: the whole stream has none.
func (c call) pump(lines <-chan view.TraceLine, lost *atomic.Uint64) {
	out := http.NewResponseController(c.w)
	enc := json.NewEncoder(c.w)
	renew := time.NewTicker(traceRenew)
	defer renew.Stop()
	write := func(b func() error) bool {
		_ = out.SetWriteDeadline(time.Now().Add(answerTimeout))
		return b() == nil && out.Flush() == nil
	}
	empty := func() error { _, err := c.w.Write([]byte("\n")); return err }
	ok := write(empty)
	for ok {
		select {
		case l := <-lines:
			l.Lost = lost.Swap(0)
			ok = write(func() error { return enc.Encode(&l) })
		case <-renew.C:
			ok = write(empty)
		case <-c.r.Context().Done():
			return
		}
	}
}
