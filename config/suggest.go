package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// quote shows what stands in the file, shortened so that one bad line stays one line.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}

// nearest is the word that a typing error would have made into s, or "".
func nearest(s string, words []string) string {
	best, word := max(len(s)/3, 1), ""
	if len(s) > 64 {
		return ""
	}
	for _, w := range words {
		if len(s) >= 3 && (strings.HasPrefix(w, s) || strings.HasSuffix(w, s)) {
			return w
		}
		if d := distance(strings.ToLower(s), strings.ToLower(w)); d < best || d == best && word == "" {
			best, word = d, w
		}
	}
	if best >= len(word) { // everything has changed: "x" is no "y"
		return ""
	}
	return word
}

// distance counts insertions, deletions, changes and swaps of neighbours between a and b.
func distance(a, b string) int {
	before, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// dangling reports a reference to a name that does not exist.
func (r *reader) dangling(ref given[string], noun, in string, known []string) {
	remedy := fmt.Sprintf("no %s is configured", noun)
	if len(known) > 0 {
		known = slices.Sorted(slices.Values(known))
		remedy = "known: " + shortList(known)
		if near := nearest(ref.v, known); near != "" {
			remedy = fmt.Sprintf("did you mean %q? %s", near, remedy)
		}
	}
	r.fail(ref.at, remedy, "unknown %s %s in %s", noun, quote(ref.v), in)
}

func shortList(names []string) string {
	const most = 10
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
