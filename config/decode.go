package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// place is where something stands in the file; the zero place is the file as a whole.
type place struct{ line, column int }

// given is a value with the place where it stands. A default stands where its section does.
type given[T any] struct {
	v     T
	at    place
	ok    bool // v is valid: from the file or by default
	typed bool // it stands in the file
}

// reader reads one file and gathers what is wrong with it.
type reader struct {
	options
	file     string
	dir      string
	errs     Errors
	warnings Errors
}

func (r *reader) fail(at place, remedy, format string, args ...any) {
	r.errs = append(r.errs, Error{r.file, at.line, at.column, fmt.Sprintf(format, args...), remedy})
}

func (r *reader) failFile(text string) { r.fail(place{}, "", "%s", text) }

func (r *reader) warn(at place, remedy, format string, args ...any) {
	r.warnings = append(r.warnings, Error{r.file, at.line, at.column, fmt.Sprintf(format, args...), remedy})
}

// A field is one value on its way from the file into a raw struct.
type field struct {
	label string // what messages call it: "interval", "profile spokes"
	at    place  // of its key, or of the list entry
	node  ast.Node
}

// A part reads one kind of value. It also describes itself for the reference page.
type part interface {
	read(r *reader, f field)
	// absent is called instead of read for a missing key; def is its default as written in a file.
	absent(r *reader, at place, def string)
	shape() shape
}

// shape is what the reference page says about a part.
type shape struct {
	kind   string // "duration", "list of addresses"
	limits string // "1s to 1h"
	keys   []key  // of a section, or of the sections of a map or list
	under  string // placeholder of a map's names or a list's "[]"
}

// A key is one entry of the registry that decoding, defaults and the reference page share.
type key struct {
	name      string
	part      part
	def       string // default, as it would be written in the file
	otherwise string // what holds when it is missing and there is no default to write down
	required  bool
	doc       string
	example   string
}

// A section is a raw struct that mirrors a mapping of the file with fixed keys.
type section interface {
	keys() []key
	head() *header
}

// header is the part that all sections share.
type header struct {
	at   place
	seen bool // the section stands in the file
}

func (h *header) head() *header { return h }

// object reads a mapping with fixed keys.
func object(s section) part { return objectPart{s} }

type objectPart struct{ section }

func (p objectPart) read(r *reader, f field) {
	h := p.head()
	h.at, h.seen = f.at, true
	pairs, ok := pairsOf(f.node)
	if !ok {
		r.wrongKind(f, "a mapping with the keys "+strings.Join(keyNames(p.keys()), ", "))
		return
	}
	keys := p.keys()
	seen := make(map[string]place, len(pairs))
	for _, pair := range pairs {
		name, at, ok := r.keyName(pair, f.label, seen)
		if !ok {
			continue
		}
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
		if i < 0 {
			r.unknownKey(at, name, f.label, keys)
			continue
		}
		r.readValue(keys[i].part, field{name, at, pair.Value})
	}
	for _, k := range keys {
		if _, ok := seen[k.name]; ok {
			continue
		}
		if k.required {
			r.fail(f.at, "for example "+k.name+": "+k.example, "%s is missing in %s", k.name, f.label)
			continue
		}
		k.part.absent(r, f.at, k.def)
	}
}

func (p objectPart) absent(r *reader, at place, _ string) {
	p.head().at = at
	for _, k := range p.keys() {
		k.part.absent(r, at, k.def)
	}
}

func (p objectPart) shape() shape { return shape{kind: "section", keys: p.keys()} }

// readValue refuses a key without a value: YAML calls it null, but it is nearly always a mistake
// of indentation, and what a section of nothing would mean nobody can tell from the text.
func (r *reader) readValue(p part, f field) {
	if _, never := p.(neverPart); !never {
		if _, null := f.node.(*ast.NullNode); null || f.node == nil {
			r.fail(f.at, "give it a value, check the indentation, or remove it", "%s has no value", f.label)
			return
		}
	}
	p.read(r, f)
}

func (r *reader) keyName(pair *ast.MappingValueNode, in string, seen map[string]place) (string, place, bool) {
	at := placeOf(pair.Key)
	name, ok := scalarText(pair.Key)
	if !ok {
		r.fail(at, "", "a key of %s must be a plain word", in)
		return "", at, false
	}
	if first, again := seen[name]; again {
		r.fail(at, "", "key %s is given twice in %s (first in line %d)", quote(name), in, first.line)
		return "", at, false
	}
	seen[name] = at
	return name, at, true
}

