package api

import (
	"encoding/json"
	"io"
	"math"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// span is a media.Span on the wire: a Go duration string, described as such in the OpenAPI document.
type span media.Span

// Schema describes a Go duration. ("format: duration" would mean ISO 8601.)
func (*span) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type:               huma.TypeString,
		Description:        "A duration: decimal numbers, each with a unit (ns, us, ms, s, m, h).",
		Pattern:            `^(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+)$`,
		PatternDescription: "a duration like 90s, 5m or 1h30m",
		Examples:           []any{"90s"},
	}
}

// MarshalText writes as media.Span does.
func (s span) MarshalText() ([]byte, error) { return media.Span(s).MarshalText() }

// UnmarshalText reads what the schema's pattern lets through. Of that only what overflows fails to parse: it becomes
// the longest duration, for the range check to refuse it by its field's name.
func (s *span) UnmarshalText(text []byte) error {
	if err := (*media.Span)(s).UnmarshalText(text); err != nil {
		*s = math.MaxInt64
	}
	return nil
}

// SettingsPatch is media.SettingsPatch on the wire: the settings that a request sets.
type SettingsPatch struct {
	ArchiveDelay    *span   `json:"archive_delay,omitempty" doc:"From a recording's end to its archiving"`
	ReconnectWindow *span   `json:"reconnect_window,omitempty" doc:"How long players wait for a lost publisher"`
	BackupAfter     *span   `json:"backup_after,omitempty" doc:"Silence of the live feed until a standby takes over"`
	DVRWindow       *span   `json:"dvr_window,omitempty" doc:"Length of the sliding live playlists"`
	Retention       *span   `json:"retention,omitempty" doc:"From a recording's end to its deletion; 0 is never"`
	Record          *string `json:"record,omitempty" doc:"on, or off: nothing is archived, or kept after the show"`
	ArchiveMode     *string `json:"archive_mode,omitempty" doc:"after_end, or continuous: upload while live"`
	Archive         *string `json:"archive,omitempty" doc:"Name of the archive; empty is the default one"`
	Mirror          *string `json:"mirror,omitempty" doc:"Name of the archive for a copy; empty makes none"`
	Keep            *bool   `json:"keep,omitempty" doc:"Hold all recordings against retention and deletion"`
	RetentionCount  *int    `json:"retention_count,omitempty" doc:"Most finished recordings; 0 is no bound"`
	RetentionBytes  *int64  `json:"retention_bytes,omitempty" doc:"Most bytes of finished recordings; 0 is no bound"`
	LocalRetention  *span   `json:"local_retention,omitempty" doc:"From archiving to dropping the local copy; 0 is soon"`
	LocalCount      *int    `json:"local_count,omitempty" doc:"Most local copies of archived recordings; 0 is no bound"`
	LocalBytes      *int64  `json:"local_bytes,omitempty" doc:"Most bytes of such copies; 0 is no bound"`
	LocalFree       *int    `json:"local_free,omitempty" doc:"Percent of the volume to keep free of such copies; 0: none"`

	ThumbnailInterval *span `json:"thumbnail_interval,omitempty" doc:"Between pictures of a live show; 0 makes none"`

	EndOnUnpublish  *bool   `json:"end_on_unpublish,omitempty" doc:"A publisher's goodbye ends the recording"`
	Latency         *string `json:"latency,omitempty" doc:"low (parts) or standard (whole segments)"`
	PartDuration    *span   `json:"part_duration,omitempty" doc:"Target duration of parts, 200ms to 1s"`
	SegmentDuration *span   `json:"segment_duration,omitempty" doc:"Least duration of segments, 1s to 10s"`
	Interruption    *string `json:"interruption,omitempty" doc:"Playlists while the publisher is away: gap or hold"`
	Listed          *bool   `json:"listed,omitempty" doc:"Show it on the start page to everybody"`
	Playback        *string `json:"playback,omitempty" doc:"public, or signed: only with a playback token"`

	WholeAfterDiscontinuity *bool `json:"whole_after_discontinuity,omitempty" doc:"For hls.js before 1.7"`

	Subtitles *string `json:"subtitles,omitempty" doc:"Language of the text events as subtitles, like en; empty is none"`
	Captions  *string `json:"captions,omitempty" doc:"Languages of closed captions, like CC1=en SERVICE1=en"`
	Group     *string `json:"group,omitempty" doc:"The stream whose show this one is a rendition of; a stream's alone"`

	MaxStreams    *int    `json:"max_streams,omitempty" doc:"The publisher's streams live at once; 0 is no limit"`
	MaxBitrate    *int64  `json:"max_bitrate,omitempty" doc:"Bits per second of a stream; 0 is no limit"`
	MaxResolution *string `json:"max_resolution,omitempty" doc:"Picture, either way up, like 1920x1080; empty is no limit"`
}

