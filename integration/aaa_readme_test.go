package integration

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shellBlocks are the code blocks of a page that are shell.
func shellBlocks(t *testing.T, path string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	for rest := string(text); ; {
		_, after, ok := strings.Cut(rest, "```sh\n")
		if !ok {
			return out
		}
		block, left, _ := strings.Cut(after, "```\n")
		out, rest = append(out, block), left
	}
}

// asFreshMachine gives a script an /etc that it may write and forgets, and empty /var/log and /run.
const asFreshMachine = `mount -t tmpfs none "$1" && mkdir "$1/upper" "$1/work" &&
mount -t overlay none -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" /etc &&
mount -t tmpfs none /var/log && mount -t tmpfs none /run && cd "$2" && `

// Done when 5: deploy/freeradius does what its README says, with the files as they stand and no path
// changed. Only the line that installs packages is left out: make test has installed them.
func TestAAAReadme(t *testing.T) {
	t.Parallel()
	lab := newLab(t, "aaac")
	n := node(t, lab, "radius")
	must(t, n.IP("link set lo up"))
	blocks := shellBlocks(t, "../deploy/freeradius/README.md")
	if len(blocks) < 2 || !strings.Contains(blocks[0], "apt-get install") || !strings.Contains(blocks[1], "radclient") {
		t.Fatalf("the README has other blocks: %q", blocks)
	}
	_, steps, _ := strings.Cut(blocks[0], "\n")
	root, err := filepath.Abs("..")
	must(t, err)
	script := asFreshMachine + "{ set -eu\n" + steps + `
for i in $(seq 100); do [ -s /run/freeradius/flexvpn.pid ] && break; sleep 0.1; done
trap 'kill $(cat /run/freeradius/flexvpn.pid)' EXIT
` + blocks[1] + "\n}"
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	out, err := n.Run(ctx, "unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", t.TempDir(), root)
	if err != nil || !strings.Contains(out, "Received Access-Accept") || !strings.Contains(out, `Cisco-AVPair = "ip:ipsec:dns-servers=192.168.10.5 192.168.10.6"`) {
		t.Errorf("following the README: %v\n%s", err, lastLines(out, 40))
	}
	if _, err := os.Stat("/etc/freeradius-flexvpn"); err == nil {
		t.Error("the test has written to the machine's own /etc")
	}
}
