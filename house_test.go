package flexvpn

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// A room is a package with what it may import: of ours, by folder; and the third-party modules
// that it alone (with the others that list them) may use. Arrows point down only.
type room struct {
	ours    string
	foreign string
}

// house is the layout of docs/architecture.md as a table; a package that is not in it fails the test.
var house = map[string]room{
	"secret":                {},
	"store":                 {foreign: "go.etcd.io/bbolt"},
	"radiusdict":            {ours: "secret"},
	"ops/view":              {},
	"ikev2/wire":            {},
	"ikev2/suite":           {ours: "ikev2/wire secret", foreign: "golang.org/x/crypto"},
	"ikev2/suite/floor":     {ours: "ikev2/suite ikev2/wire secret"},
	"ikev2/pki":             {ours: "ikev2/wire secret", foreign: "golang.org/x/crypto"},
	"ikev2":                 {ours: "ikev2/wire ikev2/suite ikev2/pki secret"},
	"ikev2/eap":             {ours: "secret", foreign: "golang.org/x/crypto"},
	"ikev2/eap/eaptls":      {ours: "secret"},
	"ikev2/iketest":         {ours: "ikev2 ikev2/wire ikev2/suite ikev2/pki secret"},
	"dataplane":             {ours: "secret"},
	"dataplane/rtnl":        {ours: "dataplane", foreign: "github.com/vishvananda/netlink github.com/vishvananda/netns golang.org/x/sys"},
	"dataplane/edge":        {ours: "config dataplane dataplane/nft dataplane/rtnl", foreign: "github.com/google/nftables github.com/mdlayher/netlink golang.org/x/sys"},
	"dataplane/nft":         {foreign: "github.com/google/nftables github.com/mdlayher/netlink golang.org/x/sys"},
	"dataplane/none":        {ours: "dataplane secret"},
	"dataplane/userspace":   {ours: "dataplane dataplane/rtnl secret", foreign: "golang.org/x/sys golang.org/x/crypto"},
	"dataplane/planetest":   {ours: "dataplane secret", foreign: "golang.org/x/crypto"},
	"config":                {ours: "secret", foreign: "github.com/goccy/go-yaml"},
	"endpoint":              {ours: "ikev2 ikev2/wire", foreign: "golang.org/x/sys golang.org/x/sync"},
	"endpoint/endpointtest": {ours: "endpoint ikev2 ikev2/wire ikev2/suite secret"},
	"authz":                 {ours: "config ikev2/wire ops/view radiusdict store secret"},
	"authz/eaplocal":        {ours: "authz config ikev2/eap secret", foreign: "golang.org/x/crypto"},
	"authz/pool":            {ours: "store ops/view"},
	"authz/radius":          {ours: "authz config ops/view radiusdict secret store", foreign: "layeh.com/radius"},
	"vtemplate":             {ours: "authz config dataplane ikev2 ikev2/wire secret"},
	"routing":               {ours: "authz dataplane ops/view config"},
	"routing/bgp":           {ours: "authz config ops/view routing", foreign: "github.com/osrg/gobgp/v3 google.golang.org/protobuf golang.org/x/sys"},
	"profile":               {ours: "config dataplane endpoint ikev2 ikev2/suite ikev2/wire ops/view secret"},
	"hub":                   {ours: "authz authz/pool config dataplane endpoint ikev2 ikev2/eap ikev2/wire ops/view profile radiusdict routing vtemplate"},
	"client/dhcp":           {ours: "ops/view store", foreign: "github.com/insomniacslk/dhcp golang.org/x/sys"},
	"client/nat":            {ours: "dataplane/nft ops/view", foreign: "github.com/google/nftables github.com/mdlayher/netlink golang.org/x/sys"},
	"client/dns":            {ours: "ops/view", foreign: "github.com/miekg/dns golang.org/x/sys"},
	"client":                {ours: "authz config dataplane endpoint ikev2 ikev2/eap ikev2/eap/eaptls ikev2/wire ops/view profile routing secret vtemplate"},
	"client/track":          {ours: "config ops/view"},
	"load":                  {ours: "authz dataplane endpoint ikev2 ikev2/wire vtemplate"},
	"ops":                   {ours: "ops/view config", foreign: "github.com/prometheus golang.org/x/sys golang.org/x/term"},
	"ops/opstest":           {ours: "ops ops/view"},
	"netlab":                {},
	"demo":                  {ours: "netlab ops/view"},
	"node": {ours: "authz authz/eaplocal authz/pool authz/radius client config dataplane dataplane/edge dataplane/kernel dataplane/none dataplane/rtnl dataplane/userspace endpoint hub " +
		"client/dhcp client/dns client/nat client/track " +
		"ikev2 ikev2/wire load ops ops/view profile routing routing/bgp store vtemplate", foreign: "github.com/coreos/go-systemd golang.org/x/sync"},
	"cmd/flexvpn": {ours: "config demo load node ops ops/view", foreign: "github.com/spf13 golang.org/x/term golang.org/x/sys"},
	"bench":       {ours: "authz authz/radius config dataplane/rtnl ikev2/suite/floor load netlab node ops ops/view routing routing/bgp secret"},
	"integration": {},

	"dataplane/kernel":                 {ours: "dataplane dataplane/kernel/nlmsg dataplane/kernel/xfrm secret", foreign: "golang.org/x/sys"},
	"dataplane/kernel/nlmsg":           {foreign: "golang.org/x/sys"},
	"dataplane/kernel/nlmsg/nlmsgtest": {ours: "dataplane/kernel/nlmsg", foreign: "golang.org/x/sys"},
	"dataplane/kernel/xfrm":            {ours: "dataplane/kernel/nlmsg", foreign: "golang.org/x/sys"},
}

