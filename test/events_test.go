package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
)

// spliceOut is a splice_insert (SCTE 35, 9.7.3) that leaves the programme at a time in 90 kHz for ten seconds.
func spliceOut(event, pts uint32) []byte {
	b := []byte{0xfc, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0, 20, 5}
	b = append(binary.BigEndian.AppendUint32(b, event), 0x7f, 0xef, 0xfe)
	b = append(binary.BigEndian.AppendUint32(b, pts), 0x7e)
	b = binary.BigEndian.AppendUint32(b, 10*90000)
	b = append(b, 0, 1, 0, 0, 0, 0) // unique_program_id, avail_num, avails_expected, no descriptors
	b[2] = byte(len(b) + 4 - 3)
	return binary.BigEndian.AppendUint32(b, crcOfSection(b))
}

// dateRangesOf gives a playlist's date ranges by ID, the tags of one after the other, and fails on dates that can't be
// resolved.
func dateRangesOf(tb testing.TB, text string) map[string]string {
	tb.Helper()
	ranges := make(map[string]string)
	for line := range strings.Lines(text) {
		if list, is := strings.CutPrefix(strings.TrimSpace(line), "#EXT-X-DATERANGE:"); is {
			ranges[attribute(list, "ID")] += list + "\n"
		}
	}
	if len(ranges) > 0 && !strings.Contains(text, "#EXT-X-PROGRAM-DATE-TIME:") {
		tb.Errorf("PDT-7: date ranges without dates: %s", text)
	}
	return ranges
}

// firstDate is a playlist's first EXT-X-PROGRAM-DATE-TIME.
func firstDate(tb testing.TB, text string) time.Time {
	tb.Helper()
	_, rest, _ := strings.Cut(text, "#EXT-X-PROGRAM-DATE-TIME:")
	line, _, _ := strings.Cut(rest, "\n")
	date, err := time.Parse(time.RFC3339, line)
	if err != nil {
		tb.Fatal(err)
	}
	return date
}

