package node

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"flexvpn/config"
	"flexvpn/dataplane/none"
)

// dataplane: auto takes userspace where the kernel lacks something, and says what; dataplane: kernel ends
// with it, and with what can be done.
func TestPlaneIsChosen(t *testing.T) {
	lacks := errors.New("this kernel has no GRE: it needs CONFIG_NET_IPGRE (module ip_gre)")
	for _, c := range []struct {
		plane, want config.DataPlane
		lacks       error
		log         string
	}{
		{config.PlaneAuto, config.PlaneUserspace, lacks, "module ip_gre"},
		{config.PlaneAuto, config.PlaneKernel, nil, "dataplane auto: kernel"},
		{config.PlaneKernel, config.PlaneKernel, lacks, ""},
		{config.PlaneUserspace, config.PlaneUserspace, nil, ""},
	} {
		log := &lines{}
		n := &Node{cfg: &config.Config{DataPlane: c.plane}, log: slog.New(slog.NewTextHandler(log, nil))}
		if got := n.choosePlane(func() error { return c.lacks }); got != c.want || !strings.Contains(log.String(), c.log) || c.log == "" && log.String() != "" {
			t.Errorf("%v with a kernel that lacks %v: %v, and the log says %q", c.plane, c.lacks, got, log)
		}
	}
	n := &Node{cfg: &config.Config{DataPlane: config.PlaneKernel}}
	err := n.buildKernelPlane(func() error { return lacks })
	if err == nil || !errors.Is(err, lacks) || !strings.Contains(err.Error(), "or set dataplane: userspace") || strings.Contains(err.Error(), "\n") {
		t.Errorf("dataplane: kernel: error %v", err)
	}
}

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
