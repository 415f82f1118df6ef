package authz

import (
	"errors"
	"fmt"
	"strings"

	"flexvpn/config"
	"flexvpn/radiusdict"
)

// IsLines tells the lines of an access list from the name of one: a name has no spaces.
func IsLines(filter string) bool { return strings.Contains(filter, " ") }

// addFilters takes the access lists that come line by line. One that cannot be applied refuses: to
// leave it out would open what the server closed.
func (a *Attributes) addFilters(r *radiusdict.Reply, from Origin) error {
	for _, d := range []struct {
		into    *Value[string]
		pair    string
		entries []radiusdict.Entry
	}{{&a.FilterIn, "inacl", r.EntriesIn}, {&a.FilterOut, "outacl", r.EntriesOut}} {
		switch {
		case len(d.entries) == 0:
			continue
		case d.into.IsSet():
			return fmt.Errorf("%s# gives an access list line by line, and list %s is named too: leave one of them out", d.pair, d.into.V)
		}
		lines, err := filterLines(d.entries)
		if err != nil {
			return fmt.Errorf("%s%w", d.pair, err)
		}
		*d.into = Value[string]{lines, from}
	}
	return nil
}

// filterLines makes one list of the entries for both families. As on IOS a list of one family says
// nothing of the other, which then passes.
func filterLines(entries []radiusdict.Entry) (string, error) {
	var lines []string
	families := map[bool]bool{}
	for _, e := range entries {
		line, err := filterLine(e)
		if err != nil {
			return "", fmt.Errorf("#%d: %w", e.Number, err)
		}
		families[e.Six] = true
		lines = append(lines, line)
	}
	switch {
	case !families[true]:
		lines = append(lines, "permit ipv6 ::/0 any")
	case !families[false]:
		lines = append(lines, "permit ip 0.0.0.0/0 any")
	}
	return strings.Join(lines, "\n"), nil
}

// filterLine is an entry in the words of an access list of the file, bound to its family: there any is
// both. What a router would log passes or does not pass unlogged.
func filterLine(e radiusdict.Entry) (string, error) {
	const most = 240 // octets: no attribute of RADIUS has more
	if len(e.Text) > most {
		return "", fmt.Errorf("an entry has at most %d octets, not %d", most, len(e.Text))
	}
	w := strings.Fields(strings.ToLower(e.Text))
	if n := len(w); n > 0 && (w[n-1] == "log" || w[n-1] == "log-input") {
		w = w[:n-1]
	}
	l, err := config.ParseAccessList(strings.Join(w, " "))
	if err != nil {
		return "", err
	}
	entry := l.Entries[0]
	prefix := entry.Source
	if !prefix.IsValid() {
		prefix = entry.Destination
	}
	any4, any6 := "0.0.0.0/0", "::/0"
	switch {
	case prefix.IsValid() && prefix.Addr().Is6() != e.Six:
		return "", errors.New("its addresses are of the other family: ip:inacl# is IPv4, ipv6:inacl# IPv6")
	case !entry.Source.IsValid() && e.Six:
		w[2] = any6
	case !entry.Source.IsValid():
		w[2] = any4
	}
	return strings.Join(w, " "), nil
}