func newPatch(p media.SettingsPatch) SettingsPatch {
	return SettingsPatch{
		ArchiveDelay:    (*span)(p.ArchiveDelay),
		ReconnectWindow: (*span)(p.ReconnectWindow),
		BackupAfter:     (*span)(p.BackupAfter),
		DVRWindow:       (*span)(p.DVRWindow),
		Retention:       (*span)(p.Retention),
		Record:          p.Record,
		ArchiveMode:     p.ArchiveMode,
		Archive:         p.Archive,
		Mirror:          p.Mirror,
		Keep:            p.Keep,
		RetentionCount:  p.RetentionCount,
		RetentionBytes:  p.RetentionBytes,
		LocalRetention:  (*span)(p.LocalRetention),
		LocalCount:      p.LocalCount,
		LocalBytes:      p.LocalBytes,
		LocalFree:       p.LocalFree,

		ThumbnailInterval: (*span)(p.ThumbnailInterval),

		EndOnUnpublish:  p.EndOnUnpublish,
		Latency:         p.Latency,
		PartDuration:    (*span)(p.PartDuration),
		SegmentDuration: (*span)(p.SegmentDuration),
		Interruption:    p.Interruption,
		Listed:          p.Listed,
		Playback:        p.Playback,

		WholeAfterDiscontinuity: p.WholeAfterDiscontinuity,

		Subtitles: p.Subtitles,
		Captions:  p.Captions,
		Group:     p.Group,

		MaxStreams:    p.MaxStreams,
		MaxBitrate:    p.MaxBitrate,
		MaxResolution: p.MaxResolution,
	}
}

func (p SettingsPatch) media() media.SettingsPatch {
	return media.SettingsPatch{
		ArchiveDelay:    (*media.Span)(p.ArchiveDelay),
		ReconnectWindow: (*media.Span)(p.ReconnectWindow),
		BackupAfter:     (*media.Span)(p.BackupAfter),
		DVRWindow:       (*media.Span)(p.DVRWindow),
		Retention:       (*media.Span)(p.Retention),
		Record:          p.Record,
		ArchiveMode:     p.ArchiveMode,
		Archive:         p.Archive,
		Mirror:          p.Mirror,
		Keep:            p.Keep,
		RetentionCount:  p.RetentionCount,
		RetentionBytes:  p.RetentionBytes,
		LocalRetention:  (*media.Span)(p.LocalRetention),
		LocalCount:      p.LocalCount,
		LocalBytes:      p.LocalBytes,
		LocalFree:       p.LocalFree,

		ThumbnailInterval: (*media.Span)(p.ThumbnailInterval),

		EndOnUnpublish:  p.EndOnUnpublish,
		Latency:         p.Latency,
		PartDuration:    (*media.Span)(p.PartDuration),
		SegmentDuration: (*media.Span)(p.SegmentDuration),
		Interruption:    p.Interruption,
		Listed:          p.Listed,
		Playback:        p.Playback,

		WholeAfterDiscontinuity: p.WholeAfterDiscontinuity,

		Subtitles: p.Subtitles,
		Captions:  p.Captions,
		Group:     p.Group,

		MaxStreams:    p.MaxStreams,
		MaxBitrate:    p.MaxBitrate,
		MaxResolution: p.MaxResolution,
	}
}

