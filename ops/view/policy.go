package view

// Policy is a local authorization policy: what it gives, and who uses it.
type Policy struct {
	Name       string          `json:"name"`
	Attributes []Attribute     `json:"attributes"`
	Profiles   []PolicyProfile `json:"profiles"`
	Sessions   int             `json:"sessions"`        // how many stand that ask for it or have something of it
	Users      []PolicyUser    `json:"users,omitempty"` // those sessions; when one policy is asked for
}

// PolicyProfile is a profile that names the policy.
type PolicyProfile struct {
	Profile string `json:"profile"`
	Role    string `json:"role"` // group or user
	Backup  bool   `json:"while_no_server_answers"`
}

// PolicyUser is a session that uses the policy.
type PolicyUser struct {
	Session  string `json:"session"`
	Identity string `json:"identity"`
	Profile  string `json:"profile"`
}
