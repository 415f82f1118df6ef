package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md and the expected messages of testdata")

const referencePath = "../docs/configuration.md"

func TestReferencePage(t *testing.T) {
	want := reference()
	if *update {
		if err := os.WriteFile(referencePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the keys say: run go test ./config -run TestReferencePage -update", referencePath)
	}
}

func TestEveryKeyIsExplained(t *testing.T) {
	walkKeys(new(rawConfig).keys(), "", func(path string, k key) {
		s := k.part.shape()
		if k.doc == "" {
			t.Errorf("%s has no doc", path)
		}
		if !strings.HasSuffix(k.doc, ".") {
			t.Errorf("the doc of %s is no sentence: %q", path, k.doc)
		}
		value := len(s.keys) == 0 && !strings.HasPrefix(s.kind, "not supported")
		if value && k.example == "" {
			t.Errorf("%s has no example", path)
		}
		if value && !k.required && k.def == "" && k.otherwise == "" {
			t.Errorf("%s does not say what holds when it is missing", path)
		}
	})
}

func walkKeys(keys []key, path string, visit func(string, key)) {
	for _, k := range keys {
		visit(path+k.name, k)
		s := k.part.shape()
		walkKeys(s.keys, subPrefix(path+k.name, s), visit)
	}
}

// The page shows examples as they would stand in a file, so each must be read without complaint.
func TestExamplesAreValid(t *testing.T) {
	walkKeys(new(rawConfig).keys(), "", func(path string, k key) {
		if k.example == "" || strings.Contains(k.example, "…") {
			return
		}
		r := &reader{file: "example"}
		body, ok := r.parseYAML([]byte(k.name + ": " + k.example))
		if ok {
			pairs, _ := pairsOf(body)
			r.readValue(k.part, field{k.name, place{1, 1}, pairs[0].Value})
		}
		for _, e := range r.errs {
			t.Errorf("the example of %s: %v", path, e)
		}
	})
}

func TestNearest(t *testing.T) {
	words := []string{"interval", "retry", "mode", "address"}
	for _, c := range []struct{ in, want string }{
		{"intervall", "interval"},
		{"Mode", "mode"},
		{"adress", "address"},
		{"addr", "address"},
		{"rtery", "retry"},
		{"x", ""},
		{"", ""},
		{"completely-else", ""},
		{strings.Repeat("a", 1000), ""},
	} {
		if got := nearest(c.in, words); got != c.want {
			t.Errorf("nearest(%.20q) = %q, want %q", c.in, got, c.want)
		}
	}
}
