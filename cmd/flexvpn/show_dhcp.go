package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showDHCPCommand() *cobra.Command {
	return a.plain("dhcp", "Addresses for the hosts behind a spoke: pools, what hubs gave them, who has what", "  flexvpn show dhcp", asked((*ops.Client).DHCP, printDHCP))
}

func printDHCP(w io.Writer, v view.DHCP, now time.Time) error {
	if len(v.Pools) == 0 {
		_, err := fmt.Fprintln(w, "No DHCP pools are configured.")
		return err
	}
	for _, p := range v.Pools {
		if err := printDHCPPool(w, p, now); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "Messages: %s\nDropped: %s\n", countsText(v.Counters.Messages), countsText(v.Counters.Drops))
	return err
}

func printDHCPPool(w io.Writer, p view.DHCPPool, now time.Time) error {
	_, _ = fmt.Fprintf(w, "Pool %s: %s on %s, %d addresses, leases of %s\n", p.Name, p.Network, p.Interface, p.Size, durationText(time.Duration(p.Lease*float64(time.Second))))
	t := newTable(indent(w))
	if p.Error != "" {
		t.row("Not served", p.Error)
	}
	t.row("Default routers", addressesText(p.Routers))
	t.row("DNS servers", addressesText(p.DNS))
	t.row("WINS servers", addressesText(p.WINS))
	t.row("Domain", p.Domain)
	for _, i := range p.Import {
		t.row("Given by "+i.Client, joined(", ", listed("dns", addressesText(i.DNS)), listed("wins", addressesText(i.WINS)), listed("domain", i.Domain)))
	}
	if err := t.done(); err != nil {
		return err
	}
	if err := printBindings(w, p.Bindings, now); err != nil {
		return err
	}
	if err := printConflicts(w, p.Conflicts, now); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// listed is a name with its values, or nothing.
func listed(name, values string) string {
	if values == "" || values == none {
		return ""
	}
	return name + " " + values
}

func printBindings(w io.Writer, list []view.DHCPBinding, now time.Time) error {
	if len(list) == 0 {
		return nil
	}
	_, _ = fmt.Fprintln(w)
	t := newTable(indent(w), "ADDRESS", "HARDWARE", "NAME", "STATE", "EXPIRES")
	for _, b := range list {
		t.row(b.Address.String(), b.Hardware, b.Name, b.State, expiry(now, b.Expires))
	}
	return t.done()
}

func expiry(now time.Time, at *time.Time) string {
	switch {
	case at == nil:
		return ""
	case at.Before(now):
		return age(now, *at) + " ago"
	}
	return "in " + until(now, *at)
}

func printConflicts(w io.Writer, list []view.DHCPConflict, now time.Time) error {
	if len(list) == 0 {
		return nil
	}
	_, _ = fmt.Fprintln(w)
	t := newTable(indent(w), "CONFLICT", "FOUND BY", "FOUND", "PUT ASIDE")
	for _, c := range list {
		t.row(c.Address.String(), c.Method, age(now, c.Found)+" ago", "for "+until(now, c.Until))
	}
	return t.done()
}

// iosDHCPImport is show ip dhcp import.
func iosDHCPImport(w io.Writer, v view.DHCP, _ time.Time) error {
	for _, p := range v.Pools {
		if len(p.Import) == 0 {
			continue
		}
		_, _ = fmt.Fprintf(w, "Address Pool Name: %s\n", p.Name)
		for _, i := range p.Import {
			iosImported(w, "Domain Name Server(s)", spaced(i.DNS))
			iosImported(w, "NetBIOS Name Server(s)", spaced(i.WINS))
			iosImported(w, "Domain Name Option", i.Domain)
		}
	}
	return nil
}

// spaced is a list as IOS prints it.
func spaced(list []netip.Addr) string { return strings.ReplaceAll(addressesText(list), ",", "") }

func iosImported(w io.Writer, name, value string) {
	if value != "" {
		_, _ = fmt.Fprintf(w, "%s: %s\n", name, value)
	}
}

// iosDHCPBindings is show ip dhcp binding.
func iosDHCPBindings(w io.Writer, v view.DHCP, _ time.Time) error {
	const line = "%-16s %-24s %-24s %s\n"
	_, _ = fmt.Fprintln(w, "Bindings from all pools not associated with VRF:")
	_, err := fmt.Fprintf(w, line, "IP address", "Client-ID/Hardware addr", "Lease expiration", "Type")
	for _, p := range v.Pools {
		for _, b := range p.Bindings {
			if b.State != "bound" && b.State != "reserved" {
				continue
			}
			expires, kind := "Infinite", "Manual"
			if b.Expires != nil {
				expires, kind = b.Expires.UTC().Format("Jan 02 2006 03:04 PM"), "Automatic"
			}
			_, err = fmt.Fprintf(w, line, b.Address, iosHardware(b), expires, kind)
		}
	}
	return err
}

// iosHardware is a client identifier, or 01 and the hardware address, in groups of four digits.
func iosHardware(b view.DHCPBinding) string {
	digits := b.ClientID
	if digits == "" {
		digits = "01" + strings.ReplaceAll(b.Hardware, ":", "")
	}
	var groups []string
	for len(digits) > 4 {
		groups, digits = append(groups, digits[:4]), digits[4:]
	}
	return strings.Join(append(groups, digits), ".")
}

// iosDHCPConflicts is show ip dhcp conflict.
func iosDHCPConflicts(w io.Writer, v view.DHCP, _ time.Time) error {
	const line = "%-16s %-17s %s\n"
	_, err := fmt.Fprintf(w, line, "IP address", "Detection method", "Detection time")
	for _, p := range v.Pools {
		for _, c := range p.Conflicts {
			method := map[string]string{"arp": "ARP", "decline": "Gratuitous ARP"}[c.Method]
			_, err = fmt.Fprintf(w, line, c.Address, method, c.Found.UTC().Format("Jan 02 2006 03:04 PM"))
		}
	}
	return err
}
