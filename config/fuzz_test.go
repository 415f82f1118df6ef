package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzParse holds that no text makes Parse panic or work long, and that whatever is refused is
// refused with a reason. Files are never opened: the fuzzer would find them.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "../deploy/examples/*.yaml", "../deploy/examples/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte(hubFile))
	f.Add([]byte(spokeFile))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 {
			return
		}
		started := time.Now()
		cfg, err := Parse("/nonexistent/fuzz.yaml", text, CheckProposal(checkFake), SecretFiles(fakeKeys))
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		var list Errors
		switch {
		case err == nil && cfg == nil:
			t.Error("neither a configuration nor an error")
		case err != nil && (cfg != nil || !errors.As(err, &list) || len(list) == 0):
			t.Errorf("refused without a reason, or accepted with one: %v", err)
		case err == nil && cfg.Summary() == "":
			t.Error("no summary")
		}
		for _, e := range list {
			if e.Text == "" || strings.Contains(e.Text, "\n") {
				t.Errorf("an error is not one line: %q", e.Text)
			}
		}
	})
}

// What costs a parser most is much of the same: the time must grow with the size, not its square.
func TestLargeFiles(t *testing.T) {
	for name, text := range map[string]string{
		"brackets":     strings.Repeat("[", 100000),
		"dashes":       strings.Repeat("- ", 100000),
		"braces":       "a: " + strings.Repeat("{a: ", 100000),
		"quotes":       strings.Repeat("\"", 100000),
		"colons":       strings.Repeat(":", 100000),
		"keys":         strings.Repeat("a: 1\n", 50000),
		"more keys":    strings.Repeat(strings.Repeat("  a: 1\n", 9000)+"b:\n", 10),
		"flow keys":    "node: {" + strings.Repeat("a: 1, ", 100000) + "}",
		"anchors":      strings.Repeat("&a ", 50000),
		"tags":         strings.Repeat("!a ", 50000),
		"comments":     strings.Repeat("# a\n", 50000),
		"one line":     "node: " + strings.Repeat("x", 1<<19),
		"block scalar": "node: |\n" + strings.Repeat("  x\n", 50000),
		"pools":        minimal + "pools: {a: {range: [" + strings.Repeat("10.0.0.0/8, ", 20000) + "]}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			if _, err := Parse("n.yaml", []byte(text)); err == nil {
				t.Error("it was accepted")
			} else if time.Since(started) > 20*time.Second { // a hang, however slow the machine is
				t.Errorf("it took %v", time.Since(started))
			} else if len(err.Error()) > 1<<20 {
				t.Errorf("the error has %d octets", len(err.Error()))
			}
			t.Logf("%d octets took %v", len(text), time.Since(started))
		})
	}
}
