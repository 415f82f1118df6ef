package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a configuration file, or worth a warning.
type Error struct {
	File   string
	Line   int // from 1; 0: the file as a whole
	Column int // from 1; 0: the line, or the file, as a whole
	Text   string
	Remedy string // what to do about it; may be empty
}

// Error is the form compilers use, so that editors can jump to the place:
// hub.yaml:18:7: unknown key "intervall" in dpd (did you mean "interval"?).
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
		if e.Column > 0 {
			fmt.Fprintf(&b, ":%d", e.Column)
		}
	}
	b.WriteString(": ")
	b.WriteString(e.Text)
	if e.Remedy != "" {
		fmt.Fprintf(&b, " (%s)", e.Remedy)
	}
	return b.String()
}

// Errors is all that is wrong with one file, in the order of its lines. It is the error of
// [Load] and [Parse].
type Errors []Error

// Error is one line for each error.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single Error.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// sorted puts the list in the order of the file; what stands at one place keeps its order, and a
// sentence said twice about one place is said once.
func (es Errors) sorted() Errors {
	slices.SortStableFunc(es, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(es)
}

// limited keeps a file that is wrong in every line from filling a terminal.
func (es Errors) limited() Errors {
	const most = 100
	if len(es) <= most {
		return es
	}
	rest := Error{File: es[0].File, Text: fmt.Sprintf("and %d more errors", len(es)-most)}
	return append(es[:most:most], rest)
}
