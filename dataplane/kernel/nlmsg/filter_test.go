package nlmsg_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane/kernel/nlmsg"
)

// The kernel keeps back what was not asked for: other types, and what one socket caused.
func TestAWatchIsToldOnlyWhatItAskedFor(t *testing.T) {
	const group = 17
	w, err := nlmsg.Subscribe(unix.NETLINK_USERSOCK, group)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := w.Only(77, 20, 21); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_USERSOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	for seq, m := range []struct {
		kind uint16
		port uint32
	}{{20, 0}, {22, 0}, {21, 77}, {21, 78}, {19, 77}, {20, 77 << 24}, {21, 0}} {
		b := binary.NativeEndian.AppendUint32(nil, unix.SizeofNlMsghdr)
		b = binary.NativeEndian.AppendUint16(b, m.kind)
		b = binary.NativeEndian.AppendUint16(b, 0)
		b = binary.NativeEndian.AppendUint32(b, uint32(seq))
		b = binary.NativeEndian.AppendUint32(b, m.port)
		// It goes to the group, and then to the kernel, which has nobody there who listens.
		if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (group - 1)}); err != unix.ECONNREFUSED {
			t.Fatal(err)
		}
	}
	var got []uint32
	for len(got) == 0 || got[len(got)-1] != 6 {
		all, err := w.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			got = append(got, r.Seq)
		}
	}
	if want := []uint32{0, 3, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("told of %v, want %v", got, want)
	}
}
