package config

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"flexvpn/secret"
)

const (
	ntHashLen = 16
	bcryptLen = 60
	// maxUserName is what a User-Name of RADIUS holds, so that users can move there.
	maxUserName = 253
)

// parseUser reads one line of a users file; why says what is wrong with it and shows nothing of it.
func parseUser(line string) (name string, u EAPUser, why string) {
	name, rest, ok := strings.Cut(line, ":")
	switch {
	case !ok:
		return "", u, "it has no colon: NAME:text:PASSWORD, NAME:nt:HASH or NAME:$2y$…"
	case name == "" || len(name) > maxUserName:
		return "", u, "the user name must have 1 to 253 octets"
	case !utf8.ValidString(line):
		return "", u, "it is not UTF-8"
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "", u, "the user name has a blank at its ends or a control character"
	case strings.HasPrefix(rest, "$2"):
		u, why = bcryptUser(rest)
		return name, u, why
	}
	scheme, value, _ := strings.Cut(rest, ":")
	switch scheme {
	case "text":
		if n := utf8.RuneCountInString(value); n == 0 || n > maxPassword {
			return "", u, "the password must have 1 to 256 characters"
		}
		return name, EAPUser{Password: secret.FromString(value)}, ""
	case "nt":
		hash, err := hex.DecodeString(value)
		if err != nil || len(hash) != ntHashLen {
			return "", u, "an NT hash has 32 hexadecimal digits"
		}
		return name, EAPUser{NTHash: secret.New(hash)}, ""
	}
	return "", u, "after the name must come text:PASSWORD, nt:HASH, or a bcrypt hash that begins with $2"
}

// bcryptUser checks the shape of a hash and its cost: more than 14 would let a few logins a second
// keep a processor busy.
func bcryptUser(hash string) (EAPUser, string) {
	part := strings.Split(hash, "$")
	if len(hash) != bcryptLen || len(part) != 4 || len(part[2]) != 2 || !strings.Contains("2a 2b 2y", part[1]) {
		return EAPUser{}, "the bcrypt hash is damaged: make it with htpasswd -nB NAME"
	}
	if cost := part[2]; cost < "05" || cost > "14" {
		return EAPUser{}, "the bcrypt hash has a cost of " + digitsOnly(cost) + ": make one of 5 to 14"
	}
	return EAPUser{Bcrypt: secret.FromString(hash)}, ""
}

func digitsOnly(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return '?'
		}
		return r
	}, s)
}

// serves reports whether a user can log in by one of the methods.
func (u EAPUser) serves(methods []EAPMethod) bool {
	for _, m := range methods {
		switch m {
		case EAPGTC:
			return true
		case EAPMSCHAPv2:
			if u.Bcrypt.IsEmpty() {
				return true
			}
		case EAPMD5:
			if !u.Password.IsEmpty() {
				return true
			}
		case EAPTLS:
		}
	}
	return false
}
