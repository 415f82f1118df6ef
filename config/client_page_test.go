package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// pageBase is a spoke and a hub in one, into which each piece of docs/client.md is put.
const pageBase = `node: n
ikev2:
  listen: [{address: 0.0.0.0, vrf: internet}]
  keyrings: {keys: [{peer: any, pre-shared-key: {file: KEY}}]}
  profiles: {hubs: {authentication: {local: psk, remote: psk}, keyring: keys}}
pools: {flexspokes: {range: 10.1.2.2-10.1.2.254}}
clients: {flex1: {profile: hubs, tunnel: tunnel1, inside: [eth1], peers: [{sequence: 1, address: 192.0.2.1}]}}
tunnels: {tunnel0: {mode: gre}, tunnel1: {mode: gre}}
tracks: {1: {interface: eth0, line-protocol: up}, 2: {interface: eth1, line-protocol: up}, 10: {interface: eth0, line-protocol: up}, 12: {route: {prefix: 10.0.0.0/8}}}
access-lists: {web: [permit tcp any any eq 443]}
policy-maps: {line: {shape: 10m}}
`

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	elided   = regexp.MustCompile(`, *…|…, *`)
)

// pieces are what the page gives as YAML: the second column of the tables of IOS blocks, and blocks.
func pieces(t *testing.T) (out []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/client.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(text), "## IOS and YAML")
	page, _, found := strings.Cut(page, "## Looking at it")
	if !found {
		t.Fatal("docs/client.md has lost its chapter")
	}
	for i, block := range strings.Split(page, "```") {
		if yaml, ok := strings.CutPrefix(block, "yaml\n"); ok {
			out = append(out, yaml)
			continue
		}
		if i%2 == 1 {
			continue
		}
		for row := range strings.Lines(block) {
			cells := strings.Split(row, " | ")
			if len(cells) != 2 || !strings.HasPrefix(row, "| ") {
				continue
			}
			var spans []string
			for _, m := range codeSpan.FindAllStringSubmatch(cells[1], -1) {
				spans = append(spans, m[1])
			}
			if strings.Contains(cells[1], "<br>") {
				spans = []string{strings.Join(spans, "\n")}
			}
			out = append(out, spans...)
		}
	}
	return out
}

// Every piece of YAML that docs/client.md gives for a block of IOS is one that this program takes.
func TestClientPageYAML(t *testing.T) {
	key := filepath.Join(t.TempDir(), "psk")
	if err := os.WriteFile(key, []byte("a test secret, not for use\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	clientKeys := map[string]bool{}
	for _, k := range new(rawClient).keys() {
		clientKeys[k.name] = true
	}
	checked := 0
	for _, piece := range pieces(t) {
		text := elided.ReplaceAllString(piece, "")
		if strings.HasPrefix(text, "{sequence:") {
			text = "peers: [" + text + "]"
		}
		var part map[string]any
		if yaml.Unmarshal([]byte(text), &part) != nil || !strings.Contains(text, ":") {
			continue // a key's name in a sentence
		}
		var whole map[string]any
		if err := yaml.Unmarshal([]byte(strings.Replace(pageBase, "KEY", key, 1)), &whole); err != nil {
			t.Fatal(err)
		}
		for k, v := range part {
			switch {
			case clientKeys[k]:
				merge(whole, map[string]any{"clients": map[string]any{"flex1": map[string]any{k: v}}})
			case k == "authorization-policies":
				merge(whole, map[string]any{"ikev2": map[string]any{k: v}})
			default:
				merge(whole, map[string]any{k: v})
			}
		}
		if strings.Contains(text, "destination: 203") { // "and no peers"
			delete(whole["clients"].(map[string]any)["flex1"].(map[string]any), "peers")
		}
		made, err := yaml.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		checked++
		if _, err := Parse("client.md", made); err != nil {
			t.Errorf("%s\nis refused: %v\nin\n%s", piece, err, made)
		}
	}
	if checked < 30 {
		t.Errorf("only %d pieces were found", checked)
	}
}

// merge puts part into whole; what is no mapping replaces what was there.
func merge(whole, part map[string]any) {
	for k, v := range part {
		below, ok := v.(map[string]any)
		at, there := whole[k].(map[string]any)
		if ok && there {
			merge(at, below)
			continue
		}
		whole[k] = v
	}
}
