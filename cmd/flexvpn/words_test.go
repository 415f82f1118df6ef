package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flexvpn/config"
	"flexvpn/node"
	"flexvpn/ops/opstest"
	"flexvpn/ops/view"
)

func TestUsageErrors(t *testing.T) {
	s := serve(t, sample())
	for line, want := range map[string]string{
		"sow":                               `unknown word "sow" after flexvpn (did you mean show?): choose check,`,
		"show sesions":                      `unknown word "sesions" after flexvpn show (did you mean session`,
		"show":                              "flexvpn show needs one more word: aaa, access-lists, bgp, client, counters, crypto, dhcp, dns, interfaces, ip, nat, policy, pools, routes, sa, session, sessions",
		"show po":                           `"po" is ambiguous after flexvpn show: policy, pools`,
		"show sess":                         `"sess" is ambiguous after flexvpn show: session, sessions`,
		"show nonsense --json":              `unknown word "nonsense" after flexvpn show`,
		"c":                                 `"c" is ambiguous after flexvpn: check, clear, client, connect, crypto`,
		"show crypto ikev2 sa brief":        `unknown word "brief" after flexvpn show crypto ikev2 sa: choose detailed, or nothing`,
		"show sessions now":                 `flexvpn show sessions: "now" is one word too many`,
		"show session":                      "flexvpn show session needs a session's id, its peer's identity or its interface",
		"show sessions --role router":       `--role "router": choose hub or client`,
		"show sessions --nonsense":          "unknown flag: --nonsense",
		"clear session":                     "flexvpn clear session needs either a session's ID or --all",
		"clear session h1 --all":            "flexvpn clear session needs either a session's ID or --all",
		"connect":                           "flexvpn connect needs the name of a client profile",
		"hub":                               "flexvpn hub needs its configuration: -c FILE",
		"check":                             "flexvpn check needs the configuration: -c FILE",
		"clear crypto ikev2 sa remote hub1": `"hub1" is no IP address`,
		"clear crypto ikev2 sa remote":      "flexvpn clear crypto ikev2 sa takes nothing, or remote and an address",
		"debug crypto ikev2 packets":        "packets",
		"show track one":                    `"one" is no number of a tracked object`,
		"debug tacacs":                      `unknown word "tacacs" after flexvpn debug: choose client, crypto, dhcp, dns, ike, ip, radius`,
		"show crypto ikev2 client flexvp x": `no client profile x`,
	} {
		r := s.run(line)
		code := exitUsage
		if strings.HasSuffix(line, "flexvp x") {
			code = exitNo
		}
		if r.code != code || !strings.Contains(r.err, want) || r.out != "" {
			t.Errorf("flexvpn %s: code %d, %q, want code %d, %q", line, r.code, r.err, code, want)
		}
	}
}

func TestNobodyIsThere(t *testing.T) {
	s := serve(t, nil)
	want := "flexvpn: no flexvpn is running here (SOCKET): start it with flexvpn hub -c FILE or flexvpn client -c FILE\n"
	for _, line := range []string{
		"show sessions", "show session h1", "show client --watch", "show crypto ikev2 sa det", "clear session --all",
		"clear client flex1", "connect flex1", "disconnect flex1", "debug ike",
	} {
		if r := s.run(line); r.code != exitUnreachable || r.err != want || r.out != "" {
			t.Errorf("%s: code %d, %q %q, want code %d, %q", line, r.code, r.out, r.err, exitUnreachable, want)
		}
	}
	if r := s.run("version"); r.code != exitOK || !strings.HasPrefix(r.out, "flexvpn unknown (go1.") {
		t.Errorf("version without a node: %+v", r)
	}
}

func TestSocketFlagWins(t *testing.T) {
	s := serve(t, &opstest.Node{})
	r := s.runWords(t.Context(), "--socket", filepath.Join(t.TempDir(), "other.sock"), "show", "sessions")
	if r.code != exitUnreachable || !strings.Contains(r.err, "other.sock") {
		t.Errorf("--socket did not win over FLEXVPN_SOCKET: %+v", r)
	}
}

func TestVerbs(t *testing.T) {
	node := sample()
	s := serve(t, node)
	for _, c := range [][3]string{
		{"clear session h1", "clear session h1", "session h1 cleared\n"},
		{"clear sa va-2", "clear session va-2", "session va-2 cleared\n"},
		{"clear session --all", "clear all", "3 sessions cleared\n"},
		{"clear crypto session", "clear all", "3 sessions cleared\n"},
		{"clear crypto ikev2 sa", "clear all", "3 sessions cleared\n"},
		{"clear crypto ikev2 sa remote 2001:db8:20::2", "clear session h2", "1 session with 2001:db8:20::2 cleared\n"},
		{"clear client flex1", "clear client flex1", "client flex1 cleared\n"},
		{"clear crypto ikev2 client flexvpn flex2", "clear client flex2", "client flex2 cleared\n"},
		{"cle cry ike cli flex", "clear all clients", "all clients cleared\n"},
		{"connect flex1", "connect flex1", "client flex1 is connecting: flexvpn show client flex1\n"},
		{"crypto ikev2 client flexvpn connect flex1", "connect flex1", "client flex1 is connecting: flexvpn show client flex1\n"},
		{"disconnect flex1", "disconnect flex1", "client flex1 is disconnected until flexvpn connect flex1\n"},
		{"version", "", "running: hub1 (hub), version 1.2.3, userspace plane, process 4242, up 1d02h\n"},
	} {
		before := len(node.Calls())
		r := s.run(c[0])
		did := strings.Join(node.Calls()[before:], ",")
		if r.code != exitOK || did != c[1] || !strings.HasSuffix(r.out, c[2]) {
			t.Errorf("%s: the node did %q and %q was printed (code %d, %s), want %q and %q", c[0], did, r.out, r.code, r.err, c[1], c[2])
		}
	}
}

