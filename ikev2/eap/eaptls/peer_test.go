package eaptls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"flexvpn/ikev2/eap"
	"flexvpn/secret"
)

var _ eap.Method = (*Peer)(nil)

type end struct {
	der []byte
	key crypto.Signer
}

// issue makes a certificate; by nil makes an authority. pad makes it long.
func issue(t *testing.T, name string, by *end, pad int) *end {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{strings.Repeat("x", pad)}},
		DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: by == nil, BasicConstraintsValid: true,
	}
	parent, signer := template, crypto.Signer(key)
	if by != nil {
		if parent, err = x509.ParseCertificate(by.der); err != nil {
			t.Fatal(err)
		}
		signer = by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return &end{der, key}
}

func (e *end) pool(t *testing.T) *x509.CertPool {
	t.Helper()
	cert, err := x509.ParseCertificate(e.der)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AddCert(cert)
	return p
}

// A server is the other side as RFC 5216 and RFC 9190 describe it, over crypto/tls.
type server struct {
	pipe   *pipe
	conn   *tls.Conn
	result chan error
	err    error
	done   bool
}

func newServer(t *testing.T, c *tls.Config) *server {
	s := &server{pipe: newPipe(), result: make(chan error, 1)}
	s.conn = tls.Server(s.pipe, c)
	go func() {
		err := s.conn.Handshake()
		if err == nil && s.conn.ConnectionState().Version >= tls.VersionTLS13 {
			_, err = s.conn.Write([]byte{0})
		}
		s.result <- err
	}()
	t.Cleanup(s.pipe.close)
	return s
}

// turn gives the server a whole message and takes its own.
func (s *server) turn(in []byte) []byte {
	s.pipe.feed(in)
	select {
	case s.err = <-s.result:
		s.done = true
	case <-s.pipe.hungry:
	}
	return s.pipe.drain()
}

// run lets both ends talk in fragments of size octets until the server has ended.
func run(t *testing.T, p *Peer, s *server, size int) error {
	t.Helper()
	data, err := p.Receive([]byte{flagStart})
	var whole []byte
	for range 200 {
		if err != nil {
			return err
		}
		if len(data) > fragment+5 {
			t.Fatalf("a fragment has %d octets", len(data))
		}
		body := data[1:]
		if data[0]&flagLength != 0 {
			body = body[4:]
		}
		whole = append(whole, body...)
		if data[0]&flagMore != 0 {
			data, err = p.Receive([]byte{0})
			continue
		}
		if s.done {
			return s.err
		}
		out := s.turn(whole)
		whole = nil
		if len(out) == 0 {
			return s.err
		}
		data, err = send(t, p, out, size)
	}
	t.Fatal("the two ends do not come to an end")
	return nil
}

// send sends a message in fragments, each but the last of which is acknowledged.
func send(t *testing.T, p *Peer, out []byte, size int) (data []byte, err error) {
	t.Helper()
	first := true
	for len(out) > size {
		head := []byte{flagMore}
		if first {
			head = binary.BigEndian.AppendUint32([]byte{flagMore | flagLength}, uint32(len(out)))
			first = false
		}
		data, err = p.Receive(append(head, out[:size]...))
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(data, []byte{0}) {
			t.Fatalf("a fragment is acknowledged with %x", data)
		}
		out = out[size:]
	}
	return p.Receive(append([]byte{0}, out...))
}

