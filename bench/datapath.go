package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"flexvpn/netlab"
)

// dataPath runs the userspace plane's own benchmarks: seal and open of 1,400-octet packets through
// its path without the TUN, beside bare AES-GCM of the same sizes, in turns and in CPU time.
func dataPath(ctx context.Context, _, _ string) error {
	ratio, err := figure(ctx, "BenchmarkESPOverGCM", "1000x", "esp/gcm")
	if err != nil {
		return err
	}
	allocs, err := figure(ctx, "BenchmarkESP", "300ms", "allocs/op")
	if err != nil {
		return err
	}
	say("esp_over_gcm", ratio)
	say("esp_allocs_per_packet", allocs)
	return nil
}

// figure runs a benchmark of the userspace plane and returns one of its figures, by its unit.
func figure(ctx context.Context, name, length, unit string) (float64, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+name+"$", "-benchmem", "-benchtime", length, "-cpu", "1", "flexvpn/dataplane/userspace").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("benchmarks of the userspace plane: %w\n%s", err, out)
	}
	m := regexp.MustCompile(`([\d.]+) ` + unit + `\b`).FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%s printed no %s:\n%s", name, unit, out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// tunnel compares TCP through hub and spoke with TCP over the bare veth between them.
func tunnel(ctx context.Context, dir, binary string) (err error) {
	lab, err := netlab.New("fvbench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	hub, err := lab.Node("hub")
	if err != nil {
		return err
	}
	spoke, err := lab.Node("spoke")
	if err != nil {
		return err
	}
	if err := errors.Join(lab.Link(hub, "eth0", spoke, "eth0"),
		hub.IP("addr add 192.0.2.1/24 dev eth0"), spoke.IP("addr add 192.0.2.2/24 dev eth0")); err != nil {
		return err
	}
	for _, end := range []struct {
		n          *netlab.Node
		role, text string
	}{{hub, "hub", tunnelHub}, {spoke, "client", tunnelSpoke}} {
		path, err := write(dir, end.role+"-tunnel.yaml", end.text)
		if err != nil {
			return err
		}
		if _, err := end.n.Start(os.Stderr, nil, binary, end.role, "-c", path); err != nil {
			return err
		}
	}
	if _, err := hub.Start(nil, nil, "iperf3", "-s"); err != nil {
		return err
	}
	if err := reachable(ctx, spoke, "10.1.1.1"); err != nil {
		return err
	}
	through, err := iperf(ctx, spoke, "10.1.1.1")
	if err != nil {
		return err
	}
	plain, err := iperf(ctx, spoke, "192.0.2.1")
	if err != nil {
		return err
	}
	say("tunnel_tcp_over_veth", through/plain)
	return nil
}

func reachable(ctx context.Context, from *netlab.Node, addr string) error {
	var err error
	for range 100 {
		if _, err = from.Run(ctx, "ping", "-c", "1", "-W", "1", addr); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// iperf is the rate received, in bit/s, of one TCP stream.
func iperf(ctx context.Context, from *netlab.Node, addr string) (float64, error) {
	out, err := from.Run(ctx, "iperf3", "-c", addr, "-t", "5", "-O", "1", "-J")
	if err != nil {
		return 0, err
	}
	var res struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&res); err != nil {
		return 0, fmt.Errorf("iperf3: %w", err)
	}
	return res.End.Received.Rate, nil
}

const tunnelHub = `node: hub
dataplane: userspace
state-dir: DIR/tunnel-hub
control: {socket: DIR/tunnel-hub.sock}
log: {level: error}
ikev2:
` + hubProfile + `  authorization-policies: {default: {pool: p, routes: {set: [interface]}}}
pools: {p: {range: 10.1.1.2-10.1.1.9}}
virtual-templates: {1: {mode: auto, address: 10.1.1.1/32, mtu: 1400, adjust-mss: 1360}}
`

const tunnelSpoke = `node: spoke
dataplane: userspace
state-dir: DIR/tunnel-spoke
control: {socket: DIR/tunnel-spoke.sock}
log: {level: error}
ikev2:
` + spokeProfile + `      routes: {accept: any}
clients: {c: {peers: [{sequence: 1, address: 192.0.2.1}], profile: any, tunnel: tunnel1}}
tunnels: {tunnel1: {mode: ipsec, address: negotiated, source: dynamic, destination: dynamic, mtu: 1400, adjust-mss: 1360}}
`
