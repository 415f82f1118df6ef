package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flexvpn/authz"
	"flexvpn/radiusdict"
	"flexvpn/routing"
)

// fakeAAA answers after a delay from a table of names.
type fakeAAA struct {
	delay time.Duration
	pairs map[string][]string
	errs  map[string]error
	asked []authz.Ask
}

func (f *fakeAAA) Ask(q authz.Ask, done func(authz.Answer)) {
	f.asked = append(f.asked, q)
	time.AfterFunc(f.delay, func() {
		a := authz.Answer{Server: "r1", Err: f.errs[q.User]}
		pairs, known := f.pairs[q.User]
		switch {
		case a.Err != nil:
		case !known:
			a.Err = authz.ErrRejected
		default:
			a.Reply = &radiusdict.Reply{}
			for _, p := range pairs {
				if err := a.Reply.AddPair(p); err != nil {
					a.Err, a.Reply = err, nil
					break
				}
			}
		}
		done(a)
	})
}

const aaaText = "aaa: {servers: {r1: {address: 192.0.2.10, secret: a test secret}}, groups: {g: {servers: r1}}}\nikev2:\n"

const (
	groupLocal  = "{group: {list: local, policy: default}}"
	groupRadius = "{group: {list: radius, name: branches, unreachable: local, policy: default}, user: {list: radius}}"
)

func aaaHub(changes ...string) string {
	return hubText(append([]string{"ikev2:\n", aaaText, groupLocal, groupRadius}, changes...)...)
}

func attributesOf(e *end, id string) string {
	full, err := e.Session(e.w.ctx, id)
	if err != nil {
		e.w.t.Fatal(err)
	}
	var lines []string
	for _, a := range full.Attributes {
		lines = append(lines, fmt.Sprintf("%s=%s (%s)", a.Name, a.Value, a.Origin))
	}
	return strings.Join(lines, "\n")
}

// Servers that take five seconds hold up one session only, and what they say arrives.
func TestSlowServers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.aaa = &fakeAAA{delay: 5 * time.Second, pairs: map[string][]string{
			"branches":                  {"ipsec:addr-pool=p4", "ipsec:dns-servers=10.0.0.1", "ipsec:route-accept=any"},
			"spoke1.branch.example.net": {"ipsec:dns-servers=10.0.0.2", "ip:route=172.31.0.0/16"},
		}}
		h, s := w.end("192.0.2.1", aaaHub(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		s.run()
		w.after(4 * time.Second)
		h.wantUp(0, "the servers have not answered")
		w.after(2 * time.Second)
		v := h.wantUp(1, "the servers have answered")[0]
		got := attributesOf(h, v.ID)
		for _, want := range []string{"pool=p4 (radius group branches)", "dns=10.0.0.2 (radius user spoke1.branch.example.net)", "framed-routes=172.31.0.0/16 (radius user"} {
			if !strings.Contains(got, want) {
				t.Errorf("show session lacks %q:\n%s", want, got)
			}
		}
		if got := fmt.Sprint(prefixesOf(h)); !strings.Contains(got, "172.16.1.0/24") {
			t.Errorf("the hub accepted %s", got)
		}
		if static, err := h.fib.Routes(routing.ProtocolStatic); err != nil || len(static) != 1 || static[0].Prefix.String() != "172.31.0.0/16" {
			t.Errorf("the routes from the server are %v, %v", static, err)
		}
		if asked := w.aaa.(*fakeAAA).asked; len(asked) != 2 || asked[0].Session.ID == "" || asked[0].Session.AuditID == "" {
			t.Errorf("asked %+v", asked)
		}
	})
}

// A spoke that goes while its servers think leaves nothing behind.
func TestSpokeGoneBeforeTheAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.aaa = &fakeAAA{delay: 15 * time.Second, pairs: map[string][]string{"branches": {"ipsec:addr-pool=p4"}, "spoke1.branch.example.net": nil}}
		h, s := w.end("192.0.2.1", aaaHub(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		stop := s.run()
		w.after(2 * time.Second)
		stop()
		w.after(2 * time.Minute)
		h.wantClean("the spoke went away")
	})
}

