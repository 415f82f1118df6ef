// Package config turns the YAML text of a configuration into one validated, immutable [Config].
//
// A section of the file is an unexported raw struct whose keys method says, for each key, where its
// value goes, what is allowed, what holds when it is missing and what it means. Strict decoding, the
// defaults and docs/configuration.md all come from that one list. Only when the whole file is read are
// references resolved and rules checked that span sections, so that every error of a file is told at
// once, each with its line and column.
//
// The package reads the file and the secrets and certificates it names, and nothing else: it opens no
// socket and asks no kernel.
package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxFile is far above what thousands of profiles need, and bounds the work of a hostile file.
const maxFile = 8 << 20

// An Option changes how a configuration is read.
type Option func(*options)

type options struct {
	checkProposal func(p Proposal, esp bool) []error
	secretFile    func(path string) ([]byte, error)
	now           time.Time
	host          Host // nil: not this machine
	checkLine     func(line string) error
	exposed       string // why keys inside the file itself are not secret; empty: they are
}

// CheckProposal has check judge the names of algorithms in each proposal; esp says whether the
// proposal is for Child SAs. Without this option the names are not checked: config does not know the
// algorithms itself.
func CheckProposal(check func(p Proposal, esp bool) []error) Option {
	return func(o *options) { o.checkProposal = check }
}

// CheckInterfaceConfig has check judge the lines of interface-config: config does not know the words of
// IOS itself.
func CheckInterfaceConfig(check func(line string) error) Option {
	return func(o *options) { o.checkLine = check }
}

// SecretFiles has read fetch the secret files (pre-shared and private keys) that the configuration
// names, instead of the file system with its checks of owner and permissions.
func SecretFiles(read func(path string) ([]byte, error)) Option {
	return func(o *options) { o.secretFile = read }
}

// At sets the moment at which certificates must be valid; default: now.
func At(now time.Time) Option { return func(o *options) { o.now = now } }

// Load reads and validates the file at path. The error is of type [Errors]. A file that holds a
// pre-shared key itself is refused when others can read it.
func Load(path string, opts ...Option) (*Config, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not hang the start
	if err != nil {
		return nil, Errors{{File: path, Text: openProblem(err), Remedy: "give the path of the configuration with -c"}}
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("is not a regular file")
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	}
	if err != nil {
		return nil, Errors{{File: path, Text: openProblem(err)}}
	}
	why, _ := exposure(info)
	opts = append(opts, func(o *options) { o.exposed = why })
	return Parse(path, text, opts...)
}

// Parse validates text, the content of the file at path: the path stands in errors, and relative
// paths inside the file start from its folder. The error is of type [Errors].
func Parse(path string, text []byte, opts ...Option) (*Config, error) {
	r := &reader{file: path, dir: filepath.Dir(path)}
	r.secretFile = readSecretFile
	r.now = time.Now()
	for _, o := range opts {
		o(&r.options)
	}
	raw := new(rawConfig)
	if body, ok := r.parseYAML(text); ok {
		r.readRoot(body, raw)
	}
	if raw.seen {
		cfg := r.resolve(raw)
		if len(r.errs) == 0 {
			cfg.Warnings = r.warnings.sorted()
			return cfg, nil
		}
	}
	return nil, r.errs.sorted().limited()
}
