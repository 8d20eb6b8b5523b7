package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// streamBeat is how often a stream says that it is there. An edge that hears nothing for three of them polls.
	streamBeat = time.Second
	// streamWrite bounds one write to an edge.
	streamWrite = 5 * time.Second
	// maxMissed bounds the batches that one edge is read from the registry; one that lacks more begins anew.
	maxMissed = 16
)

// Run feeds the event stream, and those who follow the log, until ctx ends, and then ends all streams. Without it, or
// Deps.EventLog, edges poll. It prunes the log, the audit log and the answers that are kept for repeated requests.
func (s *Server) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { s.pruneAudits(ctx) })
	running.Go(func() { s.runReplies(ctx) })
	running.Go(func() { s.steerer.run(ctx) })
	running.Go(func() { s.foldViewing(ctx) })
	if s.feed != nil {
		running.Go(func() { s.feed.run(ctx) })
	}
	if s.follow != nil {
		running.Go(func() { s.follow.run(ctx) })
		running.Go(func() { s.pruneLog(ctx) })
	}
	<-ctx.Done()
	running.Wait()
	return nil
}

// serveEventStream sends an edge the registry's events as they come, as server-sent events. Beside those, which carry
// media.Event as JSON under their type and id, there are three that tell of the stream:
//
//	reset   forget what was located: events may have been missed. All that follow this id will come
//	sure    all events up to now were sent; it follows what a resuming edge had missed
//	unsure  the registry is away: ask instead, until the next reset
//
// A comment comes every streamBeat. Last-Event-ID resumes.
func (s *Server) serveEventStream(w http.ResponseWriter, r *http.Request) {
	if s.feed == nil {
		writeProblem(w, newProblem(http.StatusNotFound, "this process has no events"))
		return
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	after := int64(-1)
	if given := r.Header.Get("Last-Event-ID"); given != "" {
		id, err := strconv.ParseInt(given, 10, 64)
		if err != nil || id < 0 {
			writeProblem(w, newProblem(http.StatusBadRequest, "Last-Event-ID %.40q is no id of an event", given))
			return
		}
		after = id
	}
	out := &eventWriter{w: w, control: http.NewResponseController(w)}
	sub, err := s.resume(r.Context(), out, after)
	if err != nil {
		if !out.begun {
			writeProblem(w, s.problem(r.Context(), err))
		}
		return
	}
	defer s.feed.unsubscribe(sub)
	beat := time.NewTicker(streamBeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case fr := <-sub.frames:
			err = out.write(fr.text)
		case <-beat.C:
			err = out.write([]byte(":\n\n"))
		case <-sub.cut:
			s.log.DebugContext(r.Context(), "event stream ended", "remote", r.RemoteAddr, "reason", sub.why)
			return
		case <-r.Context().Done():
			return
		}
		if err != nil {
			return // the edge left
		}
	}
}

// resume sends what the edge missed and subscribes it behind that.
func (s *Server) resume(ctx context.Context, out *eventWriter, after int64) (*subscriber, error) {
	for tries := 0; ; tries++ {
		sub, first, err := s.feed.subscribe(after)
		if err != nil {
			return nil, err
		}
		if sub != nil {
			if err := out.write(texts(first)); err != nil {
				s.feed.unsubscribe(sub)
				return nil, err
			}
			return sub, nil
		}
		asking, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
		missed, err := s.feed.missed(asking, after)
		cancel()
		switch {
		case tries == maxMissed, errors.Is(err, media.ErrGone):
			after = -1
			continue
		case err != nil:
			return nil, err
		}
		if err := out.write(texts(missed)); err != nil {
			return nil, err
		}
		after = missed[len(missed)-1].id
	}
}

func texts(frames []frame) []byte {
	var all []byte
	for _, fr := range frames {
		all = append(all, fr.text...)
	}
	return all
}

// eventWriter writes to a stream, each write with a deadline.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (o *eventWriter) write(text []byte) error {
	if !o.begun {
		o.begun = true
		h := o.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no")
		h.Set("Connection", "close") // the write deadline would stay with it
	}
	// A writer without deadlines is a test's.
	err := o.control.SetWriteDeadline(time.Now().Add(streamWrite))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := o.w.Write(text); err != nil {
		return err
	}
	return o.control.Flush()
}
