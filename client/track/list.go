package track

import (
	"fmt"

	"flexvpn/config"
)

// combine is what a list makes of its members; mu is held.
func (s *Set) combine(o *object) (up bool, reason string) {
	l := &o.List
	switch l.Rule {
	case config.ListAnd, config.ListOr:
		any := l.Rule == config.ListOr
		for _, m := range l.Members {
			if s.counts(m) == any { // one that is up decides or, one that is down decides and
				return any, memberText(m, any)
			}
		}
		if any {
			return false, "none of its objects is up"
		}
		return true, "all of its objects are up"
	case config.ListThreshold:
		sum := 0
		for _, m := range l.Members {
			if s.counts(m) {
				sum += m.Weight
			}
		}
		reason = fmt.Sprintf("the weights of those that are up are %d", sum)
		switch {
		case sum >= l.Up:
			return true, reason
		case sum <= l.Down:
			return false, reason
		}
		return o.raw, reason
	}
	return false, ""
}

func (s *Set) counts(m config.ListMember) bool {
	o := s.objects[m.Number]
	return o != nil && o.up != m.Not
}

func memberText(m config.ListMember, counts bool) string {
	return fmt.Sprintf("track %d is %s", m.Number, upDown(counts != m.Not))
}
