package eap

import (
	"bytes"
	"strings"
	"testing"

	"flexvpn/secret"
)

var all = []Type{TypeMSCHAPv2, TypeGTC, TypeMD5}

// users is a server's book: alice has a password in clear, bob a hash of Windows, carol one that can
// only be compared.
func users(name string) (Account, bool) {
	switch name {
	case "alice", "alice@example.net", `EXAMPLE\alice`:
		return Account{Password: secret.FromString("sesame")}, true
	case "bob":
		return Account{NTHash: NTHash(secret.FromString("sesame"))}, true
	case "carol":
		return Account{Check: func(p secret.Bytes) bool { return p.Equal(secret.FromString("sesame")) }}, true
	}
	return Account{Password: secret.FromString("nobody's own")}, false
}

func server(methods ...Type) ServerConfig {
	return ServerConfig{Name: "hub1", Methods: methods, Find: users}
}

// login runs both ends to the end.
func login(t *testing.T, c ServerConfig, l Login) (Step, ServerStep) {
	t.Helper()
	p, s := NewPeer(l), NewServer(c)
	request := IdentityRequest(7)
	for range 20 {
		step := p.Receive(request)
		for step.Need != NeedNothing {
			p.Supply(step.Need, secret.FromString(map[Need]string{NeedUsername: "alice", NeedPassword: "sesame"}[step.Need]))
			step = p.Receive(request)
		}
		if step.Err != nil {
			return step, ServerStep{}
		}
		answer := s.Receive(step.Packet)
		if answer.Done || answer.Err != nil {
			if _, err := Parse(answer.Packet); err != nil {
				t.Errorf("the server's last packet: %v", err)
			}
			return p.Receive(answer.Packet), answer
		}
		request = answer.Packet
	}
	t.Fatal("the two ends do not come to an end")
	return Step{}, ServerStep{}
}

func TestLogin(t *testing.T) {
	sesame := secret.FromString("sesame")
	for name, c := range map[string]struct {
		server ServerConfig
		login  Login
		method Type
		key    bool
	}{
		"MSCHAPv2":                     {server(all...), Login{Username: "alice", Password: sesame, Methods: all}, TypeMSCHAPv2, true},
		"MSCHAPv2 with a hash":         {server(all...), Login{Username: "bob", Password: sesame, Methods: all}, TypeMSCHAPv2, true},
		"MSCHAPv2 with a domain":       {server(all...), Login{Username: `EXAMPLE\alice`, Password: sesame, Methods: all}, TypeMSCHAPv2, true},
		"GTC":                          {server(TypeGTC), Login{Username: "alice", Password: sesame, Methods: all}, TypeGTC, false},
		"GTC with a hash of Windows":   {server(TypeGTC), Login{Username: "bob", Password: sesame, Methods: all}, TypeGTC, false},
		"GTC with a one-way hash":      {server(all...), Login{Username: "carol", Password: sesame, Methods: all}, TypeGTC, false},
		"MD5":                          {server(TypeMD5), Login{Username: "alice", Password: sesame, Methods: all}, TypeMD5, false},
		"refused and changed":          {server(all...), Login{Username: "alice", Password: sesame, Methods: []Type{TypeMD5}}, TypeMD5, false},
		"asked for name and password":  {server(all...), Login{Methods: all}, TypeMSCHAPv2, true},
		"asked for the password alone": {server(all...), Login{Username: "alice@example.net", Methods: all}, TypeMSCHAPv2, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := login(t, c.server, c.login)
			if p.Err != nil || s.Err != nil || !p.Done || !s.Done {
				t.Fatalf("the peer says %v, the server %v", p.Err, s.Err)
			}
			if !p.MSK.Equal(s.MSK) || p.MSK.IsEmpty() == c.key {
				t.Errorf("the keys: %d octets at the peer, %d at the server", p.MSK.Len(), s.MSK.Len())
			}
			if c.key && p.MSK.Len() != 64 {
				t.Errorf("an MSK has 64 octets (RFC 3748 section 7.10), this one %d", p.MSK.Len())
			}
		})
	}
}

