package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flexvpn/secret"
)

// eapHub and eapSpoke are the two ends as docs/eap.md shows them.
const eapHub = `node: hub1
ikev2:
  profiles:
    users:
      match: {identity: [{fqdn-domain: branch.example.net}]}
      authentication: {local: certificate, remote: eap}
      certificate: {chain: hub1.crt, key: hub1.key}
      eap: {list: local, query-identity: true, methods: [mschapv2, gtc], users: {file: users}, timeout: 3m}
      virtual-template: 1
virtual-templates: {1: {mode: auto, address: 10.1.1.1/32}}
`

const eapSpoke = `node: spoke1
ikev2:
  profiles:
    hubs:
      identity: {fqdn: spoke1.branch.example.net}
      authentication: {local: eap, remote: certificate}
      certificate: {ca: ca.crt}
      eap: {method: mschapv2, username: alice, password: {file: password}}
clients: {flex1: {peers: [{sequence: 1, address: 192.0.2.1}], profile: hubs, tunnel: tunnel1}}
tunnels: {tunnel1: {mode: gre, address: negotiated}}
`

// eapFiles writes certificates and secrets into a folder.
func eapFiles(t *testing.T) (dir string) {
	dir = t.TempDir()
	root := newAuthority(t, "CA")
	root.write(t, dir, "ca.crt")
	root.issue(t, "hub1.example.net").writeBoth(t, dir, "hub1")
	writeFile(t, dir, "users", "alice:text:open sesame\r\nbob:nt:44ebba8d5312b8d611474411f56989ae\n", 0o600)
	writeFile(t, dir, "password", " open sesame \n", 0o600)
	return dir
}

func TestEAPOfAHub(t *testing.T) {
	dir := eapFiles(t)
	cfg, err := Parse(filepath.Join(dir, "hub.yaml"), []byte(eapHub))
	if err != nil {
		t.Fatal(err)
	}
	e := cfg.IKEv2.Profiles[0].EAP
	if e.List != "local" || !e.QueryIdentity || e.Timeout != 3*time.Minute || len(e.Methods) != 2 || e.Methods[1] != EAPGTC {
		t.Errorf("eap is %+v", e)
	}
	if !e.Users["alice"].Password.Equal(secret.FromString("open sesame")) || e.Users["bob"].NTHash.Len() != 16 {
		t.Errorf("the users are %v", e.Users)
	}
}

func TestEAPOfAClient(t *testing.T) {
	dir := eapFiles(t)
	cfg, err := Parse(filepath.Join(dir, "spoke.yaml"), []byte(eapSpoke))
	if err != nil {
		t.Fatal(err)
	}
	e := cfg.Clients["flex1"].Profile.EAP
	if e.Method != EAPMSCHAPv2 || e.Username != "alice" || e.Timeout != 2*time.Minute {
		t.Errorf("eap is %+v", e)
	}
	if !e.Password.Equal(secret.FromString(" open sesame ")) {
		t.Error("a password is taken as it stands, but for the file's last newline")
	}
}

// Files with passwords that others can read are refused.
func TestEAPSecretsOthersCanRead(t *testing.T) {
	dir := eapFiles(t)
	writeFile(t, dir, "users", "alice:text:x\n", 0o644)
	writeFile(t, dir, "password", "x", 0o640)
	for name, file := range map[string]string{"users": eapHub, "password": eapSpoke} {
		_, err := Parse(filepath.Join(dir, "n.yaml"), []byte(file))
		if err == nil || !strings.Contains(err.Error(), "secret file "+name+" can be read or changed by others") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A password inside a configuration that others can read is no secret.
func TestEAPPasswordInAnOpenFile(t *testing.T) {
	dir := eapFiles(t)
	writeFile(t, dir, "spoke.yaml", strings.Replace(eapSpoke, "{file: password}", "the-secret", 1), 0o644)
	_, err := Load(filepath.Join(dir, "spoke.yaml"))
	if err == nil || !strings.Contains(err.Error(), "a password stands here") || strings.Contains(err.Error(), "the-secret") {
		t.Errorf("%v", err)
	}
}

// FuzzUsers holds that no line of a users file makes the reader panic, show what it holds, or take half
// a user.
func FuzzUsers(f *testing.F) {
	for _, line := range []string{
		"alice:text:open sesame", "bob:nt:44ebba8d5312b8d611474411f56989ae", "carol:$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde",
		"x", ":", "a:b", "a:nt:00", "a:$2", "\xff:text:x", "a b:text:é",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		name, u, why := parseUser(line)
		kinds := 0
		for _, s := range []secret.Bytes{u.Password, u.NTHash, u.Bcrypt} {
			if !s.IsEmpty() {
				kinds++
			}
		}
		if why == "" && (name == "" || kinds != 1) || why != "" && kinds != 0 {
			t.Errorf("%q: user %q with %d secrets, refused: %q", line, name, kinds, why)
		}
		if _, value, ok := strings.Cut(line, ":"); ok && len(value) > 12 && strings.Contains(why, value) {
			t.Errorf("the refusal of %q shows what it holds: %q", line, why)
		}
	})
}
