package test

import (
	"bytes"
	"crypto/md5"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
)

// The publisher matrix: every publisher that we know, over every protocol, with every codec. Each row publishes a clip in
// real time; what a live player decodes, and what the archive gives afterwards, must be the clip's own pictures, and its
// sound must lie where it lay. `make e2e` runs all rows and installs what they need; `make test` runs one for each
// protocol and codec.

// matrixRow is one publisher with one kind of clip.
type matrixRow struct {
	publisher, protocol, video, audio string
	// publish starts it and gives what waits for its end.
	publish func(t *testing.T, to matrixTarget) *process
	// needs are tools beside ffmpeg.
	needs []string
	// A publisher that encodes itself tells in its log how many frames it sent, and ownClip is the file with the same
	// packets that it wrote beside, which need not begin with the stream.
	framesIn func(t *testing.T, log string) int
	ownClip  func(t *testing.T, to matrixTarget) string
	// sent, if set, gives a file with the times that the publisher makes of the clip's, for the skew.
	sent func(t *testing.T, to matrixTarget) string
}

func (r *matrixRow) name() string {
	return strings.NewReplacer(" ", "_", "/", "_").Replace(
		fmt.Sprintf("%s %s %s %s", r.publisher, r.protocol, r.video, r.audio))
}

// matrixTarget is where a row publishes to, and what.
type matrixTarget struct {
	server    *oxbow
	stream    string
	key       string
	clip      string
	dir       string
	encrypted string // of SRT: the stream's passphrase
}

func (to *matrixTarget) rtmp(scheme, address string) string {
	return scheme + "://" + address + "/live/" + to.key
}

func (to *matrixTarget) srt(options string) string {
	return "srt://" + to.server.srt + "?linger=4" + patientSRT + options + "&streamid=publish:acme/" + to.stream + ":" + to.key
}

// matrixSeconds is the length of a clip.
const matrixSeconds = 8

// clipMaker encodes each kind of clip once.
type clipMaker struct {
	tb  testing.TB
	dir string

	mu   sync.Mutex
	made map[string]*sync.Once
}

func newClipMaker(tb testing.TB) *clipMaker {
	return &clipMaker{tb: tb, dir: tb.TempDir(), made: map[string]*sync.Once{}}
}

