package archiver

import (
	"log/slog"
	"time"
)

// repeatAfter is how long an unchanged failure of a loop is not logged again.
const repeatAfter = time.Minute

// outage logs the errors of a loop that runs every few seconds: an outage is told when it begins, when it changes,
// once a minute, and when it is over.
type outage struct {
	logger  *slog.Logger
	message string
	text    string
	at      time.Time
}

func (o *outage) tell(err error) {
	now := time.Now()
	switch {
	case err == nil && o.text != "":
		o.logger.Info("works again", "after", o.message)
		o.text = ""
	case err != nil && (err.Error() != o.text || now.Sub(o.at) >= repeatAfter):
		o.logger.Error(o.message, "err", err)
		o.text, o.at = err.Error(), now
	}
}
