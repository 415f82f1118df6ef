package track

import (
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flexvpn/config"
)

// ask asks for real, on loopback.
func ask(t *testing.T, kind config.TrackKind, p config.Probe) error {
	t.Helper()
	if p.Timeout == 0 {
		p.Timeout = 10 * time.Second // for what answers; it never decides
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.Timeout)
	defer cancel()
	return Ask(ctx, kind, p)
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("the error is %v, want one with %q", err, part)
	}
}

const short = 300 * time.Millisecond // for what never answers

func TestAskICMP(t *testing.T) {
	for _, target := range []string{"127.0.0.1", "::1", "localhost"} {
		if err := ask(t, config.TrackICMPEcho, config.Probe{Target: target}); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	if err := ask(t, config.TrackICMPEcho, config.Probe{Target: "127.0.0.1", Source: "lo"}); err != nil {
		t.Errorf("from an interface: %v", err)
	}
	if err := ask(t, config.TrackICMPEcho, config.Probe{Target: "127.0.0.1", Source: "127.0.0.9"}); err != nil {
		t.Errorf("from an address: %v", err)
	}
	wantError(t, ask(t, config.TrackICMPEcho, config.Probe{Target: "127.0.0.1", Source: "nowhere0"}), "nowhere0")
	wantError(t, ask(t, config.TrackICMPEcho, config.Probe{Target: "no.such.host.invalid"}), "no.such.host.invalid")
}

// What is no reply to just this request is passed over, however close it comes.
func TestICMPGarbage(t *testing.T) {
	from := net.IPv4(192, 0, 2, 1)
	sent := echo(echoRequest4, true)
	if checksum(sent) != 0 {
		t.Error("the checksum over a message with its checksum must be 0")
	}
	good := append([]byte{echoReply4, 0, 0, 0}, sent[4:]...)
	other := append([]byte(nil), good...)
	other[len(other)-1] ^= 1
	c := &script{packets: []packet{
		{from, nil},
		{from, []byte{0}},
		{from, sent},
		{from, other},
		{from, good[:len(good)-1]},
		{from, append(good[:len(good):len(good)], 0)},
		{net.IPv4(192, 0, 2, 2), good},
		{from, append([]byte{echoReply4, 1}, good[2:]...)},
	}}
	wantError(t, awaitEcho(c, from, echoReply4, sent), "no answer")
	c = &script{packets: []packet{{from, other}, {from, good}}}
	if err := awaitEcho(c, from, echoReply4, sent); err != nil {
		t.Error(err)
	}
}

type packet struct {
	from net.IP
	data []byte
}

// A script is a socket that has just these packets.
type script struct {
	net.PacketConn
	packets []packet
}

func (s *script) ReadFrom(b []byte) (int, net.Addr, error) {
	if len(s.packets) == 0 {
		return 0, nil, context.DeadlineExceeded
	}
	p := s.packets[0]
	s.packets = s.packets[1:]
	return copy(b, p.data), &net.IPAddr{IP: p.from}, nil
}

func TestAskTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	p := config.Probe{Target: "127.0.0.1", Port: port}
	if err := ask(t, config.TrackTCPConnect, p); err != nil {
		t.Error(err)
	}
	p.Source = "lo"
	if err := ask(t, config.TrackTCPConnect, p); err != nil {
		t.Errorf("from an interface: %v", err)
	}
	p.Source = "127.0.0.9"
	if err := ask(t, config.TrackTCPConnect, p); err != nil {
		t.Errorf("from an address: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, ask(t, config.TrackTCPConnect, p), "refused")
}

func TestAskHTTP(t *testing.T) {
	status := http.StatusOK
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "http://203.0.113.1/", http.StatusFound)
			return
		}
		w.WriteHeader(status)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer plain.Close()
	defer secure.Close()
	get := func(url string, verify bool) error {
		return ask(t, config.TrackHTTPGet, config.Probe{Target: url, Verify: verify})
	}
	if err := get(plain.URL, true); err != nil {
		t.Error(err)
	}
	if err := get(plain.URL+"/redirect", true); err != nil {
		t.Errorf("a redirect is an answer, and is not followed: %v", err)
	}
	if err := get(secure.URL, false); err != nil {
		t.Error(err)
	}
	wantError(t, get(secure.URL, true), "certificate")
	status = http.StatusServiceUnavailable
	wantError(t, get(plain.URL, true), "503")
}

