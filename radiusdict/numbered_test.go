package radiusdict

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func octets(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNumberedAttributes(t *testing.T) {
	for _, c := range []struct {
		n     byte
		value string // hexadecimal
		want  string
	}{
		{1, "616c696365", "UserName alice"},
		{8, "0a010107", "Address 10.1.1.7"},
		{8, "fffffffe", "Address invalid IP"}, // the pool decides
		{9, "ffffff00", "Netmask 255.255.255.0"},
		{11, "6775657374732e696e", "FilterIn guests"},
		{11, "6775657374732e6f7574", "FilterOut guests"},
		{11, "677565737473", "FilterIn guests"},
		{22, hex.EncodeToString([]byte("172.16.9.0/24 0.0.0.0 5")), "Routes [{172.16.9.0/24 5}]"},
		{25, "01ff", "Class [[1 255]]"},
		{27, "0000003c", "SessionTimeout 1m0s"},
		{28, "0000001e", "IdleTimeout 30s"},
		{85, "00000258", "Interim 10m0s"},
		{88, "666c6578", "Pool flex"},
		{96, "0000000000000007", "InterfaceID [0 0 0 0 0 0 0 7]"},
		{97, "0040 20010db800010000", "Prefix6 2001:db8:1::/64"},
		{99, hex.EncodeToString([]byte("2001:db8:9::/48 ::")), "Routes [{2001:db8:9::/48 0}]"},
		{100, "666c657836", "Pool6 flex6"},
		{123, "0030 20010db800090000", "Delegated 2001:db8:9::/48"},
		{135, "0a000001", "DNS [10.0.0.1]"},
		{168, "20010db8000000000000000000000007", "Address6 2001:db8::7"},
		{169, "20010db8000000000000000000000005", "DNS [2001:db8::5]"},
	} {
		var r Reply
		if err := r.Add(c.n, octets(t, c.value)); err != nil {
			t.Errorf("attribute %d: %v", c.n, err)
			continue
		}
		field, want, _ := strings.Cut(c.want, " ")
		if got := fmt.Sprint(reflect.ValueOf(r).FieldByName(field).Interface()); got != want {
			t.Errorf("attribute %d: %s is %s, want %s", c.n, field, got, want)
		}
	}
}

func TestVendorAttributes(t *testing.T) {
	var r Reply
	for _, c := range []struct {
		vendor uint32
		n      byte
		value  string
	}{
		{VendorCisco, 1, "ipsec:banner=Hi"},
		{VendorCisco, 55, "gold"},
		{VendorCisco, 58, "out"},
		{VendorMicrosoft, 28, "\x0a\x00\x00\x01"},
		{VendorMicrosoft, 30, "\x0a\x00\x00\x02"},
		{VendorMicrosoft, 7, "ignored"},
		{14988, 8, "another vendor"},
	} {
		if err := r.AddVendor(c.vendor, c.n, []byte(c.value)); err != nil {
			t.Error(err)
		}
	}
	if got := fmt.Sprintln(r.Banner, r.QoSIn, r.FilterOut, r.DNS, r.WINS); strings.TrimSpace(got) != "Hi gold out [10.0.0.1] [10.0.0.2]" {
		t.Errorf("got %s", got)
	}
}

// Short, long and senseless values are refused, each with the attribute's name.
func TestBadNumberedAttributes(t *testing.T) {
	for n, values := range map[byte][]string{
		8: {"", "0a0101", "0a01010100", "00000000", "e0000001", "7f000001"}, 9: {"ff00ff00", ""}, 27: {"", "00", "0000000000"}, 28: {"ff"}, 85: {"ff"},
		97: {"", "00", "0081 20010db8", "0040 2001", "0000" + strings.Repeat("00", 17), "0000", "0010 fe80", "0008 ff"}, 123: {"0080", "0000"}, 96: {"00"},
		168: {"00", strings.Repeat("00", 16), "fe80" + strings.Repeat("00", 13) + "01"},
		169: {"0a000001"}, 22: {"ff", ""}, 99: {hex.EncodeToString([]byte("10.0.0.0/8"))}, 88: {"", "20"}, 135: {"00"},
	} {
		for _, v := range values {
			var r Reply
			if err := r.Add(n, octets(t, v)); err == nil || !strings.Contains(err.Error(), standard[n].name) {
				t.Errorf("attribute %d with %q: %v", n, v, err)
			}
		}
	}
}

func FuzzNumbered(f *testing.F) {
	f.Add(uint32(0), byte(97), []byte{0, 64, 0x20, 1, 0xd, 0xb8})
	f.Add(uint32(9), byte(1), []byte("ipsec:banner=x"))
	f.Add(uint32(311), byte(28), []byte{10, 0, 0, 1})
	f.Fuzz(func(_ *testing.T, vendor uint32, n byte, v []byte) {
		var r Reply
		if vendor == 0 {
			_ = r.Add(n, v)
		} else {
			_ = r.AddVendor(vendor, n, v)
		}
	})
}
