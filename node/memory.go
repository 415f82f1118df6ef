package node

import (
	"os"
	"runtime/debug"
)

// collectLess lets the heap grow to three times what is live before garbage is collected, instead of
// twice: sessions live long and are marked again each time, which was a sixth of a handshake's cost.
// An operator who is short of memory sets GOGC, or GOMEMLIMIT.
func collectLess() {
	const percent = 200
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
