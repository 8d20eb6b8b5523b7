package media

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"time"
)

// Span is a time.Duration that reads and writes itself as a Go duration string ("90s", "5m").
type Span time.Duration

// D gives the span as a time.Duration.
func (s Span) D() time.Duration { return time.Duration(s) }

// MarshalText writes the shortest usual form: "5m0s" as "5m".
func (s Span) MarshalText() ([]byte, error) {
	d := time.Duration(s)
	switch {
	case d != 0 && d%time.Hour == 0:
		return fmt.Appendf(nil, "%dh", d/time.Hour), nil
	case d != 0 && d%time.Minute == 0:
		return fmt.Appendf(nil, "%dm", d/time.Minute), nil
	}
	return []byte(d.String()), nil
}

// SpanPattern is the form of a span that is not negative, as a regular expression of JSON schemas.
const SpanPattern = `^(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+)$`

var spanForm = regexp.MustCompile(SpanPattern)

// UnmarshalText reads a Go duration string. One that is too long becomes the longest that there is, for a range check
// to refuse it by its field's name.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil && spanForm.Match(text) {
		d, err = math.MaxInt64, nil // of what has the form only what overflows fails
	}
	if err != nil {
		return fmt.Errorf("%w duration %.40q: write it like 90s, 5m or 1h30m", ErrInvalid, text)
	}
	*s = Span(d)
	return nil
}

// Latency modes.
const (
	LatencyLow      = "low"      // parts, blocking reload: about 2 s behind
	LatencyStandard = "standard" // whole segments only
)

// Interruption modes: what playlists do while the publisher is away.
const (
	InterruptionGap  = "gap"  // gap segments keep them moving
	InterruptionHold = "hold" // they stand still
)

// Archive modes: when a recording is uploaded.
const (
	ArchiveAfterEnd   = "after_end"  // once it has ended, after its archive delay
	ArchiveContinuous = "continuous" // while it grows; complete seconds after its end, whatever the delay
)

// Record modes.
const (
	RecordOn  = "on"
	RecordOff = "off" // it is never archived, and deleted once viewers have seen its end
)

// Playback policies: who may watch.
const (
	PlaybackPublic = "public" // everybody
	PlaybackSigned = "signed" // who has a playback token
)