// pkg is what `go list -json` tells of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Doc        string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Doc", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestArrowsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "flexvpn/")
		if name == "flexvpn" {
			continue
		}
		r, known := house[name]
		if !known {
			t.Errorf("%s stands in no room: add it to docs/architecture.md and to this table, with what it may import", name)
			continue
		}
		for _, imported := range p.Imports {
			if ours, ok := strings.CutPrefix(imported, "flexvpn/"); ok {
				if !contains(r.ours, ours) {
					t.Errorf("%s imports %s, which it may not: arrows point down (docs/architecture.md)", name, ours)
				}
			} else if strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") && !prefixed(r.foreign, imported) {
				t.Errorf("%s imports %s: a third-party module has the rooms of this table, and this is none of them", name, imported)
			}
		}
	}
}

func contains(list, name string) bool {
	for _, f := range strings.Fields(list) {
		if f == name {
			return true
		}
	}
	return false
}

func prefixed(list, path string) bool {
	for _, f := range strings.Fields(list) {
		if path == f || strings.HasPrefix(path, f+"/") {
			return true
		}
	}
	return false
}

// takesConn is the room below the engine that implements net.Conn for crypto/tls, over buffers.
const takesConn = "flexvpn/ikev2/eap/eaptls"

// forbiddenInEngine keeps I/O, clocks and loggers out of the protocol (docs/architecture.md).
var forbiddenInEngine = []string{"net", "log/slog", "log", "context", "os", "syscall"}

func TestEngineDoesNoIO(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != "flexvpn/ikev2" && !strings.HasPrefix(p.ImportPath, "flexvpn/ikev2/") || strings.HasSuffix(p.ImportPath, "test") {
			continue
		}
		for _, imported := range p.Imports {
			for _, bad := range forbiddenInEngine {
				if imported == bad && (p.ImportPath != takesConn || bad != "net") {
					t.Errorf("%s imports %s: the engine does no I/O, and time is its argument", p.ImportPath, bad)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && p.ImportPath != "flexvpn" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
