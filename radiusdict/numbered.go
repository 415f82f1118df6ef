package radiusdict

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"flexvpn/secret"
)

// The vendors whose attributes are known.
const (
	VendorCisco     = 9
	VendorMicrosoft = 311
)

// Numbers of Cisco's and Microsoft's attributes.
const (
	CiscoAVPair         = 1
	ciscoQoSIn          = 55
	ciscoQoSOut         = 56
	ciscoInACL          = 57
	ciscoOutACL         = 58
	msCHAPError         = 2
	MSMPPESendKey       = 16
	MSMPPERecvKey       = 17
	msPrimaryDNS        = 28
	msSecondaryDNS      = 29
	msPrimaryNBNS       = 30
	msSecondaryNBNS     = 31
	framedIPAddress     = 8
	userChooses         = "255.255.255.255" // RFC 2865 section 5.8
	serverPoolOfThisNAS = "255.255.255.254"
)

// A number is one attribute with a number of its own.
type number struct {
	name string
	set  func(*Reply, []byte) error
}

// standard are the attributes of the RFCs, by number (RFC 2865 unless said otherwise).
var standard = map[byte]number{
	1:  {"User-Name", textInto(func(r *Reply) *string { return &r.UserName })},
	8:  {"Framed-IP-Address", setFramedIP},
	9:  {"Framed-IP-Netmask", setFramedMask},
	11: {"Filter-Id", setFilterID},
	18: {"Reply-Message", func(r *Reply, v []byte) error { r.Message += printable(v); return nil }},
	22: {"Framed-Route", func(r *Reply, v []byte) error { return r.addRoute(string(v), false) }},
	25: {"Class", func(r *Reply, v []byte) error { r.Class = append(r.Class, append([]byte(nil), v...)); return nil }},
	27: {"Session-Timeout", secondsInto(func(r *Reply) *time.Duration { return &r.SessionTimeout })},
	28: {"Idle-Timeout", secondsInto(func(r *Reply) *time.Duration { return &r.IdleTimeout })},
	// RFC 2868 section 3.5; whoever holds the shared secret has decrypted it.
	69:  {"Tunnel-Password", func(r *Reply, v []byte) error { r.Password = secret.New(append([]byte(nil), v...)); return nil }},
	85:  {"Acct-Interim-Interval", secondsInto(func(r *Reply) *time.Duration { return &r.Interim })}, // RFC 2869
	88:  {"Framed-Pool", nameInto(func(r *Reply) *string { return &r.Pool })},                        // RFC 2869
	96:  {"Framed-Interface-Id", setInterfaceID},                                                     // RFC 3162
	97:  {"Framed-IPv6-Prefix", prefixInto(func(r *Reply) *netip.Prefix { return &r.Prefix6 })},      // RFC 3162
	99:  {"Framed-IPv6-Route", func(r *Reply, v []byte) error { return r.addRoute(string(v), true) }},
	100: {"Framed-IPv6-Pool", nameInto(func(r *Reply) *string { return &r.Pool6 })},
	123: {"Delegated-IPv6-Prefix", prefixInto(func(r *Reply) *netip.Prefix { return &r.Delegated })}, // RFC 4818
	135: {"Ascend-Client-Primary-DNS", serverInto("DNS", func(r *Reply) *[]netip.Addr { return &r.DNS }, 4)},
	136: {"Ascend-Client-Secondary-DNS", serverInto("DNS", func(r *Reply) *[]netip.Addr { return &r.DNS }, 4)},
	168: {"Framed-IPv6-Address", addr6Into(func(r *Reply) *netip.Addr { return &r.Address6 })}, // RFC 6911
	169: {"DNS-Server-IPv6-Address", serverInto("DNS", func(r *Reply) *[]netip.Addr { return &r.DNS }, 16)},
}

var cisco = map[byte]number{
	CiscoAVPair: {"Cisco-AVPair", func(r *Reply, v []byte) error { return r.AddPair(string(v)) }},
	ciscoQoSIn:  {"Cisco-Sub-QoS-Pol-In", nameInto(func(r *Reply) *string { return &r.QoSIn })},
	ciscoQoSOut: {"Cisco-Sub-QoS-Pol-Out", nameInto(func(r *Reply) *string { return &r.QoSOut })},
	ciscoInACL:  {"Cisco-In-ACL", nameInto(func(r *Reply) *string { return &r.FilterIn })},
	ciscoOutACL: {"Cisco-Out-ACL", nameInto(func(r *Reply) *string { return &r.FilterOut })},
}

var microsoft = map[byte]number{
	msCHAPError:     {"MS-CHAP-Error", setMSCHAPError},
	msPrimaryDNS:    {"MS-Primary-DNS-Server", serverInto("DNS", func(r *Reply) *[]netip.Addr { return &r.DNS }, 4)},
	msSecondaryDNS:  {"MS-Secondary-DNS-Server", serverInto("DNS", func(r *Reply) *[]netip.Addr { return &r.DNS }, 4)},
	msPrimaryNBNS:   {"MS-Primary-NBNS-Server", serverInto("WINS", func(r *Reply) *[]netip.Addr { return &r.WINS }, 4)},
	msSecondaryNBNS: {"MS-Secondary-NBNS-Server", serverInto("WINS", func(r *Reply) *[]netip.Addr { return &r.WINS }, 4)},
}

// Add takes one attribute without a vendor; one that is not known has no effect here.
func (r *Reply) Add(n byte, value []byte) error { return r.add(standard, n, value) }

