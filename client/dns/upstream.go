package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// Times of asking. Resolvers of hosts give up after five seconds.
const (
	tryTimeout   = 1500 * time.Millisecond // one server
	askTimeout   = 4500 * time.Millisecond // all of them
	rounds       = 2                       // through the list of servers
	suspectAfter = 10 * time.Second        // a server that was silent is asked last for so long
)

// ednsSize is the greatest UDP message that is asked for and given: no fragments on any path (RFC 9715).
const ednsSize = 1232

// errUnroutable is why a server is refused: what it was asked would leave the tunnel.
var errUnroutable = errors.New("outside every route of the tunnel")

// A health remembers which servers were silent or refused. It is bounded by the servers there are.
type health struct {
	mu      sync.Mutex
	suspect map[server]time.Time
	last    map[server]string // why the last question to it failed
}

func (h *health) note(s server, err error, now time.Time) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.suspect == nil || len(h.suspect) > 256 {
		h.suspect, h.last = map[server]time.Time{}, map[server]string{}
	}
	why := ""
	if err != nil {
		h.suspect[s] = now.Add(suspectAfter)
		why = err.Error()
	} else {
		delete(h.suspect, s)
	}
	changed = h.last[s] != why
	h.last[s] = why
	return changed
}

func (h *health) reason(s server) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last[s]
}

// sorted puts those that were silent a moment ago last.
func (h *health) sorted(list []server, now time.Time) []server {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b server) int {
		return boolInt(now.Before(h.suspect[a])) - boolInt(now.Before(h.suspect[b]))
	})
	return out
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ask asks the servers of a path until one answers with something of use.
func (p *Proxy) ask(ctx context.Context, question dns.Question, do, cd bool, list []server) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if len(list) == 0 {
		return nil, errors.New("no server is known")
	}
	var refusal *dns.Msg
	var errs []string
	for range rounds {
		for _, s := range p.health.sorted(list, time.Now()) {
			m, err := p.askOne(ctx, question, do, cd, s)
			if p.health.note(s, err, time.Now()) && err != nil {
				p.cfg.Log.Warn("dns server", "server", s.addr.String(), "interface", s.device, "err", err)
			}
			switch {
			case err == nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError):
				return m, nil
			case err == nil:
				refusal = m // perhaps another server can
			default:
				errs = append(errs, fmt.Sprintf("%s: %v", s.addr, err))
			}
			if ctx.Err() != nil {
				break
			}
		}
		if refusal != nil || ctx.Err() != nil {
			break
		}
	}
	if refusal != nil {
		return refusal, nil
	}
	slices.Sort(errs)
	return nil, errors.New(strings.Join(slices.Compact(errs), "; "))
}

func (p *Proxy) askOne(ctx context.Context, question dns.Question, do, cd bool, s server) (*dns.Msg, error) {
	if err := p.routed(s); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	q := query(question, do, cd)
	m, err := p.over(ctx, "udp", q, s)
	if err == nil && m.Truncated {
		return p.over(ctx, "tcp", q, s)
	}
	return m, err
}

// routed refuses a server of a tunnel that no route leads to through it.
func (p *Proxy) routed(s server) error {
	if s.device == "" {
		return nil
	}
	device, err := p.cfg.RouteTo(s.addr, s.device)
	switch {
	case err != nil:
		return fmt.Errorf("%w %s: %w", errUnroutable, s.device, err)
	case device != s.device:
		return fmt.Errorf("%w %s: the route leads to %s", errUnroutable, s.device, device)
	}
	return nil
}

// query is a question of our own: a random id, nothing of the host's options.
func query(question dns.Question, do, cd bool) *dns.Msg {
	q := &dns.Msg{Question: []dns.Question{question}}
	q.Id, q.RecursionDesired, q.CheckingDisabled, q.AuthenticatedData = dns.Id(), true, cd, true
	q.SetEdns0(ednsSize, do)
	return q
}

// over asks one server once. The socket is connected, so the kernel lets nothing in from elsewhere, and
// its port is random like the id (RFC 5452 section 9).
func (p *Proxy) over(ctx context.Context, network string, q *dns.Msg, s server) (*dns.Msg, error) {
	device := s.device
	if device == "" && !s.addr.IsLoopback() {
		device = p.cfg.DefaultVRF
	}
	raw, err := p.cfg.Dial(ctx, network, netip.AddrPortFrom(s.addr, port), device)
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if d, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(d)
	}
	conn := &dns.Conn{Conn: raw, UDPSize: dns.MaxMsgSize}
	if err := conn.WriteMsg(q); err != nil {
		return nil, err
	}
	for {
		m, err := conn.ReadMsg()
		switch {
		case err == nil && replies(m, q):
			return m, nil
		case isTimeout(err):
			return nil, errors.New("no answer")
		case err == nil, network == "udp" && (m != nil || errors.Is(err, dns.ErrShortRead)):
			// RFC 5452 section 9.1: whatever does not match is as if it had not come. It does not end
			// the wait either, or a guesser could keep answers away.
			p.totals.drop("mismatch")
		default:
			return nil, err
		}
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// replies reports whether m can be the answer to q.
func replies(m, q *dns.Msg) bool {
	if !m.Response || m.Id != q.Id || m.Opcode != dns.OpcodeQuery || len(m.Question) != 1 {
		return false
	}
	a, b := m.Question[0], q.Question[0]
	return strings.EqualFold(a.Name, b.Name) && a.Qtype == b.Qtype && a.Qclass == b.Qclass
}

// bindTo is a dialer's or listener's control function that binds the socket to an interface.
func bindTo(device string) func(network, address string, c syscall.RawConn) error {
	if device == "" {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = unix.BindToDevice(int(fd), device) })
		if failed != nil {
			return fmt.Errorf("bind to %s: %w", device, failed)
		}
		return err
	}
}
