package config

import (
	"time"

	"flexvpn/secret"
)

// EAP is how a profile authenticates by EAP: its peers, where authentication remote is eap, or this
// node, where local is.
type EAP struct {
	Timeout time.Duration // for a person to type; default 2m

	// Towards peers.
	List          string // "local" or "radius"
	QueryIdentity bool   // ask for the EAP identity; else the IKE identity is it
	Methods       []EAPMethod
	Users         []EAPUser // of the local list

	// Of this node.
	Method   EAPMethod // the only one it uses; empty: whatever its credentials serve
	Username string
	Password secret.Bytes // empty: asked for when the client connects
}

// EAPMethod is a method by its name.
type EAPMethod string

// The methods.
const (
	EAPMSCHAPv2 EAPMethod = "mschapv2"
	EAPGTC      EAPMethod = "gtc"
	EAPMD5      EAPMethod = "md5"
	EAPTLS      EAPMethod = "tls"
)

// EAPUser is one user of the local list.
type EAPUser struct{ Name string }
