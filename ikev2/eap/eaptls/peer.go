package eaptls

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"

	"flexvpn/secret"
)

// Config is what a peer needs.
type Config struct {
	Chain  [][]byte // DER, leaf first
	Signer any      // the leaf's private key
	Roots  *x509.CertPool
	// ServerName must stand in the server's certificate; empty: any that Roots vouch for.
	ServerName string
}

// A Peer is one login by EAP-TLS; it implements eap.Method. The handshake runs on a goroutine that
// ends with it, or with Close.
type Peer struct {
	pipe   *pipe
	conn   *tls.Conn
	result chan error // of the handshake goroutine

	started bool
	ended   bool // the goroutine has
	err     error
	msk     secret.Bytes

	in      []byte // of the server's message, as far as its fragments came
	inTotal int    // its length, as the first fragment says; 0: it said none
	out     []byte // of this end's message, what is still to be sent
	sent    bool   // a part of it is out
}

// The flags of EAP-TLS, RFC 5216 section 3.1.
const (
	flagLength = 0x80
	flagMore   = 0x40
	flagStart  = 0x20
)

const (
	// fragment fits into a RADIUS packet and, with IKE around it, into any path.
	fragment = 1024
	// maxMessage is above a flight with a long chain (RFC 5216 section 2.1.5: "64 KB").
	maxMessage = 64 << 10
)

// New makes a peer.
func New(c Config) *Peer {
	p := &Peer{pipe: newPipe(), result: make(chan error, 1)}
	p.conn = tls.Client(p.pipe, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: c.Chain, PrivateKey: c.Signer}},
		MinVersion:   tls.VersionTLS12,
		// A hello of one fragment: authentication servers do not expect more, and what a hybrid key
		// exchange would protect here is inside an IKE SA already.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		ServerName:       c.ServerName,
		// An authentication server has no address to hold its name against: the chain is checked here,
		// and the name where one is configured.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection:   func(s tls.ConnectionState) error { return verify(s, c) },
	})
	return p
}

func verify(s tls.ConnectionState, c Config) error {
	if len(s.PeerCertificates) == 0 || c.Roots == nil {
		return errors.New("the authentication server showed no certificate")
	}
	others := x509.NewCertPool()
	for _, cert := range s.PeerCertificates[1:] {
		others.AddCert(cert)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: c.Roots, Intermediates: others, DNSName: c.ServerName})
	if err != nil {
		return fmt.Errorf("the authentication server's certificate: %w: certificate.ca has to hold its authority, eap.server-name its name", err)
	}
	return nil
}

// Receive implements eap.Method.
func (p *Peer) Receive(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, errors.New("the packet is cut short")
	}
	flags := data[0]
	if flags&flagStart != 0 {
		return p.start()
	}
	if !p.started {
		return nil, errors.New("the server did not begin with a start")
	}
	if len(p.out) > 0 { // the server acknowledges a fragment
		if len(data) > 1 {
			return nil, errors.New("the server speaks in the middle of this end's message")
		}
		return p.next(), nil
	}
	whole, err := p.collect(flags, data[1:])
	if err != nil || !whole {
		return []byte{0}, err // an acknowledgement
	}
	return p.turn(p.in)
}

// collect puts the fragments of the server's message together.
func (p *Peer) collect(flags byte, data []byte) (whole bool, err error) {
	if flags&flagLength != 0 {
		if len(data) < 4 {
			return false, errors.New("the packet is cut short")
		}
		n := int(binary.BigEndian.Uint32(data))
		if n > maxMessage || p.inTotal != 0 && n != p.inTotal {
			return false, fmt.Errorf("the server announces a message of %d octets, at most %d are accepted", n, maxMessage)
		}
		p.inTotal, data = n, data[4:]
	}
	if len(p.in)+len(data) > maxMessage || p.inTotal != 0 && len(p.in)+len(data) > p.inTotal {
		return false, errors.New("the server's message is longer than it said")
	}
	p.in = append(p.in, data...)
	if flags&flagMore != 0 {
		if len(data) == 0 {
			return false, errors.New("the server sent an empty fragment")
		}
		return false, nil
	}
	if p.inTotal != 0 && len(p.in) != p.inTotal {
		return false, errors.New("the server's message is shorter than it said")
	}
	return true, nil
}

func (p *Peer) start() ([]byte, error) {
	if p.started {
		return nil, errors.New("the server starts a second time")
	}
	p.started = true
	go func() { p.result <- p.run() }()
	return p.turn(nil)
}

// run is the handshake, and with TLS 1.3 the server's word that it is satisfied: an octet of
// application data, 0 (RFC 9190 section 2.1.1).
func (p *Peer) run() error {
	if err := p.conn.Handshake(); err != nil {
		return err
	}
	if p.conn.ConnectionState().Version < tls.VersionTLS13 {
		return nil
	}
	var word [1]byte
	if _, err := p.conn.Read(word[:]); err != nil {
		return err
	}
	if word[0] != 0 {
		return errors.New("the server's closing word is not the one of RFC 9190")
	}
	return nil
}

// turn gives the handshake what the server sent and takes what it wants to send, once it waits for
// more or has ended.
func (p *Peer) turn(in []byte) ([]byte, error) {
	p.in, p.inTotal = nil, 0
	if p.ended {
		if len(in) > 0 {
			return nil, errors.New("the server speaks after the handshake")
		}
		return []byte{0}, p.err
	}
	p.pipe.feed(in)
	select {
	case p.err = <-p.result:
		p.ended = true
		if p.err == nil {
			p.err = p.export()
		}
	case <-p.pipe.hungry:
	}
	p.out, p.sent = p.pipe.drain(), false
	if p.err != nil && len(p.out) == 0 {
		return nil, p.err
	}
	return p.next(), nil // an alert goes out before the end (RFC 5216 section 2.1.3)
}

// next is the next fragment of this end's message, or an acknowledgement when there is none.
func (p *Peer) next() []byte {
	if len(p.out) == 0 {
		return []byte{0}
	}
	n := min(len(p.out), fragment)
	flags, head := byte(0), []byte(nil)
	if n < len(p.out) {
		flags |= flagMore
		if !p.sent {
			flags |= flagLength
			head = binary.BigEndian.AppendUint32(nil, uint32(len(p.out))) //nolint:gosec // what TLS made
		}
	}
	b := append(append([]byte{flags}, head...), p.out[:n]...)
	p.out, p.sent = p.out[n:], true
	return b
}

// export makes the MSK: RFC 5216 section 2.3, with TLS 1.3 RFC 9190 section 2.3.
func (p *Peer) export() error {
	s := p.conn.ConnectionState()
	label, context := "client EAP encryption", []byte(nil)
	if s.Version >= tls.VersionTLS13 {
		label, context = "EXPORTER_EAP_TLS_Key_Material", []byte{13}
	}
	key, err := s.ExportKeyingMaterial(label, context, 128)
	if err != nil {
		return fmt.Errorf("the key cannot be derived: %w: the server has to use TLS 1.3, or the extended master secret", err)
	}
	p.msk = secret.New(key[:64:64])
	clear(key[64:])
	return nil
}

// Key implements eap.Method.
func (p *Peer) Key() (secret.Bytes, bool) { return p.msk, p.ended && p.err == nil && len(p.out) == 0 }

// Err is why the handshake failed; nil while it goes on.
func (p *Peer) Err() error { return p.err }

// Close ends the goroutine of a handshake that is not over.
func (p *Peer) Close() { p.pipe.close() }
