package media

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSourceCheck(t *testing.T) {
	for _, c := range []struct {
		name, url, mode string
		idle            time.Duration
		field, want     string // of the error; empty is none
	}{
		{"HLS", "https://example.com/live/index.m3u8", SourceAlways, time.Minute, "", ""},
		{"RTMP", "rtmp://example.com:1936/live/name?key=1", SourceOnDemand, time.Minute, "", ""},
		{"SRT", "srt://example.com:9000?streamid=read:show&latency=200&mode=caller", SourceAlways, time.Minute, "", ""},
		{"nothing", "", SourceAlways, time.Minute, "url", "1 to 2000"},
		{"too long", "http://h/" + strings.Repeat("a", 2000), SourceAlways, time.Minute, "url", "1 to 2000"},
		{"a file", "file:///etc/passwd", SourceAlways, time.Minute, "url", "scheme"},
		{"no scheme", "/etc/passwd", SourceAlways, time.Minute, "url", "scheme"},
		{"torn", "http://[::1", SourceAlways, time.Minute, "url", "parse"},
		{"no host", "http:///live.m3u8", SourceAlways, time.Minute, "url", "host"},
		{"RTMP without a name", "rtmp://example.com/live", SourceAlways, time.Minute, "url", "APP/NAME"},
		{"SRT without a port", "srt://example.com", SourceAlways, time.Minute, "url", "port"},
		{"SRT listener", "srt://example.com:1?mode=listener", SourceAlways, time.Minute, "url", "caller"},
		{"SRT passphrase", "srt://example.com:1?passphrase=short", SourceAlways, time.Minute, "url", "10 to 79"},
		{"SRT latency in microseconds", "srt://example.com:1?latency=200000", SourceAlways, time.Minute, "url", "milliseconds"},
		{"mode", "http://h/x", "sometimes", time.Minute, "mode", "on_demand"},
		{"idle timeout", "http://h/x", SourceAlways, time.Second, "idle_timeout", "10s to 24h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Source{URL: c.url, Mode: c.mode, IdleTimeout: Span(c.idle)}.Check()
			var field *FieldError
			switch {
			case c.field == "" && err != nil:
				t.Fatal(err)
			case c.field == "":
			case !errors.As(err, &field) || field.Field != c.field || !strings.Contains(field.Want, c.want):
				t.Errorf("got %v, want %s: %s", err, c.field, c.want)
			}
		})
	}
}

func TestSourceRedacted(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"https://example.com/live/index.m3u8", "https://example.com/live/index.m3u8"},
		{"https://me:secret@example.com/a.m3u8?key=secret&x=secret", "https://redacted@example.com/a.m3u8?key=redacted&x=redacted"},
		{"https://example.com/t/secret/acme/show/index.m3u8", "https://example.com/t/redacted/acme/show/index.m3u8"},
		{"https://example.com/a.m3u8?secret", "https://example.com/a.m3u8?redacted"},
		{"rtmp://example.com/live/secret", "rtmp://example.com/live/redacted"},
		{"srt://h:1?mode=caller&latency=200&passphrase=secret&streamid=secret", "srt://h:1?mode=caller&latency=200&passphrase=redacted&streamid=redacted"},
		{"http://[secret", "redacted"},
	} {
		if got := (Source{URL: c.url}).Redacted(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.url, got, c.want)
		}
	}
}
