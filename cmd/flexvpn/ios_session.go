package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"flexvpn/ops"
	"flexvpn/ops/view"
)

// iosIKESessionPage is show crypto ikev2 session [detailed].
func iosIKESessionPage(detail bool) page {
	return iosPage(detail, func(w io.Writer, list []iosSA, now time.Time) error {
		return iosFamilies(w, " %s Crypto IKEv2 Session\n\n", list, func(b *strings.Builder, sa iosSA) {
			fmt.Fprintf(b, "Session-id:%s, Status:%s, IKE count:1, CHILD count:%d\n\n", iosNumber(sa.Session), iosSessionStatus(sa.SA), len(sa.Children))
			iosSABlock(b, sa, detail, now)
			for _, c := range sa.Children {
				iosChild(b, c, detail)
			}
			b.WriteByte('\n')
		})
	})
}

func iosSessionStatus(sa view.SA) string {
	switch {
	case iosStatus(sa.State) == "IN-NEG":
		return "DOWN-NEGOTIATING"
	case len(sa.Children) == 0:
		return "UP-IDLE"
	}
	return "UP-ACTIVE"
}

func iosChild(b *strings.Builder, c view.Child, detail bool) {
	fmt.Fprintf(b, "Child sa: local selector  %s\n", iosSelectors(c.Local))
	fmt.Fprintf(b, "          remote selector %s\n", iosSelectors(c.Remote))
	fmt.Fprintf(b, "          ESP spi in/out: 0x%s/0x%s\n", iosSPI(c.SPIIn), iosSPI(c.SPIOut))
	if !detail {
		return
	}
	cipher, bits := iosCipher(c.Encryption, c.KeyBits)
	b.WriteString("          AH spi in/out: 0x0/0x0\n          CPI in/out: 0x0/0x0\n")
	fmt.Fprintf(b, "          Encr: %s, keysize: %d, esp_hmac: %s\n", cipher, bits, iosHash(c.Integrity))
	fmt.Fprintf(b, "          ah_hmac: None, comp: IPCOMP_NONE, mode %s\n", c.Mode)
}

// iosSelectors lists selectors; IOS has one per line and continues under it.
func iosSelectors(list []string) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = iosSelector(s)
	}
	return strings.Join(texts, "\n                          ")
}

// iosSPI is a Child SA's SPI, without leading zeros.
func iosSPI(spi string) string {
	if s := strings.ToUpper(strings.TrimLeft(spi, "0")); s != "" {
		return s
	}
	return "0"
}

const iosCodes = `Code: C - IKE Configuration mode, D - Dead Peer Detection
K - Keepalives, N - NAT-traversal, T - cTCP encapsulation
X - IKE Extended Authentication, F - IKE Fragmentation
R - IKE Auto Reconnect, U - IKE Dynamic Route Update
S - SIP VPN

`

// iosSessionPage is show crypto session [detail].
func iosSessionPage(detail bool) page {
	sessions := answer(func(ctx context.Context, c *ops.Client) ([]view.Session, error) {
		return c.Sessions(ctx, view.SessionFilter{})
	}, nil)
	return func(ctx context.Context, c *ops.Client, w io.Writer, s style) error {
		if s.json {
			return sessions(ctx, c, w, s)
		}
		list, err := iosSessions(ctx, c)
		if err != nil {
			return err
		}
		var b strings.Builder
		b.WriteString("Crypto session current status\n\n")
		if detail {
			b.WriteString(iosCodes)
		}
		for _, one := range list {
			iosSessionBlock(&b, one, detail, s.now)
		}
		_, err = io.WriteString(w, b.String())
		return err
	}
}

// iosSessions joins the sessions with their IKE SAs.
func iosSessions(ctx context.Context, c *ops.Client) ([]view.Session, error) {
	list, err := c.Sessions(ctx, view.SessionFilter{})
	if err != nil {
		return nil, err
	}
	sas, err := c.SAs(ctx)
	if err != nil {
		return nil, err
	}
	of := make(map[string]*view.SA, len(sas))
	for i := range sas {
		of[sas[i].Session] = &sas[i]
	}
	for i := range list {
		list[i].SA = of[list[i].ID]
	}
	makeSafe(&list)
	return list, nil
}

