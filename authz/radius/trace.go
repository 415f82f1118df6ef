package radius

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"layeh.com/radius"

	"flexvpn/radiusdict"
)

// Trace is one packet as debug prints it; no secret is in it.
type Trace struct {
	Time    time.Time
	Sent    bool
	Server  string
	Remote  netip.AddrPort
	User    string
	Message string   // "Access-Request 7"
	Text    []string // one line for each attribute
}

// A tracer is told of packets while somebody wants to know.
type tracer struct {
	wanted func() bool
	f      func(Trace)
}

// Trace has f called for each packet while wanted is true. Neither may block.
func (c *Client) Trace(wanted func() bool, f func(Trace)) { c.trace.Store(&tracer{wanted, f}) }

func (c *Client) traced(sent bool, at *port, b []byte) { c.tell(sent, at.server.Name, at.address, b) }

func (c *Client) tell(sent bool, who string, remote netip.AddrPort, b []byte) {
	to := c.trace.Load()
	if to == nil || !to.wanted() {
		return
	}
	t := describe(b)
	t.Time, t.Sent, t.Server, t.Remote = time.Now(), sent, who, remote
	to.f(t)
}

// describe tells what a packet says, without its secrets.
func describe(b []byte) Trace {
	var t Trace
	b, err := trim(b)
	if err != nil {
		t.Message = err.Error()
		return t
	}
	t.Message = fmt.Sprintf("%s %d", radius.Code(b[0]), b[1])
	attrs, err := radius.ParseAttributes(b[headerLen:])
	if err != nil {
		t.Text = []string{"malformed: " + err.Error()}
		return t
	}
	for _, a := range attrs {
		if a.Type == attrUserName {
			t.User = safe(a.Attribute)
		}
		if a.Type != attrVendorSpecific {
			t.Text = append(t.Text, attributeText(a))
		}
	}
	if err := vendorAttributes(attrs, func(vendor uint32, n byte, v []byte) error {
		t.Text = append(t.Text, vendorText(vendor, n, v))
		return nil
	}); err != nil {
		t.Text = append(t.Text, "malformed: "+err.Error())
	}
	return t
}

const redacted = "[redacted]"

// form is how an attribute is printed.
type form byte

const (
	asHex form = iota
	asText
	asNumber
	asAddress
	asLength // of what is long or says nothing
	asSecret
)

var forms = map[radius.Type]struct {
	name string
	form form
}{
	attrUserName: {"User-Name", asText}, attrUserPassword: {"User-Password", asSecret}, 3: {"CHAP-Password", asSecret},
	attrNASIPAddress: {"NAS-IP-Address", asAddress}, attrNASPort: {"NAS-Port", asNumber}, attrServiceType: {"Service-Type", asNumber},
	attrFramedProtocol: {"Framed-Protocol", asNumber}, attrFramedIPAddress: {"Framed-IP-Address", asAddress}, 9: {"Framed-IP-Netmask", asAddress},
	11: {"Filter-Id", asText}, 18: {"Reply-Message", asText}, 22: {"Framed-Route", asText}, attrState: {"State", asHex}, attrClass: {"Class", asHex},
	27: {"Session-Timeout", asNumber}, 28: {"Idle-Timeout", asNumber}, attrCalledStationID: {"Called-Station-Id", asText},
	attrCallingStationID: {"Calling-Station-Id", asText}, attrNASIdentifier: {"NAS-Identifier", asText},
	attrAcctStatusType: {"Acct-Status-Type", asNumber}, attrAcctDelayTime: {"Acct-Delay-Time", asNumber},
	attrAcctInputOctets: {"Acct-Input-Octets", asNumber}, attrAcctOutputOctets: {"Acct-Output-Octets", asNumber},
	attrAcctSessionID: {"Acct-Session-Id", asText}, attrAcctAuthentic: {"Acct-Authentic", asNumber}, attrAcctSessionTime: {"Acct-Session-Time", asNumber},
	attrAcctInputPackets: {"Acct-Input-Packets", asNumber}, attrAcctOutputPackets: {"Acct-Output-Packets", asNumber},
	attrAcctTerminate: {"Acct-Terminate-Cause", asNumber}, attrAcctInputGiga: {"Acct-Input-Gigawords", asNumber}, attrAcctOutputGiga: {"Acct-Output-Gigawords", asNumber},
	attrEventTimestamp: {"Event-Timestamp", asNumber}, attrNASPortType: {"NAS-Port-Type", asNumber}, attrTunnelPassword: {"Tunnel-Password", asSecret},
	attrEAPMessage: {"EAP-Message", asLength}, attrMessageAuth: {"Message-Authenticator", asLength}, 85: {"Acct-Interim-Interval", asNumber},
	attrNASPortID: {"NAS-Port-Id", asText}, 88: {"Framed-Pool", asText}, attrNASIPv6Address: {"NAS-IPv6-Address", asAddress}, 96: {"Framed-Interface-Id", asHex},
	attrFramedIPv6Prefix: {"Framed-IPv6-Prefix", asHex}, 99: {"Framed-IPv6-Route", asText}, 100: {"Framed-IPv6-Pool", asText},
	attrErrorCause: {"Error-Cause", asNumber}, attrDelegatedPrefix: {"Delegated-IPv6-Prefix", asHex},
	attrFramedIPv6Address: {"Framed-IPv6-Address", asAddress}, 169: {"DNS-Server-IPv6-Address", asAddress},
}

func attributeText(a *radius.AVP) string {
	f, ok := forms[a.Type]
	if !ok { // what is not known may be a secret
		return fmt.Sprintf("Attribute-%d = %d octets", a.Type, len(a.Attribute))
	}
	return f.name + " = " + valueText(f.form, a.Attribute)
}

func valueText(f form, v []byte) string {
	switch f {
	case asSecret:
		return redacted
	case asText:
		return safe(v)
	case asNumber:
		if len(v) == 4 {
			return fmt.Sprint(binary.BigEndian.Uint32(v))
		}
	case asAddress:
		if a, ok := netip.AddrFromSlice(v); ok {
			return a.String()
		}
	case asLength:
		return fmt.Sprintf("%d octets", len(v))
	}
	return "0x" + hex.EncodeToString(v)
}

func vendorText(vendor uint32, n byte, v []byte) string {
	switch {
	case vendor == radiusdict.VendorCisco && n == radiusdict.CiscoAVPair:
		return "Cisco-AVPair = " + radiusdict.Redact(safe(v))
	case vendor == radiusdict.VendorMicrosoft && n == radiusdict.MSMPPERecvKey:
		return "MS-MPPE-Recv-Key = " + redacted
	case vendor == radiusdict.VendorMicrosoft && n == radiusdict.MSMPPESendKey:
		return "MS-MPPE-Send-Key = " + redacted
	}
	return fmt.Sprintf("Vendor-%d-Attribute-%d = %d octets", vendor, n, len(v))
}

// safe keeps a peer's text from drawing on an operator's terminal.
func safe(v []byte) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, string(v))
}
