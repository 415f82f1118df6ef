package hub

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// Jobs of one session run in order and one at a time; a session that blocks holds up no other.
func TestJobsKeepOrderAndDoNotWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJobs(2)
		var blocked, free queue
		release := make(chan struct{})
		var mu sync.Mutex
		var order []int
		running := 0
		j.push(&blocked, func() { <-release })
		for i := range 100 {
			j.push(&free, func() {
				mu.Lock()
				defer mu.Unlock()
				if running++; running != 1 {
					t.Error("two jobs of one session run at once")
				}
				order = append(order, i)
				running--
			})
		}
		synctest.Wait()
		if !slices.IsSorted(order) || len(order) != 100 {
			t.Errorf("%d jobs ran while another session was blocked, in the order %v", len(order), order)
		}
		after := false
		j.push(&blocked, func() { after = true })
		close(release)
		j.close()
		if !after {
			t.Error("close did not wait for a queued job")
		}
	})
}
