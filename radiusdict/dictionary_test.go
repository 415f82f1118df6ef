package radiusdict

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// attributesIn are the lines ATTRIBUTE of a dictionary, as "name number", by vendor.
func attributesIn(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out, vendor := map[string][]string{}, ""
	for line := range strings.Lines(string(text)) {
		switch w := strings.Fields(line); {
		case len(w) >= 2 && w[0] == "BEGIN-VENDOR":
			vendor = w[1]
		case len(w) >= 2 && w[0] == "END-VENDOR":
			vendor = ""
		case len(w) >= 4 && w[0] == "ATTRIBUTE":
			out[vendor] = append(out[vendor], w[1]+" "+w[2])
		}
	}
	return out
}

func namesOf(in map[byte]number) (out []string) {
	for _, n := range slices.Sorted(maps.Keys(in)) {
		out = append(out, fmt.Sprintf("%s %d", in[n].name, n))
	}
	return out
}

// The dictionary that is shipped for servers has the vendor attributes that this package acts on, and the
// keys that authz/radius decrypts; no others.
func TestShippedDictionary(t *testing.T) {
	shipped := attributesIn(t, "../deploy/freeradius/dictionary.flexvpn")
	keys := []string{fmt.Sprint("MS-MPPE-Send-Key ", MSMPPESendKey), fmt.Sprint("MS-MPPE-Recv-Key ", MSMPPERecvKey)}
	for vendor, want := range map[string][]string{"Cisco": namesOf(cisco), "Microsoft": append(namesOf(microsoft), keys...)} {
		got := shipped[vendor]
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("of %s it has\n%s\nbut the code knows\n%s", vendor, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if len(shipped) != 2 {
		t.Errorf("it has %v", slices.Collect(maps.Keys(shipped)))
	}
}

// Why a server rejects is in MS-CHAP-Error with some methods, and is told as Reply-Message is.
func TestReasonOfARejection(t *testing.T) {
	for value, want := range map[string]string{
		"\x07E=691 R=0": "user name or password is wrong", "\x07E=648 R=0 V=3": "the password has expired", "\x07E=999 R=0": "E=999 R=0", "\x07go away\x1b": "go away?",
	} {
		var r Reply
		if err := r.AddVendor(VendorMicrosoft, msCHAPError, []byte(value)); err != nil || r.Message != want {
			t.Errorf("%q is told as %q, %v", value, r.Message, err)
		}
	}
	r := Reply{Message: "no"}
	if err := r.AddVendor(VendorMicrosoft, msCHAPError, []byte("\x07E=647")); err != nil || r.Message != "no; the account is disabled" {
		t.Errorf("told as %q, %v", r.Message, err)
	}
	if err := r.AddVendor(VendorMicrosoft, msCHAPError, nil); err == nil || !strings.Contains(err.Error(), "MS-CHAP-Error") {
		t.Errorf("an empty one: %v", err)
	}
}
