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

// iosPage is a page over IKE SAs, whose JSON form is the views alone.
func iosPage(detail bool, text func(io.Writer, []iosSA, time.Time) error) page {
	plain := answer(iosSAs(detail), text)
	asJSON := asked((*ops.Client).SAs, nil)
	return func(ctx context.Context, c *ops.Client, w io.Writer, s style) error {
		if s.json {
			return asJSON(ctx, c, w, s)
		}
		return plain(ctx, c, w, s)
	}
}

// iosSAPage is show crypto ikev2 sa [detailed].
func iosSAPage(detail bool) page {
	return iosPage(detail, func(w io.Writer, list []iosSA, now time.Time) error {
		return iosFamilies(w, " %s Crypto IKEv2  SA\n\n", list, func(b *strings.Builder, sa iosSA) {
			iosSABlock(b, sa, detail, now)
			b.WriteByte('\n')
		})
	})
}

// iosFamilies prints the SAs over IPv4, then those over IPv6, each family under its own title.
func iosFamilies(w io.Writer, title string, list []iosSA, block func(*strings.Builder, iosSA)) error {
	for _, v6 := range []bool{false, true} {
		var b strings.Builder
		fmt.Fprintf(&b, title, map[bool]string{false: "IPv4", true: "IPv6"}[v6])
		for _, sa := range list {
			if isIPv6(sa.Remote) == v6 {
				block(&b, sa)
			}
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

func iosSABlock(b *strings.Builder, sa iosSA, detail bool, now time.Time) {
	if isIPv6(sa.Remote) {
		b.WriteString("Tunnel-id    fvrf/ivrf              Status\n")
		fmt.Fprintf(b, "%-12s none/none              %s\n", iosNumber(sa.Session), iosStatus(sa.State))
		fmt.Fprintf(b, "Local  %s\nRemote  %s\n", iosEndpoint(sa.Local), iosEndpoint(sa.Remote))
	} else {
		b.WriteString("Tunnel-id Local                 Remote                fvrf/ivrf            Status\n")
		fmt.Fprintf(b, "%-9s %-21s %-21s none/none            %s\n", iosNumber(sa.Session), iosEndpoint(sa.Local), iosEndpoint(sa.Remote), iosStatus(sa.State))
	}
	cipher, bits := iosCipher(sa.Encryption, sa.KeyBits)
	fmt.Fprintf(b, "      Encr: %s, keysize: %d, PRF: %s, Hash: %s, DH Grp:%s, Auth sign: %s, Auth verify: %s\n",
		cipher, bits, strings.ToUpper(sa.PRF), iosHash(sa.Integrity), iosGroup(sa.Group), iosAuth(sa.LocalAuth), iosAuth(sa.RemoteAuth))
	fmt.Fprintf(b, "      Life/Active Time: %d/%d sec\n", seconds(sa.RekeyAt.Sub(sa.Keyed)), seconds(now.Sub(sa.Keyed)))
	if detail {
		iosSADetail(b, sa)
	}
}

func seconds(d time.Duration) int64 { return int64(max(d, 0) / time.Second) }

func iosSADetail(b *strings.Builder, sa iosSA) {
	number := iosNumber(sa.Session)
	fmt.Fprintf(b, "      CE id: %s, Session-id: %s\n", number, number)
	b.WriteString("      Status Description: Negotiation done\n")
	fmt.Fprintf(b, "      Local spi: %s       Remote spi: %s\n", strings.ToUpper(sa.SPILocal), strings.ToUpper(sa.SPIRemote))
	fmt.Fprintf(b, "      Local id: %s\n      Remote id: %s\n", sa.LocalID, sa.RemoteID)
	if sa.session != nil && sa.session.EAPMethod != "" && !sa.Initiator {
		fmt.Fprintf(b, "      Remote EAP id: %s\n", sa.session.EAPName)
	}
	for _, what := range []string{"req msg id: ", "next msg id:", "req queued: "} {
		fmt.Fprintf(b, "      Local %s %-14d Remote %s %d\n", what, sa.NextSend, what, sa.NextReceive)
	}
	b.WriteString("      Local window:      1              Remote window:      1\n") // RFC 7296 section 2.3: no SET_WINDOW_SIZE is sent
	if sa.session != nil {
		if interval, retry, ok := iosDPD(sa.session.DPD); ok {
			fmt.Fprintf(b, "      DPD configured for %d seconds, retry %d\n", seconds(interval), seconds(retry))
		}
	}
	b.WriteString("      " + iosFragmentation(sa.Fragmentation) + "\n")
	b.WriteString("      Dynamic Route Update: enabled\n      Extended Authentication not configured.\n")
	b.WriteString("      " + iosMobike(sa.SA) + "\n")
	b.WriteString("      NAT-T is " + iosNAT(sa.SA) + "\n      Cisco Trust Security SGT is disabled\n")
	fmt.Fprintf(b, "      Initiator of SA : %s\n", map[bool]string{true: "Yes", false: "No"}[sa.Initiator])
	if sa.session != nil {
		iosGiven(b, *sa.session)
	}
}

func iosFragmentation(on bool) string {
	if on {
		return "IETF Std Fragmentation  configured."
	}
	return "Fragmentation not  configured."
}

func iosNAT(sa view.SA) string {
	switch {
	case sa.NATLocal:
		return "detected inside"
	case sa.NATRemote:
		return "detected outside"
	}
	return "not detected"
}

// iosGiven is what the hub gave: on the spoke what was pushed to it, on the hub whom it has assigned
// which address; then the networks behind the peer.
func iosGiven(b *strings.Builder, s view.Session) {
	address, attribute := "Assigned host addr", "Assigned"
	if s.Role == "client" {
		address, attribute = "Pushed IP address", "Pushed"
	}
	for _, a := range s.Addresses {
		fmt.Fprintf(b, "      %s: %s\n", address, a)
	}
	for _, a := range s.Attributes {
		if a.Name != "address" && a.Name != "address6" {
			fmt.Fprintf(b, "      %s %s: %s\n", attribute, a.Name, a.Value)
		}
	}
	b.WriteString("      Remote subnets:\n")
	for _, r := range s.Routes {
		if r.Source == "ikev2" {
			fmt.Fprintf(b, "      %s\n", iosNetwork(r.Prefix, " "))
		}
	}
}
