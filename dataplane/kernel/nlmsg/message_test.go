package nlmsg

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMessagesReadBack(t *testing.T) {
	m := New(16, unix.NLM_F_CREATE, "make it", []byte{1, 2, 3})
	m.Uint32(1, 0x01020304).String(2, "va1").Uint8(3, 9)
	m.Nest(4, func(m *Message) { m.Attr(5, []byte("abcde")) })
	all := split(append(m.appendTo(nil, unix.NLM_F_ACK, 7, 42), New(17, 0, "", nil).appendTo(nil, 0, 8, 42)...))
	if len(all) != 2 || all[0].Type != 16 || all[1].Type != 17 || all[0].Seq != 7 || all[0].PortID != 42 {
		t.Fatalf("read %+v", all)
	}
	if want := uint16(unix.NLM_F_CREATE | unix.NLM_F_REQUEST | unix.NLM_F_ACK); all[0].Flags != want {
		t.Errorf("flags %#x, want %#x", all[0].Flags, want)
	}
	a := Attributes(all[0].Body, 3)
	if !bytes.Equal(a[2], []byte("va1\x00")) || len(a[1]) != 4 || !bytes.Equal(a[3], []byte{9}) {
		t.Errorf("attributes %v", a)
	}
	if got := Attributes(a[4], 0)[5]; !bytes.Equal(got, []byte("abcde")) {
		t.Errorf("the nested attribute is %q", got)
	}
}

// What is cut is left out, and nothing is read beyond the end.
func TestCutMessages(t *testing.T) {
	m := New(16, 0, "", []byte{1, 2, 3, 4}).Uint32(1, 5).String(2, "abc")
	whole := m.appendTo(nil, 0, 1, 1)
	for n := range whole {
		if all := split(whole[:n]); len(all) != 0 {
			t.Errorf("of %d octets %d were read as %+v", len(whole), n, all)
		}
	}
	for n := range m.body {
		for kind, value := range Attributes(m.body[:n], 4) {
			if kind != 1 || len(value) != 4 {
				t.Errorf("a cut attribute %d was read as %v", kind, value)
			}
		}
	}
}

func FuzzReplies(f *testing.F) {
	f.Add(New(16, 0, "", []byte{1, 2, 3, 4}).Uint32(1, 5).appendTo(nil, 0, 1, 1))
	f.Fuzz(func(_ *testing.T, b []byte) {
		for _, r := range split(b) {
			_ = refusal(r)
			for _, a := range Attributes(r.Body, 0) {
				Attributes(a, 0)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	header := make([]byte, 16)
	text := New(0, 0, "", nil).String(unix.NLMSGERR_ATTR_MSG, "Requested AEAD algorithm not found").body
	body := append(append([]byte{0xda, 0xff, 0xff, 0xff}, header...), text...) // -38, ENOSYS
	err := refusal(Reply{Flags: unix.NLM_F_ACK_TLVS | unix.NLM_F_CAPPED, Body: body})
	if err == nil || err.Error() != "function not implemented (Requested AEAD algorithm not found)" {
		t.Errorf("error %v", err)
	}
	if err := refusal(Reply{Body: make([]byte, 20)}); err != nil {
		t.Errorf("an acknowledgement is an error: %v", err)
	}
}
