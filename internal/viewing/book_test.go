package viewing

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	stream    = "acme/show"
	recording = "01kamf8v5v7yh6a8q1r0h3vk7e"
	playlist  = "/" + stream + "/" + recording + "/live/video.m3u8"
)

func part(n int) string {
	return fmt.Sprintf("/%s/%s/1/video/%d.%d.m4s", stream, recording, n/5+1, n%5)
}

// world is a book with a clock of its own.
type world struct {
	*Book
	t     testing.TB
	clock time.Time
}

func newWorld(t testing.TB, config Config) *world {
	w := &world{t: t, clock: time.Unix(1_800_000_000, 0)}
	config.Now = func() time.Time { return w.clock }
	w.Book = New(config, prometheus.NewRegistry())
	return w
}

func (w *world) pass(d time.Duration) { w.clock = w.clock.Add(d) }

// fields is a request's header.
type fields struct {
	agent, session, request string
	address                 netip.Addr
}

func (f *fields) Value(name string) string {
	switch name {
	case "User-Agent":
		return f.agent
	case "Cmcd-Session":
		return f.session
	case "Cmcd-Request":
		return f.request
	}
	return ""
}

func (f *fields) Viewer() netip.Addr { return f.address }

var home = &fields{agent: "player", address: netip.MustParseAddr("192.0.2.1")}

// get asks, and is answered at once with 1,000 bytes.
func (w *world) get(path, report string) { w.answer(path, report, home, 200) }

func (w *world) answer(path, report string, from Fields, status int) {
	r := Request{Path: path, Fields: from}
	if report != "" {
		r.Query = "CMCD=" + url.QueryEscape(report)
	}
	if v := w.Asked(&r); v != nil {
		w.Answered(v, Answer{Status: status, Body: 1000})
	}
}

// now gives the figures of the minute, and how many watch.
func (w *world) now() (media.Viewing, int64) {
	w.Sweep()
	report, _ := w.Report()
	var sum media.Viewing
	for _, row := range report.Rows {
		if err := row.Check(); err != nil {
			w.t.Errorf("row: %v", err)
		}
		sum.Add(row.Viewing)
	}
	return sum, w.Viewers()
}

func (w *world) want(what string, got, want int64) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %d, want %d", what, got, want)
	}
}

func TestSessionsAreViewers(t *testing.T) {
	w := newWorld(t, Config{})
	for i := range 10 { // ten sessions behind one address
		w.get("/"+stream+"/index.m3u8", fmt.Sprintf(`ot=m,sid="s%d",su`, i))
		w.get(playlist, fmt.Sprintf(`ot=m,sid="s%d",su`, i))
	}
	f, n := w.now()
	w.want("viewers", n, 10)
	w.want("starts", f.Starts, 10)
	w.want("starts with CMCD", f.CMCDStarts, 10)
	w.want("requests", f.Requests, 20)
	w.want("bytes", f.Bytes, 20_000)
	// One of them changes its address and its player's name.
	w.answer(playlist, `sid="s3"`, &fields{agent: "other", address: netip.MustParseAddr("2001:db8::1")}, 200)
	// Another tells by headers.
	w.answer(playlist, "", &fields{session: `sid="s4"`}, 200)
	_, n = w.now()
	w.want("viewers behind that", n, 10)
	for range 20 {
		w.pass(500 * time.Millisecond)
		w.get(playlist, `sid="s0"`)
	}
	f, n = w.now()
	w.want("viewers who stayed", n, 1)
	w.want("watched", f.WatchMS, 10_000)
	w.pass(5 * time.Second)
	_, n = w.now()
	w.want("viewers in the end", n, 0)
}

func TestAHeldRequestIsAViewer(t *testing.T) {
	w := newWorld(t, Config{})
	w.get(playlist, `sid="s",su,ot=m`)
	held := w.Asked(&Request{Path: playlist, Query: "_HLS_msn=9&CMCD=" + url.QueryEscape(`sid="s"`), Fields: home})
	w.pass(20 * time.Second)
	_, n := w.now()
	w.want("while it is held", n, 1)
	w.Answered(held, Answer{Status: 200, Body: 10})
	f, n := w.now()
	w.want("when it was answered", n, 1)
	w.want("watched", f.WatchMS, 20_000)
	w.pass(6 * time.Second)
	_, n = w.now()
	w.want("behind it", n, 0)
}