var videoEncoders = map[string][]string{
	"H.264 baseline":      {"-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-g", "60"},
	"H.264 B-frames":      {"-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "60", "-sc_threshold", "0"},
	"H.264 interlaced":    {"-c:v", "libx264", "-preset", "veryfast", "-flags", "+ilme+ildct", "-x264-params", "interlaced=1:tff=1", "-g", "60"},
	"H.264 intra refresh": {"-c:v", "libx264", "-preset", "veryfast", "-x264-params", "intra-refresh=1:bframes=0", "-g", "60"},
	"HEVC":                {"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=60:log-level=none", "-tag:v", "hvc1"},
	"HEVC open GOP":       {"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=60:open-gop=1:bframes=3:log-level=none", "-tag:v", "hvc1"},
	"AV1":                 {"-c:v", "libsvtav1", "-preset", "10", "-g", "60", "-b:v", "600k"},
	"VP9":                 {"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "60", "-b:v", "800k"},
}

var audioEncoders = map[string][]string{
	"AAC-LC":   {"-c:a", "aac", "-b:a", "128k"},
	"Opus":     {"-c:a", "libopus", "-b:a", "96k"},
	"FLAC":     {"-c:a", "flac"},
	"AC-3":     {"-c:a", "ac3", "-b:a", "192k"},
	"E-AC-3":   {"-c:a", "eac3", "-b:a", "192k"},
	"MP3":      {"-c:a", "libmp3lame", "-b:a", "128k", "-ar", "44100"},
	"MP2":      {"-c:a", "mp2", "-b:a", "192k"},
	"HE-AAC":   {"-c:a", "aac", "-b:a", "64k", "-ar", "24000"}, // its core; the publisher says the rest
	"AAC LATM": {"-c:a", "aac", "-b:a", "128k"},
}

func (m *clipMaker) once(file string, encode func(path string)) string {
	path := filepath.Join(m.dir, file)
	m.mu.Lock()
	o := m.made[file]
	if o == nil {
		o = &sync.Once{}
		m.made[file] = o
	}
	m.mu.Unlock()
	o.Do(func() { encode(path) })
	return path
}

// clip gives an MP4 file of a video and an audio codec.
func (m *clipMaker) clip(tb testing.TB, video, audio string) string {
	tb.Helper()
	name := strings.NewReplacer(" ", "-", ".", "", "/", "").Replace(video)
	sound := strings.NewReplacer(" ", "-", ".", "", "/", "").Replace(audio)
	v := m.once(name+".v.mp4", func(path string) {
		args := []string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=640x360:rate=30:duration=%d", matrixSeconds)}
		run(tb, 3*time.Minute, "ffmpeg", append(append(args, videoEncoders[video]...), "-pix_fmt", "yuv420p", path)...)
	})
	a := m.once(sound+".a.mp4", func(path string) {
		args := []string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("aevalsrc='sin(2*PI*(300+200*t)*t)|cos(2*PI*(500+100*t)*t)':s=48000:d=%d", matrixSeconds)}
		run(tb, time.Minute, "ffmpeg", append(append(args, audioEncoders[audio]...), "-strict", "-2", path)...)
	})
	return m.once(name+"+"+sound+".mp4", func(path string) {
		run(tb, time.Minute, "ffmpeg", "-v", "error", "-i", v, "-i", a, "-map", "0:v", "-map", "1:a", "-c", "copy", "-strict", "-2", path)
	})
}

// matrixResult is a row's cell in the table.
type matrixResult struct {
	row                    matrixRow
	in, live, archived     int
	audioIn, audioOut      int
	skew                   time.Duration
	liveSame, archivedSame bool
}

// TestPublisherMatrix publishes with every publisher and compares what comes out.
func TestPublisherMatrix(t *testing.T) {
	t.Parallel()
	full := os.Getenv("OXBOW_MATRIX") == "full"
	certificate, rtmps := newCertificateFiles(t, "one.example"), steadyAddress(t)
	server := newOxbow(t, "--archive-grace", "1h", "--rtmps", rtmps, "--tls-cert", certificate.cert, "--tls-key", certificate.key)
	server.start("serve")
	if status := server.api(http.MethodPost, "/v1/publishers", map[string]any{"name": "acme", "archive_delay": "0s"}, nil); status >= 300 {
		t.Fatalf("create publisher: %d", status)
	}
	clips := newClipMaker(t)
	var mu sync.Mutex
	var results []matrixResult
	t.Cleanup(func() { writeMatrix(t, results) })
	lanes := make(chan struct{}, 6) // at once: the machine must keep up
	rows := matrixRows(rtmps)
	if !full {
		rows = sampleRows(rows)
	}
	for i, row := range rows {
		t.Run(row.name(), func(t *testing.T) {
			t.Parallel()
			for _, tool := range row.needs {
				needTool(t, tool)
			}
			lanes <- struct{}{}
			defer func() { <-lanes }()
			result := publishRow(t, server, clips, row, fmt.Sprintf("row%d", i))
			mu.Lock()
			defer mu.Unlock()
			results = append(results, result)
		})
	}
}

// sampleRows leaves a row for each protocol and each codec, of ffmpeg and of our own publisher. One length of keys stands
// for all: package ingest has every one of them.
func sampleRows(rows []matrixRow) (sample []matrixRow) {
	seen := map[string]bool{}
	for _, row := range rows {
		protocol, _, _ := strings.Cut(row.protocol, "-")
		if len(row.needs) > 0 || seen[protocol] && seen[row.video] && seen[row.audio] {
			continue
		}
		seen[protocol], seen[row.video], seen[row.audio] = true, true, true
		sample = append(sample, row)
	}
	return sample
}

func publishRow(t *testing.T, server *oxbow, clips *clipMaker, row matrixRow, stream string) matrixResult {
	to := matrixTarget{server: server, stream: stream, dir: t.TempDir()}
	settings := map[string]any{"name": stream}
	if strings.Contains(row.protocol, "AES") {
		to.encrypted = "passphrase of " + stream
		settings["srt_passphrase"] = to.encrypted
	}
	var created struct{ Key string }
	if status := server.api(http.MethodPost, "/v1/publishers/acme/streams", settings, &created); status >= 300 {
		t.Fatalf("create stream: %d", status)
	}
	to.key = created.Key
	if row.ownClip == nil {
		to.clip = clips.clip(t, row.video, row.audio)
	}
	publisher := row.publish(t, to)
	url := server.url("/acme/" + stream + "/index.m3u8")
	eventually(t, 30*time.Second, "the stream is live", func() bool {
		// All of it may be sent before a busy machine comes to look: what has ended plays from its first picture on, too.
		if publisher.over() && publisher.err != nil {
			t.Fatalf("the publisher ended early: %v\n%s", publisher.err, publisher.out.tail(20))
		}
		status, _ := server.try(url)
		return status == http.StatusOK
	})
	player := publish(t, "-live_start_index", "0", "-i", url, "-map", "0:v:0", "-map", "0:a:0", "-fps_mode", "passthrough",
		"-f", "framemd5", filepath.Join(to.dir, "live.md5"))
	if err := publisher.wait(60 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v\n%s", err, publisher.out.tail(20))
	}
	if err := player.wait(60 * time.Second); err != nil {
		t.Errorf("the live player failed: %v", err)
	}
	if row.ownClip != nil {
		to.clip = row.ownClip(t, to)
	}
	recordings := server.recordings("acme", stream)
	if len(recordings) != 1 {
		t.Fatalf("%d recordings, want one", len(recordings))
	}
	server.waitState(recordings[0].ID, "archived", 60*time.Second)
	bucket := filepath.Join(server.data, "archive", "acme", stream, recordings[0].ID, "index.m3u8")

	live := videoHashes(t, filepath.Join(to.dir, "live.md5"))
	archived := pictures(t, bucket, to.dir)
	want := live
	if row.ownClip == nil {
		want = pictures(t, to.clip, to.dir)
	}
	r := matrixResult{
		row: row, in: len(want), live: len(live), archived: len(archived),
		liveSame: slices.Equal(live, want), archivedSame: slices.Equal(archived, want),
	}
	if row.ownClip != nil {
		r.in = row.framesIn(t, publisher.out.String())
		r.liveSame = len(live) == r.in
	}
	if !r.liveSame {
		t.Errorf("live: %d pictures decoded of %d, or some differ", len(live), len(want))
	}
	if !r.archivedSame {
		t.Errorf("archive: %d pictures decoded of %d, or some differ", len(archived), len(want))
	}
	if row.sent != nil {
		to.clip = row.sent(t, to)
	}
	r.skew, r.audioIn, r.audioOut = measureSkew(t, packets(t, to.clip), recordedPackets(t, filepath.Dir(bucket)))
	if r.skew.Abs() >= 20*time.Millisecond {
		t.Errorf("A/V skew %v", r.skew)
	}
	// The sound of the clip's last tenth of a second may go with the cut at the last picture.
	if row.ownClip == nil && r.audioOut < r.audioIn*95/100 {
		t.Errorf("%d of %d audio packets", r.audioOut, r.audioIn)
	}
	return r
}

// pictures decodes the first video track and gives a hash of each picture.
func pictures(tb testing.TB, input, dir string) []string {
	tb.Helper()
	file := filepath.Join(dir, "pictures.md5")
	run(tb, time.Minute, "ffmpeg", "-y", "-v", "error", "-i", input, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", file)
	return videoHashes(tb, file)
}

// videoHashes reads the pictures of a framemd5 file: stream 0.
func videoHashes(tb testing.TB, file string) (hashes []string) {
	tb.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(line, ","); len(fields) == 6 && fields[0] == "0" {
			hashes = append(hashes, strings.TrimSpace(fields[5]))
		}
	}
	return hashes
}

// packet is one coded packet by its bytes.
type packet struct {
	video bool
	pts   float64
	hash  string
}

func packets(tb testing.TB, input string) (all []packet) {
	tb.Helper()
	out := run(tb, time.Minute, "ffprobe", "-v", "error", "-show_data_hash", "md5", "-show_entries",
		"packet=codec_type,pts_time,data_hash", "-of", "csv=p=0:nk=1", input)
	rows := csv.NewReader(strings.NewReader(out))
	rows.FieldsPerRecord = -1
	for {
		fields, err := rows.Read()
		if err != nil {
			return all
		}
		pts, err := strconv.ParseFloat(fields[1], 64)
		if err == nil && len(fields) >= 3 {
			all = append(all, packet{video: fields[0] == "video", pts: pts, hash: fields[2]})
		}
	}
}

// recordedPackets reads the samples of a recording's only take out of its files: their true presentation times, which
// libavformat does not give for fragmented files whose composition offsets are negative (it adds the reordering delay).
func recordedPackets(tb testing.TB, dir string) (all []packet) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "recording.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var manifest struct {
		Takes []struct {
			Tracks []struct {
				Name, Kind string
				Timescale  int64
				InitSize   int64 `json:"init_size"`
			}
		}
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		tb.Fatal(err)
	}
	if len(manifest.Takes) != 1 {
		tb.Fatalf("%d takes, want one", len(manifest.Takes))
	}
	for _, track := range manifest.Takes[0].Tracks {
		data, err := os.ReadFile(filepath.Join(dir, "1", track.Name+".mp4"))
		if err != nil {
			tb.Fatal(err)
		}
		var parts fmp4.Parts
		if err := parts.Unmarshal(data[track.InitSize:]); err != nil {
			tb.Fatalf("%s: %v", track.Name, err)
		}
		for _, part := range parts {
			at := int64(part.Tracks[0].BaseTime)
			for _, sample := range part.Tracks[0].Samples {
				all = append(all, packet{
					video: track.Kind == "video",
					pts:   float64(at+int64(sample.PTSOffset)) / float64(track.Timescale),
					hash:  fmt.Sprintf("MD5:%x", md5.Sum(sample.Payload)),
				})
				at += int64(sample.Duration)
			}
		}
	}
	return all
}

