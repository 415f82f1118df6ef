package ops

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"flexvpn/ops/view"
)

// LoginNode is the part of a Node with which a person at a terminal logs a client in.
type LoginNode interface {
	// Login connects a client profile. Where a person may have to type, it tells what, in events, until
	// the session is up, the login has failed, ctx ends or tell fails; else it returns at once.
	Login(ctx context.Context, client string, tell func(view.Login) error) error
	// AnswerLogin gives what was typed for an event; value is the caller's, who wipes it.
	AnswerLogin(ctx context.Context, client string, number uint64, value []byte) error
}

// maxTyped bounds what a person types: a password of RFC 2759 has 256 characters.
const maxTyped = 1024

// login streams the events of a login as NDJSON, with an empty line now and then so that a command
// that went away is noticed.
func (c call) login() error {
	var b clientBody
	if err := c.body(&b); err != nil {
		return err
	}
	if err := needClient(b.Client); err != nil {
		return err
	}
	stream := &loginStream{call: c, enc: json.NewEncoder(c.w), out: http.NewResponseController(c.w)}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	stop := make(chan struct{})
	var renewing sync.WaitGroup
	renewing.Go(func() { stream.renew(stop) })
	err := c.node.Login(c.r.Context(), b.Client, stream.tell)
	close(stop)
	renewing.Wait()
	if stream.begun || errors.Is(err, context.Canceled) {
		return nil // the last event has said how it ended
	}
	return err
}

// A loginStream writes events and, between them, signs of life.
type loginStream struct {
	call
	enc *json.Encoder
	out *http.ResponseController

	mu    sync.Mutex
	begun bool
}

func (s *loginStream) tell(e view.Login) error {
	return s.write(func() error { return s.enc.Encode(&e) })
}

func (s *loginStream) write(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = true
	_ = s.out.SetWriteDeadline(time.Now().Add(answerTimeout))
	if err := f(); err != nil {
		return err
	}
	return s.out.Flush()
}

func (s *loginStream) renew(stop <-chan struct{}) {
	t := time.NewTicker(traceRenew)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			_ = s.write(func() error { _, err := s.w.Write([]byte("\n")); return err })
		case <-stop:
			return
		}
	}
}

// answerLogin takes what was typed: the body, as it is. It never becomes a string, and is wiped.
func (c call) answerLogin() error {
	q, err := c.query("client", "number")
	if err != nil {
		return err
	}
	if err := needClient(q["client"]); err != nil {
		return err
	}
	number, err := strconv.ParseUint(q["number"], 10, 64)
	if err != nil {
		return badRequest("number is that of the question", "")
	}
	typed := make([]byte, maxTyped+1)
	defer clear(typed)
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(bodyTimeout))
	n, err := io.ReadFull(c.r.Body, typed)
	switch {
	case err == nil:
		return badRequest(fmt.Sprintf("the answer is longer than %d octets", maxTyped), "")
	case !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		return badRequest("the answer was not received", "")
	}
	ctx, cancel := c.ctx()
	defer cancel()
	if err := c.node.AnswerLogin(ctx, q["client"], number, typed[:n]); err != nil {
		return err
	}
	return c.answer(emptyBody{})
}

func needClient(name string) error {
	if name == "" {
		return badRequest("client is missing", "flexvpn show client lists the client profiles")
	}
	return word("client", name)
}

// Login connects a client profile and calls f for each event of its login until there is no more to
// tell; f answers those with a Need by AnswerLogin.
func (c *Client) Login(ctx context.Context, client string, f func(view.Login) error) error {
	b, err := json.Marshal(clientBody{Client: client})
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	body, err := c.open(ctx, http.MethodPost, "/v1/client/login", b)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var e view.Login
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("login stream: %w", err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return &UnreachableError{Socket: c.socket, Err: err}
	}
	return ctx.Err()
}

// AnswerLogin gives what was typed for an event of Login; value is the caller's, who wipes it.
func (c *Client) AnswerLogin(ctx context.Context, client string, number uint64, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	q := url.Values{"client": {client}, "number": {strconv.FormatUint(number, 10)}}
	answer, err := c.open(ctx, http.MethodPost, "/v1/client/answer?"+q.Encode(), value)
	if err != nil {
		return err
	}
	return answer.Close()
}
