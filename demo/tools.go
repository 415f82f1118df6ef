package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// flexvpn runs a command against the daemon of one node, over its control socket.
func (d *demo) flexvpn(node string, args ...string) (string, error) {
	args = append([]string{"--socket", filepath.Join(d.dir, node+".sock")}, args...)
	out, err := exec.CommandContext(d.ctx, d.binary, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("on %s: flexvpn %s: %w\n%s", node, strings.Join(args[2:], " "), err, out)
	}
	return string(out), nil
}

// print runs a command as an operator would, and shows it.
func (d *demo) print(node string, args ...string) error {
	out, err := d.flexvpn(node, args...)
	if err != nil {
		return err
	}
	d.say("%s# flexvpn %s", node, strings.Join(args, " "))
	for line := range strings.Lines(out) {
		fmt.Fprintf(d.out, "     %s\n", strings.TrimRight(line, "\n"))
	}
	return nil
}

// json runs a show command and decodes its --json.
func (d *demo) json(node string, into any, args ...string) error {
	out, err := d.flexvpn(node, append(args, "--json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("on %s: flexvpn %s --json: %w in %q", node, strings.Join(args, " "), err, out)
	}
	return nil
}

// until asks ready until it says yes; what is the sentence of the error when limit passes.
func (d *demo) until(limit time.Duration, what string, ready func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := ready()
		if ok {
			return nil
		}
		if err == nil && d.daemonDied() {
			err = errors.New("a daemon has ended")
		}
		if d.ctx.Err() != nil {
			return d.ctx.Err()
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("not within %s: %s", limit, what), err)
		}
		time.Sleep(100 * time.Millisecond) // asking a separate process: there is no event to wait for
	}
}

func (d *demo) daemonDied() bool {
	if d.hubProc == nil {
		return false
	}
	select {
	case <-d.hubProc.Done():
		return true
	default:
		return false
	}
}

// cleanUp removes everything the demo made; a failed demo prints the daemons' last words first.
func (d *demo) cleanUp(failed bool) error {
	var err error
	if d.lab != nil {
		err = d.lab.Close()
	}
	for _, log := range d.logs {
		_ = log.Close()
		if failed {
			d.lastWords(log.Name())
		}
	}
	return errors.Join(err, os.RemoveAll(d.dir))
}

func (d *demo) lastWords(path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	fmt.Fprintf(d.out, "\n-- end of %s\n%s\n", filepath.Base(path), strings.Join(lines[max(0, len(lines)-15):], "\n"))
}
