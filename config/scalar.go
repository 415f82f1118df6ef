package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// problem is why a scalar's text is no value of its kind. Text continues a sentence that begins
// with the key: "interval must be 1s to 1h".
type problem struct{ text, remedy string }

func (p problem) Error() string { return p.text }

// scalar reads a single value through parse.
func scalar[T any](into *given[T], kind string, parse func(string) (T, error)) scalarPart[T] {
	return scalarPart[T]{into: into, kind: kind, parse: parse}
}

type scalarPart[T any] struct {
	into   *given[T]
	kind   string // as the reference page and messages call it
	limits string
	number bool // quoted text is not accepted
	parse  func(string) (T, error)
}

func (p scalarPart[T]) read(r *reader, f field) {
	at := placeOf(f.node)
	*p.into = given[T]{at: at, typed: true}
	text, ok := scalarText(f.node)
	if _, integer := f.node.(*ast.IntegerNode); !ok || p.number && !integer {
		r.wrongKind(f, p.want())
		return
	}
	v, err := p.parse(text)
	if err != nil {
		var why problem
		if !errors.As(err, &why) {
			why = problem{text: fmt.Sprintf("must be %s, not %s", p.want(), quote(text))}
		}
		r.fail(at, why.remedy, "%s %s", f.label, why.text)
		return
	}
	p.into.v, p.into.ok = v, true
}

func (p scalarPart[T]) want() string {
	switch {
	case p.kind == "one of":
		return p.kind + " " + p.limits
	case p.limits == "":
		return withArticle(p.kind)
	}
	return fmt.Sprintf("%s (%s)", withArticle(p.kind), p.limits)
}

func withArticle(noun string) string {
	switch {
	case noun == "text" || noun == "octets" || strings.HasPrefix(noun, "`"):
		return strings.ReplaceAll(noun, "`", "")
	case strings.ContainsRune("aeioAEIO", rune(noun[0])):
		return "an " + noun
	}
	return "a " + noun
}

func (p scalarPart[T]) absent(_ *reader, at place, def string) {
	*p.into = given[T]{at: at}
	if def == "" {
		return
	}
	v, err := p.parse(def)
	if err != nil {
		panic("BUG: the default " + def + " is no " + p.kind + ": " + err.Error())
	}
	p.into.v, p.into.ok = v, true
}

func (p scalarPart[T]) shape() shape { return shape{kind: p.kind, limits: p.limits} }

// text is any text of one line of at most most octets.
func text(into *given[string], most int) part {
	p := scalar(into, "text", func(s string) (string, error) {
		switch {
		case s == "":
			return "", problem{text: "must not be empty"}
		case len(s) > most:
			return "", problem{text: fmt.Sprintf("must have at most %d octets, not %d", most, len(s))}
		case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }):
			return "", problem{text: "must not contain control characters"}
		}
		return s, nil
	})
	p.limits = fmt.Sprintf("1 to %d octets", most)
	return p
}

// prose is text that may have several lines.
func prose(into *given[string], most int) part {
	p := scalar(into, "text", func(s string) (string, error) {
		if s == "" || len(s) > most {
			return "", problem{text: fmt.Sprintf("must have 1 to %d octets, not %d", most, len(s))}
		}
		return s, nil
	})
	p.limits = fmt.Sprintf("1 to %d octets, may have several lines", most)
	return p
}

// boolean is true or false; the other words of YAML 1.1 (yes, on) would surprise.
func boolean(into *given[bool]) part {
	p := scalar(into, "one of", func(s string) (bool, error) {
		switch s {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return false, problem{text: "must be true or false, not " + quote(s)}
	})
	p.limits = "true, false"
	return p
}

func integer(into *given[int], least, most int) part {
	p := scalar(into, "whole number", func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || strconv.Itoa(n) != s { // YAML's octal and hexadecimal would surprise
			return 0, fmt.Errorf("not decimal")
		}
		if n < least || n > most {
			return 0, problem{text: fmt.Sprintf("must be %d to %d, not %d", least, most, n)}
		}
		return n, nil
	})
	p.limits, p.number = fmt.Sprintf("%d to %d", least, most), true
	return p
}

func duration(into *given[time.Duration], least, most time.Duration) part {
	p := scalar(into, "duration", func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, problem{fmt.Sprintf("must be a duration, not %s", quote(s)), "write a number with its unit: 500ms, 30s, 5m, 24h"}
		}
		if d < least || d > most {
			return 0, problem{text: fmt.Sprintf("must be %s to %s, not %s", span(least), span(most), span(d))}
		}
		return d, nil
	})
	p.limits = span(least) + " to " + span(most)
	return p
}

// span prints a duration without the zeros that Go appends: 24h, not 24h0m0s.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// volume is a number of octets, plain or with a binary unit.
func volume(into *given[uint64], least uint64) part {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	p := scalar(into, "octets", func(s string) (uint64, error) {
		number, factor := s, uint64(1)
		for i, unit := range units {
			if cut, ok := strings.CutSuffix(s, unit); ok {
				number, factor = strings.TrimSpace(cut), 1<<(10*(i+1))
			}
		}
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil || n > math.MaxInt64/factor {
			return 0, problem{fmt.Sprintf("must be a number of octets, not %s", quote(s)), "for example 500MiB or 10GiB"}
		}
		if n*factor < least {
			return 0, problem{text: fmt.Sprintf("must be at least %d octets, not %s", least, s)}
		}
		return n * factor, nil
	})
	p.limits = fmt.Sprintf("at least %d; units KiB, MiB, GiB, TiB", least)
	return p
}

