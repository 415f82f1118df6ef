package ops

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"flexvpn/ops/view"
)

// maxTraceLine bounds one line of the debug stream: a datagram of 64 KiB in hex digits and its text.
const maxTraceLine = 1 << 20

// Client asks a running node over its control socket. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// An UnreachableError says that no node answers at a socket.
type UnreachableError struct {
	Socket string
	Err    error
}

// Error says what to do about it.
func (e *UnreachableError) Error() string {
	switch {
	case errors.Is(e.Err, fs.ErrPermission):
		return fmt.Sprintf("no permission to ask the flexvpn at %s: use sudo", e.Socket)
	case errors.Is(e.Err, fs.ErrNotExist), errors.Is(e.Err, unix.ECONNREFUSED):
		return fmt.Sprintf("no flexvpn is running here (%s): start it with flexvpn hub -c FILE or flexvpn client -c FILE", e.Socket)
	case errors.Is(e.Err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("the flexvpn at %s went away in the middle of its answer: was it stopped?", e.Socket)
	}
	return fmt.Sprintf("the flexvpn at %s does not answer: %v", e.Socket, e.Err)
}

// Unwrap is the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Dial makes a client of the socket at path. It does not connect yet: a question does.
func Dial(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		d := net.Dialer{Timeout: 5 * time.Second}
		conn, err := d.DialContext(ctx, "unix", path)
		if err != nil && ctx.Err() == nil {
			err = &UnreachableError{Socket: path, Err: err}
		}
		return conn, err
	}
	return &Client{socket: path, http: &http.Client{Transport: &http.Transport{
		DialContext: dial, MaxIdleConns: 1, IdleConnTimeout: idleTimeout / 2, DisableCompression: true,
	}}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Info says which daemon answers.
func (c *Client) Info(ctx context.Context) (v view.Info, err error) {
	return v, c.get(ctx, "/v1/info", nil, &v)
}

// Sessions lists the sessions that pass the filter, oldest first.
func (c *Client) Sessions(ctx context.Context, f view.SessionFilter) (v []view.Session, err error) {
	q := url.Values{}
	add(q, "peer", f.Peer)
	add(q, "role", f.Role)
	return v, c.get(ctx, "/v1/sessions", q, &v)
}

// Session tells everything about one session; id is its id, its identity or its interface.
func (c *Client) Session(ctx context.Context, id string) (v view.Session, err error) {
	return v, c.get(ctx, "/v1/session", url.Values{"id": {id}}, &v)
}

// Failed lists the latest refused and lost peers, newest first.
func (c *Client) Failed(ctx context.Context) (v []view.Failed, err error) {
	return v, c.get(ctx, "/v1/failed", nil, &v)
}

// SAs lists the IKE SAs.
func (c *Client) SAs(ctx context.Context) (v []view.SA, err error) {
	return v, c.get(ctx, "/v1/sas", nil, &v)
}

// Pools lists the address pools.
func (c *Client) Pools(ctx context.Context, leases bool) (v []view.Pool, err error) {
	return v, c.get(ctx, "/v1/pools", url.Values{"leases": {strconv.FormatBool(leases)}}, &v)
}

// Interfaces lists the virtual-access and tunnel interfaces.
func (c *Client) Interfaces(ctx context.Context) (v []view.Interface, err error) {
	return v, c.get(ctx, "/v1/interfaces", nil, &v)
}

// Routes lists the routes the node installed.
func (c *Client) Routes(ctx context.Context) (v []view.Route, err error) {
	return v, c.get(ctx, "/v1/routes", nil, &v)
}

// Clients lists the client profiles.
func (c *Client) Clients(ctx context.Context) (v []view.Client, err error) {
	return v, c.get(ctx, "/v1/clients", nil, &v)
}

// Stats reads the counters.
func (c *Client) Stats(ctx context.Context) (v view.Stats, err error) {
	return v, c.get(ctx, "/v1/stats", nil, &v)
}

// ClearSession ends one session, named as in Session.
func (c *Client) ClearSession(ctx context.Context, id string) error {
	return c.post(ctx, "/v1/session/clear", sessionBody{ID: id}, nil)
}

// Rekey begins rekeying the IKE SA or the Child SA of one session, named as in Session.
func (c *Client) Rekey(ctx context.Context, id string, kind view.RekeyKind) error {
	return c.post(ctx, "/v1/session/rekey", rekeyBody{ID: id, Kind: kind}, nil)
}

// ClearAll ends every session and says how many.
func (c *Client) ClearAll(ctx context.Context) (int, error) {
	var v clearedBody
	err := c.post(ctx, "/v1/sessions/clear", emptyBody{}, &v)
	return v.Cleared, err
}

// Connect starts a client profile.
func (c *Client) Connect(ctx context.Context, client string) error {
	return c.post(ctx, "/v1/client/connect", clientBody{Client: client}, nil)
}

// Disconnect takes a client profile's tunnel down until Connect.
func (c *Client) Disconnect(ctx context.Context, client string) error {
	return c.post(ctx, "/v1/client/disconnect", clientBody{Client: client}, nil)
}

// ClearClient takes a client profile's tunnel down, an empty name all of them; in mode auto they
// connect again at once.
func (c *Client) ClearClient(ctx context.Context, name string) error {
	return c.post(ctx, "/v1/client/clear", clientBody{Client: name}, nil)
}

// Trace calls f for each message that passes the filter, until ctx ends (nil), f fails, or the node
// goes away. started is called once the filter is in place; it may be nil.
func (c *Client) Trace(ctx context.Context, filter view.TraceFilter, started func(), f func(view.TraceLine) error) error {
	q := url.Values{"packet": {strconv.FormatBool(filter.Packet)}, "hex": {strconv.FormatBool(filter.Hex)}}
	add(q, "topic", string(filter.Topic))
	add(q, "peer", filter.Peer)
	body, err := c.open(ctx, http.MethodGet, "/v1/trace?"+q.Encode(), nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxTraceLine)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			if started != nil {
				started()
				started = nil
			}
			continue
		}
		var l view.TraceLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("debug stream: %w", err)
		}
		if err := f(l); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	err = lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return &UnreachableError{Socket: c.socket, Err: err}
}

func add(q url.Values, name, v string) {
	if v != "" {
		q.Set(name, v)
	}
}

func (c *Client) get(ctx context.Context, path string, q url.Values, into any) error {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return c.ask(ctx, http.MethodGet, path, nil, into)
}

func (c *Client) post(ctx context.Context, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	return c.ask(ctx, http.MethodPost, path, b, into)
}

func (c *Client) ask(ctx context.Context, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answer, err := c.open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	if into == nil {
		_, err = io.Copy(io.Discard, answer)
	} else {
		err = json.NewDecoder(answer).Decode(into)
	}
	if err != nil {
		return fmt.Errorf("answer of the flexvpn at %s: %w", c.socket, err)
	}
	return nil
}

// open sends a request and returns the body of a good answer.
func (c *Client) open(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	// The host is never looked up: every connection goes to the socket.
	r, err := http.NewRequestWithContext(ctx, method, "http://flexvpn"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("control request: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.reason(err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }()
	return nil, readError(answer)
}

// reason drops the made-up URL that net/http puts in front of errors.
func (c *Client) reason(err error) error {
	if u, ok := errors.AsType[*UnreachableError](err); ok {
		return u
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &UnreachableError{Socket: c.socket, Err: err}
}

func readError(answer *http.Response) error {
	e := &Error{Status: answer.StatusCode}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(e); err != nil || e.Message == "" {
		e.Message = "the daemon answers " + answer.Status
	}
	return e
}
