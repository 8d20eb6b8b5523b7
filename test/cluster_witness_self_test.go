package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// heard stands in for a test and keeps what it is told.
type heard struct {
	testing.TB
	errors []string
}

func (h *heard) Helper() {}
func (h *heard) Errorf(format string, args ...any) {
	h.errors = append(h.errors, fmt.Sprintf(format, args...))
}

const soundList = `#EXTM3U
#EXT-X-TARGETDURATION:1
#EXT-X-MEDIA-SEQUENCE:3
#EXT-X-DISCONTINUITY-SEQUENCE:1
#EXT-X-MAP:URI="../1/video/init.mp4"
#EXTINF:1.0,
../1/video/3.m4s
#EXT-X-GAP
#EXTINF:1.0,
../1/video/4.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="../2/video/init.mp4"
#EXT-X-PART:URI="../2/video/5.0.m4s",DURATION=0.5,INDEPENDENT=YES
#EXT-X-PART:URI="../2/video/5.1.m4s",DURATION=0.5
#EXTINF:1.0,
../2/video/5.m4s
#EXT-X-PART:URI="../2/video/6.0.m4s",DURATION=0.5,INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="../2/video/6.1.m4s"
`

// TestWitnessFindsFaults plants a fault in the second version of a playlist, and the witness must tell of it.
func TestWitnessFindsFaults(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, old, new, want string }{
		{"no fault", "", "", ""},
		{"window moves on", "#EXT-X-MAP:URI=\"../1/video/init.mp4\"\n#EXTINF:1.0,\n../1/video/3.m4s\n", "", "MEDIA-SEQUENCE:4"},
		{"sequence goes back", "SEQUENCE:3", "SEQUENCE:2", "EXT-X-MEDIA-SEQUENCE went back from 3 to 2"},
		{"edge goes back", "#EXT-X-PART:URI=\"../2/video/6.0.m4s\",DURATION=0.5,INDEPENDENT=YES\n", "", "live edge went back from 6.1 to 6.0"},
		{"discontinuity number", "DISCONTINUITY-SEQUENCE:1", "DISCONTINUITY-SEQUENCE:0", "had discontinuity number 1, has 0"},
		{"discontinuity lost", "#EXT-X-DISCONTINUITY\n", "", "segment 5 had discontinuity number 2, has 1"},
		{"another URI", "2/video/5.m4s", "3/video/5.m4s", "segment 5 was"},
		{"another duration", "#EXTINF:1.0,\n../2", "#EXTINF:0.9,\n../2", "segment 5 was"},
		{"gap filled", "#EXT-X-GAP\n", "", "segment 4 was"},
		{"gap made", "#EXTINF:1.0,\n../2/video/5.m4s", "#EXT-X-GAP\n#EXTINF:1.0,\n../2/video/5.m4s", "segment 5 was listed and is a gap"},
		{"another init", "../2/video/init.mp4", "../3/video/init.mp4", "segment 5 had init"},
		{"another part", "2/video/6.0.m4s", "3/video/6.0.m4s", "part 6.0 was"},
		{"part lost", "#EXT-X-PART:URI=\"../2/video/5.1.m4s\",DURATION=0.5\n", "", "segment 5 had 2 parts, has 1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := &witness{objects: map[string]*seenObject{}}
			track := &seenTrack{path: "/acme/show/r/live/video.m3u8", segments: map[int]seenSegment{}}
			next := strings.Replace(soundList, row.old, row.new, 1)
			if row.name == "window moves on" {
				next, row.want = strings.Replace(next, "SEQUENCE:3", "SEQUENCE:4", 1), ""
			}
			for _, text := range []string{soundList, next} {
				l, err := parseSeen(track.path, text)
				if err != nil {
					t.Fatal(err)
				}
				w.judge(track, l)
			}
			for _, g := range w.gapped {
				w.findings = append(w.findings, g.text)
			}
			found := strings.Join(w.findings, "\n")
			if row.want == "" && found != "" || !strings.Contains(found, row.want) {
				t.Errorf("found %q, want %q", found, row.want)
			}
		})
	}
}

