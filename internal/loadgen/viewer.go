package loadgen

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// viewer is one viewer's side of one rendition: a connection, on which playlist and parts take turns.
type viewer struct {
	*view
	rendition *watched
	client    httpClient
	edge      edge
	path      []byte
	// msn and part are the next piece to load; begun says that they are known.
	msn   int64
	part  int
	begun bool
	// keep gets the bytes of every part; nil throws them away.
	keep func(body []byte)
}

// watch plays a rendition until ctx ends or the show does.
func (v *view) watch(ctx context.Context, index int, rendition *watched) {
	w := &viewer{view: v, rendition: rendition, client: httpClient{addr: v.host, timeout: viewTimeout}}
	stop := context.AfterFunc(ctx, w.client.interrupt) // wakes a read that waits
	defer stop()
	defer w.client.close()
	timer := time.NewTimer(0)
	playing := false
	for ctx.Err() == nil {
		err := w.reload(ctx)
		if err == nil {
			err = w.load(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if plays := err == nil; plays != playing {
			playing = plays
			v.playing[index].Add(map[bool]int32{true: 1, false: -1}[plays])
		}
		switch {
		case err != nil:
			v.fail(reason(err))
			w.begun = false
			if !pause(ctx, timer, time.Now().Add(viewPause)) {
				return
			}
		case w.edge.ended:
			return
		case !w.edge.blocks && !pause(ctx, timer, time.Now().Add(max(w.edge.target/2, viewPause))):
			return
		}
	}
}

// reason is an error without what differs from one connection to the next.
func reason(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, "->"); i >= 0 { // read tcp A->B: why
		_, text, _ = strings.Cut(text[i:], ": ")
	}
	return text
}

// reload gets the playlist: at once for the first time, then when it has the next piece.
func (w *viewer) reload(ctx context.Context) error {
	w.path = append(w.path[:0], w.rendition.path...)
	if w.begun && w.edge.blocks {
		query := byte('?')
		if strings.IndexByte(w.rendition.path, '?') >= 0 {
			query = '&'
		}
		w.path = append(append(w.path, query), "_HLS_msn="...)
		w.path = strconv.AppendInt(w.path, w.msn, 10)
		if w.edge.partTarget > 0 {
			w.path = append(w.path, "&_HLS_part="...)
			w.path = strconv.AppendInt(w.path, int64(w.part), 10)
		}
		if w.edge.skips {
			w.path = append(w.path, "&_HLS_skip=YES"...)
		}
	}
	a, err := w.client.get(ctx, string(w.path), true)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errPlaylist, err)
	case a.status != 200:
		return fmt.Errorf("%w: HTTP %d", errPlaylist, a.status)
	}
	if err := w.edge.parse(a.body); err != nil {
		return err
	}
	w.partTarget.Store(int64(w.edge.partTarget))
	if time.Now().After(w.ramp) {
		w.playlists.Add(1)
		w.bytes.Add(a.size)
	}
	return nil
}

// load gets what the playlist has that is new. A viewer who has just come begins with the newest piece.
func (w *viewer) load(ctx context.Context) error {
	e := &w.edge
	if !w.begun {
		w.begun, w.msn, w.part = true, e.msn, e.part
		return nil
	}
	now := time.Now()
	if len(e.pieces) > 0 {
		if first := e.pieces[0]; w.msn < first.msn && now.After(w.ramp) {
			w.missed.Add(1)
		}
	}
	for _, p := range e.pieces {
		if p.part >= 0 && p.before(w.msn, w.part) || p.part < 0 && (p.msn < w.msn || (p.msn == w.msn && w.part > 0)) {
			continue
		}
		known := w.rendition.at(p, now)
		path, err := resolve(w.rendition.path, p.uri)
		if err != nil {
			return err
		}
		a, err := w.client.get(ctx, path, w.keep != nil)
		switch {
		case err != nil:
			return fmt.Errorf("part: %w", err)
		case a.status != 200:
			return fmt.Errorf("part: HTTP %d", a.status)
		}
		if w.keep != nil {
			w.keep(a.body)
		}
		if done := time.Now(); known.After(w.ramp) {
			w.lags.add(done.Sub(known))
			w.parts.Add(1)
			w.bytes.Add(a.size)
		}
	}
	w.msn, w.part = e.msn, e.part
	return nil
}