func TestWhoIsNoViewer(t *testing.T) {
	w := newWorld(t, Config{})
	w.answer(playlist, `sid="s",su,ot=m`, home, 404)
	w.answer("/acme/guess/"+recording+"/live/video.m3u8", "", home, 404)
	w.get("/"+stream+"/index.m3u8", "") // looks whether it is live
	w.get("/"+stream+"/"+recording+"/thumbnail.jpg", "")
	w.get("/"+stream+"/"+recording+"/recording.mp4", "")
	for _, odd := range []string{
		"", "/", "/acme", "/acme/show", "/acme/show/", "/ACME/show/index.m3u8", "/acme/show/x/live/video.m3u8", "//",
		"/acme/show/01KAMF8V5V7YH6A8Q1R0H3VK7E/live/video.m3u8",
	} {
		w.get(odd, "")
	}
	head := Request{Path: playlist, Head: true, Fields: home}
	if w.Asked(&head) != nil {
		t.Error("HEAD is a viewer's")
	}
	f, n := w.now()
	w.want("viewers", n, 0)
	w.want("starts", f.Starts, 0)
	w.want("bytes", f.Bytes, 3000) // they were sent all the same
	w.pass(11 * time.Second)
	w.Sweep()
	w.want("known", w.known.Load(), 0)
}

func TestViewersBehindOneAddressWithoutCMCD(t *testing.T) {
	for _, viewers := range []int{1, 2, 7, 40} {
		w := newWorld(t, Config{})
		for n := range 100 {
			for i := range viewers {
				w.get(part(n), "")
				if n%10 == 3 && i == 0 {
					w.get(part(n), "") // one of them asks twice, now and then
				}
			}
			w.pass(200 * time.Millisecond)
		}
		f, n := w.now()
		w.want(fmt.Sprintf("%d viewers", viewers), n, int64(viewers))
		w.want("starts", f.Starts, int64(viewers))
		w.want("with CMCD", f.CMCDStarts, 0)
		w.want("watched", f.WatchMS, int64(viewers)*19_800)
	}
	w := newWorld(t, Config{})
	w.get(playlist, "")
	w.answer(playlist, "", &fields{agent: "player", address: netip.MustParseAddr("192.0.2.2")}, 200)
	w.answer(playlist, "", &fields{agent: "another", address: home.address}, 200)
	other := Request{Path: playlist, Token: "eyJ", Fields: home}
	w.Answered(w.Asked(&other), Answer{Status: 200, Body: 1})
	_, n := w.now()
	w.want("told apart by address, player and token", n, 4)
}

