package wire

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the .txt files of testdata anew")

// A capture is one file of testdata: messages/ holds whole datagrams without the non-ESP marker,
// inner/ opened chains, whose first payload type stands in a line "first 43". To add one from a
// real peer, put its hexdump there and run the tests with -update.
type capture struct {
	name  string
	first PayloadType // of an inner chain
	bytes []byte
}

func captures(t testing.TB, dir string) []capture {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.hex"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in testdata/%s: %v", dir, err)
	}
	var list []capture
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := capture{name: strings.TrimSuffix(filepath.Base(file), ".hex")}
		var dump strings.Builder
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "first" {
				n, err := strconv.ParseUint(fields[1], 10, 8)
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				c.first = PayloadType(n)
				continue
			}
			dump.WriteString(line)
		}
		c.bytes = unhex(t, dump.String())
		list = append(list, c)
	}
	return list
}

// describeLike is the golden text of a capture: what debug prints of it.
func describeLike(head string, p *Payloads) string {
	return head + "[" + p.String() + "]\n  " + strings.Join(Describe(p), "\n  ") + "\n"
}

func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run the test with -update and read what it wrote)", err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestCapturedMessages(t *testing.T) {
	for _, c := range captures(t, "messages") {
		t.Run(c.name, func(t *testing.T) {
			h, err := ParseHeader(c.bytes)
			if err != nil {
				t.Fatal(err)
			}
			p, err := ParsePayloads(h.Next, c.bytes, HeaderLen)
			if err != nil {
				t.Fatal(err)
			}
			checkGolden(t, "testdata/messages/"+c.name+".txt", describeLike(h.String()+" ", p))

			var again []byte
			switch {
			case p.Encrypted != nil:
				again = AppendEncryptedHeader(nil, h, p.Encrypted.Inner, len(p.Encrypted.Body))
				again = append(again, p.Encrypted.Body...)
			case p.Fragment != nil:
				f := p.Fragment
				again = AppendFragmentHeader(nil, h, f.Inner, f.Number, f.Total, len(f.Body))
				again = append(again, f.Body...)
			default:
				again = AppendMessage(nil, h, inOrder(p, kindsOf(h.Next, c.bytes[HeaderLen:]))...)
			}
			if !bytes.Equal(again, c.bytes) {
				t.Errorf("encoded again\n%x, want\n%x", again, c.bytes)
			}
			for n := range c.bytes {
				if _, err := ParseHeader(c.bytes[:n]); err == nil {
					t.Errorf("the header of a datagram cut to %d octets was accepted", n)
				}
				if n < HeaderLen {
					continue
				}
				if _, err := ParsePayloads(h.Next, c.bytes[:n:n], HeaderLen); err == nil {
					t.Errorf("the payloads of a datagram cut to %d octets were accepted", n)
				}
			}
		})
	}
}

func TestCapturedInnerChains(t *testing.T) {
	for _, c := range captures(t, "inner") {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParseInner(c.first, c.bytes)
			if err != nil {
				t.Fatal(err)
			}
			checkGolden(t, "testdata/inner/"+c.name+".txt", describeLike("", p))
			first, again := AppendPayloads(nil, inOrder(p, kindsOf(c.first, c.bytes))...)
			if first != c.first || !bytes.Equal(again, c.bytes) {
				t.Errorf("encoded again\n%v %x, want\n%v %x", first, again, c.first, c.bytes)
			}
			for n := range c.bytes {
				if _, err := ParseInner(c.first, c.bytes[:n:n]); err == nil {
					t.Errorf("a chain cut to %d octets was accepted", n)
				}
			}
		})
	}
}

// Every octet of every capture is set to other values: none of them may panic, and what is still
// accepted must survive a round trip. The fuzzer does this with more patience.
func TestDamagedCaptures(t *testing.T) {
	for _, c := range captures(t, "inner") {
		for at := range c.bytes {
			for _, value := range []byte{0, 1, 0x7f, 0x80, 0xff, c.bytes[at] + 1, c.bytes[at] - 1} {
				damaged := slices.Clone(c.bytes)
				damaged[at] = value
				p, err := ParseInner(c.first, damaged)
				if err != nil {
					continue
				}
				Describe(p)
				checkRoundTrip(t, c.first, damaged, p)
			}
		}
	}
}
