package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/iotest"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// everything gives path and bytes of every init, segment and part that was recorded.
func (s *studio) everything() map[string][]byte {
	all := map[string][]byte{}
	for i := range s.next.Renditions {
		r := &s.next.Renditions[i]
		for _, take := range s.next.Takes {
			all[fmt.Sprintf("%s/%d/%s/init.mp4", testBase, take.Number, r.Name)] = s.bytes[fmt.Sprintf("%d/%s", take.Number, r.Name)]
		}
		for _, seg := range r.Segments {
			dir := fmt.Sprintf("%s/%d/%s/%d", testBase, seg.Take, r.Name, seg.MSN)
			all[dir+".m4s"] = s.recorded(seg.Take, r.Name, seg.MSN)
			for part := range 4 {
				if data, ok := s.bytes[partKey(seg.Take, r.Name, seg.MSN, part)]; ok {
					all[fmt.Sprintf("%s.%d.m4s", dir, part)] = data
				}
			}
		}
	}
	return all
}

// The bytes and the tag of every media URL are the same from memory, from files, after the end and from the archive
// (invariants 1 and 2 of the design; PRT-8, PRT-12).
func TestPRT8_PRT11_PRT12_SameBytesLiveAfterAndArchived(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	tags := map[string]string{}
	check := func(when string) {
		t.Helper()
		for path, want := range s.everything() {
			a := get(t, h, path, 200)
			if !bytes.Equal(a.body, want) {
				t.Errorf("%s: %s: %d bytes, want %d", when, path, len(a.body), len(want))
			}
			tag := a.Header.Get("Etag")
			if old, ok := tags[path]; ok && old != tag || tag == "" || tag[0] != '"' {
				t.Errorf("%s: %s: tag %s, before %s", when, path, tag, old)
			}
			tags[path] = tag
		}
	}
	check("from memory")
	s.forget()
	check("from files")
	s.end()
	check("ended")
	s.leave()
	check("from storage")
	s.setState(media.Archived)
	h2, _ := s.handler(Config{})
	h = h2
	check("archived")
	seen := map[string]string{}
	for path, tag := range tags {
		if other, twice := seen[tag]; twice {
			t.Errorf("%s and %s have one tag", path, other)
		}
		seen[tag] = path
	}
}

func TestHTTP14_Ranges(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	check := func() {
		t.Helper()
		for _, path := range []string{"/1/video/2.m4s", "/1/audio/2.1.m4s", "/1/video/init.mp4"} {
			path = testBase + path
			whole := get(t, h, path, 200)
			size := len(whole.body)
			if whole.Header.Get("Accept-Ranges") != "bytes" {
				t.Errorf("%s: Accept-Ranges %q", path, whole.Header.Get("Accept-Ranges"))
			}
			for _, r := range [][2]int{{0, 0}, {0, size - 1}, {7, size / 2}, {size - 1, size - 1}, {size / 3, size - 2}} {
				a := get(t, h, path, 206, fmt.Sprintf("Range: bytes=%d-%d", r[0], r[1]))
				want := fmt.Sprintf("bytes %d-%d/%d", r[0], r[1], size)
				if !bytes.Equal(a.body, whole.body[r[0]:r[1]+1]) || a.Header.Get("Content-Range") != want {
					t.Errorf("%s: %v: %d bytes, %s", path, r, len(a.body), a.Header.Get("Content-Range"))
				}
			}
			if a := get(t, h, path, 206, "Range: bytes=-5"); !bytes.Equal(a.body, whole.body[size-5:]) {
				t.Errorf("%s: last five: %d", path, len(a.body))
			}
			beyond := get(t, h, path, http.StatusRequestedRangeNotSatisfiable, "Range: bytes="+strconv.Itoa(size)+"-")
			if beyond.Header.Get("Content-Range") != "bytes */"+strconv.Itoa(size) {
				t.Errorf("%s: 416 with %q", path, beyond.Header.Get("Content-Range"))
			}
			tag := whole.Header.Get("Etag")
			get(t, h, path, 206, "Range: bytes=0-1", "If-Range: "+tag)
			get(t, h, path, 200, "Range: bytes=0-1", `If-Range: "other"`)
			get(t, h, path, 200, "Range: bytes=0-1,4-5")
			get(t, h, path, 304, "Range: bytes=0-1", "If-None-Match: "+tag)
		}
	}
	check()
	s.forget()
	check()
}

