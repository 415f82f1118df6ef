package node

import (
	"errors"
	"fmt"

	"flexvpn/config"
	"flexvpn/dataplane/kernel"
	"flexvpn/vtemplate"
)

// choosePlane is the configured plane, auto decided: the kernel's where this kernel has all that it
// takes, which probe says.
func (n *Node) choosePlane(probe func() error) config.DataPlane {
	if n.cfg.DataPlane != config.PlaneAuto {
		return n.cfg.DataPlane
	}
	if err := probe(); err != nil {
		n.log.Info("dataplane auto: userspace", "why", err.Error())
		return config.PlaneUserspace
	}
	n.log.Info("dataplane auto: kernel", "why", "this kernel has XFRM interfaces, GRE and ESP in UDP")
	return config.PlaneKernel
}

// buildKernelPlane makes the kernel's plane; what a crashed run of this node left is removed.
func (n *Node) buildKernelPlane(probe func() error) error {
	if err := probe(); err != nil {
		return fmt.Errorf("dataplane: kernel: %w: load what is missing, or set dataplane: userspace", err)
	}
	k := n.cfg.Kernel
	p, err := kernel.New(kernel.Options{
		Node: n.cfg.Node, Alias: vtemplate.AliasPrefix + n.cfg.Node + " ", Range: k.GRERange, OutputMark: k.OutputMark, Offload: k.Offload, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.kernel = p
	if n.plane, err = n.attach(p, true); err != nil {
		return errors.Join(err, p.Close())
	}
	return nil
}

// closePlane takes down what carries packets, or leaves it.
func (n *Node) closePlane() error {
	if n.opt.Keep && n.kernel != nil {
		n.log.Info("interfaces, sas and routes stay in the kernel until the next start")
		return n.kernel.Leave()
	}
	var errs []error
	if n.plane != nil {
		errs = append(errs, n.plane.Close())
	}
	if n.routes != nil {
		errs = append(errs, n.routes.Sweep())
	}
	return errors.Join(errs...)
}

// requireKeep refuses to promise what goes with the process.
func (n *Node) requireKeep() error {
	if n.opt.Keep && n.kernel == nil {
		return fmt.Errorf("--keep needs the kernel's data plane, this is %s: TUN devices go with the process that holds them", n.plane.Name())
	}
	return nil
}
