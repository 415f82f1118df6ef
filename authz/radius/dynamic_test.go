package radius

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"layeh.com/radius"

	"flexvpn/authz"
	"flexvpn/config"
	"flexvpn/radiusdict"
	"flexvpn/secret"
)

// a steeredFake notes orders and answers with a cause.
type steeredFake struct {
	orders []string
	cause  authz.ErrorCause
}

func (s *steeredFake) Disconnect(k authz.SessionKeys, done func(authz.ErrorCause)) {
	s.orders = append(s.orders, fmt.Sprintf("disconnect %s%s%s%s", k.User, k.ID, k.AuditID, k.Station))
	done(s.cause)
}

func (s *steeredFake) Change(k authz.SessionKeys, r *radiusdict.Reply, done func(authz.ErrorCause)) {
	s.orders = append(s.orders, fmt.Sprintf("change %s %s %s %v", k.User, r.SessionTimeout, r.FilterIn, r.Routes))
	done(s.cause)
}

// an orderRig takes requests without a socket.
type orderRig struct {
	t *testing.T
	*Dynamic
	fake *steeredFake
	key  secret.Bytes
	from netip.AddrPort
	at   time.Time
}

func newOrderRig(t *testing.T) *orderRig {
	r := newRig(t, time.Minute)
	r.nas.address = netip.MustParseAddr("192.0.2.1")
	o := &orderRig{t: t, fake: &steeredFake{}, key: secret.FromString("the steering secret"), from: netip.MustParseAddrPort("192.0.2.10:40000"), at: time.Unix(1_800_000_000, 0)}
	o.Dynamic = &Dynamic{
		client: r.Client, steered: o.fake, log: r.Client.log, counts: map[string]uint64{}, orders: map[[16]byte]*order{}, now: func() time.Time { return o.at },
		clients: []config.AAAClient{{Address: netip.MustParsePrefix("192.0.2.0/24"), Secret: secret.FromString("another")}, {Address: netip.MustParsePrefix("192.0.2.10/32"), Secret: o.key}},
	}
	return o
}

// order builds a request.
func (o *orderRig) order(code radius.Code, attributes ...*radius.AVP) []byte {
	o.t.Helper()
	b, err := seal(code, 9, attributes, secret.Bytes{}, o.key)
	if err != nil {
		o.t.Fatal(err)
	}
	return b
}

// send gives b in and returns code and cause of the answer, 0 for silence.
func (o *orderRig) send(b []byte) (code radius.Code, cause uint32) {
	o.t.Helper()
	o.take(b, o.from, func(answer []byte) {
		p, err := openAnswer(answer, b, o.key, true)
		if err != nil {
			o.t.Errorf("the answer is not authentic: %v", err)
			return
		}
		code = p.Code
		cause, _ = radius.Integer(p.Get(attrErrorCause))
	})
	return code, cause
}

func avp(t radius.Type, v string) *radius.AVP {
	return &radius.AVP{Type: t, Attribute: radius.Attribute(v)}
}

func number(t radius.Type, n uint32) *radius.AVP {
	return &radius.AVP{Type: t, Attribute: radius.NewInteger(n)}
}

func pair(text string) *radius.AVP {
	v := append([]byte{0, 0, 0, 9, 1, byte(2 + len(text))}, text...)
	return &radius.AVP{Type: attrVendorSpecific, Attribute: v}
}

func TestOrders(t *testing.T) {
	alice := avp(attrUserName, "alice")
	for _, c := range []struct {
		what  string
		code  radius.Code
		attrs []*radius.AVP
		hub   authz.ErrorCause
		want  radius.Code
		cause uint32
		order string
	}{
		{"disconnect", radius.CodeDisconnectRequest, []*radius.AVP{alice}, 0, radius.CodeDisconnectACK, 0, "disconnect alice"},
		{"by id", radius.CodeDisconnectRequest, []*radius.AVP{avp(attrAcctSessionID, "A1")}, 0, radius.CodeDisconnectACK, 0, "disconnect A1"},
		{"by audit id", radius.CodeDisconnectRequest, []*radius.AVP{pair("audit-session-id=L2L4")}, 0, radius.CodeDisconnectACK, 0, "disconnect L2L4"},
		{"by station", radius.CodeDisconnectRequest, []*radius.AVP{avp(attrCallingStationID, "192.0.2.2")}, 0, radius.CodeDisconnectACK, 0, "disconnect 192.0.2.2"},
		{"unknown", radius.CodeDisconnectRequest, []*radius.AVP{alice}, 503, radius.CodeDisconnectNAK, 503, "disconnect alice"},
		{"nobody named", radius.CodeDisconnectRequest, nil, 0, radius.CodeDisconnectNAK, 402, ""},
		{"another NAS", radius.CodeDisconnectRequest, []*radius.AVP{alice, avp(attrNASIdentifier, "hub9")}, 0, radius.CodeDisconnectNAK, 403, ""},
		{"another NAS's address", radius.CodeDisconnectRequest, []*radius.AVP{alice, avp(attrNASIPAddress, "\xc0\x00\x02\x63")}, 0, radius.CodeDisconnectNAK, 403, ""},
		{"this NAS", radius.CodeDisconnectRequest, []*radius.AVP{alice, avp(attrNASIdentifier, "hub1"), avp(attrNASIPAddress, "\xc0\x00\x02\x01")}, 0, radius.CodeDisconnectACK, 0, "disconnect alice"},
		{"a change", radius.CodeCoARequest, []*radius.AVP{alice, number(27, 600), avp(11, "guests.in"), avp(22, "10.9.0.0/16")}, 0, radius.CodeCoAACK, 0, "change alice 10m0s guests [{10.9.0.0/16 0}]"},
		{"authorize only", radius.CodeCoARequest, []*radius.AVP{alice, number(attrServiceType, 17)}, 0, radius.CodeCoANAK, 405, ""},
		{"nonsense", radius.CodeCoARequest, []*radius.AVP{alice, avp(27, "x")}, 0, radius.CodeCoANAK, 407, ""},
		{"a nonsense pair", radius.CodeCoARequest, []*radius.AVP{alice, pair("ipsec:colour=blue")}, 0, radius.CodeCoANAK, 407, ""},
		{"an unknown attribute", radius.CodeCoARequest, []*radius.AVP{alice, avp(200, "x")}, 0, radius.CodeCoANAK, 401, ""},
		{"a bad address", radius.CodeDisconnectRequest, []*radius.AVP{avp(attrFramedIPAddress, "xx")}, 0, radius.CodeDisconnectNAK, 407, ""},
	} {
		o := newOrderRig(t)
		o.fake.cause = c.hub
		code, cause := o.send(o.order(c.code, c.attrs...))
		if code != c.want || cause != c.cause {
			t.Errorf("%s: %s with %d, want %s with %d", c.what, code, cause, c.want, c.cause)
		}
		if got := text(o.fake.orders); got != "["+c.order+"]" {
			t.Errorf("%s: the hub got %s", c.what, got)
		}
	}
}