// quality is a script of reports, a second apart, and what comes of it.
func TestQuality(t *testing.T) {
	const s = `sid="s",`
	for name, row := range map[string]struct {
		reports []string
		want    media.Viewing
	}{
		"a start as hls.js tells it": {
			[]string{s + `ot=m,su`, s + `ot=m,su`, s + `ot=v,su,bl=0`, s + `ot=v,su,bl=0`, s + `bl=2000,ot=v`},
			media.Viewing{Startups: 1, StartupMS: 3000},
		},
		"a start that the player measures": {
			[]string{s + `ot=m,su`, s + `ot=v,su`, s + `oxbow-msd=1234,oxbow-bsa=0,oxbow-bsda=0,ot=v`, s + `oxbow-msd=1234,ot=v`},
			media.Viewing{Startups: 1, StartupMS: 1234},
		},
		"a start that the player is about to tell": {
			[]string{s + `ot=m,su,oxbow-bsa=0`, s + `ot=v,su,oxbow-bsa=0`, s + `ot=v,oxbow-bsa=0`},
			media.Viewing{},
		},
		"a start by states": {
			[]string{s + `ot=m,sta=d,v=2`, s + `ot=v,sta=s,v=2`, s + `ot=v,sta=p,v=2`},
			media.Viewing{Startups: 1, StartupMS: 1000},
		},
		"a start that never was": {[]string{s + `ot=m,su`, s + `ot=v,su`}, media.Viewing{}},
		"a stall": { // empty half a second behind the third request; the last urgent one ends it
			[]string{s + `ot=m,su`, s + `ot=v,bl=4000`, s + `ot=v,bl=500`, s + `ot=m`, s + `bs,su,ot=v,bl=0`, s + `ot=v,bl=900`},
			media.Viewing{Startups: 1, Stalls: 1, StalledMS: 1500},
		},
		"a stall of which the second request at its end tells": {
			[]string{s + `ot=m,su`, s + `ot=v,bl=500`, s + `ot=m`, s + `ot=m`, s + `ot=a,bl=300+`, s + `bs,su,ot=v,bl=0`, s + `ot=v,bl=900`},
			media.Viewing{Startups: 1, Stalls: 1, StalledMS: 2600},
		},
		"a stall of which the third request at its end tells": {
			[]string{
				s + `ot=m,su`, s + `ot=v,bl=500`, s + `ot=m`, s + `ot=m`, s + `su,ot=a,bl=0+`, s + `su,ot=a,bl=0+`,
				s + `bs,su,ot=v,bl=0`, s + `ot=v,bl=900`,
			},
			media.Viewing{Startups: 1, Stalls: 1, StalledMS: 2700},
		},
		"a stall of which pictures tell that come long after the sound": {
			[]string{
				s + `ot=m,su`, s + `ot=v,bl=500`, s + `ot=m`, s + `su,ot=a,bl=0`, s + `su,ot=a,bl=0+`, s + `su,ot=a,bl=0+`,
				s + `bs,su,ot=v,bl=0`, s + `ot=v,bl=900`,
			},
			media.Viewing{Startups: 1, Stalls: 1, StalledMS: 2700},
		},
		"a stall that goes on": {
			[]string{s + `ot=m,su`, s + `ot=v,bl=0`, s + `bs,su,ot=v`, s + `su,ot=a`, s + `su,ot=v`, s + `ot=v`, s + `ot=v`},
			media.Viewing{Startups: 1, Stalls: 1, StalledMS: 3000},
		},
		"a stall by states": {
			[]string{s + `ot=m,sta=s`, s + `ot=v,sta=p,bl=(1000)`, s + `ot=m,sta=r`, s + `ot=m,sta=r`, s + `ot=v,sta=r,bs,su`, s + `ot=v,sta=p`},
			media.Viewing{Startups: 1, Stalls: 1, StalledMS: 2000},
		},
		"a stall by states, of which bs tells when it is over": {
			[]string{s + `ot=m,sta=s`, s + `ot=v,sta=p,bl=(1000)`, s + `ot=m,sta=r`, s + `ot=m,sta=r`, s + `ot=v,sta=p,bs`, s + `ot=v,sta=p`},
			media.Viewing{Startups: 1, Stalls: 1, StalledMS: 1000},
		},
		"stalls that the player counts": {
			[]string{
				s + `ot=m,su,oxbow-bsa=0,oxbow-bsda=0`, s + `oxbow-msd=10,oxbow-bsa=2,oxbow-bsda=900,bs,ot=v`,
				s + `oxbow-msd=10,oxbow-bsa=1,oxbow-bsda=400,ot=v`, s + `oxbow-msd=10,oxbow-bsa=3,oxbow-bsda=1000,ot=v`,
			},
			media.Viewing{Startups: 1, StartupMS: 10, Stalls: 3, StalledMS: 1000},
		},
		"one who comes from another edge": {
			[]string{
				s + `ot=m,oxbow-bsa=2,oxbow-bsda=900,oxbow-err=1`,
				s + `ot=v,oxbow-bsa=3,oxbow-bsda=1400,oxbow-err=2`,
			},
			media.Viewing{Stalls: 1, StalledMS: 500, Errors: 1},
		},
		"one who comes from another edge in a stall that it has counted there": {
			[]string{s + `ot=m,su,oxbow-bsa=1,oxbow-bsda=0`, s + `ot=v,su,oxbow-bsa=1,oxbow-bsda=0`, s + `ot=v,oxbow-bsa=1,oxbow-bsda=800`},
			media.Viewing{StalledMS: 800},
		},
		"one who comes from another edge, and has told nobody of its start": {
			[]string{s + `ot=m,oxbow-msd=700,oxbow-bsa=0`, s + `ot=v,oxbow-bsa=0`},
			media.Viewing{Startups: 1, StartupMS: 700},
		},
		"one who comes from a dead edge, in a stall": {
			[]string{s + `ot=m`, s + `bs,su,ot=v`, s + `ot=v`},
			media.Viewing{Stalls: 1},
		},
		"errors": {
			[]string{s + `ot=m,su,sta=s`, s + `ec=("e1" "e2")`, s + `sta=f`, s + `sta=f`},
			media.Viewing{Startups: 1, Errors: 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{})
			for _, report := range row.reports {
				text, soon := strings.CutSuffix(report, "+") // the next comes at once
				w.get(playlist, text)
				if soon {
					w.pass(100 * time.Millisecond)
				} else {
					w.pass(time.Second)
				}
			}
			f, _ := w.now()
			w.want("startups", f.Startups, row.want.Startups)
			w.want("startup", f.StartupMS, row.want.StartupMS)
			w.want("stalls", f.Stalls, row.want.Stalls)
			w.want("stalled", f.StalledMS, row.want.StalledMS)
			w.want("errors", f.Errors, row.want.Errors)
		})
	}
}