// measureSkew matches the packets of what was sent and of what was recorded by their bytes, and says how much further
// the sound was moved than the picture, at most.
func measureSkew(tb testing.TB, sent, got []packet) (skew time.Duration, audioIn, audioOut int) {
	tb.Helper()
	type place struct {
		pts   float64
		twice bool
	}
	in := map[string]place{}
	for _, p := range sent {
		if !p.video {
			audioIn++
		}
		_, twice := in[p.hash]
		in[p.hash] = place{p.pts, twice}
	}
	var moved [2][]float64
	came := map[string]bool{}
	for _, p := range got {
		from, ok := in[p.hash]
		if !ok {
			continue
		}
		kind := 0
		if !p.video {
			kind = 1
			audioOut++
		}
		// Where no silence can be made, a unit that came again stands for sound that did not: the first is its place.
		if !from.twice && !came[p.hash] {
			moved[kind] = append(moved[kind], p.pts-from.pts)
		}
		came[p.hash] = true
	}
	if len(moved[0]) < 100 || len(moved[1]) < audioIn/2 {
		tb.Errorf("only %d video and %d audio packets came out as they were sent", len(moved[0]), len(moved[1]))
		return 0, audioIn, audioOut
	}
	worst := 0.0
	slices.Sort(moved[0])
	video := moved[0][len(moved[0])/2]
	for _, m := range moved[1] { // every packet, not their mean: drift is skew too
		if math.Abs(m-video) > math.Abs(worst) {
			worst = m - video
		}
	}
	return time.Duration(worst * float64(time.Second)).Round(100 * time.Microsecond), audioIn, audioOut
}

