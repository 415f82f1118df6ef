package config

import (
	"fmt"
	"strings"
)

// referenceHead is the part of docs/configuration.md that no key can tell. Markdown's code quotes
// are written as ' here where a Go raw string cannot hold them.
const referenceHead = `# Configuration reference

<!-- Written by: go test ./config -run TestReferencePage -update. Do not edit: change the keys in config/. -->

One YAML file configures a node. ''flexvpn check -c FILE'' tells every error of a file at once, each with
its line and column, and exits with 1; nothing is changed by a file with an error. Sample files that
load as they are stand in [deploy/examples](../deploy/examples).

**Values.** A duration is a number with its unit (''500ms'', ''30s'', ''5m'', ''24h''). Addresses are IPv4 or
IPv6 wherever nothing else is said. A prefix is ''10.0.0.0/8''; an address alone stands for a prefix of
one address. Sizes in octets may have the units KiB, MiB, GiB and TiB. Where a list is allowed a single
value often is, too: the type says so.

**Strictness.** Unknown and repeated keys, empty values, names that lead nowhere and values out of range
are errors. Anchors, aliases, merge keys and tags of YAML are not supported.

**Secret files** (pre-shared and private keys) must belong to root or to the user of the process, and
only the owner may read them: ''chmod 600 FILE''. A configuration file that holds a pre-shared key
itself is a secret file, too. A relative path starts from the folder of the configuration file.

**Names.** ''NAME'' stands for a name that you choose: 1 to 63 letters, digits, ''-'', ''_'' and ''.''.
''[]'' stands for the entries of a list.

**Reload.** A running node keeps the configuration it was started with; restart it to use another.
`

// reference is docs/configuration.md, made from the same keys that decoding uses.
func reference() string {
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(referenceHead, "''", "`"))
	writeKeys(&b, "", "Top level", "", new(rawConfig).keys())
	return b.String()
}

func subPrefix(name string, s shape) string {
	switch {
	case strings.HasPrefix(s.under, "[]"):
		return name + s.under + "."
	case s.under != "":
		return name + "." + s.under + "."
	}
	return name + "."
}

// writeKeys writes one chapter: the keys of a section that hold values, then a chapter for each
// section below.
func writeKeys(b *strings.Builder, prefix, title, doc string, keys []key) {
	fmt.Fprintf(b, "\n## %s\n\n", title)
	if doc != "" {
		fmt.Fprintf(b, "%s\n\n", doc)
	}
	b.WriteString("| key | type and range | default | meaning | example |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		s := k.part.shape()
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", k.name, cell(typeText(k, s)), cell(defaultText(k, s)), cell(k.doc), cell(exampleText(k)))
	}
	for _, k := range keys {
		s := k.part.shape()
		if len(s.keys) > 0 {
			path := strings.TrimSuffix(subPrefix(prefix+k.name, s), ".")
			writeKeys(b, path+".", "`"+path+"`", k.doc, s.keys)
		}
	}
}

func typeText(k key, s shape) string {
	switch {
	case s.kind == "one of":
		return "`" + strings.Join(strings.Split(s.limits, ", "), "`, `") + "`"
	case s.kind == "section":
		return "section, see below"
	case len(s.keys) > 0:
		return s.kind + ", see below"
	case s.limits != "":
		return s.kind + "; " + s.limits
	}
	return s.kind
}

func defaultText(k key, s shape) string {
	switch {
	case k.required:
		return "required"
	case k.def != "":
		return "`" + k.def + "`"
	case k.otherwise != "":
		return k.otherwise
	case s.kind == "section":
		return "that of each key"
	case strings.HasPrefix(s.kind, "not supported"):
		return ""
	}
	return "none"
}

func exampleText(k key) string {
	if k.example == "" {
		return ""
	}
	return "`" + k.name + ": " + k.example + "`"
}

// cell keeps text inside its column of a Markdown table.
func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", "\\|"), "\n", " ")
}
