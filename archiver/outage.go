package archiver

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// repeatAfter is how long an unchanged failure of a loop is not logged again.
	repeatAfter = time.Minute
	// changeAfter is how long another one is not: of an outage each error may have words of its own, such as a port.
	changeAfter = 15 * time.Second
)

// outage logs the errors of loops that run every few seconds: an outage is told when it begins, when it changes, once a
// minute, and when it is over.
type outage struct {
	logger  *slog.Logger
	message string

	mu   sync.Mutex
	text string
	at   time.Time
}

func (o *outage) tell(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil && o.text != "":
		o.logger.Info("works again", "after", o.message)
		o.text = ""
	case err != nil && (o.text == "" || err.Error() != o.text && now.Sub(o.at) >= changeAfter ||
		now.Sub(o.at) >= repeatAfter):
		o.logger.Error(o.message, "err", err)
		o.text, o.at = err.Error(), now
	}
}