func TestLoginRefused(t *testing.T) {
	wrong := secret.FromString("sesam")
	for name, c := range map[string]struct {
		server         ServerConfig
		login          Login
		peer, atServer string
	}{
		"wrong password, MSCHAPv2": {server(TypeMSCHAPv2), Login{Username: "alice", Password: wrong, Methods: all}, "user name or password is wrong", "the password is wrong"},
		"wrong password, GTC":      {server(TypeGTC), Login{Username: "alice", Password: wrong, Methods: all}, "check user name and password", "the password is wrong"},
		"wrong password, MD5":      {server(TypeMD5), Login{Username: "alice", Password: wrong, Methods: all}, "check user name and password", "the password is wrong"},
		"wrong password, one-way":  {server(TypeGTC), Login{Username: "carol", Password: wrong, Methods: all}, "check user name and password", "the password is wrong"},
		"unknown user":             {server(TypeMSCHAPv2), Login{Username: "mallory", Password: wrong, Methods: all}, "user name or password is wrong", "no such user"},
		"unknown user, GTC":        {server(TypeGTC), Login{Username: "mallory", Password: wrong, Methods: all}, "check user name", "no such user"},
		"the decoy's own password": {server(TypeGTC), Login{Username: "mallory", Password: secret.FromString("nobody's own"), Methods: all}, "check user name", "no such user"},
		"no common method":         {server(TypeMSCHAPv2), Login{Username: "alice", Password: wrong, Methods: []Type{TypeMD5}}, "it wants EAP mschapv2, this client has md5", "no method is left"},
		"a hash serves no MD5":     {server(TypeMD5), Login{Username: "bob", Password: wrong, Methods: all}, "refused the login of bob", "no method is left"},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := login(t, c.server, c.login)
			if p.Err == nil || s.Err == nil || p.Done || s.Done {
				t.Fatal("the login was not refused")
			}
			if !strings.Contains(p.Err.Error(), c.peer) || !strings.Contains(s.Err.Error(), c.atServer) {
				t.Errorf("the peer says %q, the server %q", p.Err, s.Err)
			}
		})
	}
}

// A peer sees no difference between an unknown user and a wrong password.
func TestUnknownUserLooksLikeWrongPassword(t *testing.T) {
	for _, m := range all {
		var shapes [2]string
		for i, name := range []string{"alice", "alicf"} {
			p, s := NewPeer(Login{Username: name, Password: secret.FromString("wrong"), Methods: all}), NewServer(server(m))
			request := IdentityRequest(1)
			for range 10 {
				step := p.Receive(request)
				if step.Err != nil {
					shapes[i] += step.Err.Error()
					break
				}
				answer := s.Receive(step.Packet)
				shapes[i] += Packet{Code: Code(answer.Packet[0])}.String() + strings.Repeat(".", len(answer.Packet))
				request = answer.Packet
			}
		}
		if strings.ReplaceAll(shapes[1], "alicf", "alice") != shapes[0] {
			t.Errorf("EAP %s tells a user from nobody:\n%s\n%s", m, shapes[0], shapes[1])
		}
	}
}

// One user cannot log in as another by a different name inside MSCHAPv2.
func TestAnotherNameInsideMSCHAPv2(t *testing.T) {
	s := NewServer(server(TypeMSCHAPv2))
	challenge := s.Receive(IdentityResponse(1, "bob"))
	p := NewPeer(Login{Username: "alice", Password: secret.FromString("sesame"), Methods: all})
	answer := s.Receive(p.Receive(challenge.Packet).Packet)
	end := s.Receive(p.Receive(answer.Packet).Packet)
	if end.Err == nil || !strings.Contains(end.Err.Error(), `"alice" inside MSCHAPv2`) {
		t.Errorf("the server says %v", end.Err)
	}
}

