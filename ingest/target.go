package ingest

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// keyApp is the app under which the stream's name is a secret key: rtmp://host/live/{key}.
const keyApp = "live"

// maxKey bounds a key's length in bytes.
const maxKey = 512

// target is what a client wants to publish to: a stream by its secret key alone, or a named stream.
type target struct {
	path media.StreamPath // zero when the key alone names the stream
	key  string
	// program is the number of the one program of the transport stream that is wanted; zero leaves the choice.
	program int
	// backup says that it is the stream's second feed.
	backup bool
}

// feed names the feed.
func (t target) feed() string {
	if t.backup {
		return media.FeedBackup
	}
	return media.FeedPrimary
}

// errBackup refuses a publish whose mark is none.
var errBackup = fmt.Errorf("%w: backup is neither 0 nor 1: set backup=1 for a stream's second feed, or leave it out",
	media.ErrInvalid)

// parseBackup reads the mark of a second feed.
func parseBackup(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "1", "true":
		return true, nil
	case "", "0", "false":
		return false, nil
	}
	return false, errBackup
}

// parseTarget reads the forms that encoders make of the two URLs. They split them between app, tcUrl and the stream's
// name in every possible way, so all parts are put together again first:
//
//	live, KEY                       live, ?key=KEY
//	PUBLISHER, STREAM?key=KEY       PUBLISHER/STREAM, ?key=KEY       PUBLISHER/STREAM, KEY
//	PUBLISHER?key=KEY, STREAM       PUBLISHER/STREAM?key=KEY, (no name)
//
// A parameter backup=1, in any of the places of key, marks a stream's second feed. Other parameters (user, pass, ...)
// are ignored.
func parseTarget(app, tcURL, name string) (target, error) {
	appPath, appQuery, _ := strings.Cut(unquote(app), "?")
	_, tcQuery, _ := strings.Cut(unquote(tcURL), "?")
	namePath, nameQuery, _ := strings.Cut(unquote(name), "?")
	if appPath == "" {
		appPath = pathOf(tcURL)
	}
	key := queryValue("key", nameQuery, appQuery, tcQuery)
	backup, err := parseBackup(queryValue("backup", nameQuery, appQuery, tcQuery))
	if err != nil {
		return target{}, err
	}
	parts := strings.FieldsFunc(appPath+"/"+namePath, func(r rune) bool { return r == '/' })
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "_definst_" }) // the default instance of an app
	if key == "" && namePath == "" && nameQuery != "" && !strings.Contains(nameQuery, "=") {
		parts = append(parts, nameQuery) // a key with a question mark before it
	}
	switch n := len(parts); {
	case n == 1 && parts[0] == keyApp && key != "":
		return checkKey(target{key: key, backup: backup})
	case n == 2 && parts[0] == keyApp && key == "":
		return checkKey(target{key: parts[1], backup: backup})
	case n == 2 && parts[0] == keyApp && parts[1] == key: // written twice: it must not be logged as a stream's name
		return checkKey(target{key: key, backup: backup})
	case n == 3 && parts[0] == keyApp && parts[1] == parts[2] && key == "": // so too
		return checkKey(target{key: parts[1], backup: backup})
	case n == 2 && key != "":
		return named(parts, key, backup)
	case n == 3 && key == "":
		return named(parts[:2], parts[2], backup)
	case n <= 2:
		return target{}, errNoKey
	default:
		return target{}, fmt.Errorf("%w: the URL has %d parts: publish to rtmp://HOST/live/KEY or "+
			"rtmp://HOST/PUBLISHER/STREAM?key=KEY", media.ErrBadName, n)
	}
}

func named(parts []string, key string, backup bool) (target, error) {
	path, err := media.ParseStreamPath(parts[0] + "/" + parts[1])
	if err != nil {
		// The parts may hold a key in the wrong place, so the error must not repeat them.
		return target{}, fmt.Errorf("%w: publisher and stream are 1 to %d of a-z 0-9 _ -: publish to "+
			"rtmp://HOST/PUBLISHER/STREAM?key=KEY", media.ErrBadName, media.MaxName)
	}
	return checkKey(target{path: path, key: key, backup: backup})
}

func checkKey(t target) (target, error) {
	if len(t.key) > maxKey {
		return target{}, fmt.Errorf("%w: a key of %d bytes", media.ErrDenied, len(t.key))
	}
	return t, nil
}

// queryValue finds a parameter in the first query that has it. A plus sign stays one.
func queryValue(parameter string, queries ...string) string {
	for _, query := range queries {
		for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == '?' }) {
			name, value, _ := strings.Cut(pair, "=")
			if !strings.EqualFold(name, parameter) || value == "" {
				continue
			}
			if plain, err := url.PathUnescape(value); err == nil {
				value = plain
			}
			return value
		}
	}
	return ""
}

// pathOf gives the path of tcUrl, for clients that send no app.
func pathOf(tcURL string) string {
	s, _, _ := strings.Cut(unquote(tcURL), "?")
	_, s, ok := strings.Cut(s, "://")
	if !ok {
		return ""
	}
	_, s, _ = strings.Cut(s, "/")
	return s
}

// unquote takes away the blanks and quotes that some encoders put around.
func unquote(s string) string { return strings.Trim(s, " \t\r\n\x00\"'") }

// redact gives a form of a key that can be logged: it tells two keys apart and gives neither away.
func redact(key string) string {
	if key == "" {
		return "none"
	}
	return fmt.Sprintf("sha256:%.4x", sha256.Sum256([]byte(key)))
}
