package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// perUser begins the names of lists that came line by line: a dot keeps them apart from those of a file.
const perUser = "per-user."

// ParseAccessList reads entries, one a line, as a list that is named after its content: who has the
// same lines has the same list.
func ParseAccessList(lines string) (*AccessList, error) {
	sum := sha256.Sum256([]byte(lines))
	l := &AccessList{Name: perUser + hex.EncodeToString(sum[:8]), PerUser: true}
	for line := range strings.SplitSeq(lines, "\n") {
		e, err := parseAccessEntry(line)
		if err != nil {
			return nil, fmt.Errorf("access list entry %q %w", line[:min(len(line), 120)], err)
		}
		l.Entries = append(l.Entries, e)
	}
	return l, nil
}

// Lines are the entries of a list that is not in the file, as [ParseAccessList] takes them.
func (l *AccessList) Lines() string {
	if l == nil || !l.PerUser {
		return ""
	}
	lines := make([]string, len(l.Entries))
	for i := range l.Entries {
		lines[i] = l.Entries[i].Text
	}
	return strings.Join(lines, "\n")
}
