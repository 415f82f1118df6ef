package endpoint

import (
	"time"

	"flexvpn/ikev2"
)

// receive gives a datagram to the SA it is for. A bug that a datagram of no SA meets costs that
// datagram only.
func (s *shard) receive(d *datagram) {
	defer s.e.datagrams.put(d)
	defer func() {
		if recover() != nil {
			s.e.count.Panics.Add(1)
		}
	}()
	if d.header.begins {
		s.receiveFirst(d)
		return
	}
	if c := s.conns[d.header.local()]; c != nil {
		s.deliver(c, d)
		return
	}
	s.e.count.DroppedUnknownSPI.Add(1)
	now := time.Now()
	// RFC 7296 section 2.21.4: such answers are limited in rate, for they leave to whoever the
	// source address says.
	if !s.replies.spend(now) {
		return
	}
	if reply, ok := s.e.engine.stateless(s.common, d.path, d.data); ok {
		s.out.send(d.path, reply)
	}
}

func (s *shard) deliver(c *Conn, d *datagram) {
	s.call(c, func() {
		now := time.Now()
		c.sa.Receive(now, d.path, d.data)
		s.carry(c, now)
	})
}

// receiveFirst takes an IKE_SA_INIT request: a repeat goes to the SA that the first one made, a new
// one has to pass the gate.
func (s *shard) receiveFirst(d *datagram) {
	key := halfKey{remote: d.path.Remote, spi: d.header.spiInitiator}
	if c := s.halves[key]; c != nil {
		s.deliver(c, d)
		return
	}
	if s.admit(d) {
		s.respond(key, d)
	}
}

// admit decides whether a peer's attempt may cost memory (RFC 7296 section 2.6).
func (s *shard) admit(d *datagram) bool {
	e := s.e
	if e.accept == nil {
		e.count.DroppedNoAcceptor.Add(1)
		return false
	}
	under, limit := e.halfOpen.Load(), e.maxHalfOpen.Load()
	// Cookies prove addresses only. Somebody with many of them meets a hard limit.
	if under >= limit*halfOpenHard {
		e.count.DroppedHalfOpen.Add(1)
		return false
	}
	if under < limit && !e.cookieAlways.Load() {
		return true
	}
	admitted, reply := s.gate.Check(time.Now(), d.path, d.data)
	if len(reply) > 0 {
		s.out.send(d.path, reply)
	}
	if !admitted {
		e.count.DroppedNoCookie.Add(1)
	}
	return admitted
}

// respond makes an SA for a peer's attempt. It is kept only if the engine answers: a datagram that
// makes no sense costs nothing but this.
func (s *shard) respond(key halfKey, d *datagram) {
	c := &Conn{handler: s.e.accept, shard: s, half: key, slot: noSlot}
	s.call(c, func() {
		now := time.Now()
		c.sa = s.e.engine.responder(now, s.common, d.path)
		c.leads(c.sa.SPI())
		s.halves[key] = c
		c.halfOpen = true
		s.e.halfOpen.Add(1)
		c.sa.Receive(now, d.path, d.data)
		outputs := c.sa.Take()
		if len(outputs) == 0 {
			s.e.count.DroppedUnusable.Add(1)
			s.forget(c)
			return
		}
		s.hand(c, outputs)
		if !c.gone.Load() {
			s.schedule(c, now)
		}
	})
}

// carry does what the SA wants done after a call, and notes when it wants to be called again.
func (s *shard) carry(c *Conn, now time.Time) {
	if c.gone.Load() {
		return
	}
	s.hand(c, c.sa.Take())
	if !c.gone.Load() {
		s.schedule(c, now)
	}
}

// hand delivers outputs in their order.
func (s *shard) hand(c *Conn, outputs []ikev2.Output) {
	for _, o := range outputs {
		switch o := o.(type) {
		case ikev2.Send:
			s.out.send(o.Path, o.Datagram)
		case ikev2.Keepalive:
			s.out.keepalive(o.Path)
		case ikev2.Question:
			if _, ok := o.(ikev2.EAP); ok {
				s.stands(c) // a login may take minutes; the hub bounds how many there are
			}
			c.handler.Ask(c, o)
		case ikev2.Event:
			s.happened(c, o)
			c.handler.Notice(c, o)
		}
	}
}

// happened keeps the tables in step with the SA, before the handler hears of it.
func (s *shard) happened(c *Conn, e ikev2.Event) {
	switch e := e.(type) {
	case ikev2.SPIAdded:
		if s.conns[e.SPI] != c {
			c.leads(e.SPI)
		}
	case ikev2.SPIRemoved:
		c.leadsNoMore(e.SPI)
	case ikev2.Established:
		s.stands(c)
	case ikev2.Closed:
		s.forget(c)
	}
}
