//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// live says how an origin's parts come.
type live struct {
	Tick   time.Duration `json:"tick"`
	Size   int           `json:"size"`
	Pieces int           `json:"pieces"` // a body comes in so many, at equal pauses
	Over   time.Duration `json:"over"`   // from the first of them to the last
	Ticks  int           `json:"ticks"`  // after so many it ends
}

// origin is what stands behind every server: Oxbow's directory service and ingest node, played. It runs in a process of
// its own on the servers' core.
type origin struct {
	self string // its base URL

	mu      sync.Mutex
	live    live
	stamps  []int64       // when each tick was released, in Unix nanoseconds
	asked   []int         // requests per tick
	static  int           // requests for what is always there
	wake    chan struct{} // closed at the next release
	cut     context.CancelFunc
	running sync.WaitGroup
}

// serveOrigin is the child process's life.
func serveOrigin(ctx context.Context, port int) error {
	o := &origin{self: fmt.Sprintf("http://127.0.0.1:%d", port), wake: make(chan struct{}), cut: func() {}}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /internal/v1/locate/", o.locate)
	mux.HandleFunc("GET /internal/v1/playback", o.policies)
	mux.HandleFunc("GET /internal/v1/events", o.events)
	mux.HandleFunc("POST /-/live", o.start)
	mux.HandleFunc("GET /-/live", o.report)
	mux.HandleFunc("GET "+liveList, o.list)
	mux.HandleFunc("GET "+mediaBase, o.media)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	o.cut()
	o.running.Wait()
	return nil
}

// locate says that the one recording is live on this node.
func (o *origin) locate(w http.ResponseWriter, r *http.Request) {
	names := strings.Split(strings.TrimPrefix(r.URL.Path, "/internal/v1/locate/"), "/")
	if len(names) < 2 || names[0] != publisher || names[1] != stream || len(names) == 3 && names[2] != recording {
		http.NotFound(w, r)
		return
	}
	writeJSON(w, map[string]any{
		"publisher": publisher, "stream": stream, "recording": recording, "state": "live", "nodes": []string{o.self},
	})
}

// policies says that everything is public.
func (o *origin) policies(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Etag", `"1"`)
	if r.Header.Get("If-None-Match") == `"1"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	writeJSON(w, map[string]any{"version": 1, "publishers": map[string]any{}})
}

// events never tells of any, but lives.
func (o *origin) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	text := "id: 1\nevent: reset\ndata: {}\n\n"
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for {
		if _, err := w.Write([]byte(text)); err != nil || control.Flush() != nil {
			return
		}
		text = ":\n\n"
		select {
		case <-beat.C:
		case <-r.Context().Done():
			return
		}
	}
}

// start begins a live stream anew: its first tick comes after a second.
func (o *origin) start(w http.ResponseWriter, r *http.Request) {
	var l live
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&l)
	if err != nil || l.Tick <= 0 || l.Size < headBytes || l.Size > maxObject || l.Pieces < 1 || l.Ticks < 1 {
		http.Error(w, "bad live stream", http.StatusBadRequest)
		return
	}
	o.cut()
	o.running.Wait()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	o.mu.Lock()
	o.live, o.stamps, o.asked, o.static, o.cut = l, nil, make([]int, l.Ticks), 0, cancel
	o.mu.Unlock()
	first := time.Now().Add(time.Second)
	o.running.Go(func() {
		for tick := range l.Ticks {
			select {
			case <-time.After(time.Until(first.Add(time.Duration(tick) * l.Tick))):
			case <-ctx.Done():
				return
			}
			o.mu.Lock()
			o.stamps = append(o.stamps, time.Now().UnixNano())
			close(o.wake)
			o.wake = make(chan struct{})
			o.mu.Unlock()
		}
	})
}

// counts are what the origin was asked.
type counts struct {
	Asked  []int `json:"asked"`
	Static int   `json:"static"`
}

func (o *origin) report(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	c := counts{Asked: append([]int{}, o.asked...), Static: o.static}
	o.mu.Unlock()
	writeJSON(w, c)
}

// await counts a request for a tick, and waits for its release.
func (o *origin) await(ctx context.Context, tick int) (released int64, l live, ok bool) {
	for counted := false; ; {
		o.mu.Lock()
		if tick < 0 || tick >= len(o.asked) {
			o.mu.Unlock()
			return 0, l, false
		}
		if !counted {
			o.asked[tick]++
			counted = true
		}
		if l = o.live; tick < len(o.stamps) {
			defer o.mu.Unlock()
			return o.stamps[tick], l, true
		}
		wake := o.wake
		o.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return 0, l, false
		case <-time.After(30 * time.Second):
			return 0, l, false
		}
	}
}

func (o *origin) media(w http.ResponseWriter, r *http.Request) {
	number, size, tick, ok := parseMedia(r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	var released int64
	var l live
	if tick < 0 {
		o.mu.Lock()
		o.static++
		o.mu.Unlock()
	} else {
		if released, l, ok = o.await(r.Context(), tick); !ok {
			http.NotFound(w, r)
			return
		}
		size = l.Size
	}
	h := w.Header()
	h.Set("Content-Type", "video/mp4")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Length", strconv.Itoa(size))
	body := make([]byte, size)
	putHead(body, number, released)
	copy(body[headBytes:], rest(number, size))
	o.send(w, r, body, l)
}

// send writes a body, of a live part in its pieces.
func (o *origin) send(w http.ResponseWriter, r *http.Request, body []byte, l live) {
	pieces := max(1, l.Pieces)
	control, begun := http.NewResponseController(w), time.Now()
	for i := range pieces {
		if i > 0 {
			due := begun.Add(l.Over * time.Duration(i) / time.Duration(pieces-1))
			select {
			case <-time.After(time.Until(due)):
			case <-r.Context().Done():
				return
			}
		}
		if _, err := w.Write(body[len(body)*i/pieces : len(body)*(i+1)/pieces]); err != nil {
			return
		}
		if pieces > 1 && control.Flush() != nil {
			return
		}
	}
}

func (o *origin) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	msn, err := strconv.Atoi(query.Get("_HLS_msn"))
	part, err2 := strconv.Atoi(query.Get("_HLS_part"))
	if err != nil || err2 != nil {
		http.Error(w, "not a blocking reload", http.StatusBadRequest)
		return
	}
	tick := (msn-liveMSN)*partsPerSegment + part
	released, _, ok := o.await(r.Context(), tick)
	if !ok {
		http.NotFound(w, r)
		return
	}
	body := playlist(tick, released)
	h := w.Header()
	h.Set("Content-Type", "application/vnd.apple.mpegurl")
	h.Set("Cache-Control", "public, max-age=12")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
