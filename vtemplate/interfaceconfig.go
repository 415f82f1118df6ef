package vtemplate

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// An Override is one thing that a line of interface-config says instead of the template. It is
// comparable; which of its values means something depends on its Setting.
type Override struct {
	Setting Setting
	Word    string     // a name or a text; empty with a Setting that takes a name: none
	Number  uint64     // octets, or bits a second; 0: none
	Burst   uint32     // octets; 0: the default
	Address netip.Addr // of SetAddress
}

// Setting is what an Override changes.
type Setting uint8

// The settings. SetNothing is a line that IOS knows and that changes nothing here.
const (
	SetNothing Setting = iota
	SetVRF
	SetFrontVRF
	SetUnnumbered
	SetAddress
	SetMTU
	SetAdjustMSS
	SetAccessIn
	SetAccessOut
	SetPolicyIn
	SetPolicyOut
	SetShape
	SetPolice
	SetDescription
	SetDF
)

// parseInterfaceConfig reads a line of IOS's interface configuration, as RADIUS servers
// (cisco-avpair "ip:interface-config=...") and local policies send it. Words may not be abbreviated.
// "no" in front takes a setting of the template away.
//
//	[ip] vrf forwarding NAME                  ip mtu OCTETS
//	tunnel vrf NAME                           ip tcp adjust-mss OCTETS
//	ip unnumbered INTERFACE                   ip access-group NAME in|out
//	ip address ADDRESS 255.255.255.255        ipv6 traffic-filter NAME in|out
//	description TEXT                          service-policy input|output NAME
//	tunnel path-mtu-discovery                 traffic-shape rate BITS [BURST-BITS]
//	rate-limit input BITS BURST [MOST] conform-action transmit exceed-action drop
//	bandwidth KILOBITS (which is for display, as on IOS)
func parseInterfaceConfig(line string) (Override, error) {
	words := strings.Fields(line)
	no := len(words) > 1 && words[0] == "no"
	if no {
		words = words[1:]
	}
	for _, c := range commands {
		args, ok := c.match(words)
		if !ok {
			continue
		}
		parse := c.parse
		if no {
			parse = c.undo
		}
		o, err := parse(args)
		if err != nil {
			return Override{}, fmt.Errorf("interface-config %q: %w", line, err)
		}
		return o, nil
	}
	return Override{}, fmt.Errorf("interface-config %q: this line is not supported", line)
}

// CheckLine says what is wrong with a line.
func CheckLine(line string) error {
	_, err := parseInterfaceConfig(line)
	return err
}

// command is a line that begins with words.
type command struct {
	words string
	undo  func(args []string) (Override, error) // with "no" in front
	parse func(args []string) (Override, error)
}

func (c command) match(words []string) (args []string, ok bool) {
	start := strings.Fields(c.words)
	if len(words) < len(start) {
		return nil, false
	}
	for i, w := range start {
		if words[i] != w {
			return nil, false
		}
	}
	return words[len(start):], true
}

var commands = []command{
	{"vrf forwarding", always(Override{Setting: SetVRF}), named(SetVRF)},
	{"ip vrf forwarding", always(Override{Setting: SetVRF}), named(SetVRF)},
	{"tunnel vrf", always(Override{Setting: SetFrontVRF}), named(SetFrontVRF)},
	{"tunnel path-mtu-discovery", always(Override{Setting: SetDF, Word: "clear"}), fixed(Override{Setting: SetDF, Word: "copy"})},
	{"ip unnumbered", always(Override{Setting: SetUnnumbered}), named(SetUnnumbered)},
	{"ip address", always(Override{Setting: SetAddress}), parseAddress},
	{"ip mtu", always(Override{Setting: SetMTU}), sized(SetMTU, 576, 9000)},
	{"mtu", always(Override{Setting: SetMTU}), sized(SetMTU, 576, 9000)},
	{"ip tcp adjust-mss", always(Override{Setting: SetAdjustMSS}), sized(SetAdjustMSS, 500, 8960)},
	{"ip access-group", without("in", "out", SetAccessIn, SetAccessOut), parseAccessGroup},
	{"ipv6 traffic-filter", without("in", "out", SetAccessIn, SetAccessOut), parseAccessGroup},
	{"service-policy", without("input", "output", SetPolicyIn, SetPolicyOut), parseServicePolicy},
	{"traffic-shape rate", always(Override{Setting: SetShape}), parseShape},
	{"rate-limit input", always(Override{Setting: SetPolice}), parseRateLimit},
	{"description", always(Override{Setting: SetDescription}), parseDescription},
	{"bandwidth", always(Override{}), sized(SetNothing, 1, math.MaxUint32)},
	{"keepalive", always(Override{}), func([]string) (Override, error) {
		return Override{}, fmt.Errorf("a tunnel under IPsec has no GRE keepalives: dead peer detection does their work")
	}},
	{"shutdown", always(Override{}), func([]string) (Override, error) {
		return Override{}, fmt.Errorf("a virtual-access that is shut down carries nothing")
	}},
}

