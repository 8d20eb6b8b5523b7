package catalog

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// FuzzOtherCursors: a cursor of the audit log or of what is planned is taken only as it would be given.
func FuzzOtherCursors(f *testing.F) {
	for _, text := range []string{
		cursorVersion + ".5." + firstTokenID, cursorVersion + ".-9223372036854775808.archive." + string(recordingID(0)),
		cursorVersion + ".5.delete." + string(recordingID(1)), cursorVersion + ".05.x.y", "", "....",
	} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		at, id, err := parseAuditCursor(cursor)
		if err == nil && (newCursor(cursorVersion, at, id) != cursor || strings.ContainsAny(id, "'\" ;\x00")) {
			t.Errorf("audit cursor %q is %d %q", cursor, at, id)
		}
		if err != nil {
			wantField(t, err, "cursor")
		}
		due, recording, action, err := parsePlanCursor(cursor)
		if err != nil {
			wantField(t, err, "cursor")
			return
		}
		if _, err := media.ParseRecordingID(string(recording)); err != nil {
			t.Error(err)
		}
		same(t, "cursor", cursor, newCursor(cursorVersion, due, string(action), string(recording)))
	})
}

// FuzzPostgresURL: no error tells the password of the URL that it is about.
func FuzzPostgresURL(f *testing.F) {
	for _, seed := range [][2]string{
		{"postgres://u:%s@h/d", "secret-and-long"}, {"postgres://u:%s@h:99999/d?pool_max_conns=0", "secret-and-long"},
		{"postgresql://h/d?password=%s&sslmode=nonsense", "secret-and-long"}, {"postgres://u:%s@[::1/d", "secret#and/long"},
		{"postgres://u:%s@h/d?connect_timeout=x", "%zz-and-more"}, {"mysql://u:%s@h/d", "secret-and-long"},
		{"postgres://?:%s", "secret#and/long"}, {"postgres://u:%s@h/d", "pass?word-and-more"},
		{"postgres://?connect_timeout=:%s", "secret-and-long"}, {"postgres://?connect_timeout=:%s", "se#ret-and-long"},
		{"postgres://h?connect_timeout=%s", "9999999999999"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, secret string) {
		if len(secret) < 12 || len(text) > 1000 || strings.Count(text, "%s") != 1 || strings.Contains(text, secret) ||
			strings.Contains(text, "service") || strings.Contains(text, "file") || strings.Contains(text, "ssl") {
			return // services, password files and certificates are read from disk
		}
		config, most, err := parsePostgres(strings.Replace(text, "%s", secret, 1))
		if err == nil {
			if most < 1 || most > 1000 || config.ConnectTimeout <= 0 || config.ValidateConnect == nil {
				t.Errorf("%q: %d connections, timeout %s", text, most, config.ConnectTimeout)
			}
			return
		}
		before, _, _ := strings.Cut(text, "%s")
		password := strings.HasSuffix(before, "password=") || strings.HasSuffix(before, ":") && strings.Count(before, ":") == 2
		if password && strings.Contains(err.Error(), secret) || !errors.Is(err, media.ErrInvalid) && !errors.Is(err, errScheme) {
			t.Errorf("%q with %q: %v", text, secret, err)
		}
	})
}
