package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flexvpn/netlab"
)

// A strongswan is one charon-systemd with its own settings, in a namespace. It uses the
// kernel-libipsec plugin: ESP in user space, always in UDP, without ESN; unless a test starts it with
// kernelCharon.
type strongswan struct {
	t    *testing.T
	node *netlab.Node
	dir  string
	proc *netlab.Proc
	log  *syncBuffer
}

// syncBuffer is a buffer that a process writes and a test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Each setting stands on a line of its own; kernel-libipsec must come before kernel-netlink. The
// marks keep IKE itself out of a tunnel that covers everything.
const charonSettings = `charon-systemd {
  load = random nonce openssl kdf hmac md5 sha1 curve25519 chapoly x509 constraints pubkey pem pkcs1 pkcs8 kernel-libipsec kernel-netlink socket-default vici updown eap-identity eap-mschapv2 eap-md5 eap-gtc eap-tls xauth-generic
  threads = 16
  retransmit_timeout = 1.0
  retransmit_tries = 3
  install_virtual_ip_on = lo
  plugins {
    eap-gtc {
      backend = generic
    }
    vici {
      socket = unix://%[1]s/vici
    }
    kernel-libipsec {
      allow_peer_ts = yes
    }
    kernel-netlink {
      fwmark = !0x42
    }
    socket-default {
      fwmark = 0x42
    }
  }
  filelog {
    out {
      path = %[1]s/charon.log
      default = 1
      ike = 2
      flush_line = yes
    }
  }
}
`

// startStrongswan starts charon in n with the connections in swanctl, which may use DIR for the
// daemon's own folder; certificates and keys are files relative to it.
func startStrongswan(t *testing.T, n *netlab.Node, swanctl string, files map[string][]byte) *strongswan {
	t.Helper()
	return startCharon(t, n, charonSettings, swanctl, files)
}

// startCharon is startStrongswan with other settings.
func startCharon(t *testing.T, n *netlab.Node, settings, swanctl string, files map[string][]byte) *strongswan {
	t.Helper()
	s := &strongswan{t: t, node: n, dir: t.TempDir(), log: &syncBuffer{}}
	write := func(name string, text []byte) {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("strongswan.conf", fmt.Appendf(nil, settings, s.dir))
	write("swanctl/swanctl.conf", []byte(swanctl))
	for name, text := range files {
		write("swanctl/"+name, text)
	}
	var err error
	env := []string{"STRONGSWAN_CONF=" + filepath.Join(s.dir, "strongswan.conf"), "SWANCTL_DIR=" + filepath.Join(s.dir, "swanctl")}
	if s.proc, err = n.Start(s.log, env, "charon-systemd"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		keepState(t)
		_ = s.proc.Stop(5 * time.Second)
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(s.dir, "charon.log"))
			t.Logf("charon's log:\n%s", lastLines(string(text), 60))
		}
	})
	eventually(t, 20*time.Second, "charon loads its configuration", func() error {
		_, err := s.swanctl("--load-all")
		return err
	})
	return s
}

// reload has charon take other connections.
func (s *strongswan) reload(swanctl string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.dir, "swanctl/swanctl.conf"), []byte(swanctl), 0o600))
	s.must("--load-all")
}

// swanctl runs swanctl against this charon.
func (s *strongswan) swanctl(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), max(30*time.Second, commandLimit()))
	defer cancel()
	cmd := s.node.Command(ctx, "swanctl", append(args, "--uri", "unix://"+s.dir+"/vici")...)
	cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+filepath.Join(s.dir, "strongswan.conf"), "SWANCTL_DIR="+filepath.Join(s.dir, "swanctl"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("swanctl %s: %w\n%s", strings.Join(args, " "), err, lastLines(string(out), 15))
	}
	return string(out), nil
}

// must is swanctl that has to succeed.
func (s *strongswan) must(args ...string) string {
	s.t.Helper()
	out, err := s.swanctl(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// eventually asks until there is no error, and fails with the last one when limit passes.
func eventually(t *testing.T, limit time.Duration, what string, f func() error) {
	t.Helper()
	if os.Getenv("FLEXVPN_VM") != "" {
		limit *= 5 // the machine is emulated
	}
	deadline := time.Now().Add(limit)
	for {
		asked := time.Now()
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s: %v", limit, what, err)
		}
		// Another process: there is no event to wait for. Whoever asks leaves it half of the time.
		time.Sleep(max(50*time.Millisecond, time.Since(asked)))
	}
}
