package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// longestWait is the longest time in which nothing new was listed.
func (t *seenTrack) longestWait() (longest time.Duration) {
	for i := 1; i < len(t.arrivals); i++ {
		longest = max(longest, t.arrivals[i].at.Sub(t.arrivals[i-1].at))
	}
	return longest
}

// longestWait is the longest time in which a viewer of the video saw nothing new listed.
func (w *witness) longestWait() (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, t := range w.tracks {
		if strings.HasSuffix(name, "/video.m3u8") {
			longest = max(longest, t.longestWait())
		}
	}
	return longest
}

// count gives how many things were listed and loaded.
func (w *witness) count() (listed, loaded int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.objects {
		if o.sum != "" {
			loaded++
		}
	}
	return len(w.objects), loaded
}

// awaitListed waits until so many more things have been listed and loaded.
func (w *witness) awaitListed(more int, limit time.Duration) {
	w.tb.Helper()
	_, before := w.count()
	eventually(w.tb, limit, fmt.Sprintf("%s gets %d things more", w.name, more), func() bool {
		_, now := w.count()
		return now >= before+more
	})
}

// awaitAllLoaded waits until everything that was listed so far has been loaded.
func (w *witness) awaitAllLoaded(limit time.Duration) {
	w.tb.Helper()
	eventually(w.tb, limit, w.name+" has loaded all that was listed", func() bool {
		listed, loaded := w.count()
		return listed == loaded
	})
}

// awaitEnd waits until every playlist of the newest show has ended.
func (w *witness) awaitEnd(limit time.Duration) {
	w.tb.Helper()
	eventually(w.tb, limit, w.name+" sees the show end", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		n := 0
		for name, t := range w.tracks {
			if path.Dir(path.Dir(name)) == w.shows[len(w.shows)-1] {
				n++
				if !t.ended {
					return false
				}
			}
		}
		return n > 0
	})
}

// recordings gives the ids of the shows that were seen, in order.
func (w *witness) recordings() (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, folder := range w.shows {
		ids = append(ids, path.Base(folder))
	}
	return ids
}

// firstListed gives when the first part and the first whole segment after the instant were listed by the video's playlist.
func (w *witness) firstListed(after time.Time) (part, segment time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, t := range w.tracks {
		if !strings.HasSuffix(name, "/video.m3u8") {
			continue
		}
		for _, a := range t.arrivals {
			if a.at.Before(after) {
				continue
			}
			if part.IsZero() {
				part = a.at
			}
			if a.part < 0 && segment.IsZero() {
				segment = a.at
			}
		}
	}
	return part, segment
}

// gaps counts the segments of the video that were listed as gaps, and their seconds.
func (w *witness) gaps() (segments int, seconds float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, t := range w.tracks {
		if !strings.HasSuffix(name, "/video.m3u8") {
			continue
		}
		for _, s := range t.segments {
			if s.gap {
				segments++
				seconds += s.duration
			}
		}
	}
	return segments, seconds
}

// breaks counts the discontinuities in the video of the shows that were seen.
func (w *witness) breaks() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, t := range w.tracks {
		if !strings.HasSuffix(name, "/video.m3u8") || len(t.segments) == 0 {
			continue
		}
		msns := slices.Sorted(maps.Keys(t.segments))
		n += t.segments[msns[len(msns)-1]].discontinuity - t.segments[msns[0]].discontinuity
	}
	return n
}

// judgeAll fails the test for what a witness may never see, and checks that segments are what their parts were.
func (w *witness) judgeAll() {
	w.tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.findings {
		w.tb.Errorf("%s: %s", w.name, f)
	}
	for p, o := range w.objects {
		if o.sum == "" {
			w.tb.Errorf("%s: %s was listed at %s and never loaded", w.name, p, o.listed.Format("15:04:05.000"))
		}
	}
	segments := 0
	for name, t := range w.tracks {
		for msn, s := range t.segments {
			var whole bytes.Buffer
			for _, p := range s.parts {
				if o := w.objects[p.path]; o != nil {
					whole.Write(o.body)
				}
			}
			o := w.objects[s.path]
			if !s.complete || s.gap || o == nil || o.sum == "" {
				continue
			}
			if segments++; digest(whole.Bytes()) != o.sum {
				w.tb.Errorf("%s: %s: segment %d is not what its %d parts are", w.name, name, msn, len(s.parts))
			}
		}
	}
	if segments == 0 {
		w.tb.Errorf("%s: no segment was seen with its parts", w.name)
	}
}

// agreeWith compares the bytes of every URL that both saw.
func (w *witness) agreeWith(other *witness) {
	w.tb.Helper()
	theirs := other.sums()
	both := 0
	for p, sum := range w.sums() {
		if their := theirs[p]; their != "" {
			if both++; their != sum {
				w.tb.Errorf("%s has other bytes at %s than at %s", p, w.name, other.name)
			}
		}
	}
	if both == 0 {
		w.tb.Errorf("%s and %s saw nothing in common", w.name, other.name)
	}
}

// sameSegmentsAs checks that every segment that was listed here was listed there too, by the same name.
func (w *witness) sameSegmentsAs(other *witness) {
	w.tb.Helper()
	for name, t := range w.tracks { // both have stopped
		for msn, s := range t.segments {
			if o := other.tracks[name]; o == nil || o.segments[msn].path != s.path {
				w.tb.Errorf("%s: segment %d is %s at %s and not at %s", name, msn, s.path, w.name, other.name)
			}
		}
	}
}

