package suite

import (
	"slices"
	"testing"

	"flexvpn/ikev2/wire"
)

// Transforms as a peer writes them.
func encr(id, bits uint16) wire.Transform {
	return wire.Transform{Type: wire.TransformENCR, ID: id, KeyBits: bits}
}
func prf(id uint16) wire.Transform   { return wire.Transform{Type: wire.TransformPRF, ID: id} }
func integ(id uint16) wire.Transform { return wire.Transform{Type: wire.TransformINTEG, ID: id} }
func ke(id uint16) wire.Transform    { return wire.Transform{Type: wire.TransformKE, ID: id} }
func esn(id uint16) wire.Transform   { return wire.Transform{Type: wire.TransformESN, ID: id} }

// unreadable has an attribute that nobody knows.
func unreadable(t wire.Transform) wire.Transform {
	t.Unrecognized = true
	return t
}

func withBits(t wire.Transform, bits uint16) wire.Transform {
	t.KeyBits = bits
	return t
}

func ikeProposal(number uint8, transforms ...wire.Transform) wire.Proposal {
	return wire.Proposal{Number: number, Protocol: wire.ProtoIKE, Transforms: transforms}
}

func espProposal(number uint8, transforms ...wire.Transform) wire.Proposal {
	return wire.Proposal{Number: number, Protocol: wire.ProtoESP, SPI: []byte{0, 0, 1, number}, Transforms: transforms}
}

var (
	gcm = Proposal{Encr: []Cipher{{20, 256}, {20, 128}}, PRF: []uint16{6, 5}, Group: []uint16{31, 19}}
	cbc = Proposal{Encr: []Cipher{{12, 256}, {12, 128}}, PRF: []uint16{6, 5}, Integ: []uint16{13, 12}, Group: []uint16{31, 19}}
	mix = Proposal{Encr: []Cipher{{12, 256}, {20, 256}}, PRF: []uint16{6, 5}, Integ: []uint16{13, 12}, Group: []uint16{31, 19}}
)

