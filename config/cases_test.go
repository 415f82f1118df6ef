package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkFake stands in for the suite's tables: it knows three names.
func checkFake(p Proposal, esp bool) []error {
	var errs []error
	for _, name := range p.Encryption {
		if name != "aes-gcm-256" {
			errs = append(errs, errors.New("unknown encryption "+name))
		}
	}
	if esp && len(p.PRF) > 0 || !esp && p.ESN != "" {
		errs = append(errs, errors.New("a key of the other registry"))
	}
	return errs
}

// checkLine stands in for the words of IOS: it knows one.
func checkLine(line string) error {
	if !strings.HasPrefix(line, "ip mtu ") {
		return errors.New("this line is not supported: " + line)
	}
	return nil
}

// anyMode reads a secret file whatever its permissions: git does not keep them.
func anyMode(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, problem{text: openProblem(err)}
	}
	return b, nil
}

// outcome is what Parse says, one line each: errors, or the warnings of a good file.
func outcome(path string, text []byte) string {
	cfg, err := Parse(path, text, CheckProposal(checkFake), CheckInterfaceConfig(checkLine), SecretFiles(anyMode))
	var list Errors
	prefix := ""
	if err != nil {
		errors.As(err, &list)
	} else {
		list, prefix = cfg.Warnings, "warning: "
	}
	var b strings.Builder
	for _, e := range list {
		b.WriteString(prefix + strings.TrimPrefix(e.Error(), "testdata/") + "\n")
	}
	return b.String()
}

// Each testdata/NAME.yaml has beside it testdata/NAME.want with every message expected. Write the
// file, run with -update, and read what the messages say: they are the specification.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := outcome(f, text)
			wantFile := strings.TrimSuffix(f, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(wantFile, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(wantFile)
			if err != nil {
				t.Fatal(err)
			}
			if len(want) == 0 {
				t.Error("the case says nothing: a good file belongs into a test of its values")
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(got, "the-secret") {
				t.Error("a message shows a secret")
			}
		})
	}
}