// A player that got no answer asks again with the report that it wrote first: its buffer is what it was then.
func TestARepeatedRequestTellsNothingNew(t *testing.T) {
	w := newWorld(t, Config{})
	w.get(playlist, `sid="s",ot=m,su`)
	video, audio := `sid="s",ot=v,br=2000,d=500,bl=1500,mtp=5000`, `sid="s",ot=a,br=2000,d=500,bl=1500,mtp=5000`
	for range 3 {
		w.get(part(1), video)
		w.get(part(2), audio)
		w.pass(5 * time.Second)
	}
	w.get(part(3), `sid="s",ot=v,br=2000,d=500,bl=0,mtp=5000,bs,su`)
	w.pass(100 * time.Millisecond)
	w.get(part(4), `sid="s",ot=v,br=2000,d=500,bl=500,mtp=5000`)
	f, _ := w.now()
	w.want("stalls", f.Stalls, 1)
	w.want("stalled", f.StalledMS, 13_500)
	w.want("buffers", f.Buffers, 4)
}

func TestMediaFigures(t *testing.T) {
	w := newWorld(t, Config{})
	w.get(playlist, `sid="s",ot=m,su,mtp=9999`) // a playlist's does not count
	for n := range 3 {
		w.get(part(2*n), `sid="s",ot=v,br=2000,d=2000,bl=3000,mtp=5000`)
		w.get(part(2*n+1), `sid="s",ot=a,br=2000,d=2000,bl=1000,mtp=100`)
	}
	f, _ := w.now()
	w.want("media", f.MediaMS, 6000)
	w.want("bitrates", f.BitrateSum, 3*2000*2000)
	w.want("buffers", f.Buffers, 6)
	w.want("buffer", f.BufferMS, 12_000)
	if p, ok := f.ThroughputOf.Quantile(0.9); !ok || p < 4525 || p > 6400 {
		t.Errorf("throughput %v, want about 5000", p)
	}
}

func TestAnotherRecordingGoesOn(t *testing.T) {
	w := newWorld(t, Config{})
	w.get(playlist, `sid="s",ot=m,su`)
	w.pass(time.Second)
	next := "/" + stream + "/01kamf8v5v7yh6a8q1r0h3vk7f/live/video.m3u8"
	w.get(next, `sid="s",ot=m`)
	w.Sweep()
	report, _ := w.Report()
	if len(report.Viewers) != 1 || report.Viewers[0].Recording != "01kamf8v5v7yh6a8q1r0h3vk7f" {
		t.Errorf("viewers: %v", report.Viewers)
	}
}

func TestMinutesAreToldOnce(t *testing.T) {
	w := newWorld(t, Config{})
	w.get(playlist, `sid="s",ot=m,su`)
	for range 12 {
		w.get(playlist, `sid="s",ot=m`)
		w.Sweep()
		w.pass(5 * time.Second)
	}
	w.get(playlist, `sid="s",ot=m`)
	w.Sweep()
	report, taken := w.Report()
	if len(report.Done) == 0 {
		t.Fatal("no minute is over")
	}
	var done media.Viewing
	for _, row := range report.Done {
		done.Add(row.Viewing)
		for i, n := range row.Samples {
			if n > 1 {
				t.Errorf("sample %d: %d viewers", i, n)
			}
		}
	}
	w.want("starts in it", done.Starts, 1)
	again, _ := w.Report()
	w.want("rows that nobody took", int64(len(again.Done)), int64(len(report.Done)))
	taken()
	rest, _ := w.Report()
	w.want("rows that were taken", int64(len(rest.Done)), 0)
	if err := report.Check(); err == nil {
		t.Error("a report without a run is good")
	}
	report.Run = "r"
	if err := report.Check(); err != nil {
		t.Error(err)
	}
}

