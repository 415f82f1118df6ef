package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flexvpn/authz"
	"flexvpn/authz/eaplocal"
	"flexvpn/config"
	"flexvpn/ops/view"
	"flexvpn/secret"
)

// eapFolder holds what hub and spokes of EAP need; its certificate is valid in a bubble's year 2000.
func eapFolder(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "hub1"}, DNSNames: []string{"hub1.example.net"},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"hub.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"hub.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"users":   "alice:text:open sesame\nbob:text:open sesame\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func eapHubText(dir string, changes ...string) string {
	return strings.NewReplacer(append(changes, "DIR", dir)...).Replace(hubText(
		"  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: a test secret not for use}]}\n", "",
		"authentication: {local: psk, remote: psk}\n      keyring: peers",
		"authentication: {local: certificate, remote: eap}\n      certificate: {chain: DIR/hub.crt, key: DIR/hub.key}\n      eap: {list: local, query-identity: true, users: {file: DIR/users}}"))
}

func eapSpokeText(name, dir, eap, connect string) string {
	return strings.ReplaceAll(spokeText(name,
		"  keyrings: {peers: [{peer: any, address: 0.0.0.0/0, pre-shared-key: a test secret not for use}]}\n", "",
		"authentication: {local: psk, remote: psk}\n      keyring: peers",
		"authentication: {local: eap, remote: certificate}\n      certificate: {ca: DIR/hub.crt}"+eap,
		"tunnel: tunnel1}", "tunnel: tunnel1, connect: "+connect+"}"), "DIR", dir)
}

const (
	asAlice = "\n      eap: {username: alice, password: open sesame}"
	asBob   = "\n      eap: {username: bob, password: open sesame}"
)

func eapCounts(e *end) string {
	var out []string
	for _, c := range e.Stats().EAP {
		if c.Count > 0 {
			out = append(out, fmt.Sprintf("%s %s %d", c.Method, c.Outcome, c.Count))
		}
	}
	return strings.Join(out, ", ")
}

// The EAP identity is the session's: it says whose session a second one ends.
func TestEAPIdentityIsTheSessions(t *testing.T) {
	inWorld(t, func(w *world) {
		dir := eapFolder(t)
		h := w.end("192.0.2.1", eapHubText(dir), nil)
		h.run()
		w.end("192.0.2.2", eapSpokeText("spoke1", dir, asAlice, "auto"), nil).run()
		w.after(time.Second)
		first := h.wantUp(1, "alice is in")[0]
		if first.Identity != "alice" || first.EAPName != "alice" || first.EAPMethod != "mschapv2" {
			t.Errorf("the hub shows %+v", first)
		}
		w.end("192.0.2.3", eapSpokeText("spoke2", dir, asBob, "auto"), nil).run()
		w.after(time.Second)
		h.wantUp(2, "bob is another")
		stop := w.end("192.0.2.4", eapSpokeText("spoke3", dir, asAlice, "auto"), nil).run()
		w.after(500 * time.Millisecond)
		for _, s := range h.wantUp(2, "the second alice takes the place of the first") {
			if s.ID == first.ID {
				t.Error("the first session of alice still stands")
			}
		}
		if log := h.log.String(); !strings.Contains(log, "session="+first.ID+" identity=alice") || !strings.Contains(log, "replaced by a newer session of the same identity") {
			t.Errorf("the log does not say so:\n%s", log)
		}
		stop()
	})
}

func TestEAPIdentityMayHaveSeveralSessions(t *testing.T) {
	inWorld(t, func(w *world) {
		dir := eapFolder(t)
		h := w.end("192.0.2.1", eapHubText(dir, "virtual-template: 1", "virtual-template: 1\n      replace-session: never"), nil)
		h.run()
		w.end("192.0.2.2", eapSpokeText("spoke1", dir, asAlice, "auto"), nil).run()
		w.end("192.0.2.3", eapSpokeText("spoke2", dir, asAlice, "auto"), nil).run()
		w.after(time.Second)
		h.wantUp(2, "replace-session: never")
	})
}

