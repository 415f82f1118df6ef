package vtemplate

import (
	"flexvpn/config"
	"flexvpn/dataplane"
)

// attach says of an interface where it belongs and what passes through it.
func attach(spec *dataplane.Interface, a *config.Attach) {
	spec.VRF, spec.TransportVRF = a.VRF, a.FrontVRF
	spec.FilterIn, spec.FilterOut = listName(a.FilterIn), listName(a.FilterOut)
	spec.LinesIn, spec.LinesOut = a.FilterIn.Lines(), a.FilterOut.Lines()
	if a.Output != nil {
		spec.QoS.Shape = rate(a.Output.Shape)
	}
	if a.Input != nil {
		spec.QoS.Police = rate(a.Input.Police)
	}
	switch a.DF {
	case "set":
		spec.DF = dataplane.DFSet
	case "clear":
		spec.DF = dataplane.DFClear
	}
}

func listName(l *config.AccessList) string {
	if l == nil {
		return ""
	}
	return l.Name
}

func rate(r config.Rate) dataplane.Rate { return dataplane.Rate{Bits: r.Bits, Burst: r.Burst} }
