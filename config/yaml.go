package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth is twice what the configuration needs; it bounds the parser's recursion. maxKeys bounds
// the keys of one mapping: the parser's work grows with their square.
const (
	maxDepth = 24
	maxKeys  = 10000
)

// parseYAML is the one document of the text. Whatever a configuration has no use for and that can
// make a small file cost much (aliases, tags, deep nesting) is refused before the tree is built.
func (r *reader) parseYAML(text []byte) (body ast.Node, ok bool) {
	// The parser is not ours: should it panic on a file, the person who wrote that file shall read
	// a sentence, and a running hub that reloads shall keep running.
	defer func() {
		if p := recover(); p != nil {
			r.failFile("this is no YAML that can be read: check quotes, brackets and indentation")
			body, ok = nil, false
		}
	}()
	if !r.checkText(text) {
		return nil, false
	}
	tokens := lexer.Tokenize(shield(string(text)))
	unshield(tokens)
	if !r.checkTokens(tokens) {
		return nil, false
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		r.syntaxError(err)
		return nil, false
	}
	if len(file.Docs) > 1 {
		r.fail(placeOf(file.Docs[1]), "a configuration is one document", "a second document starts here")
		return nil, false
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		r.failFile("the file is empty")
		return nil, false
	}
	return file.Docs[0].Body, true
}

func (r *reader) checkText(text []byte) bool {
	if len(text) > maxFile {
		r.failFile(fmt.Sprintf("the file is larger than %d MiB", maxFile>>20))
		return false
	}
	line := 1
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRune(text[i:])
		switch {
		case c == '\n':
			line++
		case c == utf8.RuneError && size == 1:
			r.fail(place{line: line}, "", "the text is not UTF-8")
			return false
		case c == shieldedColon:
			r.fail(place{line: line}, "", "the character U+FDD0 stands here, which is none")
			return false
		case c < ' ' && c != '\t' && c != '\r', c == 0x7f:
			r.fail(place{line: line}, "", "a control character (0x%02x) stands here", c)
			return false
		}
		i += size
	}
	return true
}

// shieldedColon is a noncharacter of Unicode: no text has it.
const shieldedColon = '\ufdd0'

// shield hides the colons inside of words from the scanner and keeps every column in its place. YAML
// 1.2 (section 7.3.3) ends a key with a colon that is followed by space, but inside flow mappings
// go-yaml 1.19 takes any colon: {dns: [2001:db8::5]} would be a mapping in a list. Unlike YAML it
// also leaves the second colon of "2001:db8::, " to the address.
func shield(text string) string {
	out := []rune(text)
	for i, c := range out {
		if c != ':' || i == 0 {
			continue
		}
		before := out[i-1]
		inside := i+1 < len(out) && !strings.ContainsRune(" \t\r\n,[]{}", out[i+1])
		if (inside && !strings.ContainsRune("\"'", before)) || before == shieldedColon {
			out[i] = shieldedColon
		}
	}
	return string(out)
}

func unshield(tokens token.Tokens) {
	for _, t := range tokens {
		t.Value = strings.ReplaceAll(t.Value, string(shieldedColon), ":")
		t.Origin = strings.ReplaceAll(t.Origin, string(shieldedColon), ":")
	}
}

func (r *reader) checkTokens(tokens token.Tokens) bool {
	before := len(r.errs)
	d := depth{}
	for _, t := range tokens {
		at := place{t.Position.Line, t.Position.Column}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			r.fail(at, "write the value where it is used; quote text that begins with & or *", "anchors, aliases and merge keys are not supported")
		case token.TagType, token.DirectiveType, token.MappingKeyType:
			// Not what stands here: it may be a key that nobody quoted.
			r.fail(at, "remove them; quote text that begins with !, % or ?", "tags, directives and complex keys are not supported")
		}
		deep, keys := d.add(t)
		if deep > maxDepth {
			r.fail(at, "", "the nesting is deeper than any configuration needs")
			break
		}
		if keys > maxKeys {
			r.fail(at, "", "a mapping has more than %d keys", maxKeys)
			break
		}
	}
	return len(r.errs) == before
}

// depth counts how deep a token stands: open brackets, and columns of block collections.
type depth struct {
	flow   int
	blocks []block
}

// block is an open block collection: its column, and how many keys it has so far.
type block struct{ column, keys int }

// add returns the depth of t and, for a key, the number of keys of its block mapping so far.
func (d *depth) add(t *token.Token) (deep, keys int) {
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		d.flow++
	case token.MappingEndType, token.SequenceEndType:
		d.flow = max(0, d.flow-1)
	case token.SequenceEntryType:
		if d.flow == 0 {
			d.open(t.Position.Column)
		}
	case token.MappingValueType:
		if d.flow == 0 && t.Prev != nil {
			b := d.open(t.Prev.Position.Column) // the key's
			b.keys++
			keys = b.keys
		}
	}
	return d.flow + len(d.blocks), keys
}

// open is the block collection at a column; those farther right have ended.
func (d *depth) open(column int) *block {
	for len(d.blocks) > 0 && d.blocks[len(d.blocks)-1].column > column {
		d.blocks = d.blocks[:len(d.blocks)-1]
	}
	if len(d.blocks) == 0 || d.blocks[len(d.blocks)-1].column < column {
		d.blocks = append(d.blocks, block{column: column})
	}
	return &d.blocks[len(d.blocks)-1]
}

// syntaxError takes message and place from the parser's error; its text would show source lines,
// and with them, perhaps, a key.
func (r *reader) syntaxError(err error) {
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) {
		r.failFile("this is no YAML that can be read")
		return
	}
	at := place{}
	if t := syntax.GetToken(); t != nil && t.Position != nil {
		at = place{t.Position.Line, t.Position.Column}
	}
	message := strings.TrimSpace(syntax.GetMessage())
	remedy := ""
	if strings.HasSuffix(message, "reserved character") {
		remedy = "quote text that begins with it"
	}
	r.fail(at, remedy, "YAML: %s", message)
}

func placeOf(n ast.Node) place {
	if n == nil || n.GetToken() == nil {
		return place{}
	}
	p := n.GetToken().Position
	if pairs, ok := n.(*ast.MappingNode); ok && !pairs.IsFlowStyle && len(pairs.Values) > 0 {
		p = pairs.Values[0].Key.GetToken().Position // a block mapping's own token is its first colon
	}
	return place{p.Line, p.Column}
}

// pairsOf is the content of a mapping, whichever way the parser built it.
func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// scalarText is the text of a plain, quoted or block scalar as it was written.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n"), true
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}
