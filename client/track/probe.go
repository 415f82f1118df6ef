package track

import (
	"context"
	"fmt"
	"time"

	"flexvpn/config"
)

func isProbe(k config.TrackKind) bool {
	switch k {
	case config.TrackICMPEcho, config.TrackTCPConnect, config.TrackHTTPGet, config.TrackDNSQuery:
		return true
	}
	return false
}

// probe asks a target at its interval until ctx ends.
func (s *Set) probe(ctx context.Context, o *object) {
	turn := time.NewTicker(o.Probe.Interval)
	defer turn.Stop()
	for {
		limit, cancel := context.WithTimeout(ctx, o.Probe.Timeout)
		err := s.cfg.Probe(limit, o.Kind, o.Probe)
		cancel()
		if ctx.Err() != nil {
			return
		}
		s.do(ctx, func() { s.answered(time.Now(), o, err) })
		select {
		case <-turn.C:
		case <-ctx.Done():
			return
		}
	}
}

// answered counts an answer or its lack. The first of all decides alone: there is nothing to dampen
// yet, and a spoke that starts should not wait for three.
func (s *Set) answered(now time.Time, o *object, err error) {
	ok, reason := err == nil, "the target answers"
	if !ok {
		reason = err.Error()
	}
	if ok != o.lastOK || !o.decided {
		o.row = 0
	}
	o.lastOK = ok
	o.row++
	need := o.Probe.Down
	if ok {
		need = o.Probe.Up
	}
	if o.row >= need || !o.decided {
		o.decided = true
		s.report(now, sight{o, ok, reason})
		return
	}
	s.report(now, sight{o, o.raw, fmt.Sprintf("%s (%d of %d)", reason, o.row, need)})
}