func TestLogin(t *testing.T) {
	root := issue(t, "CA", nil, 0)
	radius, spoke := issue(t, "radius.example.net", root, 0), issue(t, "spoke1.example.net", root, 3000)
	for name, c := range map[string]struct {
		version uint16
		label   string
		context []byte
	}{
		"TLS 1.2": {tls.VersionTLS12, "client EAP encryption", nil},
		"TLS 1.3": {tls.VersionTLS13, "EXPORTER_EAP_TLS_Key_Material", []byte{13}},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(Config{Chain: [][]byte{spoke.der, root.der}, Signer: spoke.key, Roots: root.pool(t), ServerName: "radius.example.net"})
			defer p.Close()
			s := newServer(t, &tls.Config{
				Certificates: []tls.Certificate{{Certificate: [][]byte{radius.der}, PrivateKey: radius.key}},
				ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: root.pool(t), MaxVersion: c.version,
			})
			if _, done := p.Key(); done {
				t.Error("the login is done before it began")
			}
			if err := run(t, p, s, 300); err != nil {
				t.Fatal(err)
			}
			msk, done := p.Key()
			state := s.conn.ConnectionState()
			want, err := state.ExportKeyingMaterial(c.label, c.context, 128)
			if err != nil {
				t.Fatal(err)
			}
			if !done || !msk.Equal(secret.New(want[:64])) {
				t.Errorf("the MSK differs from the server's, or the login is not done (%v)", done)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	root, other := issue(t, "CA", nil, 0), issue(t, "another CA", nil, 0)
	radius, spoke, stranger := issue(t, "radius.example.net", root, 0), issue(t, "spoke1.example.net", root, 0), issue(t, "x.example.net", other, 0)
	for name, c := range map[string]struct {
		peer Config
		want string
	}{
		"another authority":    {Config{Chain: [][]byte{spoke.der}, Signer: spoke.key, Roots: other.pool(t)}, "authentication server's certificate"},
		"another name":         {Config{Chain: [][]byte{spoke.der}, Signer: spoke.key, Roots: root.pool(t), ServerName: "aaa.example.net"}, "authentication server's certificate"},
		"no authority":         {Config{Chain: [][]byte{spoke.der}, Signer: spoke.key}, "no certificate"},
		"a stranger's own one": {Config{Chain: [][]byte{stranger.der}, Signer: stranger.key, Roots: root.pool(t)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(c.peer)
			defer p.Close()
			s := newServer(t, &tls.Config{
				Certificates: []tls.Certificate{{Certificate: [][]byte{radius.der}, PrivateKey: radius.key}},
				ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: root.pool(t), MaxVersion: tls.VersionTLS12,
			})
			err := run(t, p, s, 1000)
			if _, done := p.Key(); done || err == nil {
				t.Fatal("the login was not refused")
			}
			if c.want != "" && (p.Err() == nil || !strings.Contains(p.Err().Error(), c.want)) {
				t.Errorf("the peer says %v", p.Err())
			}
		})
	}
}

// Messages that no server sends end the login, and hold no memory.
func TestHostileServer(t *testing.T) {
	long := binary.BigEndian.AppendUint32([]byte{flagLength}, 1<<30)
	short := binary.BigEndian.AppendUint32([]byte{flagLength}, 2)
	for name, c := range map[string]struct {
		packets [][]byte
		want    string
	}{
		"nothing":                   {[][]byte{{}}, "cut short"},
		"no start":                  {[][]byte{{0, 1}}, "did not begin"},
		"two starts":                {[][]byte{{flagStart}, {flagStart}}, "second time"},
		"a length without length":   {[][]byte{{flagStart}, {flagLength, 1}}, "cut short"},
		"a gigabyte":                {[][]byte{{flagStart}, long}, "at most 65536"},
		"more than it said":         {[][]byte{{flagStart}, append(short, 1, 2, 3)}, "longer than it said"},
		"less than it said":         {[][]byte{{flagStart}, append(short, 1)}, "shorter than it said"},
		"empty fragments":           {[][]byte{{flagStart}, {flagMore}}, "empty fragment"},
		"no TLS":                    {[][]byte{{flagStart}, append([]byte{0}, "GET / HTTP/1.1\r\n"...)}, ""},
		"fragments without end":     {flood(), "longer than it said"},
		"another length in between": {[][]byte{{flagStart}, append(binary.BigEndian.AppendUint32([]byte{flagLength | flagMore}, 9), 1), append(binary.BigEndian.AppendUint32([]byte{flagLength}, 8), 1)}, "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(Config{})
			defer p.Close()
			var err error
			for i, packet := range c.packets {
				if _, err = p.Receive(packet); err != nil && i < len(c.packets)-1 {
					if c.want != "longer than it said" {
						t.Fatalf("packet %d: %v", i, err)
					}
					break
				}
			}
			err = errors.Join(err, p.Err())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the peer says %v", err)
			}
			if _, done := p.Key(); done {
				t.Error("the login is done")
			}
		})
	}
}

func flood() [][]byte {
	out := [][]byte{{flagStart}}
	for range 100 {
		out = append(out, append([]byte{flagMore}, make([]byte, 1000)...))
	}
	return out
}

func FuzzPeer(f *testing.F) {
	f.Add([]byte{flagStart}, []byte{0, 22, 3, 3, 0, 1, 2})
	f.Add([]byte{flagLength, 0, 0, 0, 1, 1}, []byte{flagMore, 1})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		p := New(Config{})
		defer p.Close()
		for _, packet := range [][]byte{{flagStart}, a, b} {
			_, _ = p.Receive(packet)
		}
		if _, done := p.Key(); done {
			t.Fatal("a login without a server is done")
		}
	})
}
