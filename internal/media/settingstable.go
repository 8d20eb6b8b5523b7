package media

import (
	"cmp"
	"slices"
	"time"
)

// SettingKind is what a setting's value is.
type SettingKind string

// The kinds of settings.
const (
	KindDuration SettingKind = "duration" // a Go duration string
	KindBool     SettingKind = "boolean"
	KindInteger  SettingKind = "integer"
	KindBytes    SettingKind = "bytes" // an integer, of bytes
	KindWord     SettingKind = "word"  // one of a few
	KindText     SettingKind = "text"  // of a form of its own
)

// SettingLevel is who sets a setting.
type SettingLevel string

// The levels of settings.
const (
	LevelBoth      SettingLevel = "publisher, stream" // a stream's own holds over its publisher's
	LevelPublisher SettingLevel = "publisher"         // it is of all of a publisher's streams together
	LevelStream    SettingLevel = "stream"
)

// SettingEffect is what of a stream that is live a change holds for.
type SettingEffect string

// The effects of a change.
const (
	EffectNow            SettingEffect = "at once"
	EffectNextShow       SettingEffect = "from the next show"
	EffectNextConnection SettingEffect = "from the next connection"
)

// Setting says all that there is to say of one setting. What checks, tells or reads settings goes by it: Check,
// ParseSetting, the API's schema and docs/settings.md.
type Setting struct {
	Name  string
	Kind  SettingKind
	Level SettingLevel
	// Effect is since when a change holds for what is live.
	Effect SettingEffect
	// Low and High bound a number; of a duration they are nanoseconds. Words are what a word may be.
	Low, High int64
	Words     []string
	// Unit is a number's.
	Unit string
	// Zero says what zero, or an empty text, is. Where it is not empty zero is allowed whatever Low is, and "or 0 " and
	// Zero make sense behind a range.
	Zero string
	// Doc explains it in a sentence or two, without a full stop at the end.
	Doc string
	// check says what is wrong with a text that is not empty, or is nil.
	check func(text string) (want string)
}

const (
	noBound    = "for no bound"
	noLimit    = "for no limit"
	bitsSecond = "bits per second"
)

func durationSetting(name string, low, high time.Duration, zero, doc string) Setting {
	return Setting{
		Name: name, Kind: KindDuration, Level: LevelBoth, Effect: EffectNow, Low: int64(low), High: int64(high), Zero: zero,
		Doc: doc,
	}
}

func numberSetting(name string, kind SettingKind, low, high int64, unit, zero, doc string) Setting {
	return Setting{
		Name: name, Kind: kind, Level: LevelBoth, Effect: EffectNow, Low: low, High: high, Unit: unit, Zero: zero, Doc: doc,
	}
}

func textSetting(name, zero, doc string, check func(string) string) Setting {
	return Setting{
		Name: name, Kind: KindText, Level: LevelBoth, Effect: EffectNow, Zero: zero, Doc: doc, check: check,
	}
}

func wordSetting(name, doc string, words ...string) Setting {
	return Setting{Name: name, Kind: KindWord, Level: LevelBoth, Effect: EffectNow, Words: words, Doc: doc}
}

func boolSetting(name, doc string) Setting {
	return Setting{Name: name, Kind: KindBool, Level: LevelBoth, Effect: EffectNow, Doc: doc}
}

func (s Setting) from(effect SettingEffect) Setting {
	s.Effect = effect
	return s
}

func (s Setting) of(level SettingLevel) Setting {
	s.Level = level
	return s
}

// SettingsTable lists the settings in the order of Settings' fields. Their defaults are those of DefaultSettings.
func SettingsTable() []Setting {
	return slices.Concat(recordingSettings(), liveSettings())
}