// "Replays and foreign sources refused": with silence, counted, and nothing is done.
func TestOrdersThatAreIgnored(t *testing.T) {
	alice := avp(attrUserName, "alice")
	for result, send := range map[string]func(o *orderRig){
		orderForeign: func(o *orderRig) {
			o.from = netip.MustParseAddrPort("198.51.100.1:40000")
			o.send(o.order(radius.CodeDisconnectRequest, alice))
		},
		orderForged: func(o *orderRig) {
			b := o.order(radius.CodeDisconnectRequest, alice)
			b[len(b)-1] ^= 1
			o.send(b)
		},
		orderBad: func(o *orderRig) { o.send([]byte("short")) },
		orderReplay: func(o *orderRig) {
			old := binary.BigEndian.AppendUint32(nil, uint32(o.at.Unix()-301))
			o.send(o.order(radius.CodeDisconnectRequest, alice, &radius.AVP{Type: attrEventTimestamp, Attribute: old}))
		},
	} {
		o := newOrderRig(t)
		send(o)
		if len(o.fake.orders) != 0 || o.Counts()[result] != 1 {
			t.Errorf("%s: orders %v, counts %v", result, o.fake.orders, o.Counts())
		}
	}
	// A client whose prefix is shorter has another secret: the longest prefix decides.
	o := newOrderRig(t)
	o.from = netip.MustParseAddrPort("192.0.2.11:40000")
	if code, _ := o.send(o.order(radius.CodeDisconnectRequest, alice)); code != 0 || o.Counts()[orderForged] != 1 {
		t.Errorf("another client's secret: %s, %v", code, o.Counts())
	}
}

// A retransmission gets the stored answer and is not carried out again; the same packet later, or
// from elsewhere, is a replay.
func TestRepeatedOrders(t *testing.T) {
	o := newOrderRig(t)
	b := o.order(radius.CodeDisconnectRequest, avp(attrUserName, "alice"))
	var answers [][]byte
	for range 2 {
		o.take(b, o.from, func(a []byte) { answers = append(answers, a) })
	}
	if len(answers) != 2 || !bytes.Equal(answers[0], answers[1]) || len(o.fake.orders) != 1 {
		t.Errorf("%d answers, %d orders", len(answers), len(o.fake.orders))
	}
	o.take(b, netip.MustParseAddrPort("192.0.2.10:41111"), func([]byte) { t.Error("a replay from another port is answered") })
	o.at = o.at.Add(time.Minute)
	o.take(b, o.from, func([]byte) { t.Error("a late replay is answered") })
	if len(o.fake.orders) != 1 || o.Counts()[orderReplay] != 2 || o.Counts()[orderRepeat] != 1 {
		t.Errorf("orders %v, counts %v", o.fake.orders, o.Counts())
	}
}

func TestSignatureOfOrders(t *testing.T) {
	o := newOrderRig(t)
	o.clients[1].Unsigned = true
	p := &radius.Packet{Code: radius.CodeDisconnectRequest, Identifier: 1, Secret: o.key.Reveal()}
	p.Add(attrUserName, radius.Attribute("alice"))
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	o.send(b)
	o.clients[1].Unsigned = false
	p.Identifier = 2
	b, _ = p.Encode()
	o.send(b)
	if len(o.fake.orders) != 1 || o.Counts()[orderForged] != 1 {
		t.Errorf("orders %v, counts %v: an unsigned request counts only where it may", o.fake.orders, o.Counts())
	}
}