// awaitRanges waits until the live and the whole playlists of every track have the same tags, those wanted among them.
// A value is what the tags of its ID have to contain.
func awaitRanges(tb testing.TB, server *oxbow, folders []string, want map[string][]string) {
	tb.Helper()
	var why string
	same := func() bool {
		var first map[string]string
		for _, folder := range folders {
			for _, track := range []string{"video", "audio"} {
				playlist := folder + "/" + track + ".m3u8"
				status, text := server.try(server.url(playlist))
				if status != http.StatusOK {
					why = fmt.Sprintf("%s: %d", playlist, status)
					return false
				}
				ranges := dateRangesOf(tb, string(text))
				if first == nil {
					first = ranges
				}
				for id, parts := range want {
					for _, part := range parts {
						if !strings.Contains(ranges[id], part) {
							why = fmt.Sprintf("%s: no %s in range %s: %q", playlist, part, id, ranges)
							return false
						}
					}
					if ranges[id] != first[id] {
						why = fmt.Sprintf("DR-1: %s: %q differs from %q", playlist, ranges[id], first[id])
						return false
					}
				}
			}
		}
		return true
	}
	for deadline := time.After(patient(15 * time.Second)); !same(); {
		select {
		case <-deadline:
			tb.Fatalf("date ranges: %s", why)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// TestDR1_EventsOverRTMPAndTheAPI tells of events by the publisher's cue points and by the API, and finds them in the
// live playlists and, after the end, with the recording.
func TestDR1_EventsOverRTMPAndTheAPI(t *testing.T) {
	t.Parallel()
	tracks, samples := readClip(t, encodeSource(t, 6, "320x180", "200k"))
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	const events = "/v1/publishers/acme/streams/show/events"
	if status := server.api(http.MethodPost, events, map[string]any{}, nil); status != http.StatusConflict {
		t.Errorf("an event of what is not live: %d", status)
	}
	publisher := startTask(t, "publisher with cue points", func(ctx context.Context) error {
		client, err := ingest.DialRTMP(ctx, "rtmp://"+server.rtmp+"/live/"+key)
		if err != nil {
			return err
		}
		if err := client.Publish(ctx); err != nil {
			return err
		}
		if err := sendClip(ctx, client, tracks, samples, nil); err != nil {
			return err
		}
		for _, body := range [][]byte{
			amfMessage("onCuePoint", "name", "chapter", "type", `the "first"`),
			amfMessage("onCuePoint", "name", "scte35", "parameters", spliceInsert),
		} {
			if err := client.WriteMessage(ingest.RTMPData, 5000, body); err != nil {
				return err
			}
		}
		if err := client.Flush(); err != nil {
			return err
		}
		<-ctx.Done()
		return client.Close()
	})
	eventually(t, 20*time.Second, "the stream is live", func() bool {
		status, _ := server.try(server.url("/acme/show/index.m3u8"))
		return status == http.StatusOK
	})
	var told struct {
		ID     string
		Number int
		Start  time.Time `json:"start_date"`
	}
	ask := map[string]any{"class": "com.example.goal", "attributes": map[string]any{"X-TEAM": "A"}}
	if status := server.api(http.MethodPost, events, ask, &told); status != http.StatusCreated || told.ID == "" || told.Number < 1 {
		t.Fatalf("POST: %d, %+v", status, told)
	}
	if status := server.api(http.MethodPatch, events+"/"+told.ID, map[string]any{"duration_s": 1.5}, nil); status != http.StatusOK {
		t.Fatalf("PATCH: %d", status)
	}
	if status := server.api(http.MethodPatch, events+"/"+told.ID, map[string]any{"duration_s": 2}, nil); status != 422 {
		t.Errorf("PATCH of what was told: %d", status)
	}
	past := map[string]any{"id": "early", "start_date": told.Start.Add(-time.Hour)}
	if status := server.api(http.MethodPost, events, past, nil); status != 422 {
		t.Errorf("before the begin: %d", status)
	}
	awaitMetadata(t, server, map[string]float64{"cue_point": 1, "scte35": 1, "date_range": 2})

	var list struct{ Items []map[string]any }
	if status := server.api(http.MethodGet, events, nil, &list); status != http.StatusOK || len(list.Items) != 1 {
		t.Errorf("GET: %d, %v", status, list)
	}
	recording := "/acme/show/" + server.recordings("acme", "show")[0].ID
	goal := []string{
		`CLASS="com.example.goal"`, `X-TEAM="A"`, "DURATION=1.5", told.Start.UTC().Format(`START-DATE="2006-01-02T15:04:05.000Z"`),
	}
	// The pieces are numbered as they came: the goal may be before the cue point.
	cue := ""
	eventually(t, 10*time.Second, "the cue point is in the playlist", func() bool {
		for id, tags := range dateRangesOf(t, string(server.get(recording+"/video.m3u8"))) {
			if strings.Contains(tags, `X-NAME="chapter"`) {
				cue = id
			}
		}
		return cue != ""
	})
	want := map[string][]string{
		told.ID:                    goal,
		cue:                        {`CLASS="io.github.oxbow-video.cue-point"`, `X-TYPE="the 'first'"`},
		"scte35-splice-1207959695": {"SCTE35-OUT=0xFC302F", "PLANNED-DURATION=60.294"},
	}
	awaitRanges(t, server, []string{recording + "/live", recording}, want)
	before := dateRangesOf(t, string(server.get(recording+"/video.m3u8")))

	publisher.kill()
	eventually(t, 90*time.Second, "the recording ended", func() bool {
		return bytes.Contains(server.get(recording+"/video.m3u8"), []byte("#EXT-X-ENDLIST"))
	})
	awaitRanges(t, server, []string{recording}, want)
	after := dateRangesOf(t, string(server.get(recording+"/video.m3u8")))
	for id, tags := range before {
		if after[id] != tags {
			t.Errorf("DR-1: %s was %q, is %q", id, tags, after[id])
		}
	}
	if status := server.api(http.MethodPost, events, ask, nil); status != http.StatusConflict {
		t.Errorf("an event after the end: %d", status)
	}
}

// writePaced writes a stream's bytes at an even rate.
func writePaced(w io.Writer, data []byte, length time.Duration) error {
	const block = 1316
	begun := time.Now()
	for at := 0; at < len(data); at += block {
		due := begun.Add(time.Duration(float64(at) / float64(len(data)) * float64(length)))
		<-time.After(time.Until(due))
		if _, err := w.Write(data[at:min(at+block, len(data))]); err != nil {
			return err
		}
	}
	return nil
}

// TestDR1_SpliceInTransportStream publishes a transport stream with a cue for a time that is yet to come.
func TestDR1_SpliceInTransportStream(t *testing.T) {
	t.Parallel()
	const seconds, splice = 10, 7
	clip := filepath.Join(t.TempDir(), "clip.ts")
	run(t, time.Minute, "ffmpeg", "-v", "error", "-i", encodeSource(t, seconds, "320x180", "200k"), "-c", "copy",
		"-muxdelay", "0", "-muxpreload", "0", "-f", "mpegts", clip)
	data, err := os.ReadFile(clip)
	if err != nil {
		t.Fatal(err)
	}
	cue := spliceOut(77, splice*90000)
	stream := addMetadata(t, data, cue, 2*time.Second)
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	cmd := exec.Command(needTool(t, "ffmpeg"), "-hide_banner", "-f", "data", "-i", "pipe:0", "-map", "0", "-c", "copy", "-f", "data",
		"srt://"+server.srt+"?linger=3&streamid=publish:acme/show:"+key)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	publisher := startProcess(t, cmd)
	startTask(t, "bytes for the publisher", func(context.Context) error {
		defer input.Close()
		return writePaced(input, stream, seconds*time.Second)
	})
	eventually(t, 20*time.Second, "the recording is there", func() bool {
		return len(server.recordings("acme", "show")) == 1
	})
	recording := "/acme/show/" + server.recordings("acme", "show")[0].ID
	want := map[string][]string{
		"scte35-splice-77": {fmt.Sprintf("SCTE35-OUT=0x%X", cue), "PLANNED-DURATION=10.0"},
	}
	awaitRanges(t, server, []string{recording + "/live", recording}, want)
	if err := publisher.wait(30 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	eventually(t, 90*time.Second, "the recording ended", func() bool {
		return bytes.Contains(server.get(recording+"/video.m3u8"), []byte("#EXT-X-ENDLIST"))
	})
	awaitRanges(t, server, []string{recording}, want)
	text := string(server.get(recording + "/video.m3u8"))
	ranges := dateRangesOf(t, text)
	start, err := time.Parse(time.RFC3339, attribute(strings.Split(ranges["scte35-splice-77"], "\n")[0], "START-DATE"))
	if err != nil {
		t.Fatal(err)
	}
	// The clip's first picture is within a tenth of a second of 0.
	if at := start.Sub(firstDate(t, text)); (at - splice*time.Second).Abs() > 150*time.Millisecond {
		t.Errorf("the splice is %v behind the begin, want %v s", at, splice)
	}
	var tags []string
	for id, list := range ranges {
		if strings.HasPrefix(id, "id3-") {
			tags = append(tags, list)
		}
	}
	slices.Sort(tags)
	if len(tags) != 2 || !strings.Contains(tags[0]+tags[1], fmt.Sprintf("%X", "one")) || strings.Count(tags[0], "\n") != 1 {
		t.Errorf("ID3: %q", tags)
	}
}
