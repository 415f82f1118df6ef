package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"flexvpn/ops/view"
)

// Bounds of what a request may carry.
const (
	maxBody = 8 << 10
	maxWord = 2048 // octets of an id, an identity (a long distinguished name) or a client's name
	// askTimeout bounds one question to the node.
	askTimeout = 30 * time.Second
)

// call is one request on its way to the node.
type call struct {
	control *Control
	node    Node
	w       http.ResponseWriter
	r       *http.Request
}

// A question is one thing the socket answers. serve answers, or returns why not; once it has begun to
// write it returns nil.
type question struct {
	method string
	path   string
	serve  func(call) error
}

// questions is the whole control API.
var questions = []question{
	{http.MethodGet, "/v1/info", func(c call) error { return c.answer(c.node.Info()) }},
	{http.MethodGet, "/v1/sessions", call.sessions},
	{http.MethodGet, "/v1/session", call.session},
	{http.MethodGet, "/v1/failed", func(c call) error { return writeList(c.w, c.node.Failed()) }},
	{http.MethodGet, "/v1/sas", call.sas},
	{http.MethodGet, "/v1/pools", call.pools},
	{http.MethodGet, "/v1/policies", call.policies},
	{http.MethodGet, "/v1/interfaces", func(c call) error { return writeList(c.w, c.node.Interfaces()) }},
	{http.MethodGet, "/v1/routes", func(c call) error { return writeList(c.w, c.node.Routes()) }},
	{http.MethodGet, "/v1/clients", func(c call) error { return writeList(c.w, c.node.Clients()) }},
	{http.MethodGet, "/v1/access-lists", call.accessLists},
	{http.MethodGet, "/v1/tracks", func(c call) error { return writeList(c.w, c.node.Tracks()) }},
	{http.MethodGet, "/v1/aaa", func(c call) error { return c.answer(c.node.AAA()) }},
	{http.MethodGet, "/v1/aaa/attributes", call.aaaAttributes},
	{http.MethodGet, "/v1/dns", func(c call) error { return c.answer(c.node.DNS()) }},
	{http.MethodGet, "/v1/dhcp", func(c call) error { return c.answer(c.node.DHCP()) }},
	{http.MethodGet, "/v1/nat", call.nat},
	{http.MethodGet, "/v1/stats", func(c call) error { return c.answer(c.node.Stats()) }},
	{http.MethodGet, "/v1/trace", call.trace},
	{http.MethodPost, "/v1/session/clear", call.clearSession},
	{http.MethodPost, "/v1/session/rekey", call.rekey},
	{http.MethodPost, "/v1/sessions/clear", call.clearAll},
	{http.MethodPost, "/v1/client/connect", call.connect},
	{http.MethodPost, "/v1/client/login", call.login},
	{http.MethodPost, "/v1/client/answer", call.answerLogin},
	{http.MethodPost, "/v1/client/disconnect", call.disconnect},
	{http.MethodPost, "/v1/client/clear", call.clearClient},
	{http.MethodGet, "/v1/bgp", call.bgp},
	{http.MethodGet, "/v1/bgp/routes", call.bgpRoutes},
	{http.MethodPost, "/v1/bgp/clear", call.clearBGP},
}

// handler checks who asks, then serves the table. It does not use http.ServeMux, which answers
// unknown paths and methods in a form of its own instead of JSON.
func (c *Control) handler(node Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.route(node, w, r); err != nil {
			writeError(w, err)
		}
	})
}

func (c *Control) route(node Node, w http.ResponseWriter, r *http.Request) error {
	who, _ := r.Context().Value(peerKey{}).(peer)
	if !permitted(who, c.owner) {
		c.log.Warn("control request refused", "uid", who.uid, "pid", who.pid, "path", r.URL.Path, "err", who.err)
		w.Header().Set("Connection", "close")
		return &Error{Status: http.StatusForbidden, Message: "only root and the daemon's own user may ask", Hint: "use sudo"}
	}
	var allowed []string
	for _, q := range questions {
		if q.path != r.URL.Path {
			continue
		}
		if q.method == r.Method {
			return call{c, node, w, r}.run(q)
		}
		allowed = append(allowed, q.method)
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return &Error{Status: http.StatusMethodNotAllowed, Message: "this path is asked with " + strings.Join(allowed, ", ")}
	}
	return NotFound("the control socket has no such path", "daemon and command may be of different versions: see flexvpn version")
}

func (c call) run(q question) error {
	if q.method == http.MethodGet && c.r.ContentLength != 0 {
		c.w.Header().Set("Connection", "close") // rather than read on for its end
		return badRequest("a GET has no body", "")
	}
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxBody)
	return q.serve(c)
}

// ctx bounds a question to the node.
func (c call) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.r.Context(), askTimeout)
}

func (c call) sessions() error {
	q, err := c.query("peer", "role")
	if err != nil {
		return err
	}
	filter := view.SessionFilter{Peer: q["peer"], Role: q["role"]}
	switch filter.Role {
	case "", "hub", "client":
	default:
		return badRequest("role is hub or client", "")
	}
	ctx, cancel := c.ctx()
	defer cancel()
	list, err := c.node.Sessions(ctx, filter)
	if err != nil {
		return err
	}
	return writeList(c.w, list)
}

func (c call) session() error {
	q, err := c.query("id")
	if err != nil {
		return err
	}
	if q["id"] == "" {
		return badRequest("id is missing", "give a session id, an identity or an interface")
	}
	ctx, cancel := c.ctx()
	defer cancel()
	v, err := c.node.Session(ctx, q["id"])
	if err != nil {
		return err
	}
	return c.answer(v)
}

