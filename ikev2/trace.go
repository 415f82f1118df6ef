package ikev2

import (
	"flexvpn/ikev2/wire"
)

// traceSent shows a message of this end to debug. Nothing is done without a tracer.
func (sa *SA) traceSent(h wire.Header, ps []wire.Payload, datagrams [][]byte) {
	if sa.c.Tracer.Load() == nil || len(datagrams) == 0 {
		return
	}
	first, b := wire.AppendPayloads(nil, ps...)
	if parsed, err := wire.ParseInner(first, b); err == nil {
		sa.trace(true, sa.path, h, parsed, datagrams[0])
	}
}

// traceReceived shows a message of the peer.
func (sa *SA) traceReceived(p Path, h wire.Header, ps *wire.Payloads, raw []byte) {
	if sa.c.Tracer.Load() != nil {
		sa.trace(false, p, h, ps, raw)
	}
}

func (sa *SA) trace(sent bool, p Path, h wire.Header, ps *wire.Payloads, raw []byte) {
	(*sa.c.Tracer.Load())(TraceRecord{
		Sent: sent, Path: p, SPIi: h.SPIi, SPIr: h.SPIr, Identity: sa.remote,
		Message: h.String() + " [" + ps.String() + "]",
		Text:    wire.Describe(ps),
		Raw:     append([]byte(nil), raw...),
	})
}