func TestChooseIKE(t *testing.T) {
	// What an IOS-XE spoke with its default proposal sends (facts: 16.7.1, later, newest).
	oldIOS := ikeProposal(1, encr(12, 256), encr(12, 192), encr(12, 128), prf(7), prf(6), prf(5), prf(2), prf(1),
		integ(14), integ(13), integ(12), integ(2), integ(1), ke(5), ke(2))
	ios := ikeProposal(1, encr(12, 256), prf(7), prf(6), integ(14), integ(13), ke(19), ke(14), ke(21))
	for _, v := range []struct {
		name    string
		ours    []Proposal
		offered []wire.Proposal
		want    IKE // zero: none
		number  uint8
		reply   []wire.Transform
	}{
		{
			"one of each",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), ke(31))},
			IKE{20, 256, 6, 0, 31},
			1,
			[]wire.Transform{encr(20, 256), prf(6), ke(31)},
		},
		{
			"our order wins over the peer's",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 128), encr(20, 256), prf(5), prf(6), ke(19), ke(31))},
			IKE{20, 256, 6, 0, 31},
			1,
			[]wire.Transform{encr(20, 256), prf(6), ke(31)},
		},
		{
			"the better cipher stands in a later proposal",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 128), prf(5), ke(19)), ikeProposal(2, encr(20, 256), prf(5), ke(19))},
			IKE{20, 256, 5, 0, 19},
			2,
			[]wire.Transform{encr(20, 256), prf(5), ke(19)},
		},
		{
			"our first proposal is in the peer's second",
			[]Proposal{gcm, cbc},
			[]wire.Proposal{ikeProposal(1, encr(12, 256), prf(6), integ(13), ke(31)), ikeProposal(2, encr(20, 128), prf(5), ke(19))},
			IKE{20, 128, 5, 0, 19},
			2,
			[]wire.Transform{encr(20, 128), prf(5), ke(19)},
		},
		{
			"of two that are alike the first",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), ke(31)), ikeProposal(2, encr(20, 256), prf(6), ke(31))},
			IKE{20, 256, 6, 0, 31},
			1, nil,
		},
		{
			"a mix of ours, in our order",
			[]Proposal{mix},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), ke(31)), ikeProposal(2, encr(12, 256), prf(6), integ(12), ke(31))},
			IKE{12, 256, 6, 12, 31},
			2, nil,
		},
		{
			"a mix of ours, AEAD only offered",
			[]Proposal{mix},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), ke(31))},
			IKE{20, 256, 6, 0, 31},
			1, nil,
		},
		{
			"AEAD with integrity NONE",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), integ(0), ke(31))},
			IKE{20, 256, 6, 0, 31},
			1,
			[]wire.Transform{encr(20, 256), prf(6), integ(0), ke(31)},
		},
		{
			"AEAD with an integrity algorithm",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), integ(12), ke(31))},
			IKE{},
			0, nil,
		},
		{
			"AEAD with integrity NONE and another",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), integ(0), integ(12), ke(31))},
			IKE{},
			0, nil,
		},
		{
			"AEAD with an integrity algorithm nobody knows",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), unreadable(integ(12)), ke(31))},
			IKE{},
			0, nil,
		},
		{
			"a peer's mix: the part without AEAD can be had",
			[]Proposal{gcm, cbc},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), encr(12, 256), prf(6), integ(12), ke(31))},
			IKE{12, 256, 6, 12, 31},
			1, nil,
		},
		{
			"CBC without integrity",
			[]Proposal{cbc},
			[]wire.Proposal{ikeProposal(1, encr(12, 256), prf(6), ke(31))},
			IKE{},
			0, nil,
		},
		{
			"CBC with integrity NONE",
			[]Proposal{cbc},
			[]wire.Proposal{ikeProposal(1, encr(12, 256), prf(6), integ(0), ke(31))},
			IKE{},
			0, nil,
		},
		{
			"CBC without integrity, though we were told to",
			[]Proposal{{Encr: cbc.Encr, PRF: cbc.PRF, Integ: []uint16{0}, Group: cbc.Group}},
			[]wire.Proposal{ikeProposal(1, encr(12, 256), prf(6), ke(31)), ikeProposal(2, encr(12, 256), prf(6), integ(0), ke(31))},
			IKE{},
			0, nil,
		},
		{
			"another key length",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 192), prf(6), ke(31))},
			IKE{},
			0, nil,
		},
		{
			"no key length",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 0), prf(6), ke(31))},
			IKE{},
			0, nil,
		},
		{
			"a key length for ChaCha20",
			[]Proposal{{Encr: []Cipher{{28, 0}}, PRF: gcm.PRF, Group: gcm.Group}},
			[]wire.Proposal{ikeProposal(1, encr(28, 256), prf(6), ke(31)), ikeProposal(2, encr(28, 0), prf(6), ke(31))},
			IKE{28, 0, 6, 0, 31},
			2, nil,
		},
		{
			"a key length for a PRF",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), withBits(prf(6), 384), prf(5), ke(31))},
			IKE{20, 256, 5, 0, 31},
			1, nil,
		},
		{
			"an unreadable transform is passed over",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, unreadable(encr(20, 256)), encr(20, 128), unreadable(prf(6)), prf(5), unreadable(ke(31)), ke(19))},
			IKE{20, 128, 5, 0, 19},
			1,
			[]wire.Transform{encr(20, 128), prf(5), ke(19)},
		},
		{
			"nothing but unreadable transforms of one type",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), unreadable(ke(31)))},
			IKE{},
			0, nil,
		},
		{
			"an unknown transform type spoils its proposal only",
			[]Proposal{gcm},
			[]wire.Proposal{
				ikeProposal(1, encr(20, 256), prf(6), ke(31), wire.Transform{Type: 6, ID: 36}),
				ikeProposal(2, encr(20, 128), prf(6), ke(31)),
			},
			IKE{20, 128, 6, 0, 31},
			2, nil,
		},
		{
			"sequence numbers do not belong to IKE",
			[]Proposal{gcm},
			[]wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), ke(31), esn(0))},
			IKE{},
			0, nil,
		},
		{
			"another protocol",
			[]Proposal{gcm},
			[]wire.Proposal{{Number: 1, Protocol: wire.ProtoESP, Transforms: []wire.Transform{encr(20, 256), prf(6), ke(31)}}},
			IKE{},
			0, nil,
		},
		{"no PRF", []Proposal{gcm}, []wire.Proposal{ikeProposal(1, encr(20, 256), ke(31))}, IKE{}, 0, nil},
		{"no group", []Proposal{gcm}, []wire.Proposal{ikeProposal(1, encr(20, 256), prf(6))}, IKE{}, 0, nil},
		{"no cipher", []Proposal{gcm}, []wire.Proposal{ikeProposal(1, prf(6), ke(31))}, IKE{}, 0, nil},
		{"group NONE", []Proposal{gcm}, []wire.Proposal{ikeProposal(1, encr(20, 256), prf(6), ke(0))}, IKE{}, 0, nil},
		{"nothing offered", []Proposal{gcm}, nil, IKE{}, 0, nil},
		{"nothing of ours", nil, []wire.Proposal{ios}, IKE{}, 0, nil},
		{"a cipher of ours that does not exist", []Proposal{{Encr: []Cipher{{3, 0}}, PRF: gcm.PRF, Integ: []uint16{12}, Group: gcm.Group}}, []wire.Proposal{ikeProposal(1, encr(3, 0), prf(6), integ(12), ke(31))}, IKE{}, 0, nil},
		{"IOS-XE as shipped", DefaultIKE(), []wire.Proposal{ios}, IKE{12, 256, 6, 13, 19}, 1, []wire.Transform{encr(12, 256), prf(6), integ(13), ke(19)}},
		{"IOS-XE 16.7 has groups 5 and 2 only", DefaultIKE(), []wire.Proposal{oldIOS}, IKE{}, 0, nil},
	} {
		t.Run(v.name, func(t *testing.T) {
			s, reply, ok := ChooseIKE(v.ours, v.offered)
			if ok != (v.want != IKE{}) || s != v.want || reply.Number != v.number {
				t.Fatalf("chose %v (%v) of proposal %d, want %v of %d", s, ok, reply.Number, v.want, v.number)
			}
			if v.reply != nil && !slices.Equal(reply.Transforms, v.reply) {
				t.Errorf("replied %v, want %v", reply.Transforms, v.reply)
			}
		})
	}
}

