package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// binary is the flexvpn under test, built once.
var binary string

// helperEnv makes the test binary play a small host program inside a namespace instead of testing.
const helperEnv = "FLEXVPN_TEST_HELPER"

func TestMain(m *testing.M) {
	if role := os.Getenv(helperEnv); role != "" {
		if err := helper(role, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the integration tests make network namespaces: run them as root (make test)")
		return 1
	}
	dir, err := os.MkdirTemp("", "flexvpn-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if binary = os.Getenv("FLEXVPN_BINARY"); binary != "" {
		return m.Run() // a virtual machine would take minutes to build it
	}
	binary = filepath.Join(dir, "flexvpn")
	build := exec.Command("go", "build", "-o", binary, "flexvpn/cmd/flexvpn")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build flexvpn: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// needKernel is the first line of a test that needs XFRM, GRE or VRFs: it runs in the virtual machine
// of make test-kernel, or where a kernel is said to have them (make test-kernel NATIVE=1).
func needKernel(t *testing.T) {
	t.Helper()
	if os.Getenv("FLEXVPN_VM") == "" {
		t.Skip("make test-kernel runs this test, in a virtual machine with a full kernel")
	}
}

// pattern is the content that helpers exchange: every octet depends on its place, so that lost,
// doubled or swapped segments show.
func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// helper runs inside a namespace: "serve ADDR SIZE" answers one connection with what it received
// after checking it, "fetch ADDR SIZE" sends the pattern and checks what comes back.
func helper(role string, args []string) error {
	var size int
	if _, err := fmt.Sscan(args[1], &size); err != nil {
		return err
	}
	want := pattern(size)
	switch role {
	case "dhcpflood":
		return dhcpFlood(args[0], size)
	case "serve":
		l, err := net.Listen("tcp", args[0])
		if err != nil {
			return err
		}
		fmt.Println("listening")
		c, err := l.Accept()
		if err != nil {
			return err
		}
		return exchange(c, want, false)
	case "fetch":
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", args[0])
		if err != nil {
			return err
		}
		if raw, err := c.(*net.TCPConn).SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				n, _ := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG)
				fmt.Println("segments of at most", n)
			})
		}
		return exchange(c, want, true)
	}
	return fmt.Errorf("unknown helper %q", role)
}

func exchange(c net.Conn, want []byte, first bool) error {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	send := func() error { _, err := c.Write(want); return err }
	receive := func() error {
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("the content of %d octets arrived changed", len(want))
		}
		return nil
	}
	if first {
		if err := send(); err != nil {
			return err
		}
		return receive()
	}
	if err := receive(); err != nil {
		return err
	}
	return send()
}
