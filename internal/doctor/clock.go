package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

const (
	warnOffset = time.Second
	// failOffset is past what S3 takes in a signature, with room to spare for the way (RequestTimeTooSkewed: 15 min).
	failOffset = 5 * time.Minute
)

const doNTP = "run chrony or systemd-timesyncd on every machine"

// checkClocks holds this machine's clock against NTP and against the services' clocks.
func checkClocks(ctx context.Context, r *Report, cfg Config) {
	checkNTP(r, func() (int, int32, time.Duration, error) {
		var t unix.Timex
		state, err := unix.Adjtimex(&t)
		return state, t.Status, time.Duration(t.Esterror) * time.Microsecond, err
	})
	if s := cfg.Registry; s != nil && s.Time != nil {
		checkOffset(ctx, r, "clock registry", s.Time)
	}
	if s := cfg.Catalog; s != nil && s.Time != nil {
		checkOffset(ctx, r, "clock catalog", s.Time)
	}
	for _, base := range cfg.Directories {
		checkOffset(ctx, r, "clock directory service", func(ctx context.Context) (time.Time, error) {
			return HTTPDate(ctx, http.DefaultClient, base+"/healthz")
		})
	}
	for _, a := range cfg.Archives {
		if a.Date != nil {
			checkOffset(ctx, r, "clock "+a.title(), a.Date)
		}
	}
}

// checkNTP asks the kernel whether something disciplines its clock.
func checkNTP(r *Report, ask func() (state int, status int32, estimate time.Duration, err error)) {
	const name, timeError, unsynchronised = "clock", 5, 0x40 // TIME_ERROR, STA_UNSYNC
	state, status, estimate, err := ask()
	switch {
	case err != nil:
		r.add(Warn, name, "look with timedatectl", "the kernel does not tell: %s", reason(err))
	case state == timeError || status&unsynchronised != 0:
		r.add(Warn, name, doNTP, "it is not synchronised: dates of segments and order of takes come from it")
	default:
		r.ok(name, "synchronised, error about %v", estimate)
	}
}

// checkOffset compares a service's clock with ours in the middle of the question. What the question itself took may
// explain half of that time, and is no offset.
func checkOffset(ctx context.Context, r *Report, name string, ask func(context.Context) (time.Time, error)) {
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	begun := time.Now()
	theirs, err := ask(ctx)
	took := time.Since(begun)
	if err != nil {
		r.add(Warn, name, "see the check of the service itself", "it tells no time: %s", reason(err))
		return
	}
	offset := theirs.Sub(begun.Add(took / 2)).Round(time.Millisecond)
	sure := offset.Abs() - took/2
	switch text := fmt.Sprintf("%v off this machine's, measured in %v", offset, took.Round(10*time.Microsecond)); {
	case sure > failOffset:
		r.add(Fail, name, doNTP+": S3 refuses signatures of such a clock, and leases and dates are wrong", "%s", text)
	case sure > warnOffset:
		r.add(Warn, name, doNTP, "%s", text)
	default:
		r.ok(name, "%s", text)
	}
}

// HTTPDate asks an HTTP server for its time: the Date of whatever it answers, which it gives in whole seconds.
func HTTPDate(ctx context.Context, client *http.Client, url string) (time.Time, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return time.Time{}, err
	}
	res, err := client.Do(req)
	if err != nil {
		return time.Time{}, err
	}
	if err := res.Body.Close(); err != nil {
		return time.Time{}, err
	}
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return time.Time{}, errors.New("the answer has no Date")
	}
	return date.Add(time.Second / 2), nil
}