func TestChooseESP(t *testing.T) {
	plain := Proposal{Encr: []Cipher{{20, 256}}, ESN: []uint16{1, 0}}
	forward := Proposal{Encr: []Cipher{{20, 256}}, Group: []uint16{31, 19}, ESN: []uint16{0}}
	for _, v := range []struct {
		name    string
		ours    Proposal
		offered wire.Proposal
		withKE  bool
		want    ESP
		reply   []wire.Transform // nil: refused
	}{
		{"both kinds of sequence numbers", plain, espProposal(1, encr(20, 256), esn(0), esn(1)), false, ESP{20, 256, 0, 0, true}, []wire.Transform{encr(20, 256), esn(1)}},
		{"32 bits", plain, espProposal(1, encr(20, 256), esn(0)), false, ESP{20, 256, 0, 0, false}, []wire.Transform{encr(20, 256), esn(0)}},
		{"no sequence numbers said", plain, espProposal(1, encr(20, 256)), false, ESP{20, 256, 0, 0, false}, []wire.Transform{encr(20, 256)}},
		{"64 bits asked, 32 wanted", forward, espProposal(1, encr(20, 256), ke(31), esn(1)), true, ESP{}, nil},
		{"64 bits wanted, none said", Proposal{Encr: plain.Encr, ESN: []uint16{1}}, espProposal(1, encr(20, 256)), false, ESP{}, nil},
		{"ours says nothing: 32 bits", Proposal{Encr: plain.Encr}, espProposal(1, encr(20, 256), esn(1), esn(0)), false, ESP{20, 256, 0, 0, false}, []wire.Transform{encr(20, 256), esn(0)}},
		{"with a key exchange", forward, espProposal(1, encr(20, 256), ke(19), ke(31), esn(0)), true, ESP{20, 256, 0, 31, false}, []wire.Transform{encr(20, 256), ke(31), esn(0)}},
		{"a key exchange in IKE_AUTH is ignored", forward, espProposal(1, encr(20, 256), ke(2), esn(0)), false, ESP{20, 256, 0, 0, false}, []wire.Transform{encr(20, 256), esn(0)}},
		{"no key exchange offered, one wanted", forward, espProposal(1, encr(20, 256), esn(0)), true, ESP{}, nil},
		{"key exchange offered, none wanted", plain, espProposal(1, encr(20, 256), ke(31), esn(0)), true, ESP{}, nil},
		{"key exchange or NONE offered, none wanted", plain, espProposal(1, encr(20, 256), ke(31), ke(0), esn(0)), true, ESP{20, 256, 0, 0, false}, []wire.Transform{encr(20, 256), ke(0), esn(0)}},
		{"a PRF does not belong to ESP", plain, espProposal(1, encr(20, 256), prf(6), esn(0)), false, ESP{}, nil},
		{"AEAD with integrity", plain, espProposal(1, encr(20, 256), integ(12), esn(0)), false, ESP{}, nil},
		{"an SPI of 8 octets", plain, wire.Proposal{Number: 1, Protocol: wire.ProtoESP, SPI: make([]byte, 8), Transforms: []wire.Transform{encr(20, 256), esn(0)}}, false, ESP{}, nil},
		{"AH", plain, wire.Proposal{Number: 1, Protocol: wire.ProtoAH, SPI: make([]byte, 4), Transforms: []wire.Transform{encr(20, 256), esn(0)}}, false, ESP{}, nil},
		{"CBC", Proposal{Encr: []Cipher{{12, 128}}, Integ: []uint16{2}}, espProposal(1, encr(12, 128), integ(2), esn(0)), false, ESP{12, 128, 2, 0, false}, []wire.Transform{encr(12, 128), integ(2), esn(0)}},
	} {
		t.Run(v.name, func(t *testing.T) {
			s, reply, ok := ChooseESP([]Proposal{v.ours}, []wire.Proposal{v.offered}, v.withKE)
			if ok != (v.reply != nil) || s != v.want || !slices.Equal(reply.Transforms, v.reply) {
				t.Fatalf("chose %v (%v), replied %v; want %v, %v", s, ok, reply.Transforms, v.want, v.reply)
			}
			if ok && (reply.Number != 1 || reply.Protocol != wire.ProtoESP || !slices.Equal(reply.SPI, v.offered.SPI)) {
				t.Errorf("the reply is %+v", reply)
			}
		})
	}
}