// A server that answers with garbage, without end, or not at all.
func TestHTTPGarbage(t *testing.T) {
	for name, speak := range map[string]func(c net.Conn){
		"garbage":  func(c net.Conn) { _, _ = c.Write([]byte("\x00\xffSSH-2.0-whatever\r\n\r\n")) },
		"no end":   func(c net.Conn) { spout(c, "HTTP/1.1 200 OK\r\nX: ", "a") },
		"no words": func(c net.Conn) { spout(c, "", "x") },
		"silence":  func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); _, _ = c.Read(make([]byte, 1<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				speak(c)
				_ = c.Close()
			}()
			limit := 10 * time.Second
			if name == "silence" {
				limit = short
			}
			if err := ask(t, config.TrackHTTPGet, config.Probe{Target: "http://" + l.Addr().String(), Timeout: limit}); err == nil {
				t.Error("it was taken for an answer")
			}
		})
	}
}

// spout writes until the other end has had enough.
func spout(c net.Conn, first, more string) {
	if _, err := c.Write([]byte(first)); err != nil {
		return
	}
	for {
		if _, err := c.Write([]byte(strings.Repeat(more, 4096))); err != nil {
			return
		}
	}
}

// nameServer answers each query by speak.
func nameServer(t *testing.T, speak func(query []byte) [][]byte) config.Probe {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, reply := range speak(append([]byte(nil), buf[:n]...)) {
				_, _ = c.WriteTo(reply, from)
			}
		}
	}()
	at := netip.MustParseAddrPort(c.LocalAddr().String())
	return config.Probe{Target: at.Addr().String(), Port: int(at.Port()), Name: "hub1.example.net.", Type: "AAAA"}
}

// reply is an answer to query with a code and a number of records.
func reply(query []byte, code byte, records uint16) []byte {
	r := append([]byte(nil), query...)
	r[2], r[3] = 0x81, 0x80|code
	binary.BigEndian.PutUint16(r[6:], records)
	return append(r, 0xc0, 0x0c, 0, 28, 0, 1, 0, 0, 0, 60, 0, 0)
}

func TestAskDNS(t *testing.T) {
	var seen []byte
	good := nameServer(t, func(q []byte) [][]byte {
		seen = q
		return [][]byte{[]byte("garbage"), {}, q, reply(append([]byte{q[0] ^ 1}, q[1:]...), 0, 1), reply(q, 0, 1)}
	})
	if err := ask(t, config.TrackDNSQuery, good); err != nil {
		t.Errorf("the right answer after wrong ones: %v", err)
	}
	want := "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04hub1\x07example\x03net\x00\x00\x1c\x00\x01"
	if got := string(seen[2:]); got != want {
		t.Errorf("the query is %q, want %q", got, want)
	}
	wantError(t, ask(t, config.TrackDNSQuery, nameServer(t, func(q []byte) [][]byte { return [][]byte{reply(q, 3, 0)} })), "NXDOMAIN")
	wantError(t, ask(t, config.TrackDNSQuery, nameServer(t, func(q []byte) [][]byte { return [][]byte{reply(q, 2, 0)} })), "SERVFAIL")
	wantError(t, ask(t, config.TrackDNSQuery, nameServer(t, func(q []byte) [][]byte { return [][]byte{reply(q, 0, 0)} })), "no such record")
	// An answer to another question, or nothing but garbage, is no answer.
	bad := nameServer(t, func(q []byte) [][]byte {
		other := append([]byte(nil), q...)
		other[dnsHeader+1] = 'x'
		return [][]byte{reply(other, 0, 1), reply(append([]byte{q[0] ^ 1}, q[1:]...), 0, 1), reply(append([]byte{q[0], q[1] ^ 1}, q[2:]...), 0, 1), q[:len(q)-1], []byte("\x00")}
	})
	bad.Timeout = short
	wantError(t, ask(t, config.TrackDNSQuery, bad), "no answer within")
}

func FuzzDNSAnswers(f *testing.F) {
	query := dnsQuery("hub1.example.net", "A")
	f.Add(query)
	f.Add(reply(query, 0, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if mine, _ := dnsAnswers(query, b); mine && (len(b) < len(query) || b[2]&0x80 == 0) {
			t.Errorf("%q was taken for an answer", b)
		}
	})
}