// TestWitnessLoadsWhatIsListed has a server that lists a segment and does not have it at first.
func TestWitnessLoadsWhatIsListed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var ended, changed atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/index.m3u8"):
			_, _ = rw.Write([]byte("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nr/live/video.m3u8\n"))
		case strings.HasSuffix(path, ".m3u8") && ended.Load():
			_, _ = rw.Write([]byte(soundList + "#EXT-X-ENDLIST\n"))
		case strings.HasSuffix(path, ".m3u8"):
			_, _ = rw.Write([]byte(soundList))
		case strings.HasSuffix(path, "/3.m4s") && asked.Add(1) == 1:
			http.NotFound(rw, r)
		case changed.Load():
			_, _ = rw.Write([]byte("other bytes"))
		default:
			_, _ = rw.Write([]byte(path))
		}
	}))
	defer server.Close()
	w := startWitness(t, "planted", "/acme/show", server.URL)
	w.awaitListed(7, 10*time.Second)
	w.awaitAllLoaded(10 * time.Second)
	ended.Store(true)
	w.awaitEnd(10 * time.Second)
	w.stop()
	ear := &heard{TB: t}
	w.tb = ear
	w.judgeAll()
	if told := strings.Join(ear.errors, "\n"); !strings.Contains(told, "/3.m4s is listed and 404") ||
		!strings.Contains(told, "segment 5 is not what its 2 parts are") || len(ear.errors) != 2 {
		t.Errorf("told: %q", told)
	}
	ear.errors = nil
	w.verify("later", server.URL)
	if len(ear.errors) > 0 {
		t.Errorf("told: %q", ear.errors)
	}
	changed.Store(true)
	w.verify("later", server.URL)
	if len(ear.errors) != 7 {
		t.Errorf("7 objects have other bytes, told: %q", ear.errors)
	}
	w.tb = t
}

// TestFramesAreCounted plants faults in a recording's pictures.
func TestFramesAreCounted(t *testing.T) {
	t.Parallel()
	connections := []connection{{}, {}}
	for i, numbers := range [][]int{{0, 3, 1, 2, 6, 4, 5}, {30, 33, 31, 32}} {
		for _, n := range numbers {
			connections[i].sent = append(connections[i].sent, sentPicture{number: n})
		}
	}
	for _, row := range []struct {
		name     string
		recorded []int
		want     string
		missing  int
	}{
		{"all", []int{0, 1, 2, 3, 4, 5, 6, 30, 31, 32, 33}, "", 0},
		{"open part lost", []int{0, 1, 2, 3, 30, 31, 32, 33}, "", 3},
		{"nothing of the second", []int{0, 1, 2, 3, 4, 5, 6}, "", 4},
		{"one in the middle lost", []int{0, 2, 3, 4, 5, 6, 30, 31, 32, 33}, "picture 1 is missing and 2", 5},
		{"doubled", []int{0, 1, 1, 2, 3, 4, 5, 6, 30, 31, 32, 33}, "picture 1 is recorded 2 times", 0},
		{"damaged", []int{-1, 0, 1, 2, 3, 4, 5, 6, 30, 31, 32, 33}, "1 pictures are damaged", 0},
		{"never sent", []int{0, 1, 2, 3, 4, 5, 6, 7, 30, 31, 32, 33}, "picture 7 is recorded and was never sent", 0},
	} {
		ear := &heard{TB: t}
		count := judgeFrames(ear, connections, row.recorded)
		told := strings.Join(ear.errors, "\n")
		if row.want == "" && told != "" || !strings.Contains(told, row.want) || count.missing != row.missing {
			t.Errorf("%s: told %q and %d missing, want %q and %d", row.name, told, count.missing, row.want, row.missing)
		}
	}
}
