package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/progressive"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// growingName is the manifest of a recording that is archived while it grows.
const growingName = "recording.growing.json"

// maxFiles is the most files of a folder that are looked at: takes have a few each.
const maxFiles = 1 << 17

// metadataKind is the form of a kind, also of one that a later version brings.
var metadataKind = regexp.MustCompile(`^[a-z0-9_]{1,32}$`)

// checkMetadata reads the timed metadata of every take.
func (c *recordingCheck) checkMetadata(ctx context.Context) error {
	var last int64
	for _, take := range c.manifest.Takes {
		if take.Sealed && !take.Metadata {
			continue
		}
		name := strconv.Itoa(take.Number) + "/metadata.jsonl"
		data, err := c.folder.ReadFile(ctx, name)
		switch {
		case missing(err) && take.Metadata:
			c.report.add(Error, "missing-file", name, doCopy, "the manifest says that it is there")
			continue
		case missing(err):
			continue
		case err != nil:
			return err
		case len(data) > reclog.MaxMetadataFile:
			c.report.add(Error, "metadata", name, doCopy, "it has %d bytes: at most %d", len(data), reclog.MaxMetadataFile)
			continue
		}
		c.report.Bytes += int64(len(data))
		for number := 1; len(data) > 0; number++ {
			text, rest, whole := bytes.Cut(data, []byte{'\n'})
			data = rest
			where := name + " line " + strconv.Itoa(number)
			if !whole && !take.Sealed {
				c.report.add(Info, "growing", where, "", "the last line is being written")
				break
			}
			n, err := metadataNumber(text)
			if err == nil && n <= last {
				err = fmt.Errorf("number %d follows %d", n, last)
			}
			if err != nil || !whole {
				c.report.add(Error, "metadata", where, doCopy, "it is no piece of metadata: %v", err)
				continue
			}
			last = n
			c.report.Metadata++
		}
	}
	return nil
}

func metadataNumber(text []byte) (int64, error) {
	var l struct {
		Number  int64           `json:"number"`
		Kind    string          `json:"kind"`
		Time    *int64          `json:"time_ns"`
		Payload json.RawMessage `json:"payload"`
	}
	if len(text) >= reclog.MaxMetadataLine {
		return 0, fmt.Errorf("it has %d bytes", len(text))
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return 0, err
	}
	switch {
	case l.Number < 1:
		return 0, fmt.Errorf("number %d", l.Number)
	case !metadataKind.MatchString(l.Kind):
		return 0, fmt.Errorf("kind %.40q", l.Kind)
	case l.Time == nil || *l.Time < 0:
		return 0, fmt.Errorf("no time")
	case len(l.Payload) == 0 || !strings.ContainsRune(`"{[`, rune(l.Payload[0])):
		return 0, fmt.Errorf("payload %.20q", l.Payload)
	}
	return l.Number, nil
}

// checkFiles names the files that belong to no take of the manifest.
func (c *recordingCheck) checkFiles(ctx context.Context) error {
	lister, ok := c.folder.(Lister)
	if !ok {
		return nil
	}
	known := map[string]bool{manifestName: true, growingName: true, "subtitles.vtt": true, reclog.EventsFile: true}
	tracks := map[string]bool{"index": true, "subtitles": true}
	for _, take := range c.manifest.Takes {
		dir := strconv.Itoa(take.Number) + "/"
		known[dir+"metadata.jsonl"] = true
		for _, tr := range take.Tracks {
			known[dir+tr.Name+".mp4"], known[dir+tr.Name+".idx"] = true, true
			known[dir+tr.Name+reclog.SourceIndexSuffix] = c.manifest.Source != ""
			known[dir+tr.Name+progressive.SamplesSuffix] = true
			tracks[tr.Name] = true
		}
	}
	count := 0
	for object, err := range lister.List(ctx, "") {
		if err != nil {
			return err
		}
		if count++; count > maxFiles {
			c.report.add(Warning, "unknown-file", "", "move what does not belong here elsewhere", "more than %d files", maxFiles)
			return nil
		}
		name := object.Key
		base, playlist := strings.CutSuffix(name, ".m3u8")
		base, _ = strings.CutSuffix(base, ".iframes")
		if known[name] || playlist && tracks[base] || name == "subtitles.vtt" || reclog.IsPicture(name) {
			continue
		}
		c.leftover(name, object.Size)
	}
	return nil
}

func (c *recordingCheck) leftover(name string, size int64) {
	dir, _, _ := strings.Cut(name, "/")
	switch {
	case name == "recording.json.removed":
		c.report.add(Warning, "removal", name, "nothing: the next start of an ingest node ends it",
			"the recording is being removed")
	case strings.HasSuffix(dir, ".orphan"):
		c.report.add(Warning, "orphan", name, "look whether it has media that is missed; then remove it",
			"%d bytes of a take that is in no manifest, kept by recovery", size)
	case strings.HasSuffix(name, ".corrupt"):
		c.report.add(Warning, "corrupt-file", name, "keep it until the recording is known to be whole; then remove it",
			"%d bytes that recovery could not read and kept", size)
	case strings.HasSuffix(name, reclog.SourceIndexSuffix) && c.manifest.Clip != nil:
		c.report.add(Info, "leftover", name, "", "the index of the time when the clip had no media of its own")
	case strings.HasSuffix(name, ".tmp"):
		c.report.add(Info, "leftover", name, "", "a file that was being written: the next recovery removes it")
	default:
		if n, err := strconv.Atoi(dir); err == nil && n > 0 && strings.Contains(name, "/") {
			severity := Warning
			if c.manifest.State.Growing() {
				severity = Info // the next take is made before the manifest names it
			}
			c.report.add(severity, "orphan", name, "recovery removes it, or keeps it as .orphan if it has media",
				"%d bytes of a take or track that is in no manifest", size)
			return
		}
		c.report.add(Info, "unknown-file", name, "", "Oxbow did not write it")
	}
}