func (r *reader) unknownKey(at place, name, in string, keys []key) {
	names := keyNames(keys)
	remedy := "known: " + strings.Join(names, ", ")
	if near := nearest(name, names); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	} else if strings.Contains(name, ":") {
		remedy = "YAML wants a space after the colon"
	}
	r.fail(at, remedy, "unknown key %s in %s", quote(name), in)
}

func keyNames(keys []key) []string {
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		if _, never := k.part.(neverPart); !never {
			names = append(names, k.name)
		}
	}
	return names
}

func (r *reader) wrongKind(f field, want string) {
	r.fail(placeOf(f.node), "", "%s must be %s, not %s", f.label, want, kindOf(f.node))
}

func kindOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		if t := n.GetToken().Type; t == token.DoubleQuoteType || t == token.SingleQuoteType {
			return "text in quotes"
		}
		return "text"
	case *ast.FloatNode:
		return "a number with a fraction"
	}
	return "a single value"
}

// entry is one named part of a mapping whose names the user chooses.
type entry[T any] struct {
	name string
	at   place
	v    T
}

// mapOf reads a mapping whose names the user chooses; noun is what one of them is called, elem
// makes the part that reads its value.
func mapOf[T any](into *[]entry[T], noun string, name nameRule, elem func(*T) part) part {
	return mapPart[T]{into, noun, name, elem}
}

type mapPart[T any] struct {
	into *[]entry[T]
	noun string
	name nameRule
	elem func(*T) part
}

func (p mapPart[T]) read(r *reader, f field) {
	pairs, ok := pairsOf(f.node)
	if !ok {
		r.wrongKind(f, "a mapping from names")
		return
	}
	seen := make(map[string]place, len(pairs))
	for _, pair := range pairs {
		name, at, ok := r.keyName(pair, f.label, seen)
		if !ok {
			continue
		}
		if wrong := p.name(name); wrong != "" {
			r.fail(at, "", "%s cannot be the name of %s: %s", quote(name), withArticle(p.noun), wrong)
		}
		e := entry[T]{name: name, at: at}
		r.readValue(p.elem(&e.v), field{p.noun + " " + name, at, pair.Value})
		*p.into = append(*p.into, e)
	}
}

func (p mapPart[T]) absent(*reader, place, string) {}

func (p mapPart[T]) shape() shape {
	inner := p.elem(new(T)).shape()
	return shape{kind: "mapping of a name to a " + inner.kind, keys: inner.keys, under: strings.ToUpper(p.noun) + inner.under}
}

// listOf reads a list; elem makes the part that reads one of its entries.
func listOf[T any](into *[]T, elem func(*T) part) part { return listPart[T]{into: into, elem: elem} }

// oneOrListOf reads a list, or a single entry without brackets.
func oneOrListOf[T any](into *[]T, elem func(*T) part) part {
	return listPart[T]{into: into, elem: elem, single: true}
}

type listPart[T any] struct {
	into   *[]T
	elem   func(*T) part
	single bool
}

func (p listPart[T]) read(r *reader, f field) {
	list, ok := f.node.(*ast.SequenceNode)
	switch {
	case !ok && p.single:
		p.readOne(r, f)
		return
	case !ok:
		r.wrongKind(f, "a list")
		return
	case len(list.Values) == 0:
		r.fail(placeOf(list), "give it an entry, or remove it", "%s is an empty list", f.label)
	}
	for _, n := range list.Values {
		p.readOne(r, field{f.label, placeOf(n), n})
	}
}

func (p listPart[T]) readOne(r *reader, f field) {
	var v T
	r.readValue(p.elem(&v), f)
	*p.into = append(*p.into, v)
}

func (p listPart[T]) absent(r *reader, at place, def string) {
	for _, text := range strings.Fields(strings.ReplaceAll(strings.Trim(def, "[]"), ",", " ")) {
		var v T
		p.elem(&v).absent(r, at, text)
		*p.into = append(*p.into, v)
	}
}

func (p listPart[T]) shape() shape {
	inner := p.elem(new(T)).shape()
	kind := "list of: " + inner.kind
	if p.single {
		kind = inner.kind + ", or a list of them"
	}
	return shape{kind: kind, limits: inner.limits, keys: inner.keys, under: "[]" + inner.under}
}

// never refuses a key that engineers know from elsewhere and that has no meaning here: to ignore it
// silently would be to promise what does not happen.
func never(what string) part { return neverPart{what} }

type neverPart struct{ what string }

func (p neverPart) read(r *reader, f field) {
	r.fail(f.at, "remove it", "%s is not supported: %s", f.label, p.what)
}
func (p neverPart) absent(*reader, place, string) {}
func (p neverPart) shape() shape                  { return shape{kind: "not supported"} }