func TestAnswersOfNo(t *testing.T) {
	s := serve(t, sample())
	for line, want := range map[string]string{
		"clear session nobody": "flexvpn: no session nobody\n  flexvpn show sessions lists those that stand\n",
		"connect nothing":      "flexvpn: no client profile nothing\n  flexvpn show client lists them\n",
		"show client nothing":  "flexvpn: no client profile nothing\n  flexvpn show client lists those there are\n",
		"show policy nothing":  "flexvpn: no authorization policy nothing\n  flexvpn show policy lists them\n",
	} {
		if r := s.run(line); r.code != exitNo || r.err != want || r.out != "" {
			t.Errorf("%s: code %d, %q, want code %d, %q", line, r.code, r.err, exitNo, want)
		}
	}
}

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hub.yaml")
	if err := os.WriteFile(file, []byte("node: hub1\nnodes: 2\nbgb: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := serve(t, nil).runWords(t.Context(), "check", "-c", file)
	if r.code != exitNo || strings.Count(r.err, file+":") < 2 || strings.Contains(r.err, "flexvpn:") || r.out != "" {
		t.Errorf("a bad file gave code %d, %q %q, want every error on a line of its own", r.code, r.out, r.err)
	}
	var out strings.Builder
	if err := runCheck(&out, "hub.yaml", func(string) (string, error) { return "1 pool", nil }); err != nil || out.String() != "hub.yaml: ok: 1 pool\n" {
		t.Errorf("a good file gave %q, %v", &out, err)
	}
}

func TestDaemonIsStarted(t *testing.T) {
	saved := runNode
	defer func() { runNode = saved }()
	var got node.Options
	var result error
	runNode = func(_ context.Context, o node.Options) error { got = o; return result }
	s := serve(t, nil)
	for _, role := range []string{"hub", "client"} {
		if r := s.run(role + " -c /etc/flexvpn/x.yaml"); r.code != exitOK || got.Role != role || got.ConfigPath != "/etc/flexvpn/x.yaml" || got.Version != version || got.LogTo == nil {
			t.Errorf("flexvpn %s: %+v, node started with %+v", role, r, got)
		}
	}
	result = errors.New("port 500 is in use")
	if r := s.run("hub -c x"); r.code != exitNo || r.err != "flexvpn: port 500 is in use\n" {
		t.Errorf("a node that does not start: %+v", r)
	}
	result = config.Errors{{File: "x", Line: 3, Column: 1, Text: "first"}, {File: "x", Line: 4, Column: 1, Text: "second"}}
	if r := s.run("hub -c x"); r.err != "x:3:1: first\nx:4:1: second\n" {
		t.Errorf("a wrong configuration: %+v", r)
	}
}

// With --trace a node's messages go to a file that only its owner reads, one run after the other.
func TestMessagesGoToAFile(t *testing.T) {
	saved := runNode
	defer func() { runNode = saved }()
	runNode = func(_ context.Context, o node.Options) error {
		o.Trace(view.TraceLine{Sent: true, Remote: "198.51.100.7:500", Message: "IKE_SA_INIT request 0 [SA]", Text: []string{"SA \x1b[2J"}})
		return nil
	}
	s := serve(t, nil)
	path := filepath.Join(t.TempDir(), "trace")
	for range 2 {
		if r := s.run("client -c x --trace " + path); r.code != exitOK {
			t.Fatalf("the node ended with %+v", r)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), "-> 198.51.100.7:500 IKE_SA_INIT request 0 [SA]\n") != 2 || strings.Count(string(text), "\n    SA ") != 2 || strings.Contains(string(text), "\x1b") {
		t.Errorf("the file has %q", text)
	}
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", i.Mode(), err)
	}
	if r := s.run("client -c x --trace /nowhere/trace"); r.code != exitNo || !strings.Contains(r.err, "--trace: open /nowhere/trace: no such file") {
		t.Errorf("a file that cannot be made: %+v", r)
	}
}

// Every command that does something has an example, and its help can be read.
func TestEveryVerbHasHelp(t *testing.T) {
	s := serve(t, nil)
	a := &app{out: io.Discard, err: io.Discard, getenv: func(string) string { return "" }}
	for _, path := range leaves(a) {
		r := s.run(strings.TrimPrefix(path, "flexvpn ") + " --help")
		if r.code != exitOK || !strings.Contains(r.out, "Examples:") || !strings.Contains(r.out, "Usage:") {
			t.Errorf("%s --help: code %d\n%s", path, r.code, r.out)
		}
	}
}
