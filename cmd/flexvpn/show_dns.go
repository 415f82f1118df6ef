package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

func (a *app) showDNSCommand() *cobra.Command {
	return a.plain("dns", "Names for the hosts behind a spoke: which go through which tunnel, and why one does not", "  flexvpn show dns", asked((*ops.Client).DNS, printDNS))
}

// plain is a command without arguments that shows a page.
func (a *app) plain(use, short, example string, p page) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example, Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.show(cmd.Context(), p) },
	}
}

// showIPCommand is the tree of IOS spellings of what a spoke serves inside.
func (a *app) showIPCommand() *cobra.Command {
	return under("ip", "IOS spellings, in the layouts of IOS",
		under("dns", "Names",
			a.plain("name-list", "Domains that go through a tunnel", "  flexvpn show ip dns name-list", asked((*ops.Client).DNS, iosNameLists)),
			a.plain("view", "Servers by view", "  flexvpn show ip dns view", asked((*ops.Client).DNS, iosDNSViews)),
		),
		under("dhcp", "DHCP",
			a.plain("import", "What hubs gave to the pools", "  flexvpn show ip dhcp import", asked((*ops.Client).DHCP, iosDHCPImport)),
			a.plain("binding", "Addresses that hosts have", "  flexvpn show ip dhcp binding", asked((*ops.Client).DHCP, iosDHCPBindings)),
			a.plain("conflict", "Addresses that somebody else uses", "  flexvpn show ip dhcp conflict", asked((*ops.Client).DHCP, iosDHCPConflicts)),
		),
		under("nat", "NAT",
			a.plain("translations", "Connections that are translated", "  flexvpn show ip nat translations", asked((*ops.Client).NAT, iosTranslations)),
		),
	)
}

func printDNS(w io.Writer, v view.DNS, _ time.Time) error {
	if !v.Enabled {
		_, err := fmt.Fprintln(w, "Names are not served: the configuration has no dns section.")
		return err
	}
	t := newTable(w, "INTERFACE", "STATE")
	for _, l := range v.Listeners {
		t.row(l.Interface, joined(": ", servedText(l.Error), l.Error))
	}
	if err := t.done(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w)
	t = newTable(w, "VIEW", "STATE", "TUNNEL", "DEFAULT DOMAIN", "SERVERS", "DOMAINS")
	for _, dv := range v.Views {
		t.row(dv.Client, dv.State, dv.Tunnel, dv.DefaultDomain, serversText(dv.Servers), strings.Join(dv.Domains, " "))
	}
	t.row("default", "up", "", "", serversText(v.Default), "all others")
	if err := t.done(); err != nil {
		return err
	}
	if err := printProblems(w, v); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nCached answers: %d, queries under way: %d\nQueries: %s\nAnswers: %s\nDropped: %s\n",
		v.Cached, v.InFlight, countsText(v.Counters.Queries), countsText(v.Counters.Answers), countsText(v.Counters.Drops))
	return err
}

func servedText(problem string) string {
	if problem != "" {
		return "not served"
	}
	return "served"
}

func serversText(list []view.DNSServer) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = s.Address.String()
	}
	return strings.Join(texts, " ")
}

// printProblems lists the servers that fail, with the reason.
func printProblems(w io.Writer, v view.DNS) error {
	var t *table
	add := func(list []view.DNSServer) {
		for _, s := range list {
			if s.Problem == "" {
				continue
			}
			if t == nil {
				_, _ = fmt.Fprintln(w)
				t = newTable(w, "SERVER", "PROBLEM")
			}
			t.row(s.Address.String(), s.Problem)
		}
	}
	for _, dv := range v.Views {
		add(dv.Servers)
	}
	add(v.Default)
	if t == nil {
		return nil
	}
	return t.done()
}

// countsText is a set of counters in one line.
func countsText(by map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, name+" "+countText(by[name]))
	}
	return strings.Join(parts, ", ")
}

// iosNameLists is show ip dns name-list: nothing before a hub has pushed domains, but for what is
// configured.
func iosNameLists(w io.Writer, v view.DNS, _ time.Time) error {
	for _, l := range v.Lists {
		_, _ = fmt.Fprintf(w, "ip dns name-list %s\n", l.Name)
		for _, d := range l.Domains {
			_, _ = fmt.Fprintf(w, "    permit %s\n", d)
		}
	}
	return nil
}

// iosDNSViews is show ip dns view: the default view, then those of the tunnels.
func iosDNSViews(w io.Writer, v view.DNS, _ time.Time) error {
	if !v.Enabled {
		return nil
	}
	iosDNSView(w, "default", "", v.Default)
	for _, dv := range v.Views {
		iosDNSView(w, dv.Client, dv.DefaultDomain, dv.Servers)
	}
	return nil
}

func iosDNSView(w io.Writer, name, domain string, servers []view.DNSServer) {
	_, _ = fmt.Fprintf(w, "DNS View %s parameters:\nDNS Resolver settings:\n  Domain lookup is enabled\n", name)
	if domain != "" {
		_, _ = fmt.Fprintf(w, "  Default domain name: %s\n", domain)
	}
	iosServers(w, "  Domain name-servers:", servers)
	_, _ = fmt.Fprint(w, "DNS Server settings:\n  Forwarding of queries is enabled\n")
	iosServers(w, "  Forwarder addresses:", servers)
}

func iosServers(w io.Writer, title string, servers []view.DNSServer) {
	_, _ = fmt.Fprintln(w, title)
	for _, s := range servers {
		_, _ = fmt.Fprintf(w, "    %s\n", s.Address)
	}
}