func (c call) sas() error {
	ctx, cancel := c.ctx()
	defer cancel()
	list, err := c.node.SAs(ctx)
	if err != nil {
		return err
	}
	return writeList(c.w, list)
}

func (c call) pools() error {
	q, err := c.query("leases")
	if err != nil {
		return err
	}
	leases, err := flag("leases", q["leases"])
	if err != nil {
		return err
	}
	return writeList(c.w, c.node.Pools(leases))
}

// The bodies of the verbs.
type (
	sessionBody struct {
		ID string `json:"id"`
	}
	clientBody struct {
		Client string `json:"client"` // in client/clear, empty means all
	}
	emptyBody struct{}
	rekeyBody struct {
		ID   string         `json:"id"`
		Kind view.RekeyKind `json:"kind"`
	}
	clearedBody struct {
		Cleared int `json:"cleared"`
	}
)

func (c call) clearSession() error {
	var b sessionBody
	if err := c.body(&b); err != nil {
		return err
	}
	if err := word("id", b.ID); err != nil {
		return err
	}
	if b.ID == "" {
		return badRequest("id is missing", "give a session id, an identity or an interface")
	}
	ctx, cancel := c.ctx()
	defer cancel()
	if err := c.node.ClearSession(ctx, b.ID); err != nil {
		return err
	}
	return c.answer(clearedBody{Cleared: 1})
}

func (c call) rekey() error {
	var b rekeyBody
	if err := c.body(&b); err != nil {
		return err
	}
	if err := word("id", b.ID); err != nil {
		return err
	}
	if b.ID == "" {
		return badRequest("id is missing", "give a session id, an identity or an interface")
	}
	if b.Kind != view.RekeyIKE && b.Kind != view.RekeyChild {
		return badRequest("kind is neither ike nor child", "flexvpn rekey ike ID, or flexvpn rekey child ID")
	}
	ctx, cancel := c.ctx()
	defer cancel()
	if err := c.node.Rekey(ctx, b.ID, b.Kind); err != nil {
		return err
	}
	return c.answer(emptyBody{})
}

func (c call) clearAll() error {
	if err := c.body(&emptyBody{}); err != nil {
		return err
	}
	ctx, cancel := c.ctx()
	defer cancel()
	n, err := c.node.ClearAll(ctx)
	if err != nil {
		return err
	}
	return c.answer(clearedBody{Cleared: n})
}

func (c call) connect() error    { return c.client(c.node.Connect, true) }
func (c call) disconnect() error { return c.client(c.node.Disconnect, true) }

func (c call) clearClient() error { return c.client(c.node.ClearClient, false) }

func (c call) client(do func(context.Context, string) error, named bool) error {
	var b clientBody
	if err := c.body(&b); err != nil {
		return err
	}
	if err := word("client", b.Client); err != nil {
		return err
	}
	if named && b.Client == "" {
		return badRequest("client is missing", "flexvpn show client lists the client profiles")
	}
	ctx, cancel := c.ctx()
	defer cancel()
	if err := do(ctx, b.Client); err != nil {
		return err
	}
	return c.answer(emptyBody{})
}

// query reads the URL's query strictly: only the named keys, each at most once.
func (c call) query(names ...string) (map[string]string, error) {
	values, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, name := range names {
		v := values[name]
		delete(values, name)
		switch len(v) {
		case 0:
		case 1:
			if err := word(name, v[0]); err != nil {
				return nil, err
			}
			out[name] = v[0]
		default:
			return nil, badRequest(name+" is given more than once", "")
		}
	}
	for name := range values {
		return nil, badRequest(fmt.Sprintf("unknown key %.40q", name), "this path knows: "+strings.Join(names, ", "))
	}
	return out, nil
}

// word refuses what cannot name anything.
func word(name, v string) error {
	if len(v) > maxWord {
		return badRequest(fmt.Sprintf("%s is longer than %d octets", name, maxWord), "")
	}
	if !utf8.ValidString(v) {
		return badRequest(name+" is not UTF-8", "")
	}
	return nil
}

func flag(name, v string) (bool, error) {
	switch v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, badRequest(name+" is true or false", "")
}

// body decodes one JSON object strictly; nothing may follow it.
func (c call) body(into any) error {
	// The limit ends with the body: http.Server.ReadTimeout would go on, and cut off a long answer by
	// ending the request's context.
	deadline := http.NewResponseController(c.w)
	_ = deadline.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = deadline.SetReadDeadline(time.Time{}) }()
	d := json.NewDecoder(c.r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return bodyError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("more than one JSON value", "send one object")
	}
	return nil
}

func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("the request is longer than %d octets", maxBody)}
	}
	if errors.Is(err, io.EOF) {
		return badRequest("the request has no body", "send a JSON object")
	}
	return badRequest(fmt.Sprintf("the request's JSON: %v", err), "")
}

// answer writes one JSON value.
func (c call) answer(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write(append(b, '\n')) // a caller that went away is no error of ours
	return nil
}

// writeError answers no. What is not an Error is our own failure.
func writeError(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Status < 400 {
		e = internalError(err)
	}
	b, _ := json.Marshal(e) // two strings
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(append(b, '\n'))
}

func internalError(err error) *Error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Status: http.StatusGatewayTimeout, Message: err.Error(), Hint: "the daemon is busy: try again, and look at its log"}
	}
	return &Error{Status: http.StatusInternalServerError, Message: err.Error()}
}
