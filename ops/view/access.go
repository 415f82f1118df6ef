package view

// AccessList is a named list with what its entries decided over, on all interfaces, in and out.
type AccessList struct {
	Name      string        `json:"name"`
	Entries   []AccessEntry `json:"entries"`
	Unmatched uint64        `json:"unmatched"` // packets that no entry fitted: denied
}

// AccessEntry is one entry in the words of the configuration.
type AccessEntry struct {
	Text    string `json:"text"`
	Matches uint64 `json:"matches"`
}
