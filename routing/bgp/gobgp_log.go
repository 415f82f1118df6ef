package bgp

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/osrg/gobgp/v3/pkg/log"
	"github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// gobgpLog is the library's logger. Nothing of it is printed: what matters of a session is told by its
// events. The reason of an end, though, the library tells nowhere else.
type gobgpLog struct{ session atomic.Pointer[gobgpSession] }

var _ log.Logger = (*gobgpLog)(nil)

func (l *gobgpLog) Panic(msg string, f log.Fields) {
	panic(fmt.Sprint("BUG in the BGP library: ", msg, f))
}

func (l *gobgpLog) Fatal(msg string, f log.Fields) {
	panic(fmt.Sprint("BUG in the BGP library: ", msg, f))
}
func (l *gobgpLog) Error(string, log.Fields) {}
func (l *gobgpLog) Debug(string, log.Fields) {}
func (l *gobgpLog) SetLevel(log.LogLevel)    {}
func (l *gobgpLog) GetLevel() log.LogLevel   { return log.InfoLevel }

// Info hears "Peer Down".
func (l *gobgpLog) Info(msg string, f log.Fields) {
	if s := l.session.Load(); s != nil && msg == "Peer Down" {
		reason, _ := f["Reason"].(string)
		s.noteReason(iosReason(reason))
	}
}

// Warn hears of the NOTIFICATION that ends a handshake.
func (l *gobgpLog) Warn(msg string, f log.Fields) {
	s := l.session.Load()
	if s == nil || msg != "sent notification" {
		return
	}
	err, _ := f["Data"].(error)
	var m *bgp.MessageError
	if errors.As(err, &m) {
		s.noteReason("BGP Notification sent: " + bgp.NewNotificationErrorCode(m.TypeCode, m.SubTypeCode).String())
	}
}

// iosReason is a reason in the words of IOS's ADJCHANGE, with the library's detail.
func iosReason(text string) string {
	word, detail, _ := strings.Cut(text, " ")
	phrase := map[string]string{
		"admin-down": "Admin. shutdown", "read-failed": "Peer closed the session", "write-failed": "Peer closed the session",
		"notification-sent": "BGP Notification sent", "notification-received": "BGP Notification received",
		"hold-timer-expired": "BGP Notification sent: hold time expired", "graceful-restart": "Peer closed the session, graceful restart",
		"hard-reset": "BGP Notification received: hard reset",
	}[word]
	switch {
	case phrase == "":
		return text
	case detail != "":
		return phrase + ": " + detail
	}
	return phrase
}