func TestGAP1_LostSegmentsAre404(t *testing.T) {
	s := newStudio(t)
	s.startTake()
	s.segments(2)
	for i := range s.names {
		r := &s.next.Renditions[i]
		r.Open = nil
		seg := media.Segment{MSN: 3, Take: 1, DTS: s.dts[i], Duration: 180000, Gap: true}
		s.must(s.take.AppendGap(i, seg))
		seg.Date = s.next.Takes[0].Anchor.Add(media.Duration(seg.DTS, 90000))
		r.Segments, r.Parts = append(r.Segments, seg), append(r.Parts, nil)
		s.dts[i] += seg.Duration
	}
	s.segments(2)
	h, _ := s.handler(Config{})
	get(t, h, testBase+"/1/video/3.m4s", 404)
	get(t, h, testBase+"/1/video/3.0.m4s", 404)
	s.end()
	s.leave()
	get(t, h, testBase+"/1/video/3.m4s", 404)
	get(t, h, testBase+"/1/video/3.0.m4s", 404)
	if a := get(t, h, testBase+"/video.m3u8", 200); !bytes.Contains(a.body, []byte("#EXT-X-GAP\n#EXTINF:2.000000,\n1/video/3.m4s")) {
		t.Errorf("no gap listed:\n%s", a.body)
	}
}

func TestInitComesFromMemoryWhenTheVolumeIsAway(t *testing.T) {
	s := newStudio(t)
	s.live()
	files := &countingFiles{Files: s.root.Files()}
	h, _ := s.handler(Config{})
	h.files = files
	get(t, h, testBase+"/1/video/init.mp4", 200) // kept from here on
	s.mu.Lock()
	s.mu.memory[partKey(2, "audio", 0, 0)] = s.bytes["2/audio"] // the packager's own copy
	s.mu.Unlock()
	files.setFail(media.ErrUnavailable)
	get(t, h, testBase+"/1/video/init.mp4", 200)
	get(t, h, testBase+"/2/audio/init.mp4", 200)
	get(t, h, testBase+"/2/video/8.m4s", 200)
	get(t, h, testBase+"/2/video/9.1.m4s", 200)
	get(t, h, testBase+"/live/video.m3u8", 200)
	get(t, h, testBase+"/2/video/init.mp4", 503)
	s.forget()
	a := get(t, h, testBase+"/2/video/8.m4s", 503)
	if slices.Contains(a.Header["Cache-Control"], "public, max-age=31536000, immutable") || a.Header.Get("Etag") != "" {
		t.Errorf("503 that may be cached: %v", a.Header)
	}
	files.setFail(nil)
	get(t, h, testBase+"/2/video/8.m4s", 200)
}

// copier is a ResponseWriter whose ReadFrom sees what io.Copy hands to the kernel.
type copier struct {
	*httptest.ResponseRecorder
	source any
}

func (c *copier) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		c.source = limited.R
	}
	return io.Copy(c.ResponseRecorder, r)
}

func TestFilesReachTheSocketWithoutACopy(t *testing.T) {
	if *throughBlocks {
		t.Skip("files are not sent themselves")
	}
	s := newStudio(t)
	s.live()
	s.forget()
	h, _ := s.handler(Config{})
	w := &copier{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", testBase+"/1/video/3.m4s", nil))
	if _, ok := w.source.(*os.File); !ok || !bytes.Equal(w.Body.Bytes(), s.recorded(1, "video", 3)) {
		t.Errorf("copied from a %T", w.source)
	}
}

// torn is a storage whose ranges end early.
type torn struct{ reclog.Files }

func (f torn) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	in, err := f.Files.OpenRange(ctx, name, offset, size)
	if err != nil || size < 1000 {
		return in, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(in, size/2), iotest.ErrReader(errors.New("cable pulled"))), in}, nil
}

