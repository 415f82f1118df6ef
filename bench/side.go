package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// sideRole tells this program, started again, that it is a side: one of the processes of a measurement
// whose CPU time and memory must be its alone.
const sideRole = "FLEXVPN_BENCH_SIDE"

const (
	sideBGPHub   = "bgp-hub"
	sideBGPPeers = "bgp-peers"
	sideFloor    = "floor"
)

// runSide is main of a side.
func runSide(role string, args []string) error {
	if role == sideFloor {
		return floorSide()
	}
	n := 0
	if _, err := fmt.Sscan(args[len(args)-1], &n); err != nil {
		return err
	}
	if role == sideBGPHub {
		return bgpHubSide(args[0], n)
	}
	return bgpPeersSide(n)
}

// A side is told words, and says words with a number.
type side struct {
	in    io.WriteCloser
	lines *bufio.Scanner
	cmd   *exec.Cmd
}

// startSide starts the command, which is this program, in a role.
func startSide(cmd *exec.Cmd, role string) (*side, error) {
	cmd.Env, cmd.Stderr = append(os.Environ(), sideRole+"="+role), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &side{in, bufio.NewScanner(out), cmd}, cmd.Start()
}

func (s *side) tell(word string) error {
	_, err := fmt.Fprintln(s.in, word)
	return err
}

func (s *side) wait(word string) (v float64, err error) {
	if !s.lines.Scan() {
		return 0, fmt.Errorf("a side of the bench ended before %s", word)
	}
	if _, err := fmt.Sscanf(s.lines.Text(), word+" %g", &v); err != nil {
		return 0, fmt.Errorf("a side of the bench said %q, not %s", s.lines.Text(), word)
	}
	return v, nil
}

// end lets a side that reads to its end go home.
func (s *side) end() error {
	_ = s.in.Close()
	return s.cmd.Wait()
}
