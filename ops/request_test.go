package ops_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"flexvpn/ops"
	"flexvpn/ops/opstest"
)

const owner = 4711

// ask sends one request to a handler as the user uid.
func ask(node ops.Node, uid uint32, method, target, body string) *httptest.ResponseRecorder {
	h := ops.HandlerFor(ops.NewDetached(slog.New(slog.DiscardHandler), owner), node)
	var r *http.Request
	if body == "" {
		r = httptest.NewRequest(method, target, http.NoBody)
	} else {
		r = httptest.NewRequest(method, target, strings.NewReader(body))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, ops.Asked(r, uid))
	return w
}

func TestWhoMayAsk(t *testing.T) {
	for uid, want := range map[uint32]int{0: 200, owner: 200, owner + 1: 403, 65534: 403} {
		if w := ask(&opstest.Node{}, uid, "GET", "/v1/info", ""); w.Code != want {
			t.Errorf("user %d got status %d, want %d", uid, w.Code, want)
		}
	}
}

func TestBadRequests(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for _, c := range []struct {
		method, target, body string
		status               int
		says                 string
	}{
		{"GET", "/v1/nonsense", "", 404, "no such path"},
		{"GET", "/v1/sessions/", "", 404, "no such path"},
		{"DELETE", "/v1/sessions", "", 405, "asked with GET"},
		{"GET", "/v1/sessions/clear", "", 405, "asked with POST"},
		{"GET", "/v1/sessions?role=router", "", 400, "role is hub or client"},
		{"GET", "/v1/sessions?pear=x", "", 400, `unknown key \"pear\"`},
		{"GET", "/v1/sessions?peer=a&peer=b", "", 400, "peer is given more than once"},
		{"GET", "/v1/sessions?peer=%zz", "", 400, "query is malformed"},
		{"GET", "/v1/sessions?peer=%ff", "", 400, "peer is not UTF-8"},
		{"GET", "/v1/sessions?peer=" + long, "", 400, "longer than 2048"},
		{"GET", "/v1/sessions", "{}", 400, "a GET has no body"},
		{"GET", "/v1/session", "", 400, "id is missing"},
		{"GET", "/v1/session?id=nobody", "", 404, "no session nobody"},
		{"GET", "/v1/pools?leases=1", "", 400, "leases is true or false"},
		{"GET", "/v1/trace?hex=yes", "", 400, "hex is true or false"},
		{"POST", "/v1/session/clear", "", 400, "no body"},
		{"POST", "/v1/session/clear", "{}", 400, "id is missing"},
		{"POST", "/v1/session/clear", `{"id":"` + long + `"}`, 400, "longer than 2048"},
		{"POST", "/v1/session/clear", `{"id":"` + long + long + long + `"}`, 413, "longer than 8192"},
		{"POST", "/v1/session/clear", `{"id":7}`, 400, "the request's JSON"},
		{"POST", "/v1/session/clear", `{"id":"h1","force":true}`, 400, "unknown field"},
		{"POST", "/v1/session/clear", `{"id":"h1"}{"id":"h2"}`, 400, "more than one JSON value"},
		{"POST", "/v1/sessions/clear", `[`, 400, "the request's JSON"},
		{"POST", "/v1/client/connect", `{}`, 400, "client is missing"},
	} {
		node := &opstest.Node{}
		w := ask(node, owner, c.method, c.target, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %.60s %.60s\n got %d %s want %d with %q", c.method, c.target, c.body, w.Code, w.Body, c.status, c.says)
		}
		if len(node.Calls()) > 0 {
			t.Errorf("%s %.60s reached the node: %v", c.method, c.target, node.Calls())
		}
	}
}

// FuzzControlRequest gives any octets to the socket's request parsing: it must never panic, and what
// it refuses is refused in JSON with a message.
func FuzzControlRequest(f *testing.F) {
	for _, seed := range []string{
		"GET /v1/info HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/sessions?peer=spoke&role=hub HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/session?id=spoke1.branch.example.net HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/pools?leases=true HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/trace?peer=%5b2001:db8::1%5d&hex=true HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/session/clear HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{\"id\":\"h1\"}",
		"POST /v1/sessions/clear HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"POST /v1/client/connect HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n{\"client\":\"flex1\"}",
		"POST /v1/client/clear HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
	} {
		f.Add([]byte(seed))
	}
	node := opstest.Sample(time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC))
	h := ops.HandlerFor(ops.NewDetached(slog.New(slog.DiscardHandler), owner), node)
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // so that debug ends at once
		w := httptest.NewRecorder()
		h.ServeHTTP(w, ops.Asked(r.WithContext(ctx), owner))
		if w.Code == http.StatusOK {
			return
		}
		var e ops.Error
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Message == "" || w.Code < 400 {
			t.Errorf("%q was answered with %d %q, want an error in JSON", raw, w.Code, w.Body)
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
}