// writeMatrix prints the table and keeps it beside the screenshots.
func writeMatrix(tb testing.TB, results []matrixResult) {
	slices.SortFunc(results, func(a, b matrixResult) int { return strings.Compare(a.row.name(), b.row.name()) })
	var b bytes.Buffer
	b.WriteString("| publisher | protocol | video | audio | frames in | live | archive | same pictures | audio packets | A/V skew |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		same := "yes"
		if !r.liveSame || !r.archivedSame {
			same = "NO"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %d | %d | %s | %d/%d | %v |\n", r.row.publisher, r.row.protocol, r.row.video,
			r.row.audio, r.in, r.live, r.archived, same, r.audioOut, r.audioIn, r.skew)
	}
	b.WriteString("\nNot in the table, since the protocol or its publisher here can't carry it:\n\n" +
		"- HEVC, AV1, VP9, Opus, FLAC, AC-3, E-AC-3 by ffmpeg 5.1 and OBS 29 over RTMP: they send no Enhanced RTMP, which is what " +
		"our own publisher is for.\n" +
		"- AV1, VP9 and FLAC over SRT: ffmpeg 5.1 has no MPEG-TS mapping of them. Oxbow names what it does not take.\n" +
		"- HE-AAC is an AAC-LC core with SBR signalled: Debian has no encoder of it.\n")
	tb.Logf("\n%s", b.String())
	if err := os.WriteFile(outFile(tb, "matrix.md"), b.Bytes(), 0o644); err != nil {
		tb.Error(err)
	}
}

