package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// unhex turns a hexdump into octets; white space and comments from # on are for the reader.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("bad hexdump in the test: %v", err)
	}
	return b
}

// wrap makes a chain of one payload around a body.
func wrap(body []byte) []byte {
	b := append([]byte{0, 0, 0, 0}, body...)
	patchLength(b, 0, 2)
	return b
}

// only decodes a chain of one payload and returns it as the value an encoder is given.
func only(kind PayloadType, body []byte) (Payload, error) {
	p, err := ParseInner(kind, wrap(body))
	if err != nil {
		return nil, err
	}
	list := inOrder(p, []PayloadType{kind})
	return list[0], nil
}

// inOrder returns the payloads of p in the order of kinds, as AppendPayloads takes them.
func inOrder(p *Payloads, kinds []PayloadType) []Payload {
	certs, certReqs, notifies, deletes, vendors := p.Certs, p.CertReqs, p.Notifies, p.Deletes, p.Vendors
	var list []Payload
	for _, kind := range kinds {
		switch kind {
		case PayloadSA:
			list = append(list, *p.SA)
		case PayloadKE:
			list = append(list, *p.KE)
		case PayloadIDi:
			list = append(list, *p.IDi)
		case PayloadIDr:
			list = append(list, *p.IDr)
		case PayloadAuth:
			list = append(list, *p.Auth)
		case PayloadNonce:
			list = append(list, Nonce{p.Nonce})
		case PayloadTSi:
			list = append(list, *p.TSi)
		case PayloadTSr:
			list = append(list, *p.TSr)
		case PayloadCP:
			list = append(list, *p.CP)
		case PayloadEAP:
			list = append(list, *p.EAP)
		case PayloadCert:
			list, certs = append(list, certs[0]), certs[1:]
		case PayloadCertReq:
			list, certReqs = append(list, certReqs[0]), certReqs[1:]
		case PayloadNotify:
			list, notifies = append(list, notifies[0]), notifies[1:]
		case PayloadDelete:
			list, deletes = append(list, deletes[0]), deletes[1:]
		case PayloadVendorID:
			list, vendors = append(list, vendors[0]), vendors[1:]
		}
	}
	return list
}

// kindsOf lists the payload types of a chain as the message orders them.
func kindsOf(first PayloadType, b []byte) []PayloadType {
	var kinds []PayloadType
	for len(b) >= genericLen && first != NoNext {
		kinds = append(kinds, first)
		length := int(b[2])<<8 | int(b[3])
		if first.closed() || length < genericLen || length > len(b) {
			break
		}
		first, b = PayloadType(b[0]), b[length:]
	}
	return kinds
}

// A sample is a payload in both its forms.
type sample struct {
	name  string
	kind  PayloadType
	bytes string // the body, written by hand from the RFC's figure
	value Payload
	text  string // String, without the payload's name
	// open is how many octets at the end have no fixed length, so that a shorter body is another
	// good one.
	open int
	// cuts are other lengths at which a body may end: between two items of a list.
	cuts []int
}

// checkSamples is the four tests that every payload has: octets to value, value to octets, every
// shorter prefix refused, printable.
func checkSamples(t *testing.T, samples []sample) {
	t.Helper()
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			body := unhex(t, s.bytes)
			got, err := only(s.kind, body)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			if !reflect.DeepEqual(got, s.value) {
				t.Errorf("decoded\n %#v, want\n %#v", got, s.value)
			}
			if got := s.value.appendTo(nil); !bytes.Equal(got, body) {
				t.Errorf("encoded\n %x, want\n %x", got, body)
			}
			if s.value.Kind() != s.kind {
				t.Errorf("announced as %v, want %v", s.value.Kind(), s.kind)
			}
			checkPrefixes(t, s.kind, body, s.open, s.cuts...)
			if got := s.value.(interface{ String() string }).String(); got != s.text {
				t.Errorf("printed %q, want %q", got, s.text)
			}
		})
	}
}

func checkPrefixes(t *testing.T, kind PayloadType, body []byte, open int, cuts ...int) {
	t.Helper()
	for n := range len(body) - open {
		if slices.Contains(cuts, n) {
			continue // tried below
		}
		_, err := only(kind, body[:n])
		fault, ok := errors.AsType[*SyntaxError](err)
		if !ok {
			t.Errorf("a body cut to %d of %d octets: got error %v, want a SyntaxError", n, len(body), err)
		} else if fault.Payload != kind {
			t.Errorf("a body cut to %d octets: the fault is in %v, want %v", n, fault.Payload, kind)
		}
	}
	for n := range open {
		cuts = append(cuts, len(body)-n)
	}
	for _, n := range cuts {
		if _, err := only(kind, body[:n]); err != nil {
			t.Errorf("a body cut to %d octets: %v, want it accepted", n, err)
		}
	}
}

// A refusal is a body that must not be accepted, and the words that say why.
type refusal struct {
	name  string
	kind  PayloadType
	bytes string
	what  string
}

func checkRefusals(t *testing.T, refusals []refusal) {
	t.Helper()
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			_, err := only(c.kind, unhex(t, c.bytes))
			wantSyntax(t, err, c.kind, c.what)
		})
	}
}

func wantSyntax(t *testing.T, err error, payload PayloadType, what string) {
	t.Helper()
	fault, ok := errors.AsType[*SyntaxError](err)
	if !ok {
		t.Fatalf("got error %v, want a SyntaxError", err)
	}
	if fault.Payload != payload || fault.What != what {
		t.Errorf("got %q in %v, want %q in %v", fault.What, fault.Payload, what, payload)
	}
}

// checkRoundTrip encodes what was decoded and demands the same value back; the octets may differ
// where reserved bits were set or something unknown was skipped.
func checkRoundTrip(t *testing.T, first PayloadType, chainBytes []byte, p *Payloads) {
	t.Helper()
	kinds := slices.DeleteFunc(kindsOf(first, chainBytes), func(k PayloadType) bool {
		return !k.known() || k.closed()
	})
	dropUnsendable(p)
	list := inOrder(p, kinds)
	for _, payload := range list {
		if ts, ok := payload.(TS); ok && len(ts.Selectors) == 0 {
			return // all of unknown type: nothing is left to send
		}
	}
	again, out := AppendPayloads(nil, list...)
	got, err := ParseInner(again, out)
	if err != nil {
		t.Fatalf("what we encode does not decode: %v\n%x", err, out)
	}
	if !reflect.DeepEqual(got, p) {
		t.Fatalf("changed on the way:\n%+v\n%+v", got, p)
	}
	for i, payload := range list {
		if !bytes.Equal(payload.appendTo(nil), inOrder(got, kinds)[i].appendTo(nil)) {
			t.Fatalf("%v encodes differently the second time", payload.Kind())
		}
	}
}

// dropUnsendable clears what an encoder cannot say: the outer shell, unknown payloads, and the
// attributes that make a transform unfit.
func dropUnsendable(p *Payloads) {
	p.Encrypted, p.Fragment, p.Skipped = nil, nil, 0
	if p.SA == nil {
		return
	}
	for _, prop := range p.SA.Proposals {
		for i := range prop.Transforms {
			prop.Transforms[i].Unrecognized = false
		}
	}
}
