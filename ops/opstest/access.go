package opstest

import "flexvpn/ops/view"

// AccessLists implements ops.Node.
func (n *Node) AccessLists() ([]view.AccessList, error) {
	return []view.AccessList{{Name: "from-spokes", Unmatched: 7, Entries: []view.AccessEntry{
		{Text: "permit tcp 10.0.0.0/8 host 192.168.10.5 eq https", Matches: 4711},
		{Text: "deny udp any any", Matches: 0},
	}}, {Name: "to-spokes", Entries: []view.AccessEntry{{Text: "permit icmp any any", Matches: 1}}}}, nil
}
