package ops_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"flexvpn/ops"
	"flexvpn/ops/opstest"
	"flexvpn/ops/view"
)

// What a person types arrives as it is, whatever octets it has.
func TestLoginOverTheSocket(t *testing.T) {
	n := opstest.Sample(time.Now())
	n.Asking = true
	_, c, _ := serve(t, n)
	var asked []string
	err := c.Login(context.Background(), "flex1", func(e view.Login) error {
		asked = append(asked, e.Need)
		if e.Need == "" {
			if !e.Up {
				t.Errorf("the login ended with %+v", e)
			}
			return nil
		}
		typed := []byte("a\x00{\"b\"}\r\n ")
		if e.Need == view.NeedPassword {
			typed = []byte("sesame")
		}
		return c.AnswerLogin(context.Background(), "flex1", e.Number, typed)
	})
	if err != nil || len(asked) != 3 {
		t.Errorf("%v after %q", err, asked)
	}
	if calls := strings.Join(n.Calls(), ", "); !strings.Contains(calls, "answer 1 of flex1 with 10 octets") {
		t.Errorf("the node was told %s", calls)
	}
}

func TestLoginBadRequests(t *testing.T) {
	_, c, _ := serve(t, &opstest.Node{})
	for name, f := range map[string]func() error{
		"no client":       func() error { return c.Login(context.Background(), "", func(view.Login) error { return nil }) },
		"no client to":    func() error { return c.AnswerLogin(context.Background(), "", 1, nil) },
		"a long password": func() error { return c.AnswerLogin(context.Background(), "flex1", 1, make([]byte, 2000)) },
	} {
		err := f()
		e, ok := errors.AsType[*ops.Error](err)
		if !ok || e.Status != http.StatusBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}
