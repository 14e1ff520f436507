package systemd

import (
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A Notifier tells systemd what the program is about. The nil Notifier tells nobody. A message that can't be sent is logged, and
// nothing else: systemd draws its own conclusions from not hearing of us.
type Notifier struct{ log *slog.Logger }

// NewNotifier returns nil where nobody listens (no $NOTIFY_SOCKET).
func NewNotifier(log *slog.Logger) *Notifier {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	return &Notifier{log}
}

// Ready says that requests are answered: after the start, and after a reload. status is for people (systemctl status).
func (n *Notifier) Ready(status string) { n.send(daemon.SdNotifyReady, statusLine(status)) }

// Reloading says that new settings are being looked at, until Ready. systemd wants to know since when.
func (n *Notifier) Reloading() {
	n.send(daemon.SdNotifyReloading, strings.TrimSuffix(daemon.SdNotifyMonotonicUsec(), "\n"))
}

// Stopping says that requests under way are finished, and no others answered.
func (n *Notifier) Stopping() {
	n.send(daemon.SdNotifyStopping, statusLine("finishing requests under way"))
}

// Alive says that the program is able to do its work.
func (n *Notifier) Alive() { n.send(daemon.SdNotifyWatchdog) }

// Status is for people, in between.
func (n *Notifier) Status(status string) { n.send(statusLine(status)) }

// statusLine keeps a status from being taken for other messages.
func statusLine(status string) string {
	return "STATUS=" + strings.NewReplacer("\n", " ", "\r", " ").Replace(status)
}

func (n *Notifier) send(lines ...string) {
	if n == nil {
		return
	}
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		n.log.Warn("systemd can't be told", "what", lines[0], "err", err)
	}
}

// Watchdog returns within which time systemd wants to hear that the program is alive; 0: it does not. Something else in the
// variables is as good as nothing, and logged.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("systemd's watchdog is left alone", "err", err)
		return 0
	}
	return period
}