// What a hub may say at the wrong moment, or wrongly, convinces no peer.
func TestHostileServer(t *testing.T) {
	request := func(t Type, data ...byte) []byte { return Packet{Code: Request, ID: 9, Type: t, Data: data}.Bytes() }
	mschap := func(op byte, body ...byte) []byte { return request(TypeMSCHAPv2, mschapPacket(op, 9, body)...) }
	challenge := mschap(opChallenge, append([]byte{16}, bytes.Repeat([]byte{5}, 20)...)...)
	success, failure := Packet{Code: Success, ID: 9}.Bytes(), Packet{Code: Failure, ID: 9}.Bytes()
	for name, c := range map[string]struct {
		packets [][]byte
		want    string
	}{
		"success at once":                     {[][]byte{success}, "before it used any EAP method"},
		"success after the identity":          {[][]byte{IdentityRequest(1), success}, "before it used any EAP method"},
		"success after a Nak":                 {[][]byte{request(TypePEAP), success}, "before it used any EAP method"},
		"success without proof, MSCHAPv2":     {[][]byte{challenge, success}, "in the middle of EAP mschapv2"},
		"a wrong proof":                       {[][]byte{challenge, mschap(opSuccess, []byte("S="+strings.Repeat("0", 40)+" M=hi")...)}, "does not know the password"},
		"no proof at all":                     {[][]byte{challenge, mschap(opSuccess)}, "does not know the password"},
		"success after its own failure":       {[][]byte{challenge, mschap(opFailure, []byte("E=691 R=1")...), success}, "in the middle"},
		"failure after failure":               {[][]byte{challenge, mschap(opFailure, []byte("E=648 R=0")...), failure}, "the password has expired"},
		"an unknown failure code":             {[][]byte{challenge, mschap(opFailure, []byte("E=7 \x1b[2J")...), failure}, "it says E=7 ?[2J"},
		"proof before the challenge":          {[][]byte{mschap(opSuccess, []byte("S=")...)}, "has no place here"},
		"a second challenge":                  {[][]byte{challenge, challenge}, "has no place here"},
		"a challenge of another length":       {[][]byte{mschap(opChallenge, 8, 1, 2, 3, 4, 5, 6, 7, 8)}, "wrong length"},
		"another method in the middle":        {[][]byte{challenge, request(TypeGTC)}, "changed the EAP method"},
		"a change of the password":            {[][]byte{challenge, mschap(7)}, "has no place here"},
		"a Nak":                               {[][]byte{request(TypeNak, 4)}, "only a peer may"},
		"a response":                          {[][]byte{IdentityResponse(1, "x")}, "the hub sent an EAP response"},
		"GTC twice":                           {[][]byte{request(TypeGTC), request(TypeGTC)}, "asks again"},
		"an MD5 challenge without challenge":  {[][]byte{request(TypeMD5, 0)}, "cut short"},
		"an MD5 challenge longer than itself": {[][]byte{request(TypeMD5, 200, 1, 2)}, "cut short"},
		"methods without end":                 {refusals(), "it wants EAP 100"},
		"a notification, then failure":        {[][]byte{request(TypeNotification, []byte("closed on Sundays\a")...), failure}, "the hub says: closed on Sundays?"},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPeer(Login{Username: "alice", Password: secret.FromString("sesame"), Methods: all})
			var last Step
			for i, packet := range c.packets {
				if last = p.Receive(packet); last.Err != nil && i < len(c.packets)-1 {
					t.Fatalf("packet %d: %v", i, last.Err)
				}
			}
			if last.Err == nil || last.Done || !strings.Contains(last.Err.Error(), c.want) {
				t.Errorf("the peer says %v", last.Err)
			}
		})
	}
}

func refusals() (out [][]byte) {
	for i := range 11 {
		out = append(out, Packet{Code: Request, ID: byte(i), Type: Type(100 + i)}.Bytes())
	}
	return out
}