func TestOffer(t *testing.T) {
	spi := []byte{1, 2, 3, 4}
	got := Offer([]Proposal{mix, gcm}, wire.ProtoIKE, spi, true)
	want := []wire.Proposal{
		{Number: 1, Protocol: wire.ProtoIKE, SPI: spi, Transforms: []wire.Transform{encr(12, 256), prf(6), prf(5), integ(13), integ(12), ke(31), ke(19)}},
		{Number: 2, Protocol: wire.ProtoIKE, SPI: spi, Transforms: []wire.Transform{encr(20, 256), prf(6), prf(5), ke(31), ke(19)}},
		{Number: 3, Protocol: wire.ProtoIKE, SPI: spi, Transforms: []wire.Transform{encr(20, 256), encr(20, 128), prf(6), prf(5), ke(31), ke(19)}},
	}
	equal(t, got, want)

	esp := Proposal{Encr: []Cipher{{20, 256}, {12, 128}}, PRF: []uint16{5}, Integ: []uint16{12}, Group: []uint16{31}}
	equal(t, Offer([]Proposal{esp}, wire.ProtoESP, spi, false), []wire.Proposal{
		{Number: 1, Protocol: wire.ProtoESP, SPI: spi, Transforms: []wire.Transform{encr(20, 256), esn(0)}},
		{Number: 2, Protocol: wire.ProtoESP, SPI: spi, Transforms: []wire.Transform{encr(12, 128), integ(12), esn(0)}},
	})
	equal(t, Offer([]Proposal{{Encr: esp.Encr[:1], Group: esp.Group, ESN: []uint16{1, 0}}}, wire.ProtoESP, spi, true), []wire.Proposal{
		{Number: 1, Protocol: wire.ProtoESP, SPI: spi, Transforms: []wire.Transform{encr(20, 256), ke(31), esn(1), esn(0)}},
	})
	if all := Offer(slices.Repeat([]Proposal{mix}, 200), wire.ProtoIKE, nil, true); all[len(all)-1].Number != uint8(len(all)) {
		t.Errorf("%d proposals, the last one is number %d", len(all), all[len(all)-1].Number)
	}
}

