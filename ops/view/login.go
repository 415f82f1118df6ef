package view

// Login is one event of a client's login for the person at a terminal.
type Login struct {
	Client string `json:"client"`
	// Need is what the person has to type: NeedUsername or NeedPassword; empty: nothing. The answer
	// names Number.
	Need   string `json:"need,omitempty"`
	Number uint64 `json:"number,omitempty"`
	Prompt string `json:"prompt,omitempty"` // the hub's own words
	Hub    string `json:"hub,omitempty"`    // who asks, as its certificate proved
	User   string `json:"user,omitempty"`   // whose password it is
	Note   string `json:"note,omitempty"`   // an attempt that failed; the next one follows
	Failed string `json:"failed,omitempty"` // the login is over
	Up     bool   `json:"up,omitempty"`     // the session stands
}

// The needs of a login.
const (
	NeedUsername = "username"
	NeedPassword = "password"
)
