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

// maxDepth is twice what the configuration needs; it bounds the parser's recursion.
const maxDepth = 24

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
	tokens := lexer.Tokenize(string(text))
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
		case c < ' ' && c != '\t' && c != '\r', c == 0x7f:
			r.fail(place{line: line}, "", "a control character (0x%02x) stands here", c)
			return false
		}
		i += size
	}
	return true
}

func (r *reader) checkTokens(tokens token.Tokens) bool {
	before := len(r.errs)
	d := depth{}
	for _, t := range tokens {
		at := place{t.Position.Line, t.Position.Column}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			r.fail(at, "write the value where it is used", "anchors, aliases and merge keys are not supported")
		case token.TagType, token.DirectiveType, token.MappingKeyType:
			r.fail(at, "remove it", "%s is not supported in a configuration", quote(t.Value))
		}
		if d.add(t) > maxDepth {
			r.fail(at, "", "the nesting is deeper than any configuration needs")
			break
		}
	}
	return len(r.errs) == before
}

// depth counts how deep a token stands: open brackets, and columns of block collections.
type depth struct {
	flow    int
	columns []int
}

func (d *depth) add(t *token.Token) int {
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		d.flow++
	case token.MappingEndType, token.SequenceEndType:
		d.flow = max(0, d.flow-1)
	case token.SequenceEntryType, token.MappingValueType:
		if d.flow > 0 {
			break
		}
		column := t.Position.Column
		if t.Type == token.MappingValueType && t.Prev != nil {
			column = t.Prev.Position.Column // the key's
		}
		for len(d.columns) > 0 && d.columns[len(d.columns)-1] >= column {
			d.columns = d.columns[:len(d.columns)-1]
		}
		d.columns = append(d.columns, column)
	}
	return d.flow + len(d.columns)
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
	r.fail(at, "", "YAML: %s", strings.TrimSpace(syntax.GetMessage()))
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