func equal(t *testing.T, got, want []wire.Proposal) {
	t.Helper()
	same := func(a, b wire.Proposal) bool {
		return a.Number == b.Number && a.Protocol == b.Protocol && slices.Equal(a.SPI, b.SPI) && slices.Equal(a.Transforms, b.Transforms)
	}
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("offered\n%+v, want\n%+v", got, want)
	}
}

func TestAcceptIKE(t *testing.T) {
	ours := []Proposal{gcm, cbc}
	good := ikeProposal(2, encr(12, 128), prf(5), integ(12), ke(19))
	if s, err := AcceptIKE(ours, []wire.Proposal{good}); err != nil || s != (IKE{12, 128, 5, 12, 19}) {
		t.Errorf("accepted %v (%v)", s, err)
	}
	for what, reply := range map[string][]wire.Proposal{
		"nothing":                     nil,
		"two proposals":               {good, good},
		"number 0":                    {ikeProposal(0, good.Transforms...)},
		"a number we did not use":     {ikeProposal(3, good.Transforms...)},
		"another number":              {ikeProposal(1, good.Transforms...)},
		"another protocol":            {{Number: 2, Protocol: wire.ProtoESP, Transforms: good.Transforms}},
		"a cipher we did not offer":   {ikeProposal(2, encr(12, 192), prf(5), integ(12), ke(19))},
		"a key length we did not say": {ikeProposal(2, encr(12, 0), prf(5), integ(12), ke(19))},
		"a weaker PRF":                {ikeProposal(2, encr(12, 128), prf(2), integ(12), ke(19))},
		"two PRFs":                    {ikeProposal(2, encr(12, 128), prf(5), prf(6), integ(12), ke(19))},
		"one PRF twice":               {ikeProposal(2, encr(12, 128), prf(5), prf(5), integ(12), ke(19))},
		"no integrity":                {ikeProposal(2, encr(12, 128), prf(5), ke(19))},
		"integrity NONE":              {ikeProposal(2, encr(12, 128), prf(5), integ(0), ke(19))},
		"no cipher":                   {ikeProposal(2, prf(5), integ(12), ke(19))},
		"no PRF":                      {ikeProposal(2, encr(12, 128), integ(12), ke(19))},
		"no group":                    {ikeProposal(2, encr(12, 128), prf(5), integ(12))},
		"an unreadable transform":     {ikeProposal(2, unreadable(encr(12, 128)), prf(5), integ(12), ke(19))},
		"an unknown type":             {ikeProposal(2, encr(12, 128), prf(5), integ(12), ke(19), wire.Transform{Type: 200})},
		"sequence numbers":            {ikeProposal(2, encr(12, 128), prf(5), integ(12), ke(19), esn(0))},
		"no transforms":               {ikeProposal(2)},
	} {
		if s, err := AcceptIKE(ours, reply); err == nil {
			t.Errorf("%s: accepted %v", what, s)
		}
	}
}

