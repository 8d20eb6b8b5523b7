package test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// refusal is what the API says of a value that it does not take.
type refusal struct {
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
}

// wrongSettings are values with what the answer must tell to do.
func wrongSettings() []struct {
	field string
	value any
	want  string
} {
	const span = "like 90s, 5m or 1h30m"
	return []struct {
		field string
		value any
		want  string
	}{
		{"archive_delay", "-1s", span},
		{"archive_delay", "soon", span},
		{"archive_delay", 300, "expected string: write it in quotes, a duration like"},
		{"archive_delay", "87601h", "use 0s to 87600h"},
		{"archive_delay", "999999999h", "use 0s to 87600h"},
		{"archive_delay", nil, "leave it out"},
		{"reconnect_window", "31m", "use 0s to 30m"},
		{"reconnect_window", "1 m", span},
		{"dvr_window", "0s", "use 1m to 24h"},
		{"dvr_window", "59s", "use 1m to 24h"},
		{"dvr_window", "25h", "use 1m to 24h"},
		{"retention", "999ms", "use 1s to 876000h, or 0s for ever"},
		{"retention", "876001h", "use 1s to 876000h, or 0s for ever"},
		{"retention", "30d", span},
		{"retention_count", -1, "use 1 to 1000000, or 0 for no bound"},
		{"retention_count", 1000001, "use 1 to 1000000, or 0 for no bound"},
		{"retention_count", 1.5, "write a whole number"},
		{"retention_count", "10", "write a whole number without quotes"},
		{"retention_bytes", -1, "or 0 for no bound"},
		{"retention_bytes", "10GB", "write a whole number without quotes"},
		{"local_retention", "10ms", "use 1s to 876000h, or 0s for the archiver's --archive-grace"},
		{"local_count", -5, "use 1 to 1000000, or 0 for no bound"},
		{"local_bytes", -5, "or 0 for no bound"},
		{"local_free", 100, "use 1 to 99, or 0 for no bound"},
		{"local_free", -1, "use 1 to 99, or 0 for no bound"},
		{"keep", "yes", "write true or false without quotes"},
		{"keep", 1, "write true or false without quotes"},
		{"record", "no", `use "on" or "off"`},
		{"record", "", `use "on" or "off"`},
		{"record", true, "write it in quotes"},
		{"archive_mode", "live", `use "after_end" or "continuous"`},
		{"archive_mode", "Continuous", `use "after_end" or "continuous"`},
		{"archive", "nowhere", "use one of cold, default, or give it to the archivers first (--archives nowhere=URL)"},
		{"archive", "s3://bucket/path", "use 1 to 63 of a-z 0-9 _ -"},
		{"archive", "../cold", "use 1 to 63 of a-z 0-9 _ -"},
		{"mirror", "nowhere", "use one of cold, default, or give it to the archivers first (--archives nowhere=URL)"},
		{"mirror", "COLD", "use 1 to 63 of a-z 0-9 _ -"},
		{"mirror", "default", `name another store, or none with ""`},
		{"end_on_unpublish", "true", "write true or false without quotes"},
		{"thumbnail_interval", "1s", "use 2s to 1h, or 0s for no pictures"},
		{"thumbnail_interval", "2h", "use 2s to 1h, or 0s for no pictures"},
		{"retentoin", "1h", "unexpected property"},
	}
}

// TestRefusedSettings tries wrong values of the settings of archive and retention, of a publisher and of a stream, in
// earnest and as a dry run: each is refused with its field and what to do, and nothing changes.
func TestRefusedSettings(t *testing.T) {
	t.Parallel()
	server := newOxbow(t, "--archives", "cold=dir:"+t.TempDir())
	server.start("serve")
	server.createStream("acme", "show", nil)
	paths := []string{"/v1/publishers/acme", "/v1/publishers/acme/streams/show"}
	refused := func(path, field string, change map[string]any, want string) {
		t.Helper()
		_, before := server.call(http.MethodGet, path, nil)
		for _, dry := range []string{"", "?dry_run=true"} {
			status, text := server.call(http.MethodPatch, path+dry, change)
			var said refusal
			if err := json.Unmarshal(text, &said); status != http.StatusUnprocessableEntity || err != nil || len(said.Errors) != 1 ||
				said.Errors[0].Location != "body."+field || !strings.Contains(said.Errors[0].Message, want) {
				t.Errorf("%s%s %v: %d %s\nwant %s: %s", path, dry, change, status, text, field, want)
			}
		}
		if _, after := server.call(http.MethodGet, path, nil); string(before) != string(after) {
			t.Errorf("%s %v changed %s into %s", path, change, before, after)
		}
	}
	for _, wrong := range wrongSettings() {
		for _, path := range paths {
			refused(path, wrong.field, map[string]any{wrong.field: wrong.value}, wrong.want)
			// Beside what is right, which is not taken either.
			refused(path, wrong.field, map[string]any{wrong.field: wrong.value, "listed": true}, wrong.want)
		}
		create := map[string]any{"name": "other", wrong.field: wrong.value}
		for _, path := range []string{"/v1/publishers", "/v1/publishers/acme/streams"} {
			if status, text := server.call(http.MethodPost, path, create); status != http.StatusUnprocessableEntity ||
				!strings.Contains(string(text), wrong.want) && !strings.Contains(string(text), strings.ReplaceAll(wrong.want, `"`, `\"`)) {
				t.Errorf("POST %s %v: %d %s", path, create, status, text)
			}
		}
	}

	// Values that contradict each other only over what the other level says.
	must := func(path string, change map[string]any) {
		t.Helper()
		if status := server.api(http.MethodPatch, path, change, nil); status != http.StatusOK {
			t.Errorf("%s %v: %d", path, change, status)
		}
	}
	const another = `name another store, or none with ""`
	must(paths[0], map[string]any{"mirror": "cold"})
	refused(paths[0], "mirror", map[string]any{"archive": "cold"}, another)
	refused(paths[1], "mirror", map[string]any{"archive": "cold"}, another)
	must(paths[1], map[string]any{"archive": "cold", "mirror": "default"})
	must(paths[0], map[string]any{"mirror": ""})
	must(paths[1], map[string]any{"archive": "", "mirror": "cold"})
}