// choice is one of a few words.
func choice[T ~string](into *given[T], words ...T) part {
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = string(w)
	}
	p := scalar(into, "one of", func(s string) (T, error) {
		if slices.Contains(names, s) {
			return T(s), nil
		}
		why := problem{text: fmt.Sprintf("must be %s, not %s", orList(names), quote(s))}
		if near := nearest(s, names); near != "" {
			why.remedy = fmt.Sprintf("did you mean %q?", near)
		}
		return "", why
	})
	p.limits = strings.Join(names, ", ")
	return p
}

func orList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func address(into *given[netip.Addr]) part {
	return scalar(into, "IP address", parseAddress)
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return a, fmt.Errorf("no address")
	case a.Is4In6():
		return a, problem{fmt.Sprintf("must not be an IPv4 address written as IPv6 (%s)", a), fmt.Sprintf("write %s", a.Unmap())}
	case a.Zone() != "":
		return a, problem{text: fmt.Sprintf("must not have a zone: %s", quote(s))}
	}
	return a, nil
}

// unicast is an address that one host can have.
func unicast(into *given[netip.Addr]) part {
	p := address(into).(scalarPart[netip.Addr])
	p.parse = func(s string) (netip.Addr, error) {
		a, err := parseAddress(s)
		if err == nil && !isUnicast(a) {
			err = problem{text: fmt.Sprintf("must be the address of a host, not %s", a)}
		}
		return a, err
	}
	return p
}

func isUnicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func address4(into *given[netip.Addr]) part {
	return scalar(into, "IPv4 address", func(s string) (netip.Addr, error) {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() || !isUnicast(a) {
			return a, fmt.Errorf("no IPv4 address")
		}
		return a, nil
	})
}

func addressPort(into *given[netip.AddrPort]) part {
	return scalar(into, "IP address and port", func(s string) (netip.AddrPort, error) {
		a, err := netip.ParseAddrPort(s)
		if err != nil || a.Port() == 0 {
			return a, problem{fmt.Sprintf("must be an IP address and a port, not %s", quote(s)), "for example 127.0.0.1:9464 or [::1]:9464"}
		}
		return a, nil
	})
}

// network is a prefix of a network: an address alone is a prefix of one, bits of a host are refused.
func network(into *given[netip.Prefix]) part {
	return scalar(into, "prefix", func(s string) (netip.Prefix, error) {
		p, err := parsePrefix(s)
		if err == nil && p != p.Masked() {
			return p, problem{fmt.Sprintf("%s has bits set outside its prefix length", quote(s)), fmt.Sprintf("did you mean %s?", p.Masked())}
		}
		return p, err
	})
}

// hostPrefix is an address with the length of its network, as on an interface.
func hostPrefix(into *given[netip.Prefix]) part {
	return scalar(into, "address with prefix length", func(s string) (netip.Prefix, error) {
		p, err := parsePrefix(s)
		if err == nil && !isUnicast(p.Addr()) {
			err = problem{text: fmt.Sprintf("must be the address of a host, not %s", p.Addr())}
		}
		return p, err
	})
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("no prefix")
	}
	return p, nil
}

// file is a path; a relative one starts from the folder of the configuration.
func file(into *given[string]) part {
	p := scalar(into, "path", func(s string) (string, error) {
		if s == "" || len(s) > 4096 {
			return "", problem{text: "must be a path of 1 to 4096 octets"}
		}
		return s, nil
	})
	p.limits = "a relative path starts from the folder of the configuration file"
	return p
}

// absolute is a path that does not depend on where the process was started.
func absolute(into *given[string], most int) part {
	p := scalar(into, "path", func(s string) (string, error) {
		if !strings.HasPrefix(s, "/") || len(s) > most {
			return "", problem{text: fmt.Sprintf("must be an absolute path of at most %d octets, not %s", most, quote(s))}
		}
		return s, nil
	})
	p.limits = fmt.Sprintf("absolute, at most %d octets", most)
	return p
}

// A nameRule says what is wrong with a name, or "".
type nameRule func(string) string

// word is the rule for names that only the configuration uses.
func word(s string) string {
	if s == "" || len(s) > 63 {
		return "it must have 1 to 63 octets"
	}
	for _, c := range s {
		if !isWordRune(c) {
			return "use letters, digits, '-', '_' and '.'"
		}
	}
	return ""
}

func isWordRune(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

func named(into *given[string], rule nameRule) part {
	p := scalar(into, "name", func(s string) (string, error) {
		if wrong := rule(s); wrong != "" {
			return "", problem{text: fmt.Sprintf("cannot be %s: %s", quote(s), wrong)}
		}
		return s, nil
	})
	return p
}

// host is the rule for the name of a host or domain (RFC 1123 section 2.1), underscores allowed as
// they occur in practice.
func host(s string) string {
	if s == "" || len(s) > 253 {
		return "it must have 1 to 253 octets"
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return "its labels must have 1 to 63 octets and not begin or end with '-'"
		}
		for _, c := range label {
			if !isWordRune(c) {
				return "use letters, digits, '-' and dots"
			}
		}
	}
	return ""
}

// count is a large whole number.
func count(into *given[uint64], least uint64) part {
	p := scalar(into, "whole number", func(s string) (uint64, error) {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil || strconv.FormatUint(n, 10) != s {
			return 0, fmt.Errorf("not decimal")
		}
		if n < least {
			return 0, problem{text: fmt.Sprintf("must be at least %d, not %d", least, n)}
		}
		return n, nil
	})
	p.limits, p.number = fmt.Sprintf("at least %d", least), true
	return p
}