func TestUserThatIsRejected(t *testing.T) {
	inWorld(t, func(w *world) {
		w.aaa = &fakeAAA{pairs: map[string][]string{"branches": {"ipsec:addr-pool=p4"}}}
		h, s := w.end("192.0.2.1", aaaHub(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		s.run()
		w.after(2 * time.Second)
		h.wantUp(0, "the user is unknown")
		f := h.Failed()
		if len(f) == 0 || f[0].Stage != "authorization" || !strings.Contains(f[0].Detail, "authorization user spoke1.branch.example.net: rejected") {
			t.Errorf("show sessions --failed tells %+v", f)
		}
		h.wantClean("a refused peer")
	})
}

func TestServersUnreachable(t *testing.T) {
	for _, c := range []struct {
		lists string
		up    int
	}{
		{"{group: {list: radius, unreachable: local, policy: default}}", 1},
		{"{group: {list: radius}}", 0},
	} {
		inWorld(t, func(w *world) {
			w.aaa = &fakeAAA{errs: map[string]error{"spoke1.branch.example.net": authz.ErrUnreachable}}
			h, s := w.end("192.0.2.1", hubText("ikev2:\n", aaaText, groupLocal, c.lists), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
			h.run()
			s.run()
			w.after(2 * time.Second)
			h.wantUp(c.up, c.lists)
			if c.up == 0 && !strings.Contains(h.Failed()[0].Detail, "no AAA server answers") {
				t.Errorf("the failure is %+v", h.Failed()[0])
			}
			if c.up == 1 && !strings.Contains(h.log.String(), "the local policy decides") {
				t.Errorf("the log is\n%s", h.log)
			}
		})
	}
}

// One address for two: the second is refused, with the reason, and nothing of it is left.
func TestAddressThatIsTaken(t *testing.T) {
	inWorld(t, func(w *world) {
		w.aaa = &fakeAAA{pairs: map[string][]string{
			"branches":                  {},
			"spoke1.branch.example.net": {"ip:addr=10.9.9.9"}, "spoke2.branch.example.net": {"ip:addr=10.9.9.9"},
			"spoke3.branch.example.net": {"ip:addr=10.9.9.9", "ipsec:addr-pool=p4"},
		}}
		h := w.end("192.0.2.1", aaaHub(), nil)
		h.run()
		w.end("192.0.2.2", spokeText("spoke1"), nil).run()
		w.after(time.Second)
		v := h.wantUp(1, "the first has the address")
		if fmt.Sprint(v[0].Addresses) != "[10.9.9.9]" {
			t.Errorf("it got %v", v[0].Addresses)
		}
		w.end("192.0.2.3", spokeText("spoke2"), nil).run()
		w.after(time.Second)
		h.wantUp(1, "the second is refused")
		if f := h.Failed(); len(f) == 0 || f[0].Reason != "address" || !strings.Contains(f[0].Detail, "spoke1.branch.example.net has 10.9.9.9") {
			t.Errorf("failed: %+v", f)
		}
		w.end("192.0.2.4", spokeText("spoke3"), nil).run()
		w.after(time.Second)
		if f := h.Failed(); !strings.Contains(fmt.Sprint(f), "and pool p4, which does not have it") {
			t.Errorf("failed: %+v", f)
		}
	})
}

func TestKeysFromServers(t *testing.T) {
	keys := "peers: {aaa: {}}"
	for _, c := range []struct {
		pairs []string
		up    int
		fails string
	}{
		{[]string{"ipsec:tunnel-password=a test secret not for use", "ipsec:dns-servers=10.0.0.7"}, 1, ""},
		{[]string{"ipsec:ikev2-password-local=a test secret not for use", "ipsec:ikev2-password-remote=a test secret not for use"}, 1, ""},
		{[]string{"ipsec:ikev2-password-local=a test secret not for use"}, 0, "no pre-shared key for the peer"},
		{[]string{"ipsec:tunnel-password=another secret"}, 0, "pre-shared key"},
		{nil, 0, "no pre-shared key for this end"},
	} {
		inWorld(t, func(w *world) {
			w.aaa = &fakeAAA{delay: time.Second, pairs: map[string][]string{"spoke1.branch.example.net": c.pairs}}
			h := w.end("192.0.2.1", hubText("ikev2:\n", aaaText, "peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: a test secret not for use}]", keys,
				groupLocal, "{group: {list: local, policy: default}, user: {list: cached}}"), nil)
			h.run()
			w.end("192.0.2.2", spokeText("spoke1"), nil).run()
			w.after(4 * time.Second)
			v := h.wantUp(c.up, fmt.Sprint(c.pairs))
			if c.up == 0 {
				if f := h.Failed(); len(f) == 0 || f[0].Stage != "authentication" || !strings.Contains(f[0].Detail, c.fails) {
					t.Errorf("%v: failed %+v", c.pairs, f)
				}
				return
			}
			if got := attributesOf(h, v[0].ID); len(c.pairs[0]) > 0 && strings.HasPrefix(c.pairs[0], "ipsec:tunnel") && !strings.Contains(got, "dns=10.0.0.7 (radius key spoke1") {
				t.Errorf("with list: cached the key's reply counts:\n%s", got)
			}
			if strings.Contains(h.log.String(), "not for use") {
				t.Error("the key is in the log")
			}
		})
	}
}