// What a peer may send out of turn ends its login and nothing else.
func TestHostilePeer(t *testing.T) {
	response := func(id byte, t Type, data ...byte) []byte {
		return Packet{Code: Response, ID: id, Type: t, Data: data}.Bytes()
	}
	who := IdentityResponse(1, "alice")
	for name, c := range map[string]struct {
		packets [][]byte
		want    string
	}{
		"no identity":               {[][]byte{response(1, TypeMD5, 1)}, "answered the identity request"},
		"an empty identity":         {[][]byte{IdentityResponse(1, "")}, "is empty"},
		"a long identity":           {[][]byte{IdentityResponse(1, strings.Repeat("x", 254))}, "at most 253"},
		"a zero in the identity":    {[][]byte{IdentityResponse(1, "alice\x00bob")}, "zero octet"},
		"a request":                 {[][]byte{IdentityRequest(1)}, "the peer sent"},
		"its own success":           {[][]byte{who, {3, 2, 0, 4}}, "the peer sent EAP success"},
		"another identifier":        {[][]byte{who, response(9, TypeMSCHAPv2, 2)}, "answered request 9 when asked 2"},
		"another method":            {[][]byte{who, response(2, TypeGTC, 'x')}, "answered EAP mschapv2 with"},
		"identity again":            {[][]byte{who, IdentityResponse(2, "bob")}, "answered EAP mschapv2 with"},
		"a Nak for nothing":         {[][]byte{who, response(2, TypeNak, 0)}, "no method is left"},
		"an empty Nak":              {[][]byte{who, response(2, TypeNak)}, "no method is left"},
		"an empty response":         {[][]byte{who, response(2, TypeMSCHAPv2)}, "length is wrong"},
		"an acknowledgement only":   {[][]byte{who, response(2, TypeMSCHAPv2, mschapPacket(opSuccess, 2, nil)...)}, "malformed"},
		"a response that is short":  {[][]byte{who, response(2, TypeMSCHAPv2, mschapPacket(opResponse, 2, []byte{49, 1})...)}, "malformed"},
		"a response to another":     {[][]byte{who, response(2, TypeMSCHAPv2, mschapPacket(opResponse, 3, append([]byte{49}, make([]byte, 49)...))...)}, "malformed"},
		"a lie about its length":    {[][]byte{{2, 1, 0, 9, 1}}, "says it has 9 octets"},
		"nothing":                   {[][]byte{{}}, "cut short"},
		"back to a refused method":  {[][]byte{who, response(2, TypeNak, 6), response(3, TypeNak, 26)}, "no method is left"},
		"refusing what it answered": {[][]byte{who, response(2, TypeMSCHAPv2, mschapPacket(opResponse, 2, append([]byte{49}, make([]byte, 49)...))...), response(3, TypeNak, 4)}, "no method is left"},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewServer(server(all...))
			var last ServerStep
			for i, packet := range c.packets {
				if last = s.Receive(packet); last.Err != nil && i < len(c.packets)-1 {
					t.Fatalf("packet %d: %v", i, last.Err)
				}
			}
			if last.Err == nil || last.Done || !strings.Contains(last.Err.Error(), c.want) {
				t.Errorf("the server says %v", last.Err)
			}
			if last.Packet[0] != byte(Failure) {
				t.Errorf("the peer gets %x", last.Packet)
			}
		})
	}
}

// A server's prompt reaches the person; a password in hand is not asked for.
func TestNeeds(t *testing.T) {
	p := NewPeer(Login{Fallback: "spoke1.example.net", Methods: all})
	gtc := Packet{Code: Request, ID: 3, Type: TypeGTC, Data: []byte("Token\x1b[1m:")}.Bytes()
	step := p.Receive(gtc)
	if step.Need != NeedPassword || step.Prompt != "Token?[1m:" {
		t.Errorf("the peer wants %+v", step)
	}
	if p.Username() != "spoke1.example.net" {
		t.Errorf("the peer is %s: where nobody asks, the IKE identity is the name", p.Username())
	}
	p.Supply(NeedPassword, secret.FromString("123456"))
	if step = p.Receive(gtc); string(step.Packet[5:]) != "123456" {
		t.Errorf("the peer answers %x", step.Packet)
	}
	if step = p.Receive(IdentityRequest(1)); step.Need != NeedUsername {
		t.Errorf("a server that asks gets %+v", step)
	}
}

