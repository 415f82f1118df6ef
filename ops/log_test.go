package ops_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"flexvpn/ops"
)

func TestLogFormats(t *testing.T) {
	for _, c := range []struct{ level, format, want string }{
		{"", "", `"msg":"session up","identity":"spoke1"}`},
		{"info", "auto", `"msg":"session up","identity":"spoke1"}`},
		{"DEBUG", "json", `"msg":"session up","identity":"spoke1"}`},
		{"warn", "json", ""},
		{"error", "text", ""},
		{"info", "text", `level=INFO msg="session up" identity=spoke1`},
	} {
		var b bytes.Buffer
		log, err := ops.NewLogger(&b, c.level, c.format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("session up", "identity", "spoke1")
		if got := strings.TrimSpace(b.String()); !strings.HasSuffix(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("level %q, format %q wrote %q, want %q", c.level, c.format, got, c.want)
		}
	}
	for _, c := range [][3]string{{"loud", "", "choose debug, info, warn or error"}, {"", "xml", "choose auto, text or json"}} {
		if _, err := ops.NewLogger(&bytes.Buffer{}, c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("NewLogger(%q, %q) = %v, want an error with %q", c[0], c[1], err, c[2])
		}
	}
}

func TestLogIsTextOnATerminal(t *testing.T) {
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("a terminal is needed: %v", err)
	}
	defer func() { _ = ptmx.Close() }()
	if err := unix.IoctlSetPointerInt(int(ptmx.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, ptmx.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
	if errno != 0 {
		t.Fatal(errno)
	}
	tty := os.NewFile(fd, "tty")
	defer func() { _ = tty.Close() }()
	log, err := ops.NewLogger(tty, "", "")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("session up", "identity", "spoke1")
	b := make([]byte, 200)
	n, err := ptmx.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), `msg="session up" identity=spoke1`) {
		t.Errorf("on a terminal the log is %q, %v: want text", b[:n], err)
	}
}
