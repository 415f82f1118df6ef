package nlmsg

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Only lets the kernel keep back notifications of other types than these, and those of what the socket of a
// port caused (0: of none). Nobody is woken for them, and they take no room from what matters.
func (w *Watch) Only(port uint32, types ...uint16) error {
	program := filter(port, types)
	raw, err := w.file.SyscallConn()
	if err == nil {
		err = errors.Join(raw.Control(func(fd uintptr) {
			err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
		}), err)
	}
	if err != nil {
		return fmt.Errorf("filter notifications: %w", err)
	}
	return nil
}

// filter is a classic BPF program. It loads numbers in network order, and a message is in the machine's.
func filter(port uint32, types []uint16) []unix.SockFilter {
	const typeAt, portAt = 4, 12 // in a struct nlmsghdr
	var p []unix.SockFilter
	if port != 0 {
		p = append(p,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: portAt},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, port)), Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K})
	}
	p = append(p, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: typeAt})
	for i, t := range types {
		p = append(p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, t))), Jt: uint8(len(types) - i)})
	}
	return append(p, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: ^uint32(0)})
}
