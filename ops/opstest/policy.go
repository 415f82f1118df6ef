package opstest

import (
	"time"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// Policies implements ops.Node.
func (n *Node) Policies(name string) ([]view.Policy, error) {
	var out []view.Policy
	for _, p := range n.Given {
		switch name {
		case "":
			p.Users = nil
			out = append(out, p)
		case p.Name:
			return []view.Policy{p}, n.Fail
		}
	}
	if name != "" {
		return nil, firstError(n.Fail, ops.NotFound("no authorization policy "+name, "flexvpn show policy lists them"))
	}
	return out, n.Fail
}

func policies(ago func(time.Duration) time.Time) []view.Policy {
	var users []view.PolicyUser
	for _, s := range []view.Session{spoke1(ago), spoke2(ago)} {
		users = append(users, view.PolicyUser{Session: s.ID, Identity: s.Identity, Profile: s.Profile})
	}
	const from = "local policy default"
	return []view.Policy{
		{
			Name: "default", Sessions: len(users), Users: users,
			Attributes: []view.Attribute{
				{Name: "pool", Value: "flexspokes", Origin: from},
				{Name: "dns", Value: "192.168.10.5 192.168.10.6", Origin: from},
				{Name: "split-dns", Value: "example.net", Origin: from},
				{Name: "routes accept", Value: "any tag 1 distance 2", Origin: from},
			},
			Profiles: []view.PolicyProfile{{Profile: "spokes", Role: "group"}, {Profile: "logins", Role: "user", Backup: true}},
		},
		{Name: "guests", Attributes: []view.Attribute{}, Profiles: []view.PolicyProfile{}},
	}
}
