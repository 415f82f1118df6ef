package node

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"flexvpn/authz"
	"flexvpn/endpoint/endpointtest"
	"flexvpn/radiusdict"
	"flexvpn/routing"
)

// fakeAAA answers after a delay from a table of names.
type fakeAAA struct {
	delay time.Duration
	pairs map[string][]string
	errs  map[string]error
	more  func(user string, r *radiusdict.Reply) // numbered attributes
	asked []authz.Ask

	records []authz.Record
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
			if f.more != nil {
				f.more(q.User, a.Reply)
			}
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

func (f *fakeAAA) Account(r authz.Record) { f.records = append(f.records, r) }

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
		// What bgp's only-own-prefixes lets the spoke announce.
		accept := h.routes.Peer(v.ID).Accept
		accept.Any = false
		if ok, _ := routing.Accept(accept, []netip.Prefix{netip.MustParsePrefix("172.31.9.0/24"), netip.MustParsePrefix("172.30.0.0/16")}, netip.Addr{}); fmt.Sprint(ok) != "[172.31.9.0/24]" {
			t.Errorf("of its own, the server's routes alone, are %v", ok)
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

// Where nobody has judged the peer it is told to come back; one server's no is a verdict, whatever the
// other list's silence would have been.
func TestServersUnreachable(t *testing.T) {
	for _, c := range []struct {
		lists string
		up    int
		told  string
	}{
		{"{group: {list: radius, unreachable: local, policy: default}}", 1, ""},
		{"{group: {list: radius}}", 0, "TEMPORARY_FAILURE"},
		{"{group: {list: radius}, user: {list: radius}}", 0, "TEMPORARY_FAILURE"},
		{"{group: {list: radius}, user: {list: radius, name: stranger}}", 0, "AUTHENTICATION_FAILED"},
		{"{group: {list: radius, name: stranger}, user: {list: radius}}", 0, "AUTHENTICATION_FAILED"},
	} {
		inWorld(t, func(w *world) {
			w.aaa = &fakeAAA{errs: map[string]error{"spoke1.branch.example.net": authz.ErrUnreachable}}
			h, s := w.end("192.0.2.1", hubText("ikev2:\n", aaaText, groupLocal, c.lists), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
			h.run()
			s.run()
			w.after(2 * time.Second)
			h.wantUp(c.up, c.lists)
			if c.told == "TEMPORARY_FAILURE" && !strings.Contains(h.Failed()[0].Detail, "no AAA server answers") {
				t.Errorf("the failure is %+v", h.Failed()[0])
			}
			if got := s.Clients()[0].LastError; !strings.Contains(got, c.told) {
				t.Errorf("with %s the spoke says %q, want %s", c.lists, got, c.told)
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
		if n := h.Stats().FailuresTotal["address"]; n < 2 {
			t.Errorf("%d failures are counted", n)
		}
	})
}

// A user's fixed address outside of the group's pool, and of all pools, is its address, as on IOS. What
// cannot be a spoke's is refused: the hub's own, and those of no host.
func TestAddressOutsideThePool(t *testing.T) {
	for addr, c := range map[string]struct{ pair, refusal string }{
		"10.9.9.9":             {"ip:addr=10.9.9.9", ""},
		"2001:db8:9::9":        {"ipsec:addrv6=2001:db8:9::9", ""},
		"the hub's":            {"ip:addr=10.1.1.1", "10.1.1.1 is this hub's own address"},
		"the hub's over IPv6":  {"ipsec:addrv6=2001:db8:ffff::1", "2001:db8:ffff::1 is this hub's own address"},
		"the hub's, outside":   {"ip:addr=192.0.2.1", "192.0.2.1 is this hub's own address"},
		"a loopback":           {"ip:addr=127.0.0.1", "is no IPv4 address of a host"},
		"a link-local address": {"ipsec:addrv6=fe80::1", "is no IPv6 address of a host"},
	} {
		inWorld(t, func(w *world) {
			w.aaa = &fakeAAA{pairs: map[string][]string{"branches": {"ipsec:addr-pool=p4"}, "spoke1.branch.example.net": {c.pair}}}
			h := w.end("192.0.2.1", aaaHub("address: 10.1.1.1/32", `address: [10.1.1.1/32, "2001:db8:ffff::1/128"]`), nil)
			h.run()
			w.end("192.0.2.2", spokeText("spoke1"), nil).run()
			w.after(time.Second)
			if c.refusal == "" {
				if v := h.wantUp(1, addr); !strings.Contains(fmt.Sprint(v[0].Addresses), addr) {
					t.Errorf("%s: it got %v", addr, v[0].Addresses)
				}
				return
			}
			h.wantUp(0, addr)
			if f := h.Failed(); len(f) == 0 || !strings.Contains(f[0].Detail, c.refusal) || !strings.Contains(h.log.String(), c.refusal) {
				t.Errorf("%s: failed %+v", addr, f)
			}
			h.wantClean("nothing of a refused peer is left: " + addr)
		})
	}
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

const accountingLine = "accounting: {interim: 10m}\n      virtual-template: 1"

func accountingHub(changes ...string) string {
	return aaaHub(append([]string{"virtual-template: 1\n      dpd", accountingLine + "\n      dpd"}, changes...)...)
}

func (f *fakeAAA) kinds() (out []string) {
	for _, r := range f.records {
		out = append(out, fmt.Sprintf("%d/%d", r.Kind, r.Cause))
	}
	return out
}

// Start, an Interim-Update about every ten minutes, and a Stop with the reason, all with the same
// ids and with the server's Class.
func TestAccounting(t *testing.T) {
	inWorld(t, func(w *world) {
		fake := &fakeAAA{pairs: map[string][]string{"branches": {"ipsec:addr-pool=p4"}, "spoke1.branch.example.net": nil}}
		w.aaa = fake
		h, s := w.end("192.0.2.1", accountingHub(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		stop := s.run()
		w.after(34 * time.Minute)
		stop()
		w.after(time.Second)
		if got := fmt.Sprint(fake.kinds()); got != "[1/0 3/0 3/0 3/0 2/1]" {
			t.Fatalf("the records are %s: want a start, three updates and a stop on user request", got)
		}
		first, last := fake.records[0], fake.records[4]
		if first.User != "spoke1.branch.example.net" || first.Session.ID == "" || first.Session.AuditID == "" || first.Session.Interface != "va1" ||
			last.Session.ID != first.Session.ID || last.Session.AuditID != first.Session.AuditID || first.Attributes.Address.V.String() != "10.1.1.2" {
			t.Errorf("the first is %+v, the last %+v", first, last)
		}
		if last.Duration < 33*time.Minute || last.Duration > 35*time.Minute {
			t.Errorf("the session lasted %s", last.Duration)
		}
		for _, r := range fake.records[1:4] {
			if r.Duration%(10*time.Minute) == 0 {
				t.Errorf("an update after exactly %s is not jittered", r.Duration)
			}
		}
	})
}

// What the server asks for wins over the configured interval, and each end has its cause.
func TestTerminateCauses(t *testing.T) {
	for want, end := range map[string]func(w *world, h, s *end, stopHub func()){
		"2/1":  func(w *world, _, s *end, _ func()) { _ = s.Disconnect(w.ctx, "c") },
		"2/2":  func(w *world, _, _ *end, _ func()) { w.net.Set(endpointtest.Link{Loss: 1}) },
		"2/6":  func(_ *world, h, _ *end, _ func()) { h.Node.hub.ClearAll() },
		"2/7":  func(_ *world, _, _ *end, stopHub func()) { stopHub() },
		"2/10": func(w *world, _, _ *end, _ func()) { w.end("192.0.2.3", spokeText("spoke1"), nil).run() },
	} {
		inWorld(t, func(w *world) {
			fake := &fakeAAA{pairs: map[string][]string{"branches": {"ipsec:addr-pool=p4"}, "spoke1.branch.example.net": nil}}
			w.aaa = fake
			h, s := w.end("192.0.2.1", accountingHub(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
			stopHub := h.run()
			s.run()
			w.after(time.Second)
			end(w, h, s, stopHub)
			w.after(2 * time.Minute)
			got := fake.kinds()
			stops := slices.DeleteFunc(slices.Clone(got), func(k string) bool { return !strings.HasPrefix(k, "2/") })
			if len(stops) == 0 || got[0] != "1/0" || stops[0] != want {
				t.Errorf("the records are %v, want a stop with %s", got, want)
			}
		})
	}
}

func replyOf(t *testing.T, build func(*radiusdict.Reply)) *radiusdict.Reply {
	t.Helper()
	var r radiusdict.Reply
	build(&r)
	return &r
}

// Session-Timeout ends a session to the second, Idle-Timeout when nothing passed; neither before.
func TestTimeouts(t *testing.T) {
	for name, c := range map[string]struct {
		change *radiusdict.Reply
		alive  time.Duration
		cause  string
	}{
		"session-timeout": {replyOf(t, func(r *radiusdict.Reply) { r.SessionTimeout = 5 * time.Minute }), 4*time.Minute + 50*time.Second, "2/5"},
		"idle-timeout":    {replyOf(t, func(r *radiusdict.Reply) { r.IdleTimeout = 2 * time.Minute }), time.Minute + 50*time.Second, "2/4"},
	} {
		inWorld(t, func(w *world) {
			fake := &fakeAAA{pairs: map[string][]string{"branches": {"ipsec:addr-pool=p4"}, "spoke1.branch.example.net": nil}}
			w.aaa = fake
			h, s := w.end("192.0.2.1", accountingHub(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
			h.run()
			s.run()
			w.after(time.Second)
			got := make(chan authz.ErrorCause, 1)
			h.Node.hub.Change(authz.SessionKeys{User: "spoke1.branch.example.net"}, c.change, func(cause authz.ErrorCause) { got <- cause })
			w.after(c.alive)
			if cause := <-got; cause != 0 {
				t.Fatalf("%s: the change is refused with %d", name, cause)
			}
			h.wantUp(1, name+": its time is not over")
			w.after(20 * time.Second)
			if kinds := fake.kinds(); len(kinds) < 2 || kinds[1] != c.cause {
				t.Errorf("%s: the records are %v, want a stop with %s", name, kinds, c.cause)
			}
			if !strings.Contains(h.log.String(), name) {
				t.Errorf("the log does not say why:\n%s", h.log)
			}
		})
	}
}

// Each key finds the session, all of them must fit, and what a live session cannot take is refused.
func TestSteering(t *testing.T) {
	inWorld(t, func(w *world) {
		fake := &fakeAAA{pairs: map[string][]string{
			"branches": {"ipsec:addr-pool=p4"}, "spoke1.branch.example.net": {"ip:route=172.31.0.0/16"}, "spoke2.branch.example.net": nil,
		}}
		w.aaa = fake
		h := w.end("192.0.2.1", accountingHub(), nil)
		h.run()
		w.end("192.0.2.2", spokeText("spoke1"), nil).run()
		w.after(time.Second)
		w.end("192.0.2.3", spokeText("spoke2"), nil).run()
		w.after(time.Second)
		facts := fake.records[0].Session
		order := func(k authz.SessionKeys, change func(*radiusdict.Reply)) authz.ErrorCause {
			got := make(chan authz.ErrorCause, 1)
			done := func(c authz.ErrorCause) { got <- c }
			if change == nil {
				h.Node.hub.Disconnect(k, done)
			} else {
				h.Node.hub.Change(k, replyOf(t, change), done)
			}
			return <-got
		}
		longer := func(r *radiusdict.Reply) { r.SessionTimeout = time.Hour }
		for _, k := range []authz.SessionKeys{
			{User: "spoke1.branch.example.net"},
			{ID: facts.ID},
			{AuditID: facts.AuditID},
			{Station: "192.0.2.2"},
			{Address: netip.MustParseAddr("10.1.1.2")},
			{User: "spoke1.branch.example.net", ID: facts.ID, Station: "192.0.2.2"},
		} {
			if cause := order(k, longer); cause != 0 {
				t.Errorf("%+v is refused with %d", k, cause)
			}
		}
		for _, k := range []authz.SessionKeys{{}, {User: "nobody"}, {User: "spoke1.branch.example.net", Station: "192.0.2.3"}} {
			if cause := order(k, nil); cause != authz.ErrorSessionNotFound {
				t.Errorf("%+v: %d", k, cause)
			}
		}
		if cause := order(authz.SessionKeys{ID: facts.ID}, func(r *radiusdict.Reply) { r.Pool = "p4" }); cause != authz.ErrorUnsupportedAttribute {
			t.Errorf("a pool cannot change, and got %d", cause)
		}
		if cause := order(authz.SessionKeys{ID: facts.ID}, func(*radiusdict.Reply) {}); cause != authz.ErrorMissingAttribute {
			t.Errorf("no change got %d", cause)
		}
		if cause := order(authz.SessionKeys{ID: facts.ID}, func(r *radiusdict.Reply) {
			r.Routes = []radiusdict.Route{{Prefix: netip.MustParsePrefix("172.30.0.0/16"), Distance: 7}}
		}); cause != 0 {
			t.Errorf("routes got %d", cause)
		}
		static, err := h.fib.Routes(routing.ProtocolStatic)
		if err != nil || len(static) != 1 || static[0].Prefix.String() != "172.30.0.0/16" {
			t.Errorf("the routes are %v, %v", static, err)
		}
		if got := attributesOf(h, "va1"); !strings.Contains(got, "session-timeout=1h0m0s (radius coa)") {
			t.Errorf("show session tells\n%s", got)
		}
		if cause := order(authz.SessionKeys{ID: facts.ID}, nil); cause != 0 {
			t.Errorf("the disconnect is refused with %d", cause)
		}
		w.after(100 * time.Millisecond)
		if kinds := fake.kinds(); kinds[len(kinds)-1] != "2/6" {
			t.Errorf("the records are %v", kinds)
		}
	})
}

// Optional pairs that are not known are left out, and logged once for all sessions, whoever says them:
// a list, a login or a change.
func TestOptionalPairsAreLoggedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.aaa = &fakeAAA{pairs: map[string][]string{
			"branches": {"ipsec:addr-pool=p4"}, "spoke1.branch.example.net": {"ipsec:colour*blue"}, "spoke2.branch.example.net": {"ipsec:colour*blue"},
		}}
		h := w.end("192.0.2.1", aaaHub(), nil)
		h.run()
		w.end("192.0.2.2", spokeText("spoke1"), nil).run()
		w.end("192.0.2.3", spokeText("spoke2"), nil).run()
		w.after(2 * time.Second)
		h.wantUp(2, "both are in")
		const note = "optional AV-pair ipsec:colour is not known here"
		if n := strings.Count(h.log.String(), note); n != 1 {
			t.Errorf("it is logged %d times:\n%s", n, h.log)
		}
		change := replyOf(t, func(r *radiusdict.Reply) {
			r.SessionTimeout = time.Hour
			if err := r.AddPair("ipsec:shape*round"); err != nil {
				t.Fatal(err)
			}
		})
		for range 2 {
			h.Node.hub.Change(authz.SessionKeys{User: "spoke1.branch.example.net"}, change, func(cause authz.ErrorCause) {
				if cause != 0 {
					t.Errorf("the change is refused with %d", cause)
				}
			})
		}
		w.after(time.Second)
		if n := strings.Count(h.log.String(), "optional AV-pair ipsec:shape is not known here"); n != 1 {
			t.Errorf("that of a change is logged %d times:\n%s", n, h.log)
		}
	})
}

// A hub without any server has the limits of RADIUS in its local policies.
func TestLimitsOfALocalPolicy(t *testing.T) {
	for _, limit := range []string{"session-timeout", "idle-timeout"} {
		inWorld(t, func(w *world) {
			h, s := w.end("192.0.2.1", hubText("default: {pool: p4,", "default: {"+limit+": 5m, pool: p4,"), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
			h.run()
			s.run()
			w.after(4*time.Minute + 50*time.Second)
			v := h.wantUp(1, limit+": its time is not over")
			if got := attributesOf(h, v[0].ID); !strings.Contains(got, limit+"=5m0s (local policy default)") {
				t.Errorf("show session tells\n%s", got)
			}
			w.after(20 * time.Second)
			if log := h.log.String(); !strings.Contains(log, limit+" 5m0s") || !strings.Contains(log, "(local policy default)") {
				t.Errorf("%s: the log does not say why the session ended:\n%s", limit, log)
			}
		})
	}
}

// The interval that a server asks for wins over the configured one, but it is never less than a minute
// (RFC 2869 section 2.1); its Class stands in every record, and its User-Name in the place of ours.
func TestAccountingAsTheServerWants(t *testing.T) {
	for asked, c := range map[time.Duration]struct{ least, most int }{
		2 * time.Minute: {13, 17}, // within a tenth more or less in half an hour
		5 * time.Second: {27, 34},
		0:               {2, 3}, // every ten minutes, as configured
	} {
		inWorld(t, func(w *world) {
			fake := &fakeAAA{
				pairs: map[string][]string{"branches": {"ipsec:addr-pool=p4"}, "spoke1.branch.example.net": nil},
				more: func(user string, r *radiusdict.Reply) {
					if user != "branches" {
						r.Interim, r.Class, r.UserName = asked, [][]byte{[]byte("gold"), {0, 1}}, "alice"
					}
				},
			}
			w.aaa = fake
			h, s := w.end("192.0.2.1", accountingHub(), nil), w.end("192.0.2.2", spokeText("spoke1"), nil)
			h.run()
			s.run()
			w.after(30*time.Minute + time.Second)
			if n := len(fake.records) - 1; n < c.least || n > c.most {
				t.Errorf("asked for every %s the hub sent %d updates in half an hour", asked, n)
			}
			for _, r := range fake.records {
				if fmt.Sprintf("%q", r.Attributes.Class.V) != `["gold" "\x00\x01"]` || r.User != "alice" {
					t.Errorf("a record has class %q and user %s", r.Attributes.Class.V, r.User)
				}
			}
		})
	}
}

// Without a server there is no key and no verdict: the peer is told to come back, not that its key is wrong.
func TestKeysWithoutAServer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.aaa = &fakeAAA{errs: map[string]error{"spoke1.branch.example.net": authz.ErrUnreachable}}
		h := w.end("192.0.2.1", hubText("ikev2:\n", aaaText, "peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: a test secret not for use}]", "peers: {aaa: {}}"), nil)
		s := w.end("192.0.2.2", spokeText("spoke1"), nil)
		h.run()
		s.run()
		w.after(2 * time.Second)
		h.wantUp(0, "there is no key")
		if c := s.Clients()[0]; !strings.Contains(c.LastError, "TEMPORARY_FAILURE") {
			t.Errorf("the spoke says %q", c.LastError)
		}
		if f := h.Failed(); len(f) == 0 || !strings.Contains(f[0].Detail, "no AAA server answers: look at show aaa servers") {
			t.Errorf("the hub lists %+v", f)
		}
	})
}
