package client

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"flexvpn/config"
)

// Two profiles of one backup group, three hubs, 200 random failures and repairs of hubs and links
// (as tracks): the two never sit on one hub, and both are up whenever enough hubs are.
func TestBackupGroupUnderRandomFailures(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 6))
			w := newSim(t)
			hubs := []string{hubA, hubB, hubC}
			for i, h := range hubs {
				w.hub(h)
				w.tracks[i+1] = true
			}
			list := func(order ...int) (out []config.Peer) {
				for n, i := range order {
					p := peersAt(hubs[i])[0]
					p.Sequence, p.Track = n+1, config.TrackState{Number: i + 1, Up: true}
					out = append(out, p)
				}
				return out
			}
			spokes := []*simSpoke{
				w.spoke("flex1", config.Client{Peers: list(0, 1, 2), BackupGroup: 10, Reactivate: seed%2 == 0}),
				w.spoke("flex2", config.Client{Peers: list(1, 0, 2), BackupGroup: 10, Reactivate: seed%3 == 0}),
			}
			for _, s := range spokes {
				s.start()
			}
			for n := range 200 {
				i := r.IntN(3)
				switch r.IntN(3) {
				case 0:
					w.track(i+1, !w.tracks[i+1])
				default:
					if w.hub(hubs[i]).up {
						w.fail(hubs[i])
					} else {
						w.hub(hubs[i]).up = true
					}
				}
				// Sometimes the next failure comes before the last has been dealt with.
				quiet := time.Duration(r.IntN(3)) * 90 * time.Second
				for rest := quiet + time.Second; rest > 0; rest -= time.Second {
					w.pass(time.Second)
					if a, b := spokes[0].on(), spokes[1].on(); a != "" && a == b {
						t.Fatalf("step %d: both profiles sit on %s", n, a)
					}
				}
				enough := 0
				for i, h := range hubs {
					if w.hub(h).up && w.tracks[i+1] {
						enough++
					}
				}
				for _, s := range spokes {
					if quiet >= 90*time.Second && enough >= 2 && s.on() == "" {
						t.Fatalf("step %d: %d hubs are there, and %s is %s: %s\n%v", n, enough, s.name, s.m.state, s.m.why, s.dialled[max(0, len(s.dialled)-10):])
					}
				}
				if len(w.claims) > 4 {
					t.Fatalf("step %d: %d claims are held", n, len(w.claims))
				}
			}
		})
	}
}