func TestAcceptESP(t *testing.T) {
	ours := []Proposal{{Encr: []Cipher{{20, 256}}, Group: []uint16{31}, ESN: []uint16{1, 0}}}
	for _, v := range []struct {
		what   string
		reply  wire.Proposal
		withKE bool
		want   ESP // zero: refused
	}{
		{"ESN", espProposal(1, encr(20, 256), esn(1)), false, ESP{20, 256, 0, 0, true}},
		{"no word of sequence numbers", espProposal(1, encr(20, 256)), false, ESP{20, 256, 0, 0, false}},
		{"both sequence numbers", espProposal(1, encr(20, 256), esn(1), esn(0)), false, ESP{}},
		{"a group in IKE_AUTH", espProposal(1, encr(20, 256), ke(31), esn(1)), false, ESP{}},
		{"a group", espProposal(1, encr(20, 256), ke(31), esn(0)), true, ESP{20, 256, 0, 31, false}},
		{"no group where we want one", espProposal(1, encr(20, 256), esn(0)), true, ESP{}},
		{"a short SPI", wire.Proposal{Number: 1, Protocol: wire.ProtoESP, SPI: []byte{1}, Transforms: []wire.Transform{encr(20, 256), esn(0)}}, false, ESP{}},
	} {
		s, err := AcceptESP(ours, []wire.Proposal{v.reply}, v.withKE)
		if s != v.want || (err == nil) != (v.want != ESP{}) {
			t.Errorf("%s: %v (%v), want %v", v.what, s, err, v.want)
		}
	}
	only64 := []Proposal{{Encr: []Cipher{{20, 256}}, ESN: []uint16{1}}}
	if s, err := AcceptESP(only64, []wire.Proposal{espProposal(1, encr(20, 256))}, false); err == nil {
		t.Errorf("64 bits offered, none answered: accepted %v", s)
	}
}

// What our initiator offers, our responder takes, and the initiator accepts the answer: for all
// defaults and for every cipher alone.
func TestOwnEndsAgree(t *testing.T) {
	sets := [][]Proposal{DefaultIKE()}
	for _, s := range suites() {
		p := Proposal{Encr: []Cipher{{s.Encr, s.KeyBits}}, PRF: []uint16{5}, Group: []uint16{31}}
		if s.Integ != 0 {
			p.Integ = []uint16{s.Integ}
		}
		sets = append(sets, []Proposal{p})
	}
	for _, ours := range sets {
		s, reply, ok := ChooseIKE(ours, Offer(ours, wire.ProtoIKE, nil, true))
		if back, err := AcceptIKE(ours, []wire.Proposal{reply}); !ok || err != nil || back != s {
			t.Errorf("IKE: responder chose %v (%v), initiator accepted %v (%v)", s, ok, back, err)
		}
		for _, withKE := range []bool{false, true} {
			e, reply, ok := ChooseESP(ours, Offer(ours, wire.ProtoESP, []byte{1, 2, 3, 4}, withKE), withKE)
			if back, err := AcceptESP(ours, []wire.Proposal{reply}, withKE); !ok || err != nil || back != e {
				t.Errorf("ESP: responder chose %v (%v), initiator accepted %v (%v)", e, ok, back, err)
			}
		}
	}
}