// recordingSettings are those of what becomes of recordings, and of how long publishers and viewers wait.
func recordingSettings() []Setting {
	const year = 365 * 24 * time.Hour
	return []Setting{
		durationSetting("archive_delay", 0, 10*year, "", "From a recording's end to its archiving"),
		durationSetting("reconnect_window", 0, 30*time.Minute, "",
			"How long players are kept waiting for a lost publisher, who then goes on with the recording"),
		durationSetting("backup_after", 500*time.Millisecond, time.Minute, "",
			"Silence of the live feed until a standby takes over"),
		durationSetting("dvr_window", time.Minute, 24*time.Hour, "", "Length of the sliding live playlists"),
		durationSetting("retention", time.Second, 100*year, "for ever", "From a recording's end to its deletion everywhere"),
		wordSetting("record", "off: nothing is archived, and a show is deleted once viewers have seen its end",
			RecordOn, RecordOff),
		wordSetting("archive_mode", "When a recording is uploaded: after its end and the archive_delay, or while it is "+
			"live, complete seconds after its end", ArchiveAfterEnd, ArchiveContinuous),
		textSetting("archive", "the default archive", "Name of the archive that recordings go to", checkArchive),
		textSetting("mirror", "no copy", "Name of a second archive for a copy", checkArchive),
		boolSetting("keep", "Hold all recordings against retention and deletion"),
		numberSetting("retention_count", KindInteger, 1, maxRetentionCount, "recordings", noBound,
			"Most finished recordings: the oldest above are deleted. A publisher's bounds all of its recordings together, "+
				"a stream's those of the stream; both hold"),
		numberSetting("retention_bytes", KindBytes, 1, maxRetentionBytes, "bytes", noBound,
			"Most bytes of finished recordings, counted likewise"),
		durationSetting("local_retention", time.Second, 100*year, "for the archiver's --archive-grace",
			"From archiving to the dropping of the cluster's own copy; its URLs play on from the archive"),
		numberSetting("local_count", KindInteger, 1, maxRetentionCount, "recordings", noBound,
			"Most of the cluster's copies of archived recordings, counted as retention_count is"),
		numberSetting("local_bytes", KindBytes, 1, maxRetentionBytes, "bytes", noBound, "Most bytes of such copies"),
		numberSetting("local_free", KindInteger, 1, 99, "percent", noBound,
			"Share of the cluster's volume to keep free: while less is, copies of archived recordings go, the oldest first"),
		durationSetting("thumbnail_interval", 2*time.Second, time.Hour, "for no pictures", "Between pictures of a live show"),
	}
}

// liveSettings are those of live shows: what publishers may send and players get.
func liveSettings() []Setting {
	return []Setting{
		boolSetting("end_on_unpublish", "A publisher's goodbye ends the recording at once"),
		wordSetting("latency", "low: parts, about 2 s behind; standard: whole segments only", LatencyLow, LatencyStandard).
			from(EffectNextShow),
		durationSetting("part_duration", 200*time.Millisecond, time.Second, "", "Target duration of parts, with latency low").
			from(EffectNextShow),
		durationSetting("segment_duration", time.Second, 10*time.Second, "",
			"Least duration of segments; it is rounded up to whole groups of pictures").from(EffectNextShow),
		wordSetting("interruption", "Playlists while the publisher is away: gap keeps them moving, hold lets them stand",
			InterruptionGap, InterruptionHold).from(EffectNextShow),
		boolSetting("listed", "Show streams and recordings on the start page to everybody"),
		wordSetting("playback", "Who may watch: everybody, or who has a playback token", PlaybackPublic, PlaybackSigned),
		boolSetting("whole_after_discontinuity", "List gaps, and the first segment after a reconnect, without parts, for "+
			"players that fail on them, as hls.js before 1.7 does").from(EffectNextShow),
		textSetting("subtitles", "no subtitles", "Language of the publisher's text events as subtitles, like en or pt-BR",
			checkSubtitles).from(EffectNextShow),
		textSetting("captions", "none is told before it is seen", "Languages of CEA-608/708 captions in the pictures, like "+
			"CC1=en SERVICE1=en: told to players from the start", checkCaptions).from(EffectNextShow),
		textSetting("group", "its own show", "The stream, of the same publisher, whose show this one is a rendition of", nil).
			from(EffectNextConnection).of(LevelStream),
		numberSetting("max_streams", KindInteger, 0, maxStreamsLimit, "streams", noLimit,
			"The publisher's streams that may be live at once").from(EffectNextConnection).of(LevelPublisher),
		numberSetting("max_bitrate", KindInteger, minBitrateLimit, maxBitrateLimit, bitsSecond, noLimit, "Most of a "+
			"stream's media; 10 s of more than a tenth above it end the publish").from(EffectNextConnection),
		textSetting("max_resolution", "no limit", "The largest picture, either way up, like 1920x1080", checkResolution).
			from(EffectNextConnection),
	}
}

// SettingNamed gives the setting of a name.
func SettingNamed(name string) (Setting, bool) {
	table := SettingsTable()
	at := slices.IndexFunc(table, func(s Setting) bool { return s.Name == name })
	if at < 0 {
		return Setting{}, false
	}
	return table[at], true
}

// nearestSetting gives the name that one was most likely meant to be.
func nearestSetting(name string) string {
	if len(name) > maxSettingName {
		name = name[:maxSettingName]
	}
	nearest := slices.MinFunc(SettingsTable(), func(a, b Setting) int {
		return cmp.Compare(distance(name, a.Name), distance(name, b.Name))
	})
	return nearest.Name
}

// maxSettingName bounds what of an unknown name is looked at, in bytes.
const maxSettingName = 64

// distance counts the bytes to add, drop or change that make one text the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
