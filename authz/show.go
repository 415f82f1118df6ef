package authz

import (
	"fmt"
	"strings"
	"unicode"

	"flexvpn/ops/view"
)

// List is what show session prints: every attribute that is set, under its name in the
// configuration, with its origin.
func (a Attributes) List() []view.Attribute {
	var all []view.Attribute
	add := func(name, value string, from Origin) {
		if from != "" {
			all = append(all, view.Attribute{Name: name, Value: value, Origin: string(from)})
		}
	}
	add("pool", a.Pool.V, a.Pool.Origin)
	add("ipv6-pool", a.Pool6.V, a.Pool6.Origin)
	add("address", a.Address.V.String(), a.Address.Origin)
	add("ipv6-address", a.Address6.V.String(), a.Address6.Origin)
	add("netmask", a.Netmask.V.String(), a.Netmask.Origin)
	add("dns", words(a.DNS.V), a.DNS.Origin)
	add("wins", words(a.WINS.V), a.WINS.Origin)
	add("split-dns", strings.Join(a.SplitDNS.V, " "), a.SplitDNS.Origin)
	add("def-domain", a.DefDomain.V, a.DefDomain.Origin)
	add("backup-gateways", strings.Join(a.BackupGateways.V, " "), a.BackupGateways.Origin)
	add("banner", a.Banner.V, a.Banner.Origin)
	add("routes set", words(a.RoutesSet.V), a.RoutesSet.Origin)
	add("routes set", "interface", a.RouteInterface.Origin)
	add("routes accept", a.RoutesAccept.V.String(), a.RoutesAccept.Origin)
	add("ipv6-prefix", a.Prefix6.V.String(), a.Prefix6.Origin)
	add("delegated-ipv6-prefix", a.Delegated.V.String(), a.Delegated.Origin)
	add("framed-routes", words(a.Routes.V), a.Routes.Origin)
	add("vrf", a.VRF.V, a.VRF.Origin)
	add("access-group in", oneLine(a.FilterIn.V), a.FilterIn.Origin)
	add("access-group out", oneLine(a.FilterOut.V), a.FilterOut.Origin)
	add("service-policy input", a.QoSIn.V, a.QoSIn.Origin)
	add("service-policy output", a.QoSOut.V, a.QoSOut.Origin)
	for _, line := range a.InterfaceConfig {
		add("interface-config", line.V, line.Origin)
	}
	add("session-timeout", a.SessionTimeout.V.String(), a.SessionTimeout.Origin)
	add("idle-timeout", a.IdleTimeout.V.String(), a.IdleTimeout.Origin)
	add("interim-interval", a.Interim.V.String(), a.Interim.Origin)
	for _, class := range a.Class.V {
		add("class", classText(class), a.Class.Origin)
	}
	add("user-name", a.UserName.V, a.UserName.Origin)
	return all
}

// oneLine shows the lines of an access list in one.
func oneLine(filter string) string { return strings.ReplaceAll(filter, "\n", "; ") }

// classText shows an opaque value: as text when it is some, else in hexadecimal.
func classText(class string) string {
	if strings.ContainsFunc(class, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("0x%x", class)
	}
	return class
}

// String is the accepted prefixes as an operator writes them.
func (a Accept) String() string {
	text := words(a.Prefixes)
	switch {
	case a.Any:
		text = strings.TrimSpace("any " + text)
	case a.List != nil:
		text = strings.TrimSpace("prefix-list " + a.List.Name + " " + text)
	case text == "":
		text = "none"
	}
	return fmt.Sprintf("%s tag %d distance %d", text, a.Tag, a.Distance)
}

func words[T fmt.Stringer](all []T) string {
	texts := make([]string, len(all))
	for i, v := range all {
		texts[i] = v.String()
	}
	return strings.Join(texts, " ")
}