// ffmpegRow publishes a clip with ffmpeg.
func ffmpegRow(protocol, video, audio string, args func(to matrixTarget) []string) matrixRow {
	return matrixRow{
		publisher: "ffmpeg", protocol: protocol, video: video, audio: audio,
		publish: func(t *testing.T, to matrixTarget) *process {
			return publish(t, append([]string{"-re", "-i", to.clip, "-map", "0", "-c", "copy"}, args(to)...)...)
		},
	}
}

func matrixRows(rtmps string) []matrixRow {
	flv := func(to matrixTarget) []string { return []string{"-f", "flv", to.rtmp("rtmp", to.server.rtmp)} }
	srt := func(to matrixTarget) []string { return []string{"-f", "mpegts", to.srt("")} }
	rows := []matrixRow{
		ffmpegRow("RTMPT", "H.264 B-frames", "AAC-LC", func(to matrixTarget) []string {
			return []string{"-f", "flv", "-rtmp_flush_interval", "1", to.rtmp("rtmpt", to.server.http)}
		}),
		ffmpegRow("RTMPS", "H.264 B-frames", "AAC-LC", func(to matrixTarget) []string {
			return []string{"-f", "flv", to.rtmp("rtmps", rtmps)}
		}),
		ffmpegRow("RTMP", "H.264 B-frames", "MP3", flv),
	}
	for _, video := range []string{"H.264 baseline", "H.264 B-frames", "H.264 interlaced", "H.264 intra refresh"} {
		rows = append(rows, ffmpegRow("RTMP", video, "AAC-LC", flv))
	}
	for _, video := range []string{"H.264 B-frames", "H.264 interlaced", "H.264 intra refresh", "HEVC", "HEVC open GOP"} {
		rows = append(rows, ffmpegRow("SRT", video, "AAC-LC", srt))
	}
	for _, audio := range []string{"AC-3", "E-AC-3", "MP2", "MP3", "Opus"} {
		rows = append(rows, ffmpegRow("SRT", "H.264 B-frames", audio, srt))
	}
	rows = append(rows, ffmpegRow("SRT", "H.264 B-frames", "AAC LATM", func(to matrixTarget) []string {
		return []string{"-f", "mpegts", "-mpegts_flags", "latm", to.srt("")}
	}))
	for _, bits := range []int{128, 192, 256} {
		rows = append(rows, ffmpegRow(fmt.Sprintf("SRT AES-%d", bits), "H.264 B-frames", "AAC-LC", func(to matrixTarget) []string {
			return []string{"-f", "mpegts", to.srt(fmt.Sprintf("&pbkeylen=%d&passphrase=%s", bits/8, to.encrypted))}
		}))
	}
	for _, codecs := range [][2]string{
		{"H.264 B-frames", "AAC-LC"}, {"HEVC", "AAC-LC"}, {"HEVC open GOP", "AAC-LC"}, {"AV1", "Opus"}, {"VP9", "Opus"},
		{"H.264 B-frames", "FLAC"}, {"H.264 B-frames", "AC-3"}, {"H.264 B-frames", "E-AC-3"}, {"H.264 B-frames", "MP3"},
		{"H.264 B-frames", "HE-AAC"},
	} {
		rows = append(rows, enhancedRow(codecs[0], codecs[1]))
	}
	rows = append(rows, obsRow(), transmitRow())
	const film = "filesrc location=CLIP ! qtdemux name=d d.video_0 ! queue ! "
	const sound = " d.audio_0 ! queue ! %s ! identity sync=true ! m."
	const rtmp = "h264parse ! identity sync=true ! flvmux streamable=true name=m ! rtmp2sink location=RTMP"
	gstRTMP := gstRow("RTMP", "H.264 B-frames", "AAC-LC", film+rtmp+fmt.Sprintf(sound, "aacparse"))
	gstRTMP.sent = func(t *testing.T, to matrixTarget) string {
		// flvmux leaves out the clip's edit list, which moves the sound by an AAC frame.
		file := filepath.Join(to.dir, "sent.flv")
		pipeline := film + "h264parse ! flvmux name=m ! filesink location=" + file + " d.audio_0 ! queue ! aacparse ! m."
		run(t, time.Minute, "gst-launch-1.0", strings.Fields("-q "+strings.Replace(pipeline, "CLIP", to.clip, 1))...)
		return file
	}
	const srtsink = " ! identity sync=true ! mpegtsmux alignment=7 name=m ! " +
		"srtsink uri=srt://SRTADDRESS?mode=caller&streamid=SRTID wait-for-connection=false"
	rows = append(rows,
		gstRTMP,
		gstRow("SRT", "H.264 B-frames", "AAC-LC", film+"h264parse config-interval=-1"+srtsink+fmt.Sprintf(sound, "aacparse")),
		gstRow("SRT", "HEVC", "AC-3", film+"h265parse config-interval=-1"+srtsink+fmt.Sprintf(sound, "ac3parse")),
		gstRow("SRT", "H.264 B-frames", "Opus", film+"h264parse config-interval=-1"+srtsink+fmt.Sprintf(sound, "opusparse")),
	)
	return rows
}

