package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"flexvpn/ops"
)

// typist is a terminal with a person who types what is there, in order.
type typist struct {
	seen, hidden []string // what is typed at either kind of question
}

func (t *typist) line(context.Context) ([]byte, error)   { return next(&t.seen) }
func (t *typist) secret(context.Context) ([]byte, error) { return next(&t.hidden) }

func next(list *[]string) ([]byte, error) {
	if len(*list) == 0 {
		return nil, errors.New("nothing was typed")
	}
	b := []byte((*list)[0])
	*list = (*list)[1:]
	return b, nil
}

func loginAt(t *testing.T, s shell, p *typist, client string) (string, error) {
	t.Helper()
	c := ops.Dial(s.socket)
	defer c.Close()
	var out bytes.Buffer
	err := runLogin(context.Background(), c, &out, p, client)
	return out.String(), err
}

func TestLoginAsks(t *testing.T) {
	n := sample()
	n.Asking = true
	out, err := loginAt(t, serve(t, n), &typist{seen: []string{" spoke1 "}, hidden: []string{"sesame"}}, "flex1")
	want := "hub1.example.net says: Token:\nUser name for hub1.example.net: " +
		"hub1.example.net says: Token:\nPassword of spoke1 for hub1.example.net: \nclient flex1 is connected\n"
	if err != nil || out != want {
		t.Errorf("%v:\n%s\nwant\n%s", err, out, want)
	}
	calls := n.Calls()
	for _, c := range []string{"login flex1", "answer 1 of flex1 with 6 octets", "answer 2 of flex1 with 6 octets"} {
		if !slices.Contains(calls, c) {
			t.Errorf("the node was told %q, not %q", calls, c)
		}
	}
}

func TestLoginFails(t *testing.T) {
	n := sample()
	n.Asking = true
	out, err := loginAt(t, serve(t, n), &typist{seen: []string{"spoke1"}, hidden: []string{"simsalabim"}}, "flex1")
	if !errors.Is(err, errLogin) || !strings.HasSuffix(out, "the hub refused the login of spoke1\n") || strings.Contains(out, "simsalabim") {
		t.Errorf("%v:\n%s", err, out)
	}
	if _, err := loginAt(t, serve(t, n), &typist{seen: []string{"spoke1"}}, "flex1"); err == nil {
		t.Error("a person who types nothing is connected")
	}
}

// Where nothing has to be asked, connect does not wait.
func TestLoginThatNeedsNobody(t *testing.T) {
	n := sample()
	out, err := loginAt(t, serve(t, n), &typist{}, "flex1")
	if err != nil || out != "client flex1 is connecting: flexvpn show client flex1\n" {
		t.Errorf("%v: %s", err, out)
	}
}
