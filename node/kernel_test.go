package node

import (
	"strings"
	"testing"

	"flexvpn/dataplane/none"
)

// What goes with the process cannot be kept: the hub says so at its start.
func TestKeepNeedsTheKernel(t *testing.T) {
	n := &Node{opt: Options{Keep: true}, plane: none.New()}
	if err := n.requireKeep(); err == nil || !strings.Contains(err.Error(), "--keep needs the kernel's data plane, this is none") {
		t.Errorf("error %v", err)
	}
	n.opt.Keep = false
	if err := n.requireKeep(); err != nil {
		t.Error(err)
	}
}
