package nlmsg_test

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane/kernel/nlmsg"
	"flexvpn/dataplane/kernel/nlmsg/nlmsgtest"
)

func messages(kinds ...uint16) (all []*nlmsg.Message) {
	for _, k := range kinds {
		all = append(all, nlmsg.New(k, 0, map[uint16]string{20: "make it", 21: "set it up", 22: "bring it up"}[k], nil))
	}
	return all
}

// The first refusal of a batch names its message, wherever it stands; and what is behind it in the
// batch was sent, so that undoing has to undo all.
func TestABatchTellsWhatWasRefused(t *testing.T) {
	for _, refused := range []uint16{20, 21, 22} {
		var seen []uint16
		c := nlmsgtest.Rule(func(kind uint16) unix.Errno {
			seen = append(seen, kind)
			if kind == refused {
				return unix.ENOMEM
			}
			return 0
		}).Conn()
		err := c.Do(messages(20, 21, 22)...)
		want := map[uint16]string{20: "make it", 21: "set it up", 22: "bring it up"}[refused] + ": cannot allocate memory"
		if err == nil || err.Error() != want || !errors.Is(err, unix.ENOMEM) {
			t.Errorf("error %v, want %s", err, want)
		}
		if !slices.Equal(seen, []uint16{20, 21, 22}) {
			t.Errorf("the kernel saw %v", seen)
		}
	}
}

// A kernel that says nothing is an error, and the next request does not take a late answer for its own.
func TestALateAnswerIsNotTheNextRequests(t *testing.T) {
	c := nlmsgtest.Rule(func(kind uint16) unix.Errno {
		if kind == 20 {
			return unix.EEXIST
		}
		return 0
	}).Conn()
	trouble := nlmsgtest.Put(c)
	trouble.Decide(func(int, uint16) nlmsgtest.Fate { return nlmsgtest.Fate{Mute: true} })
	if err := c.Do(messages(20)...); !errors.Is(err, unix.ETIMEDOUT) {
		t.Errorf("error %v", err)
	}
	trouble.Decide(nil)
	if err := c.Do(messages(21, 22)...); err != nil {
		t.Errorf("the late refusal of another request became this one's: %v", err)
	}
	if err := c.Do(messages(20)...); !errors.Is(err, unix.EEXIST) {
		t.Errorf("error %v", err)
	}
}

// What is removed may be gone.
func TestAbsenceIsNoErrorOfARemoval(t *testing.T) {
	for errno, fails := range map[unix.Errno]bool{unix.ENOENT: false, unix.ESRCH: false, unix.ENODEV: false, unix.EADDRNOTAVAIL: false, unix.EPERM: true} {
		m := nlmsg.New(20, 0, "remove it", nil)
		m.Absent = true
		if err := nlmsgtest.Rule(func(uint16) unix.Errno { return errno }).Conn().Do(m); (err != nil) != fails {
			t.Errorf("%v: error %v", errno, err)
		}
	}
}