func iosSessionBlock(b *strings.Builder, s view.Session, detail bool, now time.Time) {
	fmt.Fprintf(b, "Interface: %s\nProfile: %s\n", s.Interface, s.Profile)
	if detail && !s.Since.IsZero() {
		fmt.Fprintf(b, "Uptime: %s\n", iosUptime(now.Sub(s.Since)))
	}
	for _, a := range s.Addresses {
		fmt.Fprintf(b, "Assigned address: %s\n", a)
	}
	fmt.Fprintf(b, "Session status: %s\n", iosState(s.State))
	remote, port, _ := strings.Cut(iosEndpoint(s.Remote), "/")
	if !detail {
		fmt.Fprintf(b, "Peer: %s port %s\n", remote, port)
	} else {
		fmt.Fprintf(b, "Peer: %s port %s fvrf: (none) ivrf: (none)\n      Phase1_id: %s\n      Desc: (none)\n", remote, port, s.Identity)
	}
	fmt.Fprintf(b, "  Session ID: %s\n", iosNumber(s.ID))
	fmt.Fprintf(b, "  IKEv2 SA: local %s remote %s %s\n", iosEndpoint(s.Local), iosEndpoint(s.Remote), iosActivity(s))
	if s.SA == nil {
		b.WriteByte('\n')
		return
	}
	if detail {
		fmt.Fprintf(b, "          Capabilities:%s connid:%s lifetime:%s\n", iosCapabilities(s), iosNumber(s.ID), iosUptime(s.SA.RekeyAt.Sub(now)))
	}
	for _, c := range s.SA.Children {
		iosFlow(b, s, c, detail, now)
	}
	b.WriteByte('\n')
}

func iosActivity(s view.Session) string {
	if s.Since.IsZero() {
		return "Inactive"
	}
	return "Active"
}

func iosState(state string) string {
	if state == "NEGOTIATING" {
		return "DOWN-NEGOTIATING"
	}
	return state
}

// iosCapabilities are the letters of iosCodes that hold for a session.
func iosCapabilities(s view.Session) string {
	letters := "D"
	if s.SA.NATLocal || s.SA.NATRemote || s.NAT {
		letters += "N"
	}
	if s.SA.Fragmentation {
		letters += "F"
	}
	return letters + "U"
}

func iosFlow(b *strings.Builder, s view.Session, c view.Child, detail bool, now time.Time) {
	local, _, _ := strings.Cut(iosEndpoint(s.Local), "/")
	remote, _, _ := strings.Cut(iosEndpoint(s.Remote), "/")
	if s.Mode == "gre" {
		fmt.Fprintf(b, "  IPSEC FLOW: permit 47 host %s host %s\n", local, remote)
	} else {
		for _, l := range c.Local {
			for _, r := range c.Remote {
				fmt.Fprintf(b, "  IPSEC FLOW: permit ip %s %s\n", iosFlowEnd(l), iosFlowEnd(r))
			}
		}
	}
	b.WriteString("        Active SAs: 2, origin: crypto map\n")
	if !detail {
		return
	}
	life := seconds(c.RekeyAt.Sub(now))
	fmt.Fprintf(b, "        Inbound:  #pkts dec'ed %d drop %d life (KB/Sec) KB Vol Rekey Disabled/%d\n", c.InPackets, c.Replayed+c.BadIntegrity, life)
	fmt.Fprintf(b, "        Outbound: #pkts enc'ed %d drop 0 life (KB/Sec) KB Vol Rekey Disabled/%d\n", c.OutPackets, life)
}

// iosFlowEnd is one side of a flow: network/mask, or host with an address.
func iosFlowEnd(selector string) string {
	p, ok := selectorPrefix(selector)
	switch {
	case !ok:
		return selector
	case p.IsSingleIP():
		return "host " + p.Addr().String()
	}
	return iosNetwork(p, "/")
}
