package node

import (
	"fmt"
	"testing"
	"time"
)

// show policy tells what a policy gives, who names it, and who uses it: also when all of it was
// overridden, or none of it was asked for.
func TestPoliciesTellWhoUsesThem(t *testing.T) {
	inWorld(t, func(w *world) {
		h := w.end("192.0.2.1", hubText("{group: {list: local, policy: default}}", "{group: {list: local, policy: default}, user: {list: local, policy: vip}}",
			"  authorization-policies:\n", "  authorization-policies:\n    vip: {dns: [192.168.10.99]}\n    idle: {}\n"), nil)
		one, two := w.end("192.0.2.2", spokeText("spoke1"), nil), w.end("192.0.2.3", spokeText("spoke2"), nil)
		h.run()
		stop := one.run()
		w.after(time.Second)
		two.run()
		w.after(time.Second)
		h.wantUp(2, "a second is enough")

		wantPolicies(t, h, "", "default 2 [{spokes group false}] [], idle 0 [] [], vip 2 [{spokes user false}] []")
		got, err := h.Policies("vip")
		if err != nil || len(got) != 1 || fmt.Sprint(got[0].Attributes) != "[{dns 192.168.10.99 local policy vip} {routes set interface local policy vip}]" || len(got[0].Users) != 2 {
			t.Errorf("the policy vip is %+v (%v)", got, err)
		}
		stop()
		w.after(time.Second)
		wantPolicies(t, h, "default", "default 1 [{spokes group false}] [{h2 spoke2.branch.example.net spokes}]")
		if _, err := h.Policies("none"); err == nil {
			t.Error("a policy that does not exist was shown")
		}
	})
}

func wantPolicies(t *testing.T, h *end, name, want string) {
	t.Helper()
	list, err := h.Policies(name)
	got := ""
	for _, p := range list {
		if got != "" {
			got += ", "
		}
		got += fmt.Sprint(p.Name, " ", p.Sessions, " ", p.Profiles, " ", p.Users)
	}
	if err != nil || got != want {
		t.Errorf("policies %q are %s (%v), want %s", name, got, err, want)
	}
}
