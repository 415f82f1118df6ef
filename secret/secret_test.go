package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
)

// The secret and every form in which a printer could show it: text, hex, decimal, base64.
const sesame = "open sesame"

var forms = []string{
	sesame, "6f70656e20736573616d65", "6F70656E20736573616D65", "111 112 101 110", "b3BlbiBzZXNhbWU",
	"0x6f, 0x70", `\x6f\x70`,
}

type holder struct {
	Public  Bytes
	private Bytes
	nested  struct{ deep Bytes }
	pointer *Bytes
	list    []Bytes
	byName  map[string]Bytes
}

func newHolder() holder {
	s := FromString(sesame)
	h := holder{Public: s, private: s, pointer: &s, list: []Bytes{s}, byName: map[string]Bytes{"a": s}}
	h.nested.deep = s
	return h
}

func wantSecret(t *testing.T, how, printed string) {
	t.Helper()
	for _, form := range forms {
		if bytes.Contains([]byte(printed), []byte(form)) {
			t.Errorf("%s shows the secret: %s", how, printed)
		}
	}
}

func TestNoVerbPrintsASecret(t *testing.T) {
	h := newHolder()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%T", "%p"} {
		for _, value := range []any{h, &h, h.Public, &h.Public, h.list, h.byName, []any{h.private}} {
			wantSecret(t, verb, fmt.Sprintf(verb, value))
		}
	}
	if got := fmt.Sprint(h.Public); got != "[redacted]" {
		t.Errorf("printed %q, want [redacted]", got)
	}
}

func TestNoEncoderOrLoggerShowsASecret(t *testing.T) {
	h := newHolder()
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	wantSecret(t, "JSON", string(text))
	if want := `{"Public":"[redacted]"}`; string(text) != want {
		t.Errorf("JSON is %s, want %s", text, want)
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("secrets", "struct", h, "pointer", &h, "value", h.Public, "list", h.list)
		wantSecret(t, name, b.String())
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b Bytes
		want bool
	}{
		{FromString("a"), FromString("a"), true},
		{FromString("a"), FromString("b"), false},
		{FromString("a"), FromString("aa"), false},
		{FromString("a"), Bytes{}, false},
		{Bytes{}, New(nil), true},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("Equal(%q, %q) = %v", c.a.Reveal(), c.b.Reveal(), got)
		}
	}
}

func TestWipeReachesEveryCopy(t *testing.T) {
	s := FromString(sesame)
	other := s
	s.Wipe()
	if !bytes.Equal(other.Reveal(), make([]byte, len(sesame))) {
		t.Error("a copy still holds the secret")
	}
	if s.IsEmpty() || s.Len() != len(sesame) {
		t.Error("wiping changed the length")
	}
}
