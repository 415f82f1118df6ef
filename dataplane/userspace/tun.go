package userspace

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"flexvpn/dataplane"
)

// ErrNoTUN and ErrNotPermitted are why this plane cannot work here. Their texts say what to do.
var (
	ErrNoTUN        = errors.New("there is no /dev/net/tun: load the module (modprobe tun), or give the container the device (--device /dev/net/tun)")
	ErrNotPermitted = errors.New("TUN devices need the capability CAP_NET_ADMIN: run as root, or grant it (systemd: AmbientCapabilities=CAP_NET_ADMIN, containers: --cap-add NET_ADMIN)")
)

const tunPath = "/dev/net/tun"

// tun is an open TUN device. The kernel removes the device when its descriptor is closed, so nothing
// stays behind when the process is killed.
type tun struct {
	mu  sync.RWMutex // held for writing by close only
	fd  int          // -1: closed
	uso bool         // takes and gives UDP segmentation
}

var errClosedDevice = errors.New("the device is closed")

// openTUN makes the device in the network namespace of the calling thread, with offloads.
func openTUN(name string) (fd int, uso bool, err error) {
	fd, err = unix.Open(tunPath, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, false, explain(err)
	}
	if uso, err = setUpTUN(fd, name); err != nil {
		_ = unix.Close(fd)
		return -1, false, fmt.Errorf("make TUN device %s: %w", name, explain(err))
	}
	return fd, uso, nil
}

func setUpTUN(fd int, name string) (uso bool, err error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return false, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_TUN_EXCL)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return false, err
	}
	// UDP segmentation came with Linux 6.2.
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp|unix.TUN_F_USO4|unix.TUN_F_USO6) == nil {
		return true, nil
	}
	return false, unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, tcp)
}

// explain turns an errno into what an operator can do about it.
func explain(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return ErrNoTUN
	case errors.Is(err, os.ErrPermission):
		return ErrNotPermitted
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: remove it, or use another name", dataplane.ErrNameTaken)
	}
	return err
}

// read takes one packet, virtio header first; EAGAIN when there is none.
func (t *tun) read(b []byte) (int, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.fd < 0 {
		return 0, errClosedDevice
	}
	for {
		n, err := unix.Read(t.fd, b)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// writePacket writes one packet in parts.
func (t *tun) writePacket(parts [][]byte) error {
	var vec [maxParts + 1]unix.Iovec
	for i, p := range parts {
		vec[i].Base = unsafe.SliceData(p)
		vec[i].SetLen(len(p))
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.fd < 0 {
		return errClosedDevice
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(t.fd), uintptr(unsafe.Pointer(&vec[0])), uintptr(len(parts)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return errno
	}
}

func (t *tun) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fd < 0 {
		return nil
	}
	err := unix.Close(t.fd)
	t.fd = -1
	return err
}