// silent is an authenticator that never answers.
type silent struct{ begun, closed atomic.Int64 }

func (s *silent) Begin(authz.EAPPeer) authz.EAPConversation      { s.begun.Add(1); return s }
func (s *silent) Respond(packet []byte, _ func(authz.EAPResult)) {}
func (s *silent) Close()                                         { s.closed.Add(1) }

func TestEAPAuthenticatorIsSilent(t *testing.T) {
	inWorld(t, func(w *world) {
		dir := eapFolder(t)
		mute := new(silent)
		w.eap = mute
		h, s := w.end("192.0.2.1", eapHubText(dir), nil), w.end("192.0.2.2", eapSpokeText("spoke1", dir, asAlice, "manual"), nil)
		h.run()
		stop := s.run()
		if err := s.Connect(w.ctx, "c"); err != nil {
			t.Fatal(err)
		}
		w.after(21 * time.Second)
		failed := h.Failed()
		if len(failed) == 0 || failed[0].Identity != "alice" || !strings.Contains(failed[0].Detail, "did not answer in time") {
			t.Errorf("the hub lists %+v", failed)
		}
		stop()
		w.after(3 * time.Minute)
		if mute.closed.Load() != mute.begun.Load() || mute.begun.Load() == 0 {
			t.Errorf("of %d conversations %d were closed", mute.begun.Load(), mute.closed.Load())
		}
		if got := eapCounts(h); !strings.HasPrefix(got, "none failed ") || strings.Contains(got, ",") {
			t.Errorf("the hub counts %q", got)
		}
		h.wantClean("nobody came in")
	})
}

// counting is an authenticator whose conversations are counted.
type counting struct {
	authz.EAPAuthenticator
	begun, closed atomic.Int64
}

func (c *counting) Begin(p authz.EAPPeer) authz.EAPConversation {
	c.begun.Add(1)
	return counted{c.EAPAuthenticator.Begin(p), c}
}

type counted struct {
	authz.EAPConversation
	by *counting
}

func (c counted) Close() { c.by.closed.Add(1); c.EAPConversation.Close() }

// Each conversation that began is closed once, whatever became of it.
func TestEAPConversationsAreClosed(t *testing.T) {
	inWorld(t, func(w *world) {
		dir := eapFolder(t)
		users := map[string]config.EAPUser{"alice": {Password: secret.FromString("open sesame")}}
		local, err := eaplocal.New(config.EAP{Methods: []config.EAPMethod{config.EAPMSCHAPv2}, Users: users}, "hub1")
		if err != nil {
			t.Fatal(err)
		}
		all := &counting{EAPAuthenticator: local}
		w.eap = all
		h := w.end("192.0.2.1", eapHubText(dir), nil)
		h.run()
		w.end("192.0.2.2", eapSpokeText("spoke1", dir, asAlice, "auto"), nil).run()
		w.after(time.Second)
		h.wantUp(1, "alice is in")
		if all.begun.Load() != 1 || all.closed.Load() != 1 {
			t.Errorf("after a success %d of %d are closed", all.closed.Load(), all.begun.Load())
		}
		stop := w.end("192.0.2.3", eapSpokeText("spoke2", dir, asBob, "auto"), nil).run()
		w.after(time.Second)
		stop()
		w.after(3 * time.Minute)
		if n := all.begun.Load(); n < 2 || all.closed.Load() != n {
			t.Errorf("after refusals %d of %d are closed", all.closed.Load(), n)
		}
	})
}