// transmitRow publishes with srt-live-transmit, which is given a transport stream over UDP.
func transmitRow() matrixRow {
	return matrixRow{
		publisher: "srt-live-transmit", protocol: "SRT", video: "H.264 B-frames", audio: "AAC-LC", needs: []string{"srt-live-transmit"},
		publish: func(t *testing.T, to matrixTarget) *process {
			udp := steadyAddress(t)
			to.clip, udp = strconv.Quote(to.clip), strconv.Quote("udp://"+udp)
			return startProcess(t, exec.Command("sh", "-c", fmt.Sprintf("srt-live-transmit -q %s '%s&mode=caller' & p=$!; sleep 1; "+
				"ffmpeg -v error -nostdin -re -i %s -c copy -f mpegts %s?pkt_size=1316; sleep 1; kill -INT $p; wait $p; exit 0",
				udp, to.srt(""), to.clip, udp)))
		},
	}
}

// gstRow publishes a clip with GStreamer.
func gstRow(protocol, video, audio, pipeline string) matrixRow {
	return matrixRow{
		publisher: "GStreamer", protocol: protocol, video: video, audio: audio, needs: []string{"gst-launch-1.0"},
		publish: func(t *testing.T, to matrixTarget) *process {
			text := strings.NewReplacer("CLIP", to.clip, "RTMP", to.rtmp("rtmp", to.server.rtmp),
				"SRTADDRESS", to.server.srt, "SRTID", "publish:acme/"+to.stream+":"+to.key).Replace(pipeline)
			return startProcess(t, exec.Command("gst-launch-1.0", append([]string{"-e", "-q"}, strings.Fields(text)...)...))
		},
	}
}
