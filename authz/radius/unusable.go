package radius

import "errors"

// What is wrong with answers that are authentic and still cannot be used: a closed set.
const (
	unusableAttribute = "attribute" // short or malformed
	unusablePair      = "av-pair"   // nonsense in it, or mandatory and not known
	unusableEAP       = "eap"       // an EAP packet that is missing, broken or out of place
	unusableKey       = "key"       // of the session, which cannot be read
	unusableRounds    = "rounds"    // challenges without end
	unusableOversized = "oversized" // EAP of a peer, which no request can carry to the server
)

var unusableReasons = []string{unusableAttribute, unusablePair, unusableEAP, unusableKey, unusableRounds, unusableOversized}

// An unusable is why an answer cannot be used.
type unusable struct {
	reason string
	error
}

// Unwrap gives the error without its label.
func (u unusable) Unwrap() error { return u.error }

// label gives err a reason; nil stays nil, and a reason that is there stays.
func label(reason string, err error) error {
	var has unusable
	if err == nil || errors.As(err, &has) {
		return err
	}
	return unusable{reason, err}
}

// countUnusable counts err at the server that is to blame, if it has a label. Who asked logs it, with the
// peer's name.
func (c *Client) countUnusable(p *port, err error) {
	var u unusable
	if p == nil || !errors.As(err, &u) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.stats.Unusable[u.reason]++
}