// sums gives the digest of every URL's bytes.
func (w *witness) sums() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	sums := map[string]string{}
	for p, o := range w.objects {
		if o.sum != "" {
			sums[p] = o.sum
		}
	}
	return sums
}

// verify fetches everything that was ever loaded again from a server, and compares the bytes.
func (w *witness) verify(when, base string) {
	w.tb.Helper()
	for _, p := range w.verifyBut(when, base) {
		w.tb.Errorf("%s: %s was listed and is lost", when, p)
	}
}

// verifyBut is verify where a recording has gaps: it gives what is missing there.
func (w *witness) verifyBut(when, base string) (missing []string) {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	sums := w.sums()
	for _, p := range slices.Sorted(maps.Keys(sums)) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+p, nil)
		if err != nil {
			w.tb.Fatal(err)
		}
		status, body := w.do(req)
		if status == http.StatusNotFound || status == http.StatusGone {
			missing = append(missing, p)
		} else if status != http.StatusOK {
			w.tb.Errorf("%s: %s: status %d %.120s", when, p, status, body)
		} else if digest(body) != sums[p] {
			w.tb.Errorf("%s: %s has other bytes", when, p)
		}
	}
	return missing
}

// verifyBucket reads the static playlists of a recording from the bucket's folder: they must name the segments that
// were seen live, with the same bytes and in the same order. Fillers are left out there, and what is excused may be.
func (w *witness) verifyBucket(bucket, recording string, excused func(path string) bool) {
	w.tb.Helper()
	folder := filepath.Join(bucket, w.stream, recording)
	compared := 0
	for _, file := range []string{"video.m3u8", "audio.m3u8"} {
		text, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			w.tb.Errorf("bucket: %v", err)
			continue
		}
		ranges, err := staticRanges(string(text))
		if err != nil {
			w.tb.Errorf("bucket: %s: %v", file, err)
		}
		sums := w.sums()
		track := w.tracks[path.Join(w.stream, recording, "live", file)]
		for _, msn := range slices.Sorted(maps.Keys(track.segments)) {
			s := track.segments[msn]
			if !s.whole || s.gap || sums[s.path] == "" {
				continue
			}
			compared++
			at := slices.IndexFunc(ranges, func(r fileRange) bool {
				body, err := r.read(folder)
				return err == nil && digest(body) == sums[s.path]
			})
			if at < 0 && excused(s.path) {
				continue
			} else if at < 0 {
				w.tb.Errorf("bucket: segment %d of %s is not there as it was live, or not in its order", msn, file)
				continue
			}
			ranges = ranges[at+1:]
		}
	}
	if compared == 0 {
		w.tb.Error("bucket: nothing to compare")
	}
}

// fileRange is a segment in a static playlist.
type fileRange struct {
	file         string
	offset, size int64
}

func (r fileRange) read(folder string) ([]byte, error) {
	f, err := os.Open(filepath.Join(folder, r.file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body := make([]byte, r.size)
	_, err = f.ReadAt(body, r.offset)
	return body, err
}

// staticRanges reads a playlist with byte ranges: the segments that are no gaps.
func staticRanges(text string) (ranges []fileRange, err error) {
	gap, end := false, int64(0)
	var next fileRange
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		tag, value, _ := strings.Cut(line, ":")
		switch {
		case tag == "#EXT-X-GAP":
			gap = true
		case tag == "#EXT-X-BYTERANGE":
			size, offset, given := strings.Cut(value, "@")
			var offsetErr error
			next.size, err = strconv.ParseInt(size, 10, 64)
			next.offset = end
			if given {
				next.offset, offsetErr = strconv.ParseInt(offset, 10, 64)
			}
			if err := errors.Join(err, offsetErr); err != nil {
				return nil, err
			}
		case line != "" && !strings.HasPrefix(line, "#"):
			next.file, end = line, next.offset+next.size
			if !gap {
				ranges = append(ranges, next)
			}
			next, gap = fileRange{}, false
		}
	}
	return ranges, nil
}

// decodeStamps decodes the pictures of a recording and gives their numbers in the order of showing; -1 is a picture
// whose number can't be read.
func decodeStamps(tb testing.TB, input string) (numbers []int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var rows, log bytes.Buffer
	cmd := exec.CommandContext(ctx, needTool(tb, "ffmpeg"), "-v", "error", "-i", input, "-map", "0:v", "-fps_mode", "passthrough",
		"-vf", stampCrop, "-f", "rawvideo", "-pix_fmt", "gray", "-")
	cmd.Stdout, cmd.Stderr = &rows, &log
	if err := cmd.Run(); err != nil {
		tb.Errorf("decode %s: %v\n%s", input, err, log.Bytes())
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "rawvideo") && strings.Contains(line, "monotonically") {
			continue // the raw output counts whole pictures: those around a discontinuity share a number
		}
		tb.Logf("decoding %s: %s", input, strings.TrimSpace(line))
	}
	for row := range slices.Chunk(rows.Bytes(), stampBlocks) {
		numbers = append(numbers, readStamp(row))
	}
	return numbers
}

// edgeOf gives how far the newest show's playlist of a track has come.
func (w *witness) edgeOf(track string) edge {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.shows) == 0 {
		return edge{}
	}
	if t := w.tracks[w.shows[len(w.shows)-1]+"/live/"+track+".m3u8"]; t != nil {
		return t.edge
	}
	return edge{}
}