// Settings are a publisher's, each of which a stream may override. A recording keeps a snapshot of those in force when
// it began.
type Settings struct {
	// ArchiveDelay counts from the end of a recording to the start of its archiving.
	ArchiveDelay Span `json:"archive_delay"`
	// ReconnectWindow is how long players are kept waiting for a lost publisher, who then continues the recording.
	ReconnectWindow Span `json:"reconnect_window"`
	// BackupAfter is how long the live feed may be silent before a standby takes over.
	BackupAfter Span `json:"backup_after"`
	// DVRWindow is the length of the sliding live playlists.
	DVRWindow Span `json:"dvr_window"`
	// Retention counts from the end of a recording to its deletion; zero keeps it for ever.
	Retention Span `json:"retention"`
	// Record is "on" or "off".
	Record string `json:"record"`
	// ArchiveMode is "after_end" or "continuous".
	ArchiveMode string `json:"archive_mode"`
	// Archive names the store that recordings go to, and Mirror a second one for a copy; empty is the default store, and
	// no copy.
	Archive string `json:"archive"`
	Mirror  string `json:"mirror"`
	// Keep holds all recordings against retention and deletion.
	Keep bool `json:"keep"`
	// RetentionCount and RetentionBytes bound the finished recordings: the oldest of those above are deleted. What a
	// publisher sets bounds all of its recordings together, what a stream sets those of the stream. Zero does not.
	RetentionCount int   `json:"retention_count"`
	RetentionBytes int64 `json:"retention_bytes"`
	// LocalRetention counts from archiving to the dropping of the cluster's copy; zero is the archiver's grace. LocalCount
	// and LocalBytes bound the copies of archived recordings as the two above do, and LocalFree is the share of the
	// volume, in percent, below which they go, the oldest first. Zero does not.
	LocalRetention Span  `json:"local_retention"`
	LocalCount     int   `json:"local_count"`
	LocalBytes     int64 `json:"local_bytes"`
	LocalFree      int   `json:"local_free"`
	// ThumbnailInterval is how often a live show gets a new picture; zero makes no pictures, also none at the end.
	ThumbnailInterval Span `json:"thumbnail_interval"`
	// EndOnUnpublish ends a recording at once when its publisher says goodbye.
	EndOnUnpublish bool `json:"end_on_unpublish"`
	// Latency is "low" or "standard".
	Latency string `json:"latency"`
	// PartDuration is PART-TARGET in latency mode "low".
	PartDuration Span `json:"part_duration"`
	// SegmentDuration is the least length of a segment; it is rounded up to whole GOPs.
	SegmentDuration Span `json:"segment_duration"`
	// Interruption is "gap" or "hold".
	Interruption string `json:"interruption"`
	// Listed shows the publisher's streams and recordings on the start page to everybody.
	Listed bool `json:"listed"`
	// Playback is "public" or "signed".
	Playback string `json:"playback"`
	// WholeAfterDiscontinuity lists gaps and a take's first segment without parts, that segment when it is finished, for
	// players that fail on parts of gaps or behind a discontinuity, as hls.js before 1.7 does.
	WholeAfterDiscontinuity bool `json:"whole_after_discontinuity"`
	// Subtitles is the language, as a BCP 47 tag, of the subtitles that the publisher's text events are; empty makes none.
	Subtitles string `json:"subtitles"`
	// Captions says the languages of CEA-608 channels and CEA-708 services in the pictures: "CC1=en CC3=es SERVICE1=en".
	// Those that it does not name have none.
	Captions string `json:"captions"`
	// Group is the stream, of the same publisher, whose show this stream is a rendition of; empty is its own. Only a
	// stream sets it.
	Group string `json:"group"`
	// MaxStreams bounds the publisher's streams that are published at once; zero does not.
	MaxStreams int `json:"max_streams"`
	// MaxBitrate bounds what a stream may bring, in bits per second of its coded media; zero does not.
	MaxBitrate int64 `json:"max_bitrate"`
	// MaxResolution bounds the picture, upright or on its side, as "1920x1080"; empty does not. ParseResolution reads it.
	MaxResolution string `json:"max_resolution"`
}

// DefaultSettings is what a publisher has who sets nothing.
func DefaultSettings() Settings {
	return Settings{
		ArchiveDelay:    Span(5 * time.Minute),
		ReconnectWindow: Span(time.Minute),
		BackupAfter:     Span(3 * time.Second),
		DVRWindow:       Span(2 * time.Minute),
		EndOnUnpublish:  true,
		Record:          RecordOn,
		ArchiveMode:     ArchiveAfterEnd,
		Latency:         LatencyLow,
		PartDuration:    Span(500 * time.Millisecond),
		SegmentDuration: Span(2 * time.Second),
		Interruption:    InterruptionGap,
		Playback:        PlaybackPublic,

		ThumbnailInterval: Span(10 * time.Second),
	}
}

