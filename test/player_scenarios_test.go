package test

import (
	"slices"
	"testing"
	"time"
)

// playerRows are all rows of the table.
func playerRows() (rows []playerRow) {
	always := []string{"hls.js 1.7 live", "hls.js 1.7 reconnect", "Chromium live", "ffmpeg VOD"}
	for _, kind := range playerKinds() {
		for _, row := range []playerRow{
			{scenario: "live", play: playLive, limits: playerLimits{late: kind.behind}},
			{
				scenario: "live standard", settings: map[string]any{"latency": "standard"}, play: playLive,
				limits: playerLimits{late: kind.behindStandard},
			},
			{
				scenario: "reconnect", play: playReconnect,
				limits: playerLimits{stalls: 3, stalled: 8 * time.Second, skips: 1, faults: true},
			},
			{scenario: "change", play: playChange, limits: playerLimits{stalls: 1, stalled: 2 * time.Second, faults: true}},
			{scenario: "end", play: playEnd, limits: playerLimits{ends: true}},
			{scenario: "VOD", play: playSeeks},
		} {
			row.kind = kind
			if row.scenario == "live standard" && kind.name != "hls.js 1.7" {
				continue
			}
			if need := playersNeed[kind.name]; row.scenario == "reconnect" || row.scenario == "change" {
				row.settings = need
			}
			row.limits.cannot = playersCannot[kind.name+" "+row.scenario]
			row.always = slices.Contains(always, kind.name+" "+row.scenario)
			rows = append(rows, row)
		}
	}
	return rows
}

// playersNeed are the settings with which a player comes over a reconnect or a change.
var playersNeed = map[string]map[string]any{
	"hls.js 1.5":               {"whole_after_discontinuity": true},
	"Shaka 5.2":                {"interruption": "hold"},
	"video.js 8.24 without LL": {"interruption": "hold"},
	"GStreamer hlsdemux2":      {"interruption": "hold"},
}

// playersCannot names, by player and scenario, why a player does not keep the limits.
var playersCannot = map[string]string{
	"video.js 8.24 live":      vhsParts,
	"video.js 8.24 reconnect": vhsParts,
	"video.js 8.24 change":    vhsParts,
	"video.js 8.24 end":       vhsParts,
	"ffmpeg change":           libavformatInit,
	"mpv change":              libavformatInit,
	"hls.js 1.5 change": "hls.js 1.5 fails at the change (bufferAppendError), with parts and without " +
		"(whole_after_discontinuity); hls.js 1.7 does not",
	"video.js 8.24 without LL reconnect": "VHS 3.17 stands at a gap, and with interruption=hold it goes on, but " +
		"steps back once",
	"GStreamer hlsdemux2 end": "gst-play 1.22 leaves some pictures before the last",
}

// first waits for the first picture.
func (w *watched) first(tb testing.TB) bool {
	return w.until(20*time.Second, "a picture", func() bool {
		number, _ := w.viewing.newest()
		return number >= 0
	})
}

// until waits for the condition, or until the player has gone or the time is over: that is noted.
func (w *watched) until(limit time.Duration, what string, condition func() bool) bool {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	limit = patient(limit)
	deadline := time.After(limit)
	for !condition() {
		select {
		case <-poll.C:
		case <-w.viewing.done:
			if condition() {
				return true
			}
			w.note("NOT %s: the player left", what)
			return false
		case <-deadline:
			w.note("NOT within %v: %s", limit, what)
			return false
		}
	}
	return true
}

// pass lets the player play.
func (w *watched) pass(d time.Duration) {
	select {
	case <-time.After(d):
	case <-w.viewing.done:
		w.note("NOT to the end: the player left")
	}
}

// playLive watches for 20 s.
func playLive(tb testing.TB, w *watched) {
	if w.first(tb) {
		w.pass(20 * time.Second)
	}
}

// playReconnect cuts the publisher off for three seconds.
func playReconnect(tb testing.TB, w *watched) {
	if !w.first(tb) {
		return
	}
	w.pass(8*time.Second + 300*time.Millisecond)
	key := w.publisher.cut()
	away := time.After(3 * time.Second)
	<-away
	from := key + 4*stampGOP // the camera went on
	back := time.Now()
	w.publisher.start(w.stage.film, from)
	if w.until(20*time.Second, "a picture after the reconnect", func() bool {
		number, _ := w.viewing.newest()
		return number >= from
	}) {
		w.note("on again %.1f s after the publisher", time.Since(back).Seconds())
		w.pass(8 * time.Second)
	}
}

// playChange changes the resolution in mid-connection.
func playChange(tb testing.TB, w *watched) {
	if !w.first(tb) {
		return
	}
	w.pass(6 * time.Second)
	w.publisher.change(w.stage.other)
	from := w.publisher.newestKey() + stampGOP
	if w.until(20*time.Second, "a picture after the change", func() bool {
		number, _ := w.viewing.newest()
		return number >= from+stampGOP
	}) {
		w.pass(8 * time.Second)
	}
}

// playEnd watches to the publisher's goodbye, and what comes of it.
func playEnd(tb testing.TB, w *watched) {
	if !w.first(tb) {
		return
	}
	w.pass(6 * time.Second)
	w.publisher.goodbye()
	last := w.publisher.newestPicture()
	w.until(30*time.Second, "the player says that this is the end", w.viewing.over)
	number, _ := w.viewing.newest()
	w.note("%d pictures before the last", last-number)
	// Sound and picture end at the last picture that was decoded; two may wait for one that never came.
	if last-number > 4 {
		w.note("NOT to the last picture")
	}
}

// playSeeks goes to three places of a recording.
func playSeeks(tb testing.TB, w *watched) {
	places := []time.Duration{7 * time.Second, 10500 * time.Millisecond, 3250 * time.Millisecond}
	if w.stage.full {
		places = []time.Duration{30 * time.Second, 8500 * time.Millisecond, 33250 * time.Millisecond}
	}
	if w.row.kind.noSeek != "" {
		places = []time.Duration{0}
		w.note("cannot seek: %s", w.row.kind.noSeek)
	}
	if w.row.kind.browser {
		w.viewing = w.row.kind.start(tb, w.stage.recorded, 0)
		if !w.first(tb) {
			return
		}
	}
	for _, place := range places {
		count := 0
		if w.row.kind.browser {
			_, count = w.viewing.newest()
			w.viewing.seek(place)
		} else {
			if w.viewing != nil {
				w.viewing.stop()
			}
			w.viewing = w.row.kind.start(tb, w.stage.recorded, place)
		}
		want := int(place.Seconds() * stampRate)
		near := func(f shownFrame) bool { return f.number >= want-stampGOP && f.number <= want+stampGOP }
		var hit shownFrame
		if !w.until(15*time.Second, "a picture near the place sought", func() bool {
			shown := w.viewing.shown()[count:]
			at := slices.IndexFunc(shown, near)
			if at >= 0 {
				hit = shown[at]
			}
			return at >= 0 && len(shown)-at > stampRate/2
		}) {
			continue
		}
		w.note("%v: %+d", place, hit.number-want)
		if miss := hit.number - want; miss > w.row.kind.exact || miss < -w.row.kind.exact {
			w.note("NOT exact")
		}
	}
}
