package authz

import "slices"

// Same reports whether two spokes get the same from the same origins. It is asked at every set-up, and
// the answer is almost always yes.
func Same(a, b *Attributes) bool {
	return a.Pool == b.Pool && a.Pool6 == b.Pool6 && a.Address == b.Address && a.Address6 == b.Address6 && a.Netmask == b.Netmask &&
		sameList(a.DNS, b.DNS) && sameList(a.WINS, b.WINS) && sameList(a.SplitDNS, b.SplitDNS) && a.DefDomain == b.DefDomain &&
		sameList(a.BackupGateways, b.BackupGateways) && a.Banner == b.Banner &&
		sameList(a.RoutesSet, b.RoutesSet) && a.RouteInterface == b.RouteInterface && sameAccept(&a.RoutesAccept, &b.RoutesAccept) &&
		a.Prefix6 == b.Prefix6 && a.Delegated == b.Delegated && sameList(a.Routes, b.Routes) && a.VRF == b.VRF &&
		a.FilterIn == b.FilterIn && a.FilterOut == b.FilterOut && a.QoSIn == b.QoSIn && a.QoSOut == b.QoSOut &&
		slices.Equal(a.InterfaceConfig, b.InterfaceConfig) &&
		a.SessionTimeout == b.SessionTimeout && a.IdleTimeout == b.IdleTimeout && a.Interim == b.Interim &&
		sameList(a.Class, b.Class) && a.UserName == b.UserName
}

func sameList[T comparable](a, b Value[[]T]) bool {
	return a.Origin == b.Origin && slices.Equal(a.V, b.V)
}

func sameAccept(a, b *Value[Accept]) bool {
	v, w := &a.V, &b.V
	return a.Origin == b.Origin && v.Any == w.Any && slices.Equal(v.Prefixes, w.Prefixes) && v.List == w.List &&
		v.Distance == w.Distance && v.Tag == w.Tag
}
