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
}

// parseTarget reads the forms that encoders make of the two URLs. They split them between app, tcUrl and the stream's
// name in every possible way, so all parts are put together again first:
//
//	live, KEY                       live, ?key=KEY
//	PUBLISHER, STREAM?key=KEY       PUBLISHER/STREAM, ?key=KEY       PUBLISHER/STREAM, KEY
//	PUBLISHER?key=KEY, STREAM       PUBLISHER/STREAM?key=KEY, (no name)
//
// Other parameters (user, pass, ...) are ignored.
func parseTarget(app, tcURL, name string) (target, error) {
	appPath, appQuery, _ := strings.Cut(unquote(app), "?")
	_, tcQuery, _ := strings.Cut(unquote(tcURL), "?")
	namePath, nameQuery, _ := strings.Cut(unquote(name), "?")
	if appPath == "" {
		appPath = pathOf(tcURL)
	}
	key := queryKey(nameQuery, appQuery, tcQuery)
	parts := strings.FieldsFunc(appPath+"/"+namePath, func(r rune) bool { return r == '/' })
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "_definst_" }) // the default instance of an app
	if key == "" && namePath == "" && nameQuery != "" && !strings.Contains(nameQuery, "=") {
		parts = append(parts, nameQuery) // a key with a question mark before it
	}
	switch n := len(parts); {
	case n == 1 && parts[0] == keyApp && key != "":
		return checkKey(target{key: key})
	case n == 2 && parts[0] == keyApp && key == "":
		return checkKey(target{key: parts[1]})
	case n == 2 && key != "":
		return named(parts, key)
	case n == 3 && key == "":
		return named(parts[:2], parts[2])
	case n <= 2:
		return target{}, errNoKey
	default:
		return target{}, fmt.Errorf("%w: the URL has %d parts: publish to rtmp://HOST/live/KEY or "+
			"rtmp://HOST/PUBLISHER/STREAM?key=KEY", media.ErrBadName, n)
	}
}

func named(parts []string, key string) (target, error) {
	path, err := media.ParseStreamPath(parts[0] + "/" + parts[1])
	if err != nil {
		// The parts may hold a key in the wrong place, so the error must not repeat them.
		return target{}, fmt.Errorf("%w: publisher and stream are 1 to %d of a-z 0-9 _ -: publish to "+
			"rtmp://HOST/PUBLISHER/STREAM?key=KEY", media.ErrBadName, media.MaxName)
	}
	return checkKey(target{path: path, key: key})
}

func checkKey(t target) (target, error) {
	if len(t.key) > maxKey {
		return target{}, fmt.Errorf("%w: a key of %d bytes", media.ErrDenied, len(t.key))
	}
	return t, nil
}

// queryKey finds the parameter "key" in the first query that has it. A plus sign stays one.
func queryKey(queries ...string) string {
	for _, query := range queries {
		for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == '?' }) {
			name, value, _ := strings.Cut(pair, "=")
			if !strings.EqualFold(name, "key") || value == "" {
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