func TestBoundsHold(t *testing.T) {
	w := newWorld(t, Config{MaxViewers: 5, MaxStreams: 2, MaxRows: 3})
	for i := range 10 {
		w.get(playlist, fmt.Sprintf(`sid="s%d",su,ot=m`, i))
		w.get(fmt.Sprintf("/acme/show%d/%s/live/video.m3u8", i, recording), `sid="s",su,ot=m`)
	}
	_, n := w.now()
	if n > 5 || w.known.Load() > 5 || len(w.channels.byName) > 2 {
		t.Errorf("%d viewers, %d known, %d streams", n, w.known.Load(), len(w.channels.byName))
	}
	if testutil.ToFloat64(w.metrics.leftOut) == 0 {
		t.Error("nobody was told of who is left out")
	}
	for range 5 {
		w.pass(time.Minute)
		w.get(playlist, `sid="s0"`)
		w.get(playlist, `sid="s1"`)
		w.Sweep()
	}
	if len(w.minutes.done) > 3 {
		t.Errorf("%d rows wait", len(w.minutes.done))
	}
	w.pass(time.Hour)
	w.Sweep()
	w.want("known in the end", w.known.Load(), 0)
	w.want("streams in the end", int64(len(w.channels.byName)), 0)
}

func TestMalformedReportsAreNoSessions(t *testing.T) {
	w := newWorld(t, Config{})
	w.get(playlist, `sid="a,su`)
	w.get(playlist, `sid="b,su`)
	_, n := w.now()
	w.want("viewers", n, 1) // by address
	w.want("told", int64(testutil.ToFloat64(w.metrics.malformed)), 2)
}

// BenchmarkRequest is of many viewers who go on from part to part. Its callers know the time.
func BenchmarkRequest(b *testing.B) {
	const viewers = 1000
	for name, query := range map[string]string{
		"plain": "",
		"CMCD": "CMCD=" + url.QueryEscape(`bl=1400,br=2600,d=200,dl=1400,mtp=48300,nor="..%2F1%2Fvideo%2F8.1.m4s",ot=v,rtp=13000,`+
			`sf=h,sid="6b7cbb54-8b0c-4d8c-9b8c-NNN",st=ll,tb=2600`),
	} {
		b.Run(name, func(b *testing.B) {
			book := New(Config{}, prometheus.NewRegistry())
			var asked [viewers]Request
			var parts [64]string
			for i := range parts {
				parts[i] = part(i)
			}
			for i := range asked {
				address := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
				asked[i] = Request{
					Query:  strings.ReplaceAll(query, "NNN", fmt.Sprintf("%012d", i)),
					Fields: &fields{agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", address: address}, At: time.Now(),
				}
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				r := &asked[n%viewers]
				r.Path = parts[n/viewers%len(parts)]
				r.At = r.At.Add(200 * time.Millisecond)
				book.Answered(book.Asked(r), Answer{Status: 200, Body: 60_000, Took: time.Millisecond})
			}
		})
	}
}

func TestAKnownViewerAllocatesNothing(t *testing.T) {
	w := newWorld(t, Config{})
	r := Request{Path: part(3), Query: "CMCD=" + url.QueryEscape(`sid="s",ot=v,bl=100`), Fields: home}
	plain := Request{Path: part(3), Fields: home}
	ask := func() {
		w.Answered(w.Asked(&r), Answer{Status: 200, Body: 1})
		w.Answered(w.Asked(&plain), Answer{Status: 200, Body: 1})
	}
	ask()
	if n := testing.AllocsPerRun(200, ask); n >= 1 { // the race detector has pools forget
		if !raceEnabled {
			t.Errorf("%v allocations", n)
		}
	}
}
