package netlab

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Train is a row of echo requests.
type Train struct {
	To       string
	Count    int           // requests that must be answered
	Size     int           // octets of payload; 0: ping's own
	Interval time.Duration // between requests; 0: 50 ms
	Pattern  string        // hexadecimal octets that fill the payload; empty: ping's own
}

// patience is how long requests go on after those that count. Ping waits for the last answer no longer
// than two round trips, which on a busy machine is less than a moment's stall; so the last that
// counts is not the last.
const patience = time.Second

// Ping sends a train and says which of its requests, from 1 on, were not answered; out is what ping
// printed. An error that came back (unreachable) is no answer.
func (n *Node) Ping(ctx context.Context, t Train) (lost []int, out string, err error) {
	interval := t.Interval
	if interval == 0 {
		interval = 50 * time.Millisecond
	}
	args := []string{"-c", strconv.Itoa(t.Count + int(patience/interval)), "-i", fmt.Sprint(interval.Seconds()), "-W", "2"}
	if t.Size > 0 {
		args = append(args, "-s", strconv.Itoa(t.Size))
	}
	if t.Pattern != "" {
		args = append(args, "-p", t.Pattern)
	}
	out, err = n.Run(ctx, "ping", append(args, t.To)...)
	for seq := 1; seq <= t.Count; seq++ {
		if !strings.Contains(out, fmt.Sprintf("icmp_seq=%d ttl=", seq)) {
			lost = append(lost, seq)
		}
	}
	return lost, out, err
}
