package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"flexvpn/radiusdict"
)

// dictionaryLines are name and number of each line ATTRIBUTE of dictionaries.
func dictionaryLines(t *testing.T, pattern string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: there is none, %v", pattern, err)
	}
	out := map[string]string{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if w := strings.Fields(line); len(w) >= 4 && w[0] == "ATTRIBUTE" {
				out[w[1]] = w[2]
			}
		}
	}
	return out
}

// Our names and numbers are those of FreeRADIUS: of the vendor attributes in the dictionary that we ship,
// and of those without a vendor that the code knows.
func TestAAADictionary(t *testing.T) {
	t.Parallel()
	const theirs = "/usr/share/freeradius/dictionary."
	vendors := dictionaryLines(t, theirs+"cisco")
	for name, n := range dictionaryLines(t, theirs+"microsoft") {
		vendors[name] = n
	}
	ours := dictionaryLines(t, "../deploy/freeradius/dictionary.flexvpn")
	if len(ours) < 10 {
		t.Errorf("our dictionary has %v", ours)
	}
	for name, n := range ours {
		if vendors[name] != n {
			t.Errorf("%s is %s for us and %q for FreeRADIUS", name, n, vendors[name])
		}
	}
	rfcs := dictionaryLines(t, theirs+"rfc*")
	for name, n := range dictionaryLines(t, theirs+"ascend.illegal") { // once numbers without a vendor
		rfcs[strings.TrimPrefix(name, "X-")] = n
	}
	known := 0
	for n := range 256 {
		if name := radiusdict.NameOf(byte(n)); name != "" {
			known++
			if rfcs[name] != strconv.Itoa(n) {
				t.Errorf("%s is %d for us and %q for FreeRADIUS", name, n, rfcs[name])
			}
		}
	}
	if known < 20 {
		t.Errorf("%d attributes are known", known)
	}
}
