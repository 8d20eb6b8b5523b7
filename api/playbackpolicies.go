package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// policyMemo is who may watch, as it was told to edges last. It is built anew when the catalog's version of it is
// another one, and is what edges get while the catalog is away: one that has just started must let viewers in too.
type policyMemo struct {
	turn chan struct{} // one builds at a time
	// age adds how old the catalog is.
	age  func(ctx context.Context, policies *media.PlaybackPolicies) error
	told *toldPolicies // of whoever has the turn
}

// toldPolicies is never modified.
type toldPolicies struct {
	version    int64
	etag       string
	body       []byte
	remembered []byte    // body, for when the catalog is away
	built, at  time.Time // read from the catalog, and last confirmed by it
}

// policyMemoAge is how old what was read may be: a catalog that was put in the place of another may have the same
// version.
const policyMemoAge = 30 * time.Second

func newPolicyMemo(age func(context.Context, *media.PlaybackPolicies) error) *policyMemo {
	return &policyMemo{turn: make(chan struct{}, 1), age: age}
}

// get gives who may watch, and whether that is remembered. media.ErrUnavailable: the catalog is away, and nothing is.
func (m *policyMemo) get(ctx context.Context, from Playback) (told *toldPolicies, remembered bool, err error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, false, fmt.Errorf("playback policies: %w: %w", media.ErrUnavailable, ctx.Err())
	}
	now := time.Now()
	version, err := from.PlaybackVersion(ctx)
	if err == nil && (m.told == nil || m.told.version != version || now.Sub(m.told.built) > policyMemoAge) {
		var policies media.PlaybackPolicies
		if policies, err = from.PlaybackPolicies(ctx); err == nil {
			err = m.age(ctx, &policies)
		}
		if err == nil {
			m.told = tell(policies)
			m.told.built = now
		}
	}
	switch {
	case err == nil:
		fresh := *m.told
		fresh.at = now
		m.told = &fresh
		return m.told, false, nil
	case m.told != nil:
		return m.told, true, nil
	}
	return nil, false, err
}

func tell(policies media.PlaybackPolicies) *toldPolicies {
	told := &toldPolicies{version: policies.Version}
	var err error
	if told.body, err = json.Marshal(policies); err == nil {
		policies.Remembered = true
		told.remembered, err = json.Marshal(policies)
	}
	if err != nil {
		panic("BUG: playback policies: " + err.Error())
	}
	sum := sha256.Sum256(told.body) // another process says the same of the same
	told.etag = `"` + hex.EncodeToString(sum[:16]) + `"`
	return told
}

// changesPlayback says whether a change of settings may change who may watch.
func changesPlayback(p media.SettingsPatch) bool {
	return p.Playback != nil || slices.Contains(p.Reset, "playback")
}

// edgeAllowed says whether a request may be told secrets.
func (s *Server) edgeAllowed(r *http.Request) bool {
	return s.cfg.Tokens.Judge(r.Header["Authorization"]).Admits()
}

// servePlayback tells edges who may watch: media.PlaybackPolicies, with an ETag. Its keys open everything that is
// signed, so it is for edges only: they show the cluster's token, where there is one. While the catalog is away it is
// what was said last, which has an Age.
func (s *Server) servePlayback(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store") // nothing in between keeps keys
	if !s.edgeAllowed(r) {
		h.Set("WWW-Authenticate", `Bearer realm="oxbow"`)
		writeProblem(w, newProblem(http.StatusUnauthorized, "send Authorization: Bearer with the --cluster-token"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.CatalogWait)
	defer cancel()
	told, remembered, err := s.policies.get(ctx, s.deps.Playback)
	if err != nil {
		s.log.Log(r.Context(), s.awayLevel(time.Now()), "playback policies are not known", "err", err)
		writeProblem(w, newProblem(http.StatusServiceUnavailable, "who may watch is not known: try again in a moment"))
		return
	}
	body, etag := told.body, told.etag
	if remembered {
		h.Set("Age", strconv.FormatInt(int64(time.Since(told.at)/time.Second), 10))
		body, etag = told.remembered, told.etag[:len(told.etag)-1]+`-remembered"`
	}
	if has := r.Header.Get("If-None-Match"); has == told.etag || has == etag {
		h.Set("Etag", has)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Etag", etag)
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the edge may have left
}
