package api

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/oxbow-video/oxbow/internal/media"
)

// servePage answers / and /watch/... with the built page, or with the built-in one.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	path, id, err := watched(r)
	if err != nil {
		writeProblem(w, s.problem(r.Context(), err))
		return
	}
	s.pageHeaders(w.Header())
	if s.assets.page != nil {
		s.assets.page.ServeHTTP(w, r)
		return
	}
	s.serveBuiltin(w, r, path, id)
}

// watched gives what the page is about: nothing on the start page.
func watched(r *http.Request) (media.StreamPath, media.RecordingID, error) {
	publisher := chi.URLParam(r, "publisher")
	if publisher == "" {
		return media.StreamPath{}, "", nil
	}
	path, err := StreamPath{PublisherPath{publisher}, chi.URLParam(r, "stream")}.path()
	if err != nil {
		return path, "", err
	}
	given := chi.URLParam(r, "recording")
	if given == "" {
		return path, "", nil
	}
	id, err := RecordingPath{given}.id()
	return path, id, err
}

// pageHeaders allows what a player needs: media, pictures and playlists from where they are served, and blob: for Media
// Source Extensions and for the workers that players make of text. Where viewers are steered, media may come from any
// edge, also from one that starts after the page was opened; scripts never do.
func (s *Server) pageHeaders(h http.Header) {
	from := strings.TrimSpace("'self' " + s.cfg.PlaybackURL)
	if s.cfg.SteeringURL != "" {
		from = "'self' https:"
		if strings.HasPrefix(s.cfg.SteeringURL, "http:") || strings.HasPrefix(s.cfg.PlaybackURL, "http:") {
			from += " http:"
		}
	}
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src "+from+" data:; "+
		"connect-src "+from+"; media-src "+from+" blob:; worker-src 'self' blob:; "+
		"base-uri 'none'; form-action 'self'; frame-ancestors 'self'")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

// builtinPage is what the built-in page's template shows.
type builtinPage struct {
	Title string // publisher/stream, empty when there is nothing to play
	URL   string
	Live  []builtinRow
	Ended []builtinRow
	// Unknown says that the listing could not be had.
	Unknown bool
}

type builtinRow struct {
	Name string
	Link string
	When string
	Long string
}

func (s *Server) serveBuiltin(w http.ResponseWriter, r *http.Request, path media.StreamPath, id media.RecordingID) {
	var p builtinPage
	l, err := s.shows(r.Context())
	if err != nil {
		s.log.WarnContext(r.Context(), "built-in page without listing", "err", err)
		p.Unknown = true
	}
	for _, row := range l.Live {
		p.Live = append(p.Live, newBuiltinRow(row, ""))
	}
	for _, row := range l.Recordings {
		p.Ended = append(p.Ended, newBuiltinRow(row, "/"+string(row.Recording)))
	}
	switch {
	case id != "":
		p.Title, p.URL = path.String(), s.recordingURL(path, id)
	case path.Publisher != "":
		p.Title, p.URL = path.String(), s.streamURL(path)
	case len(l.Live) > 0:
		p.Title, p.URL = l.Live[0].Publisher+"/"+l.Live[0].Stream, l.Live[0].URL
	}
	var out bytes.Buffer
	if err := s.builtin.Execute(&out, p); err != nil {
		panic("BUG: built-in page: " + err.Error())
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(out.Bytes()) // the client may have left
}

func newBuiltinRow(row showRow, suffix string) builtinRow {
	b := builtinRow{
		Name: row.Publisher + "/" + row.Stream,
		Link: "/watch/" + row.Publisher + "/" + row.Stream + suffix,
		Long: (time.Duration(row.DurationMS) * time.Millisecond).Round(time.Second).String(),
	}
	if row.StartedAt != nil {
		b.When = row.StartedAt.Format("2006-01-02 15:04 MST")
	}
	return b
}

// parseBuiltin reads the built-in page's template.
func parseBuiltin() *template.Template {
	t, err := template.ParseFS(builtin, "builtin/page.html")
	if err != nil {
		panic("BUG: built-in page: " + err.Error())
	}
	return t
}
