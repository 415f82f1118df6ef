package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"
)

// none stands where there is nothing to show.
const none = "-"

// A table aligns its columns; the last one is not padded.
type table struct{ tw *tabwriter.Writer }

func newTable(w io.Writer, head ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	if len(head) > 0 {
		t.row(head...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = none
		}
	}
	_, _ = fmt.Fprintln(t.tw, strings.Join(cells, "\t"))
}

// done writes the table out; it is the one place that learns whether writing failed.
func (t *table) done() error { return t.tw.Flush() }

// bytesText is a number of bytes for people: 999 B, 1.2 KiB, 345 MiB.
func bytesText(n uint64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/step, 0
	for v >= 1023.5 && unit < 5 {
		v, unit = v/step, unit+1
	}
	if v < 99.95 {
		return fmt.Sprintf("%.1f %ciB", v, "KMGTPE"[unit])
	}
	return fmt.Sprintf("%.0f %ciB", v, "KMGTPE"[unit])
}

// countText groups a number's digits by thousands: 5,432,100.
func countText(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// durationText is a time span for people, in its two largest units: 12s, 5m03s, 1h05m, 3d04h.
func durationText(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	day := 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// age is how long ago t was.
func age(now, t time.Time) string {
	if t.IsZero() {
		return none
	}
	return durationText(now.Sub(t))
}

// until is how long it takes until t.
func until(now, t time.Time) string {
	if t.IsZero() {
		return none
	}
	return durationText(t.Sub(now))
}

// clock is a moment in the zone of whoever reads it.
func clock(t time.Time) string {
	if t.IsZero() {
		return none
	}
	return t.Local().Format(time.DateTime)
}

func addressesText(list []netip.Addr) string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}

func prefixesText(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

// cipherText names a cipher with its key length: aes-gcm-256.
func cipherText(name string, bits int) string {
	suffix := fmt.Sprintf("-%d", bits)
	if bits == 0 || strings.HasSuffix(name, suffix) {
		return name
	}
	return name + suffix
}

// joined puts a separator between the texts that are there.
func joined(separator string, texts ...string) string {
	var there []string
	for _, t := range texts {
		if t != "" {
			there = append(there, t)
		}
	}
	return strings.Join(there, separator)
}
