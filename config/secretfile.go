package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxSecretFile holds the longest private key and any pre-shared key.
const maxSecretFile = 64 << 10

// path is where a file named in the configuration lies.
func (r *reader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.dir, name)
}

// readSecretFile reads a file that only its owner may read. What is checked is the opened file, so
// that nobody can put another in its place between check and reading.
func readSecretFile(path string) ([]byte, error) {
	return readFile(path, maxSecretFile, func(info fs.FileInfo) error {
		if why, remedy := exposure(info); why != "" {
			return problem{why, fmt.Sprintf(remedy, path)}
		}
		return nil
	})
}

func readFile(path string, most int, check func(fs.FileInfo) error) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not hang the start
	if err != nil {
		return nil, problem{text: openProblem(err)}
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, problem{text: openProblem(err)}
	}
	if !info.Mode().IsRegular() {
		return nil, problem{text: "is not a regular file"}
	}
	if err := check(info); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	switch {
	case err != nil:
		return nil, problem{text: openProblem(err)}
	case len(b) > most:
		return nil, problem{fmt.Sprintf("has more than %d octets", most), "is this the right file?"}
	case len(bytes.TrimSpace(b)) == 0:
		return nil, problem{text: "is empty"}
	}
	return b, nil
}

// exposure says who but the owner could read or replace a secret file, and the command that helps
// (with %s for the path); both are empty when nobody could.
func exposure(info fs.FileInfo) (why, remedy string) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return fmt.Sprintf("belongs to user %d, neither to root nor to the user of this process (%d)", stat.Uid, os.Geteuid()), fmt.Sprintf("chown %d %%s", os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Sprintf("can be read or changed by others (mode %04o)", mode), "chmod 600 %s"
	}
	return "", ""
}

// openProblem is an error of the file system without operation and path, which the caller names.
func openProblem(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "cannot be opened by the user of this process (permission denied)"
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return err.Error()
}

func (r *reader) failSecretFile(at place, name string, err error) {
	var why problem
	if !errors.As(err, &why) {
		why = problem{text: "cannot be read: " + openProblem(err)}
	}
	r.fail(at, why.remedy, "secret file %s %s", name, why.text)
}

// trimNewline takes away the one line end that editors and echo put behind a key.
func trimNewline(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}
