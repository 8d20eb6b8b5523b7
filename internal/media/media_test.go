package media

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPublisherNames(t *testing.T) {
	for _, name := range []string{"a", "acme", "0", "a-b_c", "live", strings.Repeat("x", MaxName)} {
		if err := CheckPublisherName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range append(ReservedNames(),
		"", "-a", "_a", "Acme", "a.b", "a b", "é", "a/b", "..", strings.Repeat("x", MaxName+1)) {
		if err := CheckPublisherName(name); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v, want ErrBadName", name, err)
		}
	}
	if err := CheckStreamName("watch"); err != nil {
		t.Errorf("a stream may be called watch: %v", err)
	}
}

func TestStreamPathRoundTrip(t *testing.T) {
	path, err := ParseStreamPath("acme/show")
	if err != nil || path != (StreamPath{"acme", "show"}) || path.String() != "acme/show" {
		t.Errorf("%v, %v", path, err)
	}
	for _, bad := range []string{"", "acme", "acme/", "/show", "acme/show/x", "v1/show"} {
		if _, err := ParseStreamPath(bad); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v, want ErrBadName", bad, err)
		}
	}
}

func TestRecordingIDs(t *testing.T) {
	if _, err := ParseRecordingID("01jd3x5h8k2m4n6p7q9r0s1t2v"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "live", "01JD3X5H8K2M4N6P7Q9R0S1T2V", "81jd3x5h8k2m4n6p7q9r0s1t2v", "01jd3x5h8k2m4n6p7q9r0s1t2",
		"01jd3x5h8k2m4n6p7q9r0s1t2i", "../../../../../../../../..",
	} {
		if _, err := ParseRecordingID(bad); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v, want ErrBadName", bad, err)
		}
	}
}

// Ticks and Duration are exact where the standard timescales meet, for a year of media and for negative times.
func TestTicksAndDurationAgree(t *testing.T) {
	for _, timescale := range []int64{90000, 48000, 44100, 1000} {
		for _, ticks := range []int64{0, 1, -1, 1024, 3003, 86400 * 365 * timescale, -7*timescale - 1} {
			if got := Ticks(Duration(ticks, timescale), timescale); got != ticks {
				t.Errorf("%d ticks of 1/%d became %d", ticks, timescale, got)
			}
		}
	}
	if got := Ticks(-1500*time.Microsecond, 1000); got != -2 {
		t.Errorf("-1.5 ms is %d ticks of 1/1000, want -2", got)
	}
}

func TestSpanText(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "500ms": 500 * time.Millisecond, "90s": 90 * time.Second, "5m": 5 * time.Minute, "720h": 720 * time.Hour,
	} {
		var s Span
		if err := s.UnmarshalText([]byte(text)); err != nil || s.D() != want {
			t.Errorf("%q: %v, %v", text, s.D(), err)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 90 * time.Second: "1m30s", 5 * time.Minute: "5m", 48 * time.Hour: "48h"} {
		if got, err := Span(d).MarshalText(); err != nil || string(got) != want {
			t.Errorf("%v: %q, %v, want %q", d, got, err, want)
		}
	}
	var s Span
	if err := s.UnmarshalText([]byte("5 minutes")); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v, want ErrInvalid", err)
	}
}

func TestSettingsInherit(t *testing.T) {
	var publisher, stream SettingsPatch
	if err := json.Unmarshal([]byte(`{"archive_delay":"10m","latency":"standard"}`), &publisher); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"archive_delay":"0s","end_on_unpublish":false}`), &stream); err != nil {
		t.Fatal(err)
	}
	got := DefaultSettings().Apply(publisher).Apply(stream)
	want := DefaultSettings()
	want.ArchiveDelay, want.Latency, want.EndOnUnpublish = 0, LatencyStandard, false
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if merged := DefaultSettings().Apply(publisher.Merge(stream)); merged != want {
		t.Errorf("merged: got %+v, want %+v", merged, want)
	}
}

func TestSettingsOutOfRangeNameTheField(t *testing.T) {
	for field, text := range map[string]string{
		"archive_delay":    `{"archive_delay":"-1s"}`,
		"reconnect_window": `{"reconnect_window":"31m"}`,
		"dvr_window":       `{"dvr_window":"0s"}`,
		"retention":        `{"retention":"500ms"}`,
		"part_duration":    `{"part_duration":"100ms"}`,
		"segment_duration": `{"segment_duration":"11s"}`,
		"latency":          `{"latency":"lowest"}`,
		"interruption":     `{"interruption":"stop"}`,
		"max_streams":      `{"max_streams":-1}`,
		"max_bitrate":      `{"max_bitrate":4000}`,
		"max_resolution":   `{"max_resolution":"1080p"}`,
	} {
		var p SettingsPatch
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		var bad *FieldError
		if err := p.Check(); !errors.As(err, &bad) || bad.Field != field || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
	var all SettingsPatch
	text, err := json.Marshal(DefaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if err := all.Check(); err != nil {
		t.Errorf("the defaults break a rule: %v", err)
	}
}
