package track

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"flexvpn/config"
	"flexvpn/ops/view"
)

// View is all objects, for show.
func (s *Set) View() []view.Track {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]view.Track, 0, len(s.objects))
	for _, o := range s.objects {
		v := view.Track{
			Number: o.Number, Kind: string(o.Kind), Object: o.describe(), State: upDown(o.up), Reason: o.reason, Since: o.since,
			Changes: o.changes, DelayUp: o.DelayUp.Seconds(), DelayDown: o.DelayDown.Seconds(), UsedBy: slices.Clone(o.users),
		}
		if !o.due.IsZero() {
			due := o.due
			v.Pending, v.PendingAt = upDown(o.raw), &due
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b view.Track) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// States are how many objects are up and how many are down, for metrics.
func (s *Set) States() map[int]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[int]bool, len(s.objects))
	for n, o := range s.objects {
		out[n] = o.up
	}
	return out
}

// describe is what an object watches, in the words of IOS where it has any.
func (o *object) describe() string {
	p := &o.Probe
	switch o.Kind {
	case config.TrackLineProtocol:
		return "Interface " + o.Interface + " line-protocol"
	case config.TrackIPRouting:
		return fmt.Sprintf("Interface %s ip routing (%s)", o.Interface, o.Family)
	case config.TrackRoute:
		return strings.TrimSpace("IP route " + o.Route.Prefix.String() + " " + tableText(o.Route) + " reachability")
	case config.TrackICMPEcho:
		return "ICMP echo " + p.Target + every(p)
	case config.TrackTCPConnect:
		return fmt.Sprintf("TCP connect %s port %d%s", p.Target, p.Port, every(p))
	case config.TrackHTTPGet:
		return "HTTP GET " + p.Target + every(p)
	case config.TrackDNSQuery:
		return fmt.Sprintf("DNS query %s %s at %s%s", p.Name, p.Type, p.Target, every(p))
	case config.TrackList:
		return o.listText()
	}
	return string(o.Kind)
}

func tableText(r config.RouteTrack) string {
	switch {
	case r.VRF != "":
		return "vrf " + r.VRF
	case r.Table != 0:
		return fmt.Sprintf("table %d", r.Table)
	}
	return ""
}

func every(p *config.Probe) string {
	source := ""
	if p.Source != "" {
		source = " from " + p.Source
	}
	return fmt.Sprintf("%s every %s, timeout %s", source, p.Interval.Round(time.Millisecond), p.Timeout.Round(time.Millisecond))
}

func (o *object) listText() string {
	var members []string
	for _, m := range o.List.Members {
		text := fmt.Sprint(m.Number)
		if m.Not {
			text = "not " + text
		}
		if m.Weight > 0 {
			text = fmt.Sprintf("%s weight %d", text, m.Weight)
		}
		members = append(members, text)
	}
	rule := "List boolean " + string(o.List.Rule)
	if o.List.Rule == config.ListThreshold {
		rule = fmt.Sprintf("List threshold weight up %d down %d", o.List.Up, o.List.Down)
	}
	return rule + ": " + strings.Join(members, ", ")
}
