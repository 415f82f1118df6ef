package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"flexvpn/ikev2/suite/floor"
	"flexvpn/load"
	"flexvpn/node"
	"flexvpn/ops"
)

// sessions is enough that the process's fixed costs do not show, and takes seconds.
const sessions = 2000

const hubConfig = `node: bench
dataplane: none
state-dir: DIR/state
control: {socket: DIR/control.sock}
log: {level: error}
ikev2:
  listen: [127.0.0.1]
  port: 15500
  nat-port: 15540
  max-half-open: 10000
  proposals: {bench: {encryption: [aes-gcm-256], prf: [sha384], group: [x25519]}}
  keyrings: {any: [{peer: any, address: 0.0.0.0/0, pre-shared-key: a bench secret not for use}]}
  profiles:
    any:
      match: {identity: [{fqdn-domain: bench.example.net}]}
      identity: {fqdn: hub.example.net}
      authentication: {local: psk, remote: psk}
      keyring: any
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
      dpd: {mode: "off"}
  authorization-policies: {default: {pool: p}}
pools: {p: {range: 10.0.0.2-10.0.255.254}}
virtual-templates: {1: {mode: auto, address: 10.0.0.1/32}}
`

const loadConfig = `node: bench
dataplane: none
state-dir: DIR/load
control: {socket: DIR/load.sock}
ikev2:
  port: 15500
  nat-port: 15540
  proposals: {bench: {encryption: [aes-gcm-256], prf: [sha384], group: [x25519]}}
  keyrings: {any: [{peer: any, address: 0.0.0.0/0, pre-shared-key: a bench secret not for use}]}
  profiles:
    any:
      identity: {fqdn: bench.example.net}
      authentication: {local: psk, remote: psk}
      keyring: any
      dpd: {mode: "off"}
clients: {c: {peers: [{sequence: 1, address: 127.0.0.1}], profile: any, tunnel: t}}
tunnels: {t: {mode: ipsec, address: negotiated, source: dynamic, destination: dynamic}}
`

// control runs a hub inside this process and the load in another, so that this process's CPU time
// and heap are the responder's alone.
func control(ctx context.Context, dir, binary string) error {
	hubPath, err := write(dir, "hub.yaml", hubConfig)
	if err != nil {
		return err
	}
	loadPath, err := write(dir, "load.yaml", loadConfig)
	if err != nil {
		return err
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
		return err
	}
	// One round to warm pools and maps, then the one that counts.
	if _, err := loadRun(ctx, binary, loadPath, 200, nil); err != nil {
		return err
	}
	if err := measureSessions(ctx, binary, loadPath, hub); err != nil {
		return err
	}
	cancel()
	return <-ended
}

func ready(ctx context.Context, hub *ops.Client, ended <-chan error) error {
	for range 100 {
		if _, err := hub.Info(ctx); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the hub did not start: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("the hub did not answer within ten seconds")
}

func measureSessions(ctx context.Context, binary, config string, hub *ops.Client) error {
	heapBefore := liveHeap()
	cpuBefore, begin := cpuTime(), time.Now()
	var cpu time.Duration
	var heap uint64
	var standing uint64
	res, err := loadRun(ctx, binary, config, sessions, func() error {
		for time.Since(begin) < time.Minute {
			s, err := hub.Stats(ctx)
			if err != nil {
				return err
			}
			if standing = s.SessionsUp["hub"]; standing == sessions {
				cpu = cpuTime() - cpuBefore
				time.Sleep(time.Second) // what handshakes hold for a moment is let go
				heap = liveHeap()
				return nil
			}
			time.Sleep(20 * time.Millisecond)
		}
		return fmt.Errorf("only %d of %d sessions stand after a minute", standing, sessions)
	})
	if err != nil {
		return err
	}
	say("handshake_cpu_over_crypto", float64(cpu)/sessions/float64(handshakeFloor()))
	say("heap_bytes_per_session", float64(heap-heapBefore)/sessions)
	say("setup_per_second", res.PerSecond)
	return nil
}

// handshakeFloor is the CPU time of one handshake's bare cryptography.
func handshakeFloor() time.Duration {
	const rounds = 2000
	before := cpuTime()
	for range rounds {
		floor.Handshake()
	}
	return (cpuTime() - before) / rounds
}

// loadRun runs flexvpn load in a process of its own; during runs beside it while it holds.
func loadRun(ctx context.Context, binary, config string, n int, during func() error) (load.Result, error) {
	hold := "0s"
	if during != nil {
		hold = "10s"
	}
	cmd := exec.CommandContext(ctx, binary, "load", "-c", config, "-n", fmt.Sprint(n), "--hold", hold, "--json")
	done := make(chan error, 1)
	if during != nil {
		go func() { done <- during() }()
	}
	out, err := cmd.Output()
	if during != nil {
		if err := <-done; err != nil {
			return load.Result{}, err
		}
	}
	var res load.Result
	if err != nil {
		return res, fmt.Errorf("flexvpn load: %w\n%s", err, out)
	}
	return res, json.Unmarshal(out, &res)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
