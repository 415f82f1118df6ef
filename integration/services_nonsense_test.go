package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flexvpn/ops/view"
)

// A hub that is not ours pushes what nobody can use: the session stands, what makes sense is put to use,
// and everything else is refused with its reason. Such a hub also sees who is asking: "FlexVPN clients also
// identify themselves using vendor-specific payloads, sent during the IKE_SA_INIT exchange".
func TestServicesHubThatPushesNonsense(t *testing.T) {
	t.Parallel()
	p := newPair(t, false, false, "")
	var gateways []string
	for i := range 11 {
		gateways = append(gateways, fmt.Sprintf("gw%d.example.net", i+1))
	}
	swan := startStrongswan(t, p.theirNode, strings.Replace(p.swanctl(), "    subnet = 10.99.0.0/24\n", `    subnet = 10.99.0.0/24
    dns = 224.0.0.1, 10.99.0.53
    nbns = 127.0.0.1
    28675 = ., good.example, -bad.example
    28674 = "two words"
    28681 = `+strings.Join(gateways, ", ")+"\n", 1), nil)
	p.ours = startFlexvpn(t, p.oursNode, "client", p.spokeConfig()+"dns: {listen: eth0, default-servers: 192.0.2.2}\n", map[string][]byte{"psk": []byte(p.oursSecret + "\n")})
	p.ours.up()
	charon, err := os.ReadFile(filepath.Join(swan.dir, "charon.log"))
	must(t, err)
	for _, name := range []string{"Cisco Delete Reason", "Cisco FlexVPN Supported"} {
		if !strings.Contains(string(charon), "received "+name+" vendor ID") {
			t.Errorf("strongSwan was not told %s", name)
		}
	}
	var c view.Client
	eventually(t, 20*time.Second, "the client shows what it was given", func() error {
		c = show[[]view.Client](p.ours, "client")[0]
		if len(c.Pushed) == 0 {
			return fmt.Errorf("it shows %+v", c)
		}
		return nil
	})
	var refused, taken []string
	for _, a := range c.Pushed {
		if a.Name == "refused" {
			refused = append(refused, a.Value)
		} else {
			taken = append(taken, a.Name+" "+a.Value)
		}
	}
	for _, want := range []string{
		`split-dns ".": the root, which every name is under`, `split-dns "-bad.example": no name of`, `def-domain "two words": no name of`,
		`dns "224.0.0.1": not the address of a host`, `wins "127.0.0.1": not the address of a host`, `backup-gateway "gw11.example.net": more than 10`,
	} {
		if !strings.Contains(strings.Join(refused, "\n"), want) {
			t.Errorf("refused is\n%s\nwithout %s", strings.Join(refused, "\n"), want)
		}
	}
	if all := strings.Join(taken, "\n"); !strings.Contains(all, "dns 10.99.0.53") || !strings.Contains(all, "split-dns good.example") || strings.Contains(all, "def-domain") || strings.Contains(all, "gw11") {
		t.Errorf("taken over is\n%s", all)
	}
	if v := show[view.DNS](p.ours, "dns").Views; len(v) != 1 || fmt.Sprint(v[0].Domains) != "[good.example]" {
		t.Errorf("the views are %+v", v)
	}
	if !strings.Contains(p.ours.log.String(), "more than 10") {
		t.Error("the log does not tell the reasons")
	}
}