func TestPackets(t *testing.T) {
	for text, p := range map[string]Packet{
		"01070005" + "01":           {Code: Request, ID: 7, Type: TypeIdentity, Data: []byte{}},
		"0207000a" + "01616c696365": {Code: Response, ID: 7, Type: TypeIdentity, Data: []byte("alice")},
		"03070004":                  {Code: Success, ID: 7},
		"04070004":                  {Code: Failure, ID: 7},
	} {
		b := unhex(t, text)
		if got := p.Bytes(); !bytes.Equal(got, b) {
			t.Errorf("%s is written as %x", p, got)
		}
		got, err := Parse(b)
		if err != nil || got.Code != p.Code || got.ID != p.ID || got.Type != p.Type || !bytes.Equal(got.Data, p.Data) {
			t.Errorf("%s reads as %+v: %v", text, got, err)
		}
		for i := range b {
			if _, err := Parse(b[:i]); err == nil {
				t.Errorf("the first %d octets of %s pass", i, text)
			}
		}
		if _, err := Parse(append(b, 0)); err == nil {
			t.Errorf("%s passes with an octet too much", text)
		}
	}
	if _, err := Parse([]byte{5, 1, 0, 4}); err == nil {
		t.Error("an unknown code passes")
	}
}

func TestMethodNames(t *testing.T) {
	for n, want := range map[byte]string{0: "none", 4: "md5", 6: "gtc", 13: "tls", 26: "mschapv2", 25: "peap", 254: "other", 99: "other"} {
		if got := MethodName(n); got != want {
			t.Errorf("type %d is called %s, not %s", n, got, want)
		}
	}
	if MethodOf(IdentityResponse(1, "x"), 26) != 26 || MethodOf([]byte{2, 1, 0, 5, 4}, 26) != 4 || MethodOf(nil, 6) != 6 {
		t.Error("an identity is about no method, a method's response is")
	}
}

// FuzzBothEnds throws packets at both ends: no panic, and no login without the password.
func FuzzBothEnds(f *testing.F) {
	f.Add([]byte{1, 1, 0, 5, 1}, []byte{1, 2, 0, 6, 4, 0}, byte(0))
	f.Add([]byte{2, 1, 0, 10, 1, 'a', 'l', 'i', 'c', 'e'}, []byte{2, 2, 0, 6, 26, 2}, byte(26))
	f.Add([]byte{1, 1, 0, 10, 26, 1, 9, 0, 5, 16}, []byte{3, 1, 0, 4}, byte(6))
	f.Fuzz(func(t *testing.T, a, b []byte, start byte) {
		p := NewPeer(Login{Username: "alice", Password: secret.FromString("sesame"), Methods: []Type{TypeMSCHAPv2}})
		if start == 26 {
			p.Receive(Packet{Code: Request, ID: 1, Type: TypeMSCHAPv2, Data: mschapPacket(opChallenge, 1, append([]byte{16}, make([]byte, 16)...))}.Bytes())
		}
		for _, packet := range [][]byte{a, b, {3, 1, 0, 4}} {
			if step := p.Receive(packet); step.Done {
				t.Fatalf("the peer believes %x %x", a, b)
			}
		}
		s := NewServer(server(Type(start), TypeMSCHAPv2, TypeGTC, TypeMD5))
		s.Receive(IdentityResponse(1, "alice"))
		for _, packet := range [][]byte{a, b, a} {
			if step := s.Receive(packet); step.Done && !bytes.Contains(append(a, b...), []byte("sesame")) {
				t.Fatalf("the server believes %x %x", a, b)
			}
		}
	})
}

// A hub that only passes packets on still reads from them that a peer is refused, and the server says
// it too: peers go away at that, without waiting for the failure.
func TestVerdict(t *testing.T) {
	p, s := NewPeer(Login{Username: "alice", Password: secret.FromString("wrong"), Methods: all}), NewServer(server(TypeMSCHAPv2))
	challenge := s.Receive(IdentityResponse(1, "alice"))
	if challenge.Verdict != nil || VerdictIn(challenge.Packet) != nil {
		t.Error("a challenge decides nothing")
	}
	refusal := s.Receive(p.Receive(challenge.Packet).Packet)
	if refusal.Verdict == nil || refusal.Err != nil {
		t.Errorf("the server says %v, %v", refusal.Verdict, refusal.Err)
	}
	if err := VerdictIn(refusal.Packet); err == nil || !strings.Contains(err.Error(), "wrong") {
		t.Errorf("the packet says %v", err)
	}
}
