package ops

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerCredentials asks the kernel who connected; unix(7), SO_PEERCRED. They were taken at connect(2)
// and cannot be forged.
func peerCredentials(conn net.Conn) (*unix.Ucred, error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("peer credentials: not a unix socket")
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var inner error
	err = raw.Control(func(fd uintptr) {
		cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, inner); err != nil {
		return nil, fmt.Errorf("peer credentials: %w", err)
	}
	return cred, nil
}

// peer is who is at the other end of a connection.
type peer struct {
	uid uint32
	pid int32
	err error
}

type peerKey struct{}

// withPeer puts the peer's credentials into the context of every request of a connection.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	cred, err := peerCredentials(conn)
	if err != nil {
		return context.WithValue(ctx, peerKey{}, peer{err: err})
	}
	return context.WithValue(ctx, peerKey{}, peer{uid: cred.Uid, pid: cred.Pid})
}

// permitted is the whole rule of who may speak to the daemon: root, and the daemon's own user.
func permitted(p peer, owner uint32) bool {
	return p.err == nil && (p.uid == 0 || p.uid == owner)
}
