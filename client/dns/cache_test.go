package dns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func answerOf(name string, records ...string) *dns.Msg {
	m := new(dns.Msg).SetReply(new(dns.Msg).SetQuestion(name, dns.TypeA))
	for _, r := range records {
		m.Answer = append(m.Answer, record(r))
	}
	return m
}

func TestCacheCountsDown(t *testing.T) {
	c, now := newCache(10), time.Unix(1000000, 0)
	k := key{view: "flex1", name: "a.example."}
	c.put(k, answerOf("a.example.", "a.example. 300 IN CNAME b.example.", "b.example. 60 IN A 10.0.0.1"), now)
	for _, s := range []struct {
		after time.Duration
		want  string
	}{
		{0, "true 300 60"},
		{20 * time.Second, "true 280 40"},
		{59999 * time.Millisecond, "true 241 1"},
		{60 * time.Second, "false 30 30"},
		{time.Minute + maxStale, "false 30 30"},
		{time.Minute + maxStale + 1, "gone"},
	} {
		m, fresh := c.get(k, now.Add(s.after))
		got := "gone"
		if m != nil {
			got = fmt.Sprint(fresh, m.Answer[0].Header().Ttl, m.Answer[1].Header().Ttl)
		}
		if got != s.want {
			t.Errorf("after %s: %s, want %s", s.after, got, s.want)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	c, now := newCache(3), time.Now()
	for _, n := range strings.Fields("a b c a d") {
		k := key{name: n}
		if m, _ := c.get(k, now); m == nil {
			c.put(k, answerOf(n+".", n+". 60 IN A 10.0.0.1"), now)
		}
	}
	for n, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if m, _ := c.get(key{name: n}, now); (m != nil) != want {
			t.Errorf("%s is remembered: %v, want %v (the least recently used goes)", n, m != nil, want)
		}
	}
	big := answerOf("big.")
	for i := range 300 {
		big.Answer = append(big.Answer, record(fmt.Sprintf("big. 60 IN TXT %q", strings.Repeat("x", 100+i%2))))
	}
	c.put(key{name: "big"}, big, now)
	if m, _ := c.get(key{name: "big"}, now); m != nil {
		t.Error("a message of 30,000 octets is remembered")
	}
}

func TestWhatIsRemembered(t *testing.T) {
	soa := "example. 900 IN SOA ns.example. admin.example. 1 2 3 4 60"
	for _, c := range []struct {
		what string
		msg  func(m *dns.Msg)
		want time.Duration
	}{
		{"an address", func(m *dns.Msg) { m.Answer = []dns.RR{record("a. 60 IN A 10.0.0.1")} }, time.Minute},
		{"a year", func(m *dns.Msg) { m.Answer = []dns.RR{record("a. 31536000 IN A 10.0.0.1")} }, maxTTL},
		{"TTL 0", func(m *dns.Msg) { m.Answer = []dns.RR{record("a. 0 IN A 10.0.0.1")} }, 0},
		{"a negative TTL", func(m *dns.Msg) { m.Answer = []dns.RR{record("a. 4294967295 IN A 10.0.0.1")} }, 0},
		{"no such name", func(m *dns.Msg) { m.Rcode = dns.RcodeNameError; m.Ns = []dns.RR{record(soa)} }, time.Minute},
		{"no such type", func(m *dns.Msg) { m.Ns = []dns.RR{record(soa)} }, time.Minute},
		{"no such name for ever", func(m *dns.Msg) {
			m.Rcode = dns.RcodeNameError
			m.Ns = []dns.RR{record(strings.ReplaceAll(strings.ReplaceAll(soa, "900", "90000"), " 60", " 90000"))}
		}, maxNegative},
		{"nothing without a reason", func(m *dns.Msg) {}, 0},
		{"a failure", func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }, 0},
		{"half an answer", func(m *dns.Msg) { m.Truncated = true; m.Answer = []dns.RR{record("a. 60 IN A 10.0.0.1")} }, 0},
	} {
		m := new(dns.Msg).SetReply(new(dns.Msg).SetQuestion("a.", dns.TypeA))
		c.msg(m)
		if got, ok := lifetime(m); got != c.want || ok != (c.want > 0) {
			t.Errorf("%s is remembered for %s, want %s", c.what, got, c.want)
		}
	}
}