// Settings are the effective settings on the wire.
type Settings struct {
	ArchiveDelay    span   `json:"archive_delay"`
	ReconnectWindow span   `json:"reconnect_window"`
	BackupAfter     span   `json:"backup_after"`
	DVRWindow       span   `json:"dvr_window"`
	Retention       span   `json:"retention"`
	Record          string `json:"record"`
	ArchiveMode     string `json:"archive_mode"`
	Archive         string `json:"archive"`
	Mirror          string `json:"mirror"`
	Keep            bool   `json:"keep"`
	RetentionCount  int    `json:"retention_count"`
	RetentionBytes  int64  `json:"retention_bytes"`
	LocalRetention  span   `json:"local_retention"`
	LocalCount      int    `json:"local_count"`
	LocalBytes      int64  `json:"local_bytes"`
	LocalFree       int    `json:"local_free"`

	ThumbnailInterval span `json:"thumbnail_interval"`

	EndOnUnpublish  bool   `json:"end_on_unpublish"`
	Latency         string `json:"latency"`
	PartDuration    span   `json:"part_duration"`
	SegmentDuration span   `json:"segment_duration"`
	Interruption    string `json:"interruption"`
	Listed          bool   `json:"listed"`
	Playback        string `json:"playback"`

	WholeAfterDiscontinuity bool `json:"whole_after_discontinuity"`

	Subtitles string `json:"subtitles"`
	Captions  string `json:"captions"`
	Group     string `json:"group"`

	MaxStreams    int    `json:"max_streams"`
	MaxBitrate    int64  `json:"max_bitrate"`
	MaxResolution string `json:"max_resolution"`
}

func newSettings(s media.Settings) Settings {
	return Settings{
		ArchiveDelay:    span(s.ArchiveDelay),
		ReconnectWindow: span(s.ReconnectWindow),
		BackupAfter:     span(s.BackupAfter),
		DVRWindow:       span(s.DVRWindow),
		Retention:       span(s.Retention),
		Record:          s.Record,
		ArchiveMode:     s.ArchiveMode,
		Archive:         s.Archive,
		Mirror:          s.Mirror,
		Keep:            s.Keep,
		RetentionCount:  s.RetentionCount,
		RetentionBytes:  s.RetentionBytes,
		LocalRetention:  span(s.LocalRetention),
		LocalCount:      s.LocalCount,
		LocalBytes:      s.LocalBytes,
		LocalFree:       s.LocalFree,

		ThumbnailInterval: span(s.ThumbnailInterval),

		EndOnUnpublish:  s.EndOnUnpublish,
		Latency:         s.Latency,
		PartDuration:    span(s.PartDuration),
		SegmentDuration: span(s.SegmentDuration),
		Interruption:    s.Interruption,
		Listed:          s.Listed,
		Playback:        s.Playback,

		WholeAfterDiscontinuity: s.WholeAfterDiscontinuity,

		Subtitles: s.Subtitles,
		Captions:  s.Captions,
		Group:     s.Group,

		MaxStreams:    s.MaxStreams,
		MaxBitrate:    s.MaxBitrate,
		MaxResolution: s.MaxResolution,
	}
}

// moment is t for JSON: null when it is zero, else UTC to the millisecond.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// null stands for a JSON null in what huma validates. Huma lets a null pass for any optional field, which would
// silently change nothing; a value of no JSON type is refused with the field's name.
type null struct{}

// MarshalJSON writes the null back, for the error that repeats it.
func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// jsonFormat is huma's JSON with nulls refused.
func jsonFormat() huma.Format {
	return huma.Format{
		Marshal: func(w io.Writer, v any) error {
			enc := json.NewEncoder(w)
			enc.SetEscapeHTML(false)
			return enc.Encode(v)
		},
		Unmarshal: func(data []byte, v any) error {
			if err := json.Unmarshal(data, v); err != nil {
				return err
			}
			if p, ok := v.(*any); ok {
				if fields, ok := (*p).(map[string]any); ok {
					for name, value := range fields {
						if value == nil {
							fields[name] = null{}
						}
					}
				}
			}
			return nil
		},
	}
}