// NameOf is the name of an attribute without a vendor, empty when it is not known.
func NameOf(n byte) string { return standard[n].name }

// AddVendor takes one attribute of a vendor.
func (r *Reply) AddVendor(vendor uint32, n byte, value []byte) error {
	switch vendor {
	case VendorCisco:
		return r.add(cisco, n, value)
	case VendorMicrosoft:
		return r.add(microsoft, n, value)
	}
	return nil
}

func (r *Reply) add(in map[byte]number, n byte, value []byte) error {
	at, ok := in[n]
	if !ok {
		return nil
	}
	if err := at.set(r, value); err != nil {
		if n == CiscoAVPair && at.name == "Cisco-AVPair" {
			return err
		}
		return fmt.Errorf("%s: %w", at.name, err)
	}
	return nil
}

func length(v []byte, want int) error {
	if len(v) != want {
		return fmt.Errorf("it has %d octets, not %d", len(v), want)
	}
	return nil
}

func textInto(at func(*Reply) *string) func(*Reply, []byte) error {
	return func(r *Reply, v []byte) error { first(at(r), printable(v)); return nil }
}

func nameInto(at func(*Reply) *string) func(*Reply, []byte) error {
	return func(r *Reply, v []byte) error { return setWord(at(r), printable(v)) }
}

func secondsInto(at func(*Reply) *time.Duration) func(*Reply, []byte) error {
	return func(r *Reply, v []byte) error {
		if err := length(v, 4); err != nil {
			return err
		}
		first(at(r), time.Duration(binary.BigEndian.Uint32(v))*time.Second)
		return nil
	}
}

func serverInto(what string, at func(*Reply) *[]netip.Addr, octets int) func(*Reply, []byte) error {
	return func(r *Reply, v []byte) error {
		if err := length(v, octets); err != nil {
			return err
		}
		a, _ := netip.AddrFromSlice(v)
		if !isHost(a) {
			return fmt.Errorf("%s is no address of a host", a)
		}
		r.addAddr(at(r), what, a)
		return nil
	}
}

func addr6Into(at func(*Reply) *netip.Addr) func(*Reply, []byte) error {
	return func(r *Reply, v []byte) error {
		if err := length(v, 16); err != nil {
			return err
		}
		a, _ := netip.AddrFromSlice(v)
		if !isPeer(a) {
			return fmt.Errorf("%s is no address of a host", a)
		}
		first(at(r), a)
		return nil
	}
}

// prefixInto reads a reserved octet, the length, and as many octets as the server found worth
// sending (RFC 3162 section 2.3).
func prefixInto(at func(*Reply) *netip.Prefix) func(*Reply, []byte) error {
	return func(r *Reply, v []byte) error {
		if len(v) < 2 || len(v) > 18 || v[1] > 128 || int(v[1]) > 8*(len(v)-2) {
			return fmt.Errorf("%d octets are no prefix", len(v))
		}
		var b [16]byte
		copy(b[:], v[2:])
		p := netip.PrefixFrom(netip.AddrFrom16(b), int(v[1])).Masked()
		if p.Addr().IsUnspecified() || !isPeer(p.Addr()) { // ::/0 would turn the default route to the spoke
			return fmt.Errorf("%s is no prefix of a spoke", p)
		}
		first(at(r), p)
		return nil
	}
}

func setFramedIP(r *Reply, v []byte) error {
	if err := length(v, 4); err != nil {
		return err
	}
	a, _ := netip.AddrFromSlice(v)
	if s := a.String(); s == userChooses || s == serverPoolOfThisNAS {
		return nil // the pool decides
	}
	return setAddr(&r.Address, a.String(), false)
}

func setFramedMask(r *Reply, v []byte) error {
	if err := length(v, 4); err != nil {
		return err
	}
	a, _ := netip.AddrFromSlice(v)
	return setNetmask(r, Pair{Value: a.String()})
}

func setInterfaceID(r *Reply, v []byte) error {
	if err := length(v, 8); err != nil {
		return err
	}
	first(&r.InterfaceID, [8]byte(v))
	return nil
}

// setFilterID reads NAME.in, NAME.out, or NAME for what comes from the spoke.
func setFilterID(r *Reply, v []byte) error {
	name := printable(v)
	if cut, ok := strings.CutSuffix(name, ".out"); ok {
		return setWord(&r.FilterOut, cut)
	}
	return setWord(&r.FilterIn, strings.TrimSuffix(name, ".in"))
}

// chapErrors are the codes of MS-CHAP-Error (RFC 2759 section 6), in words for people.
var chapErrors = map[string]string{
	"646": "outside of the hours in which the user may log in", "647": "the account is disabled", "648": "the password has expired",
	"649": "the user may not dial in", "691": "user name or password is wrong", "709": "the password could not be changed",
}

// setMSCHAPError reads why a server rejects: an identifier, then "E=691 R=1 C=… V=3 M=text" (RFC 2548
// section 2.1.2). It is for people, as Reply-Message is.
func setMSCHAPError(r *Reply, v []byte) error {
	if len(v) < 2 {
		return fmt.Errorf("it has %d octets, at least 2 are needed", len(v))
	}
	text := printable(v[1:])
	code, _, _ := strings.Cut(strings.TrimPrefix(text, "E="), " ")
	if why := chapErrors[code]; why != "" {
		text = why
	}
	if r.Message != "" {
		r.Message += "; "
	}
	r.Message += text
	return nil
}

func printable(v []byte) string {
	return strings.Map(func(c rune) rune {
		if control(c) || c == '�' {
			return '?'
		}
		return c
	}, string(v))
}
