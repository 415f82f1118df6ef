package ops

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"flexvpn/ops/view"
)

// MaxTraces is the number of debug streams at once.
const MaxTraces = maxTraces

// HandlerFor is the control socket's handler.
func HandlerFor(c *Control, node Node) http.Handler { return c.handler(node) }

// Asked makes r a request of the user uid, as the socket does.
func Asked(r *http.Request, uid uint32) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), peerKey{}, peer{uid: uid}))
}

// NewDetached is a Control without a socket, owned by the user uid.
func NewDetached(log *slog.Logger, uid uint32) *Control {
	return &Control{log: log, owner: uid, traces: make(chan struct{}, maxTraces)}
}

// SetOwner makes the socket another user's.
func (c *Control) SetOwner(uid uint32) { c.owner = uid }

// ScrapeOnly serves our own metrics without those of runtime and process.
func ScrapeOnly(stats func() view.Stats, info func() view.Info) http.Handler {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(collector{stats, info})
	return scrape(r)
}

// SocketOf is the path that a client asks.
func SocketOf(c *Client) string { return c.socket }

// PathOf is where a control socket is.
func PathOf(c *Control) string { return c.path }
