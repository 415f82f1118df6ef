package track

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"flexvpn/config"
)

// DNS messages, RFC 1035 section 4.1.
const (
	dnsHeader   = 12
	dnsTypeA    = 1
	dnsTypeAAAA = 28
	dnsClassIN  = 1
)

// askDNS sends one query over UDP. What does not answer just this question, from just this server, is
// passed over.
func askDNS(ctx context.Context, p config.Probe) error {
	c, err := dialer("udp", p.Source).DialContext(ctx, "udp", net.JoinHostPort(p.Target, strconv.Itoa(p.Port)))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	query := dnsQuery(p.Name, p.Type)
	if _, err := c.Write(query); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return fmt.Errorf("no answer: %w", err)
		}
		if mine, err := dnsAnswers(query, buf[:n]); mine {
			return err
		}
	}
}

// dnsQuery asks for a name, with recursion, under an id that cannot be guessed.
func dnsQuery(name, kind string) []byte {
	q := append(random(2), 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0) // recursion desired, one question
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		q = append(q, byte(len(label)))
		q = append(q, label...)
	}
	t := uint16(dnsTypeA)
	if kind == "AAAA" {
		t = dnsTypeAAAA
	}
	q = binary.BigEndian.AppendUint16(append(q, 0), t)
	return binary.BigEndian.AppendUint16(q, dnsClassIN)
}

// dnsAnswers reports whether reply is one to query, and what is wrong with it if anything is.
func dnsAnswers(query, reply []byte) (mine bool, err error) {
	question := query[dnsHeader:]
	switch {
	case len(reply) < len(query), reply[0] != query[0], reply[1] != query[1], reply[2]&0x80 == 0,
		binary.BigEndian.Uint16(reply[4:]) != 1, !bytes.EqualFold(reply[dnsHeader:len(query)], question):
		return false, nil
	}
	if code := reply[3] & 0x0f; code != 0 {
		return true, fmt.Errorf("the server answers %s", dnsCode(code))
	}
	if binary.BigEndian.Uint16(reply[6:]) == 0 {
		return true, errors.New("the server has no such record")
	}
	return true, nil
}

func dnsCode(code byte) string {
	switch code {
	case 1:
		return "FORMERR"
	case 2:
		return "SERVFAIL"
	case 3:
		return "NXDOMAIN"
	case 5:
		return "REFUSED"
	}
	return "code " + strconv.Itoa(int(code))
}
