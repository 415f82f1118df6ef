package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// The words of IOS for what the views name otherwise.

// iosNumber is the number in a session's id: IOS numbers its tunnels.
func iosNumber(id string) string {
	digits := strings.TrimLeftFunc(id, func(r rune) bool { return r < '0' || r > '9' })
	if digits == "" {
		return id
	}
	return digits
}

// iosCipher is a cipher's name and key length in bits.
func iosCipher(name string, bits int) (string, int) {
	switch {
	case strings.HasPrefix(name, "aes-gcm"):
		return "AES-GCM", bits
	case strings.HasPrefix(name, "aes-cbc"):
		return "AES-CBC", bits
	case strings.HasPrefix(name, "chacha20"):
		return "CHACHA20-POLY1305", 256
	}
	return strings.ToUpper(name), bits
}

// iosHash names an integrity algorithm; SHA-1 goes by the length of its tag.
func iosHash(name string) string {
	switch name {
	case "":
		return "None"
	case "sha1":
		return "SHA96"
	}
	return strings.ToUpper(name)
}

// iosGroups are the numbers of the groups (IANA, Transform Type 4).
var iosGroups = map[string]string{
	"modp1024": "2", "modp1536": "5", "modp2048": "14", "modp3072": "15", "modp4096": "16",
	"ecp256": "19", "ecp384": "20", "ecp521": "21", "x25519": "31",
}

func iosGroup(name string) string {
	if n, ok := iosGroups[name]; ok {
		return n
	}
	return name
}

func iosAuth(method string) string {
	switch method {
	case "psk":
		return "PSK"
	case "certificate":
		return "RSA" // the view does not tell RSA from other signatures
	}
	return strings.ToUpper(method)
}

// iosStatus is the status of an IKE SA. A rekey does not show: the SA works on.
func iosStatus(state string) string {
	switch state {
	case "SA_INIT", "AUTH":
		return "IN-NEG"
	case "DELETING":
		return "DELETE"
	case "REKEYING":
		return "READY"
	}
	return state
}

// iosEndpoint is address/port; what is no endpoint stays as it is.
func iosEndpoint(s string) string {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return s
	}
	return fmt.Sprintf("%s/%d", ap.Addr().Unmap(), ap.Port())
}

func isIPv6(endpoint string) bool {
	ap, err := netip.ParseAddrPort(endpoint)
	return err == nil && ap.Addr().Unmap().Is6()
}

// iosUptime is a time span: 13:17:14, then 1d02h, then 1w2d.
func iosUptime(d time.Duration) string {
	d = max(d, 0)
	hours := int(d / time.Hour)
	switch {
	case hours < 24:
		return fmt.Sprintf("%02d:%02d:%02d", hours, int(d.Minutes())%60, int(d.Seconds())%60)
	case hours < 7*24:
		return fmt.Sprintf("%dd%02dh", hours/24, hours%24)
	}
	return fmt.Sprintf("%dw%dd", hours/(7*24), hours/24%7)
}

// iosNetwork is a prefix with its mask for IPv4, in prefix form for IPv6.
func iosNetwork(p netip.Prefix, separator string) string {
	if p.Addr().Is6() {
		return p.String()
	}
	return p.Addr().String() + separator + netmask(p.Bits())
}

func netmask(bits int) string {
	m := ^uint32(0) << (32 - bits)
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

// iosSelector is a traffic selector as first/port - last/port. What it says besides addresses (a
// protocol, ports) follows as it is.
func iosSelector(s string) string {
	addresses, rest, _ := strings.Cut(s, " ")
	first, last, ok := strings.Cut(addresses, "-")
	if p, isPrefix := selectorPrefix(addresses); isPrefix {
		first, last, ok = p.Masked().Addr().String(), lastAddress(p).String(), true
	}
	if !ok {
		return s
	}
	return joined(" ", fmt.Sprintf("%s/0 - %s/65535", first, last), rest)
}

// selectorPrefix reads the addresses of a selector that are a prefix or a single address.
func selectorPrefix(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p, err == nil
}

func lastAddress(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// iosDPD is the interval and retry time in a session's DPD text: 30s/5s on-demand (profile spokes).
func iosDPD(text string) (interval, retry time.Duration, ok bool) {
	times, mode, _ := strings.Cut(text, " ")
	first, second, ok := strings.Cut(times, "/")
	if !ok || strings.HasPrefix(mode, "off") {
		return 0, 0, false
	}
	interval, err1 := time.ParseDuration(first)
	retry, err2 := time.ParseDuration(second)
	return interval, retry, err1 == nil && err2 == nil
}
