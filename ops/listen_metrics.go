package ops

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Metrics is the listener that Prometheus scrapes.
type Metrics struct{ listener net.Listener }

// ListenMetrics takes the address, so that a port in use stops the start. Serve answers.
func ListenMetrics(address netip.AddrPort) (*Metrics, error) {
	l, err := net.Listen("tcp", address.String())
	if err != nil {
		return nil, fmt.Errorf("metrics listener: %w: choose another address (metrics.listen)", err)
	}
	return &Metrics{listener: l}, nil
}

// Addr is where it listens.
func (m *Metrics) Addr() netip.AddrPort {
	return m.listener.Addr().(*net.TCPAddr).AddrPort()
}

// Serve answers /metrics with h until ctx ends.
func (m *Metrics) Serve(ctx context.Context, h http.Handler) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "flexvpn: the metrics are at /metrics")
	})
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
	}
	if err := serveUntil(ctx, server, m.listener); err != nil {
		return fmt.Errorf("metrics listener %s: %w", m.Addr(), err)
	}
	return nil
}

// Close gives the address back without serving it. Closing after Serve does nothing.
func (m *Metrics) Close() { _ = m.listener.Close() }