// A person at a terminal: what is asked, in order, and what is typed.
func (e *end) person(ctx context.Context, answers ...string) (asked []string, err error) {
	err = e.Login(ctx, "c", func(l view.Login) error {
		switch {
		case l.Need != "":
			asked = append(asked, l.Need)
			if len(answers) == 0 {
				return nil // thinks
			}
			typed := answers[0]
			answers = answers[1:]
			return e.AnswerLogin(ctx, "c", l.Number, []byte(typed))
		case l.Failed != "":
			asked = append(asked, "failed: "+l.Failed)
		case l.Up:
			asked = append(asked, "up")
		}
		return nil
	})
	return asked, err
}

func TestEAPAsksAPerson(t *testing.T) {
	inWorld(t, func(w *world) {
		dir := eapFolder(t)
		h, s := w.end("192.0.2.1", eapHubText(dir), nil), w.end("192.0.2.2", eapSpokeText("spoke1", dir, "", "manual"), nil)
		h.run()
		s.run()
		if err := s.Connect(w.ctx, "c"); err == nil || !strings.Contains(err.Error(), "on a terminal") {
			t.Errorf("connect without a terminal says %v", err)
		}
		asked, err := s.person(w.ctx, "alice", "open sesame")
		if err != nil || fmt.Sprint(asked) != "[username password up]" {
			t.Errorf("the person was asked %v: %v", asked, err)
		}
		w.after(time.Second)
		if got := h.wantUp(1, "alice is in")[0]; got.Identity != "alice" {
			t.Errorf("the hub has %s", got.Identity)
		}
		// What was typed serves as long as no hub refuses it.
		if err := h.ClearSession(w.ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		w.after(30 * time.Second)
		h.wantUp(1, "the client comes back by itself")
		if err := s.Disconnect(w.ctx, "c"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		asked, err = s.person(w.ctx, "alice", "simsalabim")
		if err != nil || len(asked) != 3 || !strings.Contains(asked[2], "user name or password is wrong") {
			t.Errorf("after disconnect the person was asked %v: %v", asked, err)
		}
		w.after(time.Minute)
		if v := s.Clients()[0]; v.State != "IDLE" {
			t.Errorf("a login that failed leaves the client %s", v.State)
		}
		if got := eapCounts(h); got != "mschapv2 accepted 2, mschapv2 rejected 1" {
			t.Errorf("the hub counts %q: nobody tries a wrong password twice", got)
		}
		asked, err = s.person(w.ctx, "alice", "open sesame")
		if err != nil || fmt.Sprint(asked) != "[username password up]" {
			t.Errorf("what was refused is asked for again, but the person was asked %v: %v", asked, err)
		}
	})
}

// A person who goes away leaves nothing behind, at neither end.
func TestEAPPersonGoesAway(t *testing.T) {
	inWorld(t, func(w *world) {
		dir := eapFolder(t)
		h, s := w.end("192.0.2.1", eapHubText(dir), nil), w.end("192.0.2.2", eapSpokeText("spoke1", dir, "", "manual"), nil)
		h.run()
		s.run()
		ctx, cancel := context.WithCancel(w.ctx)
		time.AfterFunc(20*time.Second, cancel)
		if asked, err := s.person(ctx, "alice"); err == nil || fmt.Sprint(asked) != "[username password]" {
			t.Errorf("the person was asked %v: %v", asked, err)
		}
		w.after(10 * time.Second)
		if v := s.Clients()[0]; v.State != "IDLE" {
			t.Errorf("the client is %s", v.State)
		}
		if err := s.AnswerLogin(w.ctx, "c", 2, []byte("late")); err == nil || !strings.Contains(err.Error(), "does not wait") {
			t.Errorf("a late answer gets %v", err)
		}
		if got := eapCounts(h); got != "mschapv2 abandoned 1" && got != "none abandoned 1" {
			t.Errorf("the hub counts %q", got)
		}
		h.wantClean("nobody came in")
	})
}

// A person who thinks for longer than the hub waits is asked again by the next attempt, and a second
// terminal takes the login over from the first.
func TestEAPPersonThinks(t *testing.T) {
	inWorld(t, func(w *world) {
		dir := eapFolder(t)
		h, s := w.end("192.0.2.1", eapHubText(dir, "query-identity: true", "query-identity: true, timeout: 10s"), nil), w.end("192.0.2.2", eapSpokeText("spoke1", dir, "", "manual"), nil)
		h.run()
		s.run()
		first := make(chan []string, 1)
		w.all.Go(func() {
			asked, _ := s.person(w.ctx) // types nothing
			first <- asked
		})
		w.after(15 * time.Second)
		asked, err := s.person(w.ctx, "alice", "open sesame")
		if err != nil || len(asked) == 0 || asked[len(asked)-1] != "up" {
			t.Errorf("the second terminal was asked %v: %v", asked, err)
		}
		if got := <-first; len(got) == 0 || !strings.Contains(got[len(got)-1], "taken the login over") {
			t.Errorf("the first terminal was told %v", got)
		}
		h.wantUp(1, "alice is in")
	})
}

// noting is an authenticator whose success comes with a note.
type noting struct{ authz.EAPAuthenticator }

func (n noting) Begin(p authz.EAPPeer) authz.EAPConversation {
	return noted{n.EAPAuthenticator.Begin(p)}
}

type noted struct{ authz.EAPConversation }

func (n noted) Respond(packet []byte, done func(authz.EAPResult)) {
	n.EAPConversation.Respond(packet, func(r authz.EAPResult) {
		r.Server, r.Notes = "r1", []string{"optional AV-pair ipsec:colour is not known here"}
		done(r)
	})
}

func TestNotesOfALoginAreLogged(t *testing.T) {
	inWorld(t, func(w *world) {
		dir := eapFolder(t)
		local, err := eaplocal.New(config.EAP{
			Methods: []config.EAPMethod{config.EAPMSCHAPv2}, Users: map[string]config.EAPUser{"alice": {Password: secret.FromString("open sesame")}},
		}, "hub1")
		if err != nil {
			t.Fatal(err)
		}
		w.eap = noting{local}
		h := w.end("192.0.2.1", eapHubText(dir), nil)
		h.run()
		w.end("192.0.2.2", eapSpokeText("spoke1", dir, asAlice, "auto"), nil).run()
		w.after(time.Second)
		h.wantUp(1, "alice is in")
		if n := strings.Count(h.log.String(), "ipsec:colour"); n != 1 {
			t.Errorf("the note is logged %d times:\n%s", n, h.log)
		}
	})
}

// People who type take no place from handshakes: as many as would fill all of them leave the next one in.
func TestPeopleWhoTypeAreNotHalfOpen(t *testing.T) {
	inWorld(t, func(w *world) {
		dir := eapFolder(t)
		h := w.end("192.0.2.1", eapHubText(dir, "ikev2:\n", "ikev2:\n  max-half-open: 1\n"), nil)
		h.run()
		ctx, cancel := context.WithCancel(w.ctx)
		defer cancel()
		const typing = 6 // a hub stops at four times max-half-open
		for i := range typing {
			s := w.end(fmt.Sprintf("192.0.2.%d", i+10), eapSpokeText(fmt.Sprintf("spoke%d", i), dir, "", "manual"), nil)
			s.run()
			w.all.Go(func() { _, _ = s.person(ctx) }) // types nothing
			w.after(time.Second)
		}
		if v := h.Stats(); v.HalfOpen != 0 || v.Logins != typing {
			t.Errorf("%d handshakes are half open and %d logins under way", v.HalfOpen, v.Logins)
		}
		w.end("192.0.2.9", eapSpokeText("spoke9", dir, asAlice, "auto"), nil).run()
		w.after(time.Second)
		h.wantUp(1, "alice is in while the others type")
		w.after(3 * time.Minute)
		cancel()
		w.after(3 * time.Minute)
		if n := h.Stats().Logins; n != 0 {
			t.Errorf("%d logins are under way for ever", n)
		}
	})
}
