package radius

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"layeh.com/radius"
)

// "debug radius prints packets with secrets redacted": whatever is secret, in any form.
func TestTraceHasNoSecrets(t *testing.T) {
	f := startFake(t, silent)
	f.setAnswer(func(f *fakeServer, request []byte, from netip.AddrPort) {
		p, err := radius.NewTunnelPassword([]byte("hush-tunnel"), []byte{0x80, 1}, f.key.Reveal(), request[4:headerLen])
		if err != nil {
			t.Error(err)
		}
		b, err := sealAnswer(radius.CodeAccessAccept, request, radius.Attributes{
			{Type: attrTunnelPassword, Attribute: append(radius.Attribute{0}, p...)},
			pair("ipsec:ikev2-password-local=hush-local"), pair("ipsec:banner=Hi\x1b[2J"),
			pair("ipsec:tunnel-PASSWORD*hush-optional"), pair("ipsec:ikev2-password-remote: hush-malformed"),
			hidden(f, 17, []byte("hush-mppe"), request), avp(attrEAPMessage, "\x03\x01\x00\x04"),
		}, f.key)
		if err != nil {
			t.Error(err)
		}
		f.send(b, from)
	})
	r := newRig(t, time.Minute, f.server("r1"))
	var mu sync.Mutex
	var lines []string
	wanted := true
	r.Trace(func() bool { mu.Lock(); defer mu.Unlock(); return wanted }, func(tr Trace) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, tr.Message+" "+tr.User+" "+strings.Join(tr.Text, " | "))
	})
	r.ask("alice")
	mu.Lock()
	wanted = false
	mu.Unlock()
	r.ask("bob")
	mu.Lock()
	defer mu.Unlock()
	all := strings.Join(lines, "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "Access-Request") || !strings.Contains(lines[0], "User-Password = [redacted]") || !strings.Contains(lines[0], "User-Name = alice") {
		t.Errorf("the trace is\n%s", all)
	}
	for _, want := range []string{"Tunnel-Password = [redacted]", "ikev2-password-local=[redacted]", "tunnel-PASSWORD*[redacted]", "ikev2-password[redacted]", "MS-MPPE-Recv-Key = [redacted]", "banner=Hi?[2J"} {
		if !strings.Contains(all, want) {
			t.Errorf("the trace lacks %q:\n%s", want, all)
		}
	}
	for _, bad := range []string{"hush", "cisco", "\x1b"} {
		if strings.Contains(all, bad) {
			t.Errorf("the trace shows %q:\n%s", bad, all)
		}
	}
}