// fuzzed makes proposals of octets: 0xff starts another one, else four octets are a transform.
func fuzzed(data []byte, proto wire.ProtocolID) []wire.Proposal {
	out := []wire.Proposal{{Number: 1, Protocol: proto, SPI: make([]byte, 4)}}
	for len(data) >= 4 {
		p := &out[len(out)-1]
		if data[0] == 0xff {
			out = append(out, wire.Proposal{Number: uint8(len(out) + 1), Protocol: wire.ProtocolID(data[1] % 4), SPI: make([]byte, data[2]%9)})
			data = data[3:]
			continue
		}
		p.Transforms = append(p.Transforms, wire.Transform{
			Type: wire.TransformType(data[0] & 0x7f), ID: uint16(data[1])<<8 | uint16(data[2]),
			KeyBits: 64 * uint16(data[3]&0x7f), Unrecognized: data[3]&0x80 != 0,
		})
		data = data[4:]
	}
	return out
}

// holdsRules is true of a reply that RFC 7296 sections 2.7 and 3.3 allow: one transform of each type
// that was offered, each of them offered, AEAD without and all else with integrity.
func holdsRules(t *testing.T, offered []wire.Proposal, reply wire.Proposal, withKE bool) {
	t.Helper()
	from := offered[reply.Number-1]
	count := map[wire.TransformType]int{}
	var aead, mac bool
	for _, tr := range reply.Transforms {
		count[tr.Type]++
		aead = aead || tr.Type == wire.TransformENCR && (tr.ID == 20 || tr.ID == 28)
		mac = mac || tr.Type == wire.TransformINTEG && tr.ID != 0
		if tr.Unrecognized || !slices.Contains(from.Transforms, tr) {
			t.Errorf("%v was not offered", tr)
		}
	}
	for _, tr := range from.Transforms {
		if want := 1; count[tr.Type] != want && (withKE || tr.Type != wire.TransformKE) {
			t.Errorf("%d transforms of type %d in the reply", count[tr.Type], tr.Type)
		}
	}
	if aead == mac || reply.Protocol != from.Protocol {
		t.Errorf("AEAD %v, integrity %v, protocol %d of %d", aead, mac, reply.Protocol, from.Protocol)
	}
}

func FuzzChoose(f *testing.F) {
	f.Add([]byte{1, 0, 20, 4, 2, 0, 6, 0, 4, 0, 31, 0}, true)
	f.Add([]byte{1, 0, 12, 4, 2, 0, 6, 0, 3, 0, 12, 0, 4, 0, 31, 0, 0xff, 3, 4, 1, 0, 20, 4, 5, 0, 1, 0}, true)
	f.Add([]byte{1, 0, 20, 4, 5, 0, 1, 0, 4, 0, 2, 0}, false)
	f.Add([]byte{1, 0, 12, 2, 3, 0, 12, 0, 5, 0, 0, 0, 6, 0, 1, 0}, false)
	f.Fuzz(func(t *testing.T, data []byte, withKE bool) {
		offered := fuzzed(data, wire.ProtoIKE)
		if s, reply, ok := ChooseIKE(DefaultIKE(), offered); ok {
			holdsRules(t, offered, reply, true)
			_ = s.SealedLen(1) // every algorithm of it exists
			if findGroup(s.Group) == nil || findPRF(s.PRF) == nil {
				t.Errorf("chose %v", s)
			}
		}
		offered = fuzzed(data, wire.ProtoESP)
		if s, reply, ok := ChooseESP(DefaultESP(), offered, withKE); ok {
			holdsRules(t, offered, reply, withKE)
			_ = s.cipher()
			if s.Group != 0 || s.Integ != 0 && findInteg(s.Integ) == nil {
				t.Errorf("chose %v", s)
			}
		}
		_, _ = AcceptIKE(DefaultIKE(), fuzzed(data, wire.ProtoIKE))
		_, _ = AcceptESP(DefaultESP(), fuzzed(data, wire.ProtoESP), withKE)
	})
}
