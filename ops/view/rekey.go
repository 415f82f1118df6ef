package view

// RekeyKind says which keys of a session are renewed.
type RekeyKind string

// The kinds.
const (
	RekeyIKE   RekeyKind = "ike"
	RekeyChild RekeyKind = "child"
)
