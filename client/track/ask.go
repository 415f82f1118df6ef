package track

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"flexvpn/config"
)

// Ask asks a target once; nil means that it answered in time.
func Ask(ctx context.Context, kind config.TrackKind, p config.Probe) error {
	var err error
	switch kind {
	case config.TrackICMPEcho:
		err = askICMP(ctx, p)
	case config.TrackTCPConnect:
		err = askTCP(ctx, p)
	case config.TrackHTTPGet:
		err = askHTTP(ctx, p)
	case config.TrackDNSQuery:
		err = askDNS(ctx, p)
	default:
		err = fmt.Errorf("BUG: %s is no probe", kind)
	}
	if err != nil && (ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		return fmt.Errorf("no answer within %s", p.Timeout)
	}
	return err
}

// from splits a probe's source into the device to bind to and the address to send from.
func from(source string) (device string, addr netip.Addr) {
	if a, err := netip.ParseAddr(source); err == nil {
		return "", a
	}
	return source, netip.Addr{}
}

// bind binds a socket to a device before it is used.
func bind(device string) func(network, address string, c syscall.RawConn) error {
	if device == "" {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var bound error
		if err := c.Control(func(fd uintptr) { bound = syscall.BindToDevice(int(fd), device) }); err != nil {
			return err
		}
		if bound != nil {
			return fmt.Errorf("bind to %s: %w", device, bound)
		}
		return nil
	}
}

// dialer dials from a probe's source.
func dialer(network, source string) *net.Dialer {
	device, addr := from(source)
	d := &net.Dialer{Control: bind(device)}
	switch {
	case !addr.IsValid():
	case network == "tcp":
		d.LocalAddr = &net.TCPAddr{IP: addr.AsSlice()}
	default:
		d.LocalAddr = &net.UDPAddr{IP: addr.AsSlice()}
	}
	return d
}

func askTCP(ctx context.Context, p config.Probe) error {
	c, err := dialer("tcp", p.Source).DialContext(ctx, "tcp", net.JoinHostPort(p.Target, strconv.Itoa(p.Port)))
	if err != nil {
		return err
	}
	return c.Close()
}

// askHTTP believes the first status line: a server's page is none of our business, so no more than
// its header is read, and a redirect counts as an answer.
func askHTTP(ctx context.Context, p config.Probe) error {
	t := &http.Transport{
		DialContext: dialer("tcp", p.Source).DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: !p.Verify},
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
	}
	defer t.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Target, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "flexvpn-track")
	resp, err := t.RoundTrip(r)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("the server answers %s", resp.Status)
	}
	return nil
}

// resolve finds the address of a target, of the family of the source when that is an address.
func resolve(ctx context.Context, target string, source netip.Addr) (netip.Addr, error) {
	if a, err := netip.ParseAddr(target); err == nil {
		return a, nil
	}
	network := "ip"
	if source.IsValid() {
		network = "ip6"
		if source.Is4() {
			network = "ip4"
		}
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, network, target)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(all) == 0 {
		return netip.Addr{}, errors.New("the name has no address")
	}
	return all[0].Unmap(), nil
}

// random is a number nobody can guess: what answers must carry it.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}