func TestStorageThatFailsInMidBodyBreaksTheAnswerOff(t *testing.T) {
	s := newStudio(t)
	s.live()
	s.forget()
	h, reg := s.handler(Config{})
	h.files = torn{s.root.Files()}
	srv := httptest.NewServer(h)
	defer srv.Close()
	defer srv.Client().CloseIdleConnections()
	res, err := srv.Client().Get(srv.URL + testBase + "/1/video/3.m4s")
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes of %d, %v", len(body), res.ContentLength, err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	if n := metric(t, reg, "oxbow_origin_media_read_errors_total"); n != 1 {
		t.Errorf("%f read errors", n)
	}
}

func TestShowThatWasTakenUpAnewReplacesTheOldOne(t *testing.T) {
	s := newStudio(t)
	s.live()
	swap := &swapping{studio: s, show: s}
	h := New(Config{}, s.root.Files(), swap, s.root.Latest, slog.New(slog.DiscardHandler), nil)
	before := get(t, h, testBase+"/video.m3u8", 200)
	s.part()
	s.publish()
	swap.show = &wrapped{s} // another object with a newer version, as after packager.Resume
	after := get(t, h, testBase+"/video.m3u8", 200)
	if bytes.Equal(before.body, after.body) {
		t.Error("the old show still answers")
	}
}

type swapping struct {
	*studio
	show Show
}

func (s *swapping) Show(path media.StreamPath, id media.RecordingID) (Show, bool) {
	_, ok := s.studio.Show(path, id)
	return s.show, ok
}

type wrapped struct{ *studio }

// What was published while the volume failed is served from memory, and then is 404, never bytes of other segments.
func TestSegmentsThatStorageLacksAreNotReadFromTheirNeighbours(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	want, offset := s.recorded(1, "video", 3), s.next.Renditions[0].Segments[2].Offset
	breakIt := func(change func(*media.Segment)) {
		r := &s.next.Renditions[0]
		r.Segments = slices.Clone(r.Segments)
		change(&r.Segments[2])
		s.publish()
	}
	breakIt(func(seg *media.Segment) { seg.Offset = -1 })
	if a := get(t, h, testBase+"/1/video/3.m4s", 200); !bytes.Equal(a.body, want) {
		t.Error("not from memory")
	}
	s.forget()
	get(t, h, testBase+"/1/video/3.m4s", 404)
	get(t, h, testBase+"/1/video/2.m4s", 200)
	// Two of its four parts were written, and the next segment follows them.
	for i := 3; i < 5; i++ {
		s.next.Renditions[0].Segments[i].Offset -= int64(len(want)) / 2
	}
	breakIt(func(seg *media.Segment) { seg.Offset = offset })
	get(t, h, testBase+"/1/video/3.m4s", 404)
	breakIt(func(seg *media.Segment) { seg.Offset = -1 })
	get(t, h, testBase+"/1/video/3.m4s", 404)
	r := &s.next.Renditions[0]
	r.Parts = slices.Clone(r.Parts)
	r.Parts[2] = nil
	s.publish()
	get(t, h, testBase+"/1/video/3.1.m4s", 404)
	r.Open.Parts = slices.Clone(r.Open.Parts)
	was := r.Open.Parts[0].Offset
	r.Open.Parts[0].Offset = -1
	s.publish()
	get(t, h, testBase+"/2/video/9.0.m4s", 404)
	get(t, h, testBase+"/2/video/9.1.m4s", 200)
	r.Open.Parts[0].Offset = was
}
