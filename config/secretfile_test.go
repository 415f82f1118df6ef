package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const keyOf = "node: n\nikev2:\n  profiles: {}\n  keyrings:\n    k: [{peer: a, pre-shared-key: {file: a.psk}}]\n"

// pskCase loads a configuration that names dir/a.psk; it returns errors without dir, or the key.
func pskCase(t *testing.T, dir string) (key, text string) {
	t.Helper()
	cfg, err := Load(writeFile(t, dir, "n.yaml", keyOf, 0o644))
	if err != nil {
		return "", strings.ReplaceAll(err.Error(), dir+"/", "")
	}
	return string(cfg.IKEv2.Keyrings["k"].Peers[0].Local.Reveal()), cfg.Warnings.Error()
}

func TestSecretFiles(t *testing.T) {
	const good = "0123456789abcdef-good"
	at := "n.yaml:5:42: "
	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		key, want     string
	}{
		{"only the owner", good + "\n", 0o600, good, ""},
		{"not even writable", good, 0o400, good, ""},
		{"one newline is the editor's", good + "\r\n", 0o600, good, ""},
		{"two are the key's", good + "\n\n", 0o600, good + "\n", ""},
		{"hexadecimal", "0x" + strings.Repeat("41", 16) + "\n", 0o600, strings.Repeat("A", 16), ""},
		{"group may read", good, 0o640, "", at + "secret file a.psk can be read or changed by others (mode 0640) (chmod 600 a.psk)"},
		{"others may read", good, 0o604, "", at + "secret file a.psk can be read or changed by others (mode 0604) (chmod 600 a.psk)"},
		{"group may write", good, 0o620, "", at + "secret file a.psk can be read or changed by others (mode 0620) (chmod 600 a.psk)"},
		{"empty", "", 0o600, "", at + "secret file a.psk is empty"},
		{"only a newline", "\n", 0o600, "", at + "secret file a.psk is empty"},
		{"large", strings.Repeat("x", maxSecretFile+1), 0o600, "", at + "secret file a.psk has more than 65536 octets (is this the right file?)"},
		{"longer than any key", strings.Repeat("x", maxKey+1), 0o600, "", at + "the pre-shared key has more than 4096 octets (is this the right file?)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, dir, "a.psk", c.content, c.mode)
			if key, text := pskCase(t, dir); key != c.key || text != c.want {
				t.Errorf("key %q, text\n%s\nwant %q,\n%s", key, text, c.key, c.want)
			}
		})
	}
}

func TestSecretFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	if _, text := pskCase(t, dir); text != "n.yaml:5:42: secret file a.psk does not exist" {
		t.Errorf("a missing file: %s", text)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "a.psk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, text := pskCase(t, dir); text != "n.yaml:5:42: secret file a.psk is not a regular file" {
		t.Errorf("a FIFO, which must not hang: %s", text)
	}
}

func TestSecretFileOfAStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("giving a file to a stranger needs root: run the tests as root")
	}
	dir := t.TempDir()
	path := writeFile(t, dir, "a.psk", "0123456789abcdef-good", 0o600)
	if err := os.Chown(path, 12345, 0); err != nil {
		t.Fatal(err)
	}
	want := "n.yaml:5:42: secret file a.psk belongs to user 12345, neither to root nor to the user of this process (0) (chown 0 a.psk)"
	if _, text := pskCase(t, dir); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestConfigurationThatHoldsAKey(t *testing.T) {
	text := strings.Replace(keyOf, "{file: a.psk}", "0123456789abcdef-good", 1)
	for mode, want := range map[os.FileMode]string{
		0o600: "",
		0o644: "n.yaml:5:35: a pre-shared key stands here, and the configuration file can be read or changed by others (mode 0644) (chmod 600 n.yaml, or put it into a file of its own: {file: PATH})",
	} {
		dir := t.TempDir()
		_, err := Load(writeFile(t, dir, "n.yaml", text, mode))
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), dir+"/", "")
		}
		if got != want {
			t.Errorf("mode %o: got\n%s\nwant\n%s", mode, got, want)
		}
	}
}

func TestLoadOfNoFile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir + "/none": dir + "/none: does not exist (give the path of the configuration with -c)",
		dir:           dir + ": is not a regular file",
		dir + "/fifo": dir + "/fifo: is not a regular file",
	} {
		_, err := Load(path)
		var list Errors
		if !errors.As(err, &list) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A configuration is printed whole by mistake sooner or later.
func TestConfigPrintsNoKey(t *testing.T) {
	cfg := mustParse(t, "hub.yaml", hubFile)
	for _, k := range cfg.IKEv2.Keyrings {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
			if out := fmt.Sprintf(verb, k.Peers); strings.Contains(out, "the key in") || strings.Contains(out, "746865206b6579") {
				t.Errorf("%s shows a key: %s", verb, out)
			}
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(minimal)
	for i := range 5000 {
		fmt.Fprintf(&b, "key%d: 1\n", i)
	}
	_, err := Parse("n.yaml", []byte(b.String()))
	var list Errors
	if !errors.As(err, &list) || len(list) != 101 || list[100].Text != "and 4900 more errors" {
		t.Errorf("a file that is wrong in 5000 lines gives %d errors, the last %v", len(list), list[len(list)-1])
	}
	if one := (Error{}); !errors.As(err, &one) {
		t.Error("errors.As finds no single error")
	}
}
