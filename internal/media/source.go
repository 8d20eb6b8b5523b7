package media

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// When a source is pulled.
const (
	SourceAlways   = "always"    // whenever the server runs
	SourceOnDemand = "on_demand" // while somebody watches
)

// SourceSchemes lists the URL schemes of sources.
func SourceSchemes() []string { return []string{"http", "https", "rtmp", "rtmps", "srt"} }

// Source is where the server fetches a stream that nobody pushes.
type Source struct {
	Path StreamPath
	// URL may hold secrets: only Redacted may be shown or logged.
	URL string
	// Mode is "always" or "on_demand".
	Mode    string
	Enabled bool
	// IdleTimeout is how long a source on demand goes on after the last request of a viewer.
	IdleTimeout Span
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// DefaultSourceIdle is the idle timeout of a source that sets none.
const DefaultSourceIdle = Span(time.Minute)

const (
	maxSourceURL = 2000
	// MaxSRTLatency is the most that an SRT source's URL may ask for.
	MaxSRTLatency = 10 * time.Second
)

// Check says which value is out of its range, as a *FieldError that does not repeat the URL.
func (s Source) Check() error {
	if err := s.checkURL(); err != nil {
		return err
	}
	if s.Mode != SourceAlways && s.Mode != SourceOnDemand {
		return &FieldError{
			Field: "mode", Want: fmt.Sprintf("%.40q is unknown: use %q or %q", s.Mode, SourceAlways, SourceOnDemand),
		}
	}
	if d := s.IdleTimeout.D(); d < 10*time.Second || d > 24*time.Hour {
		return &FieldError{Field: "idle_timeout", Want: fmt.Sprintf("%s is out of range: use 10s to 24h", d)}
	}
	return nil
}

func (s Source) checkURL() error {
	bad := func(format string, args ...any) error {
		return &FieldError{Field: "url", Want: fmt.Sprintf(format, args...)}
	}
	if s.URL == "" || len(s.URL) > maxSourceURL {
		return bad("give a URL of 1 to %d bytes", maxSourceURL)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return bad("it does not parse as a URL: write it like https://HOST/live/index.m3u8")
	}
	if !slices.Contains(SourceSchemes(), u.Scheme) {
		return bad("scheme %.20q is not taken: use one of %s", u.Scheme, strings.Join(SourceSchemes(), ", "))
	}
	if u.Hostname() == "" {
		return bad("it names no host")
	}
	switch u.Scheme {
	case "rtmp", "rtmps":
		if app, name, ok := strings.Cut(strings.Trim(u.Path, "/"), "/"); !ok || app == "" || name == "" {
			return bad("an RTMP source has an app and a name: rtmp://HOST/APP/NAME")
		}
	case "srt":
		return checkSRTSource(u, bad)
	}
	return nil
}

func checkSRTSource(u *url.URL, bad func(string, ...any) error) error {
	if u.Port() == "" {
		return bad("an SRT source has a port: srt://HOST:PORT")
	}
	q := u.Query()
	if mode := q.Get("mode"); mode != "" && mode != "caller" {
		return bad("the server calls SRT sources: leave mode out, or use mode=caller")
	}
	if p := q.Get("passphrase"); p != "" && (len(p) < 10 || len(p) > 79) {
		return bad("an SRT passphrase has 10 to 79 characters")
	}
	if len(q.Get("streamid")) > 512 {
		return bad("an SRT stream id has at most 512 bytes")
	}
	if text := q.Get("latency"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms < 0 || ms > int(MaxSRTLatency.Milliseconds()) {
			return bad("latency is in milliseconds, from 0 to %d", MaxSRTLatency.Milliseconds())
		}
	}
	return nil
}

// Redacted gives the URL for people: without what may be secret, which is user and password, the values of the query
// but for a few known ones, the name of an RTMP stream, and a playback token in the path.
func (s Source) Redacted() string {
	const hidden = "redacted"
	u, err := url.Parse(s.URL)
	if err != nil {
		return hidden
	}
	path := strings.Split(u.EscapedPath(), "/")
	switch {
	case u.Scheme == "rtmp" || u.Scheme == "rtmps":
		path[len(path)-1] = hidden
	case len(path) > 3 && path[1] == "t":
		path[2] = hidden
	}
	out := u.Scheme + "://"
	if u.User != nil {
		out += hidden + "@"
	}
	out += u.Host + strings.Join(path, "/")
	for i, pair := range strings.FieldsFunc(u.RawQuery, func(r rune) bool { return r == '&' }) {
		name, _, valued := strings.Cut(pair, "=")
		switch {
		case !valued:
			pair = hidden // it may be a bare key
		case !slices.Contains([]string{"mode", "latency", "pbkeylen", "transtype", "pkt_size"}, name):
			pair = name + "=" + hidden
		}
		separator := "&"
		if i == 0 {
			separator = "?"
		}
		out += separator + pair
	}
	return out
}

// SourceState says what a source does.
type SourceState string

// The states of a source.
const (
	SourceOff        SourceState = "off"        // disabled, or on demand and nobody watches
	SourceConnecting SourceState = "connecting" // a connection is being made
	SourceLive       SourceState = "live"       // its media is published
	SourceWaiting    SourceState = "waiting"    // for the next try
)

// SourceStates lists every state.
func SourceStates() []SourceState {
	return []SourceState{SourceOff, SourceConnecting, SourceLive, SourceWaiting}
}

// SourceStatus is what a source does now.
type SourceStatus struct {
	State SourceState
	// Since is when the state began; zero if nobody knows.
	Since time.Time
	// LastError tells why the last try ended; empty after one that has not. It holds no secret.
	LastError string
	// NextRetry is when the next try begins, in state waiting.
	NextRetry time.Time
	// Retries counts the tries in a row that failed.
	Retries int
}
