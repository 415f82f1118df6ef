package wire

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// String lists the payloads in the order of the RFC's exchanges (section 1.2, appendix C), not in
// that of the message: "SA KE Nonce N(NAT_DETECTION_SOURCE_IP) V".
func (p *Payloads) String() string {
	var words []string
	p.each(func(name string, _ fmt.Stringer) { words = append(words, name) })
	return strings.Join(words, " ")
}

// Describe gives one line for each payload, for `debug ike`: enough to find out why two ends do not
// agree, and nothing that helps an eavesdropper. EAP packets, AUTH data, public keys, nonces and
// cookies appear by their length only; what the peer wrote is quoted.
func Describe(p *Payloads) []string {
	var lines []string
	p.each(func(name string, detail fmt.Stringer) {
		switch d := detail.(type) {
		case Notify: // says its own name
			lines = append(lines, d.String())
		case CP:
			lines = append(lines, "CP "+d.String())
		case Fragment:
			lines = append(lines, "SKF "+d.String())
		default:
			lines = append(lines, name+" "+d.String())
		}
	})
	return lines
}

// skipped is the number of payloads of unknown type.
type skipped int

func (n skipped) String() string { return fmt.Sprintf("%d of unknown type", int(n)) }

// each calls f for every payload in the order of the exchanges, with its short name and itself.
func (p *Payloads) each(f func(name string, detail fmt.Stringer)) {
	p.eachIdentity(f)
	if p.CP != nil {
		f("CP("+p.CP.Type.String()+")", *p.CP)
	}
	if p.SA != nil {
		f(PayloadSA.String(), *p.SA)
	}
	if p.KE != nil {
		f(PayloadKE.String(), *p.KE)
	}
	if p.Nonce != nil {
		f(PayloadNonce.String(), Nonce{p.Nonce})
	}
	for _, ts := range []*TS{p.TSi, p.TSr} {
		if ts != nil {
			f(ts.Kind().String(), *ts)
		}
	}
	for _, n := range p.Notifies {
		f("N("+n.Type.String()+")", n)
	}
	for _, d := range p.Deletes {
		f(PayloadDelete.String(), d)
	}
	for _, v := range p.Vendors {
		f(PayloadVendorID.String(), v)
	}
	p.eachClosed(f)
}

// eachIdentity calls f for what says and proves who the sender is.
func (p *Payloads) eachIdentity(f func(string, fmt.Stringer)) {
	if p.IDi != nil {
		f(PayloadIDi.String(), *p.IDi)
	}
	for _, c := range p.Certs {
		f(PayloadCert.String(), c)
	}
	for _, c := range p.CertReqs {
		f(PayloadCertReq.String(), c)
	}
	if p.IDr != nil {
		f(PayloadIDr.String(), *p.IDr)
	}
	if p.Auth != nil {
		f(PayloadAuth.String(), *p.Auth)
	}
	if p.EAP != nil {
		f(PayloadEAP.String(), *p.EAP)
	}
}

// eachClosed calls f for what nobody can see into.
func (p *Payloads) eachClosed(f func(string, fmt.Stringer)) {
	if p.Encrypted != nil {
		f(PayloadEncrypted.String(), *p.Encrypted)
	}
	if p.Fragment != nil {
		f(fmt.Sprintf("SKF(%d/%d)", p.Fragment.Number, p.Fragment.Total), *p.Fragment)
	}
	if p.Skipped > 0 {
		f("?", skipped(p.Skipped))
	}
}

// maxText is how many octets of a peer's text a line shows: an IOS version banner has 257.
const maxText = 64

// printable shows text as it is, text with odd characters quoted, and anything else in hexadecimal.
// A peer that is not authenticated yet wrote it: it must not be able to forge lines of a log.
func printable(b []byte) string {
	if len(b) == 0 {
		return `""`
	}
	if !utf8.Valid(b) {
		return printableHex(b)
	}
	text, more := string(b), ""
	if len(b) > maxText {
		cut := maxText
		for !utf8.RuneStart(b[cut]) {
			cut--
		}
		text, more = string(b[:cut]), fmt.Sprintf("… (%d octets)", len(b))
	}
	for _, r := range text {
		if r <= ' ' || r == '"' || r >= 0x7f {
			return fmt.Sprintf("%+q", text) + more
		}
	}
	return text + more
}

func printableHex(b []byte) string {
	if len(b) > maxText/2 {
		return fmt.Sprintf("%x… (%d octets)", b[:maxText/2], len(b))
	}
	return fmt.Sprintf("%x", b)
}