// always is a setting taken away, whatever follows.
func always(o Override) func([]string) (Override, error) {
	return func([]string) (Override, error) { return o, nil }
}

// without takes the setting of the direction away that args name.
func without(in, out string, ins, outs Setting) func([]string) (Override, error) {
	return func(args []string) (Override, error) {
		switch {
		case slices.Contains(args, in):
			return Override{Setting: ins}, nil
		case slices.Contains(args, out):
			return Override{Setting: outs}, nil
		}
		return Override{}, fmt.Errorf("must say %s or %s", in, out)
	}
}

func fixed(o Override) func([]string) (Override, error) {
	return func(args []string) (Override, error) {
		if len(args) > 0 {
			return Override{}, fmt.Errorf("%q is too much", strings.Join(args, " "))
		}
		return o, nil
	}
}

func one(args []string, what string) (string, error) {
	if len(args) != 1 {
		return "", fmt.Errorf("must have %s, not %q", what, strings.Join(args, " "))
	}
	return args[0], nil
}

func named(s Setting) func([]string) (Override, error) {
	return func(args []string) (Override, error) {
		word, err := one(args, "one name")
		return Override{Setting: s, Word: word}, err
	}
}

func sized(s Setting, least, most uint64) func([]string) (Override, error) {
	return func(args []string) (Override, error) {
		word, err := one(args, "one number")
		if err != nil {
			return Override{}, err
		}
		n, err := number(word, least, most)
		if s == SetNothing {
			n = 0
		}
		return Override{Setting: s, Number: n}, err
	}
}

func number(word string, least, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("must be %d to %d, not %q", least, most, word)
	}
	return n, nil
}

func parseAddress(args []string) (Override, error) {
	if len(args) != 2 || args[1] != "255.255.255.255" {
		return Override{}, fmt.Errorf("must be an address with the mask 255.255.255.255: every virtual-access would own the network")
	}
	a, err := netip.ParseAddr(args[0])
	if err != nil || !a.Is4() || a.IsUnspecified() || a.IsMulticast() {
		return Override{}, fmt.Errorf("%q is no IPv4 address of a host", args[0])
	}
	return Override{Setting: SetAddress, Address: a}, nil
}

// direction tells in from out at a place in args.
func direction(args []string, at int, in, out string, sets [2]Setting) (Setting, error) {
	if len(args) == 2 && args[at] == in {
		return sets[0], nil
	}
	if len(args) == 2 && args[at] == out {
		return sets[1], nil
	}
	return 0, fmt.Errorf("must have a name and %s or %s, not %q", in, out, strings.Join(args, " "))
}

func parseAccessGroup(args []string) (Override, error) {
	s, err := direction(args, 1, "in", "out", [2]Setting{SetAccessIn, SetAccessOut})
	if err != nil {
		return Override{}, err
	}
	return Override{Setting: s, Word: args[0]}, nil
}

func parseServicePolicy(args []string) (Override, error) {
	s, err := direction(args, 0, "input", "output", [2]Setting{SetPolicyIn, SetPolicyOut})
	if err != nil {
		return Override{}, err
	}
	return Override{Setting: s, Word: args[1]}, nil
}

// Rates of interface-config have the limits of the configuration's.
const (
	minRate  = 8000
	maxRate  = 1 << 40
	maxBurst = 1 << 28
)

func parseShape(args []string) (Override, error) {
	if len(args) < 1 || len(args) > 2 {
		return Override{}, fmt.Errorf("must have a rate in bits a second and may have a burst in bits")
	}
	rate, err := number(args[0], minRate, maxRate)
	burst := uint64(0)
	if err == nil && len(args) == 2 {
		burst, err = number(args[1], 8*1500, 8*maxBurst)
	}
	return Override{Setting: SetShape, Number: rate, Burst: uint32(burst / 8)}, err
}

func parseRateLimit(args []string) (Override, error) {
	const actions = "conform-action transmit exceed-action drop"
	text := strings.Join(args, " ")
	numbers, ok := strings.CutSuffix(text, " "+actions)
	words := strings.Fields(numbers)
	if !ok || len(words) < 2 || len(words) > 3 {
		return Override{}, fmt.Errorf("must be BITS BURST [MOST] %s, not %q", actions, text)
	}
	rate, err := number(words[0], minRate, maxRate)
	if err != nil {
		return Override{}, err
	}
	burst, err := number(words[len(words)-1], 1500, maxBurst)
	return Override{Setting: SetPolice, Number: rate, Burst: uint32(burst)}, err
}

func parseDescription(args []string) (Override, error) {
	text := strings.Join(args, " ")
	if text == "" || len(text) > 255 {
		return Override{}, fmt.Errorf("must have a text of 1 to 255 octets")
	}
	return Override{Setting: SetDescription, Word: text}, nil
}
