package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"flexvpn/authz"
	"flexvpn/authz/radius"
	"flexvpn/config"
	"flexvpn/node"
	"flexvpn/ops"
	"flexvpn/secret"
)

// radiusAsked is how many authorizations are counted, radiusAtOnce how many are under way.
const (
	radiusAsked  = 10000
	radiusAtOnce = 100
	radiusPort   = 18120
	benchSecret  = "testing-only-change-me" // of deploy/freeradius/clients.conf
)

// radiusHub is the hub of control with its group in RADIUS.
var radiusHub = strings.NewReplacer(
	"DIR/state", "DIR/radius-state",
	"ikev2:\n", fmt.Sprintf("aaa:\n  servers: {r: {address: 127.0.0.1, auth-port: %d, secret: %s}}\n  groups: {g: {servers: r}}\nikev2:\n", radiusPort, benchSecret),
	"{group: {list: local, policy: default}}", "{group: {list: radius, name: branch.example.net}}",
	"{default: {pool: p}}", "{default: {pool: flexspokes}}",
	"pools: {p: {range: 10.0.0.2-10.0.255.254}}", "pools: {flexspokes: {range: 10.0.0.2-10.0.255.254}, flexspokes6: {range: \"2001:db8::2-2001:db8::ffff\"}}",
).Replace(hubConfig)

// radiusAAA measures a local FreeRADIUS through our client over the same through radclient, and the
// set-up rate of sessions that it authorizes over that with a local policy.
func radiusAAA(ctx context.Context, dir, binary string) error {
	stop, err := startRadius(ctx, filepath.Join(dir, "radius"))
	if err != nil {
		return err
	}
	defer stop()
	theirs, err := radclientRate(ctx, dir)
	if err != nil {
		return err
	}
	ours, err := ourRate(ctx)
	if err != nil {
		return err
	}
	say("radius_rate_over_radclient", ours/theirs)
	local, err := setupRate(ctx, dir, binary, hubConfig)
	if err != nil {
		return err
	}
	asked, err := setupRate(ctx, dir, binary, radiusHub)
	if err != nil {
		return err
	}
	say("radius_setup_over_local", asked/local)
	return nil
}

// startRadius starts the FreeRADIUS of deploy/freeradius on a loopback port.
func startRadius(ctx context.Context, dir string) (stop func(), err error) {
	for _, d := range []string{"conf/certs", "log/radacct", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"radiusd.conf", "clients.conf", "users", "site.conf"} {
		text, err := os.ReadFile(filepath.Join("deploy", "freeradius", name))
		if err != nil {
			return nil, err
		}
		if name == "site.conf" {
			text = []byte(strings.ReplaceAll(strings.Split(string(text), "\tlisten {\n\t\ttype = auth\n\t\tipv6addr")[0], "ipaddr = *\n\t\tport = 0", "ipaddr = 127.0.0.1\n\t\tport = PORT") + afterListen(string(text)))
			text = bytes.Replace(text, []byte("PORT"), []byte(strconv.Itoa(radiusPort)), 1)
			text = bytes.Replace(text, []byte("PORT"), []byte(strconv.Itoa(radiusPort+1)), 1)
			text = regexp.MustCompile(`(?m)^\t+(eap|mschap)( \{\n\t+ok = return\n\t+\})?\n`).ReplaceAll(text, nil)
		}
		if name == "radiusd.conf" { // EAP needs certificates, and is not measured
			text = regexp.MustCompile(`(?m)^.*eap\.conf\n`).ReplaceAll(text, nil)
		}
		if err := os.WriteFile(filepath.Join(dir, "conf", name), text, 0o600); err != nil {
			return nil, err
		}
	}
	local := fmt.Sprintf("logdir = %[1]s/log\nrun_dir = %[1]s/run\nserver_user = root\ncertdir = %[1]s/conf/certs\n", dir)
	if err := os.WriteFile(filepath.Join(dir, "conf", "local.conf"), []byte(local), 0o600); err != nil {
		return nil, err
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, "freeradius", "-d", filepath.Join(dir, "conf"), "-f", "-l", "stdout")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for range 100 {
		if exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("echo Message-Authenticator=0x00 | radclient -t 1 -r 1 127.0.0.1:%d status %s", radiusPort, benchSecret)).Run() == nil {
			return stop, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	return nil, fmt.Errorf("FreeRADIUS does not answer:\n%s", log.String())
}

// afterListen is what follows the listen sections of site.conf.
func afterListen(text string) string {
	i := strings.Index(text, "\tauthorize {")
	return text[max(i, 0):]
}

// radclientRate is radclient's own rate with the same question, so many at once.
func radclientRate(ctx context.Context, dir string) (float64, error) {
	path := filepath.Join(dir, "question")
	question := "User-Name = branch.example.net\nUser-Password = cisco\nService-Type = Outbound-User\nMessage-Authenticator = 0x00\n"
	if err := os.WriteFile(path, []byte(question), 0o600); err != nil {
		return 0, err
	}
	begin := time.Now()
	out, err := exec.CommandContext(ctx, "radclient", "-q", "-s", "-f", path, "-c", strconv.Itoa(radiusAsked), "-p", strconv.Itoa(radiusAtOnce),
		fmt.Sprintf("127.0.0.1:%d", radiusPort), "auth", benchSecret).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("radclient: %w\n%s", err, out)
	}
	return radiusAsked / time.Since(begin).Seconds(), nil
}

// ourRate is that of our client.
func ourRate(ctx context.Context) (float64, error) {
	s := &config.AAAServer{
		Name: "r", Address: netip.MustParseAddr("127.0.0.1"), Transport: config.AAAOverUDP, AuthPort: radiusPort, AcctPort: radiusPort + 1,
		Secret: secret.FromString(benchSecret), Timeout: 5 * time.Second, Tries: 3,
	}
	c := radius.New(config.AAA{Groups: map[string]*config.AAAGroup{"g": {Name: "g", Servers: []*config.AAAServer{s}, DeadTime: time.Minute}}}, "bench", slog.New(slog.DiscardHandler))
	defer c.Close()
	turns, answers := make(chan struct{}, radiusAtOnce), make(chan error, radiusAsked)
	begin := time.Now()
	for range radiusAsked {
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		c.Ask(authz.Ask{Group: "g", User: "branch.example.net", Password: secret.FromString("cisco")}, func(a authz.Answer) {
			<-turns
			answers <- a.Err
		})
	}
	for range radiusAsked {
		if err := <-answers; err != nil {
			return 0, fmt.Errorf("our client: %w", err)
		}
	}
	return radiusAsked / time.Since(begin).Seconds(), nil
}

// setupRate is the sessions a second that a hub of a configuration sets up.
func setupRate(ctx context.Context, dir, binary, text string) (rate float64, err error) {
	hubPath, err := write(dir, "hub-rate.yaml", text)
	if err != nil {
		return 0, err
	}
	loadPath, err := write(dir, "load-rate.yaml", loadConfig)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- node.Run(ctx, node.Options{Role: "hub", ConfigPath: hubPath, LogTo: io.Discard, Version: "bench"})
	}()
	hub := ops.Dial(dir + "/control.sock")
	defer hub.Close()
	if err := ready(ctx, hub, ended); err != nil {
		return 0, err
	}
	for _, n := range []int{200, sessions} { // the first to warm up
		res, err := loadRun(ctx, binary, loadPath, n)
		if err != nil {
			return 0, err
		}
		rate = res.PerSecond
	}
	cancel()
	return rate, errors.Join(<-ended)
}