// SettingsPatch holds the settings that were set, by a publisher over the defaults or by a stream over its publisher.
type SettingsPatch struct {
	ArchiveDelay    *Span   `json:"archive_delay,omitempty"`
	ReconnectWindow *Span   `json:"reconnect_window,omitempty"`
	BackupAfter     *Span   `json:"backup_after,omitempty"`
	DVRWindow       *Span   `json:"dvr_window,omitempty"`
	Retention       *Span   `json:"retention,omitempty"`
	Record          *string `json:"record,omitempty"`
	ArchiveMode     *string `json:"archive_mode,omitempty"`
	Archive         *string `json:"archive,omitempty"`
	Mirror          *string `json:"mirror,omitempty"`
	Keep            *bool   `json:"keep,omitempty"`
	RetentionCount  *int    `json:"retention_count,omitempty"`
	RetentionBytes  *int64  `json:"retention_bytes,omitempty"`
	LocalRetention  *Span   `json:"local_retention,omitempty"`
	LocalCount      *int    `json:"local_count,omitempty"`
	LocalBytes      *int64  `json:"local_bytes,omitempty"`
	LocalFree       *int    `json:"local_free,omitempty"`

	ThumbnailInterval *Span `json:"thumbnail_interval,omitempty"`

	EndOnUnpublish  *bool   `json:"end_on_unpublish,omitempty"`
	Latency         *string `json:"latency,omitempty"`
	PartDuration    *Span   `json:"part_duration,omitempty"`
	SegmentDuration *Span   `json:"segment_duration,omitempty"`
	Interruption    *string `json:"interruption,omitempty"`
	Listed          *bool   `json:"listed,omitempty"`
	Playback        *string `json:"playback,omitempty"`

	WholeAfterDiscontinuity *bool `json:"whole_after_discontinuity,omitempty"`

	Subtitles *string `json:"subtitles,omitempty"`
	Captions  *string `json:"captions,omitempty"`
	Group     *string `json:"group,omitempty"`

	MaxStreams    *int    `json:"max_streams,omitempty"`
	MaxBitrate    *int64  `json:"max_bitrate,omitempty"`
	MaxResolution *string `json:"max_resolution,omitempty"`

	// Reset names settings that Merge takes out of what it is merged over. It is part of a change alone, never stored.
	Reset []string `json:"-"`
}

// Apply gives the settings with the patch's values over them.
func (s Settings) Apply(p SettingsPatch) Settings {
	set(&s.ArchiveDelay, p.ArchiveDelay)
	set(&s.ReconnectWindow, p.ReconnectWindow)
	set(&s.BackupAfter, p.BackupAfter)
	set(&s.DVRWindow, p.DVRWindow)
	set(&s.Retention, p.Retention)
	set(&s.Record, p.Record)
	set(&s.ArchiveMode, p.ArchiveMode)
	set(&s.Archive, p.Archive)
	set(&s.Mirror, p.Mirror)
	set(&s.Keep, p.Keep)
	set(&s.RetentionCount, p.RetentionCount)
	set(&s.RetentionBytes, p.RetentionBytes)
	set(&s.LocalRetention, p.LocalRetention)
	set(&s.LocalCount, p.LocalCount)
	set(&s.LocalBytes, p.LocalBytes)
	set(&s.LocalFree, p.LocalFree)
	set(&s.ThumbnailInterval, p.ThumbnailInterval)
	set(&s.EndOnUnpublish, p.EndOnUnpublish)
	set(&s.Latency, p.Latency)
	set(&s.PartDuration, p.PartDuration)
	set(&s.SegmentDuration, p.SegmentDuration)
	set(&s.Interruption, p.Interruption)
	set(&s.WholeAfterDiscontinuity, p.WholeAfterDiscontinuity)
	set(&s.Listed, p.Listed)
	set(&s.Playback, p.Playback)
	set(&s.Subtitles, p.Subtitles)
	set(&s.Captions, p.Captions)
	set(&s.Group, p.Group)
	set(&s.MaxStreams, p.MaxStreams)
	set(&s.MaxBitrate, p.MaxBitrate)
	set(&s.MaxResolution, p.MaxResolution)
	return s
}

// Merge gives the patch with another's values over its own, and without those that the other resets.
func (p SettingsPatch) Merge(over SettingsPatch) SettingsPatch {
	fields := settingFields(reflect.ValueOf(&p).Elem())
	for _, name := range over.Reset {
		if field, ok := fields[name]; ok {
			field.SetZero()
		}
	}
	// The JSON form leaves out what is not set, so decoding one over the other is the merge.
	text, err := json.Marshal(over)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		panic("BUG: settings do not survive JSON: " + err.Error())
	}
	return p
}

func set[T any](dst *T, src *T) {
	if src != nil {
		*dst = *src
	}
}
