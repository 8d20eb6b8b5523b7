package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// policies is a fleet whose recordings are written by hand, for publishers that each try one policy.
type policies struct {
	f     *fleet
	film  *film
	root  *reclog.Root
	edges []*member
	mu    *sync.Mutex // held while the catalog is told of recordings
}

// tenant is a publisher in one of the tests.
type tenant struct {
	*oxbow
	policies
	t    *testing.T
	name string
}

// policyRow is a recording with what policies say of it.
type policyRow struct {
	recording
	EndedAt      time.Time `json:"ended_at"`
	ArchivedAt   time.Time `json:"archived_at"`
	ArchiveDue   time.Time `json:"archive_due"`
	ExpireDue    time.Time `json:"expire_due"`
	ExpireReason string    `json:"expire_reason"`
	DropDue      time.Time `json:"drop_due"`
	Archive      string    `json:"archive"`
	Mirror       string    `json:"mirror"`
	Keep         bool      `json:"keep"`
	Held         bool      `json:"held"`
}

// plannedItem is one thing that GET /v1/retention, or a dry run, tells.
type plannedItem struct {
	Recording string    `json:"recording"`
	Action    string    `json:"action"`
	Due       time.Time `json:"due"`
	Reason    string    `json:"reason"`
	Held      bool      `json:"held"`
}

// dryRun is what a change of settings would make due.
type dryRun struct {
	DryRun struct {
		Deletes     int           `json:"deletes"`
		DeleteBytes int64         `json:"delete_bytes"`
		Delete      []plannedItem `json:"delete"`
		Drops       int           `json:"drops"`
		Drop        []plannedItem `json:"drop"`
		Spared      int           `json:"spared"`
	} `json:"dry_run"`
}

// bulk is the answer to a deletion of many.
type bulk struct {
	DryRun  bool  `json:"dry_run"`
	Deleted int   `json:"deleted"`
	Bytes   int64 `json:"bytes"`
	Items   []struct {
		Recording string `json:"recording"`
	} `json:"items"`
	Left []struct {
		Recording string `json:"recording"`
		Reason    string `json:"reason"`
	} `json:"left"`
	Next string `json:"next"`
}

func (b bulk) deleted() (ids []string) {
	for _, item := range b.Items {
		ids = append(ids, item.Recording)
	}
	return ids
}

func recordingsOf(items []plannedItem) (ids []string) {
	for _, item := range items {
		ids = append(ids, item.Recording)
	}
	return ids
}

// publisher makes one, with archive_delay 0s unless the settings say otherwise.
func (w policies) publisher(t *testing.T, name string, settings map[string]any) *tenant {
	t.Helper()
	p := &tenant{policies: w, t: t, name: name}
	p.oxbow = &oxbow{tb: t, http: w.f.api.http, admin: w.f.api.admin, out: w.f.api.out}
	body := map[string]any{"name": name, "archive_delay": "0s"}
	for k, v := range settings {
		body[k] = v
	}
	p.must(http.MethodPost, "/v1/publishers", body, nil)
	return p
}

func (p *tenant) must(method, path string, in, out any) {
	p.t.Helper()
	if status := p.api(method, path, in, out); status >= 300 {
		p.t.Fatalf("%s %s: %d", method, path, status)
	}
}

// refused calls the API and gives the text of its refusal.
func (p *tenant) refused(want int, method, path string, in any) string {
	p.t.Helper()
	status, body := p.call(method, path, in)
	if status != want {
		p.t.Errorf("%s %s: %d, want %d: %s", method, path, status, want, body)
	}
	return string(body)
}

func (p *tenant) stream(name string, settings map[string]any) (key string) {
	p.t.Helper()
	body := map[string]any{"name": name}
	for k, v := range settings {
		body[k] = v
	}
	var made struct{ Key string }
	p.must(http.MethodPost, "/v1/publishers/"+p.name+"/streams", body, &made)
	return made.Key
}

func (p *tenant) set(settings map[string]any) {
	p.t.Helper()
	p.must(http.MethodPatch, "/v1/publishers/"+p.name, settings, nil)
}

func (p *tenant) setStream(stream string, settings map[string]any) {
	p.t.Helper()
	p.must(http.MethodPatch, "/v1/publishers/"+p.name+"/streams/"+stream, settings, nil)
}

func (p *tenant) keep(id string, on bool) {
	p.t.Helper()
	p.must(http.MethodPatch, "/v1/recordings/"+id, map[string]any{"keep": on}, nil)
}

// shows writes recordings that have ended just now, one for each name of a stream, the oldest first, and lists them.
func (p *tenant) shows(streams ...string) (ids []string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, stream := range streams {
		ids = append(ids, string(p.film.show(p.t, p.root, media.StreamPath{Publisher: p.name, Stream: stream}, 2)))
	}
	p.f.list("a")
	return ids
}

func (p *tenant) archived(ids ...string) {
	p.t.Helper()
	for _, id := range ids {
		p.waitState(id, "archived", time.Minute)
	}
}

func (p *tenant) row(id string) (r policyRow) {
	p.t.Helper()
	p.must(http.MethodGet, "/v1/recordings/"+id, nil, &r)
	return r
}

// local and stored list the files of a recording on the cluster's storage and in the bucket.
func (p *tenant) local(id string) []string {
	found, _ := filepath.Glob(filepath.Join(p.f.recordings("a"), p.name, "*", id, "*"))
	return found
}

func (p *tenant) stored(id string) []string {
	found, _ := filepath.Glob(filepath.Join(p.f.bucketFolder(), p.name, "*", id, "*"))
	return found
}

func (p *tenant) status(edge *member, stream, id, file string) int {
	status, _, _ := fetch("http://"+edge.http+"/"+p.name+"/"+stream+"/"+id+"/"+file, nil)
	return status
}

// plays insists that recordings are there at every edge, and has the edges cache them.
func (p *tenant) plays(stream string, ids ...string) {
	p.t.Helper()
	for _, id := range ids {
		for _, edge := range p.edges {
			for _, file := range []string{"index.m3u8", "video.m3u8", "1/video/init.mp4", "1/video/1.m4s"} {
				if status := p.status(edge, stream, id, file); status != http.StatusOK {
					p.t.Fatalf("%s: %s/%s is %d", edge.name, id, file, status)
				}
			}
		}
	}
}

// gone waits for 410 at every edge, five seconds after the recording was due at the latest, and that nothing is left.
func (p *tenant) gone(what, stream, id string, due time.Time) {
	p.t.Helper()
	for _, edge := range p.edges {
		for _, file := range []string{"index.m3u8", "video.m3u8", "1/video/init.mp4", "1/video/1.m4s"} {
			for p.status(edge, stream, id, file) != http.StatusGone {
				if late := time.Since(due); late > leeway(goneWithin) {
					p.t.Fatalf("%s: %s: %s/%s is not 410 after %s", what, edge.name, id, file, late)
				}
			}
		}
	}
	figure(p.t, "policy, "+what, "410 at every edge %d ms after it was due", time.Since(due).Milliseconds())
	p.waitGone(id, 30*time.Second)
	if left := append(p.local(id), p.stored(id)...); len(left) > 0 {
		p.t.Errorf("%s: left of %s: %v", what, id, left)
	}
}

// stays insists that a recording is as it was.
func (p *tenant) stays(what, id, state string) {
	p.t.Helper()
	if r := p.row(id); r.State != state {
		p.t.Errorf("%s: %s is %s, want %s", what, id, r.State, state)
	}
}

// sleepUntil passes real time: what is tried is that nothing happens in it.
func sleepUntil(at time.Time) { <-time.After(time.Until(at)) }

// soonAfter gives the span of whole seconds from a time to a while from now: how long a test took to come here is the
// machine's.
func soonAfter(at time.Time, more time.Duration) time.Duration {
	return (time.Since(at) + more).Truncate(time.Second)
}

// about says whether two times are the same to the millisecond, which the API tells.
func about(a, b time.Time) bool { return a.Sub(b).Abs() < 2*time.Millisecond }

// TestPolicies tries each policy in real time, on recordings in a real store that edges have cached: what is due goes,
// everywhere and within five seconds, what is not stays, and what is told ahead is what happens.
func TestPolicies(t *testing.T) {
	t.Parallel()
	f := startFleet(t, clusterConfig{nodes: 1, edges: 2, archiverFlags: []string{"--archive-grace", "1h"}})
	w := policies{
		f: f, film: shootFilm(t, "128x72", "40k"), root: openRecordings(t, f.recordings("a")),
		edges: []*member{f.member("edge1"), f.member("edge2")}, mu: &sync.Mutex{},
	}
	for name, try := range map[string]func(*testing.T, policies){
		"Unrecorded":        tryUnrecorded,
		"Delay":             tryDelay,
		"Age":               tryAge,
		"Count":             tryCount,
		"Bytes":             tryBytes,
		"LocalCopies":       tryLocalCopies,
		"Holds":             tryHolds,
		"Changes":           tryChanges,
		"DryRunOfSettings":  tryDryRunOfSettings,
		"DryRunOfDeletions": tryDryRunOfDeletions,
		"LookingAhead":      tryLookingAhead,
	} {
		t.Run(name, func(t *testing.T) {
			if name == "Unrecorded" { // a window is a minute at least; the catalog's conformance holds the rule in make test
				onlyFull(t)
			} else {
				t.Parallel()
			}
			try(t, w)
		})
	}
}

// The delay counts from the end, and a change of it holds for what still waits.
func tryDelay(t *testing.T, w policies) {
	p := w.publisher(t, "delay", map[string]any{"archive_delay": "1h"})
	for _, stream := range []string{"plain", "shorter", "longer"} {
		p.stream(stream, nil)
	}
	ids := p.shows("plain", "shorter", "longer")
	plain, shorter, longer := ids[0], ids[1], ids[2]
	delay := soonAfter(p.row(plain).EndedAt, 6*time.Second) // it has taken a while to list them
	p.setStream("plain", map[string]any{"archive_delay": delay.String()})
	p.setStream("longer", map[string]any{"archive_delay": (delay + 3*time.Second).String()})
	p.setStream("longer", map[string]any{"archive_delay": "1h"})
	if late := time.Since(p.row(longer).EndedAt) - delay - 3*time.Second; late > 0 {
		t.Fatalf("the machine took the delay that was to become longer, and %v more", late)
	}
	if r := p.row(shorter); !about(r.ArchiveDue, r.EndedAt.Add(time.Hour)) {
		t.Errorf("due for archiving at %s, want an hour after %s", r.ArchiveDue, r.EndedAt)
	}
	changed := time.Now()
	p.setStream("shorter", map[string]any{"archive_delay": "0s"})
	p.waitState(shorter, "archived", 10*time.Second)
	figure(t, "policy, archive_delay 1h to 0s", "archived %d ms after the change", time.Since(changed).Milliseconds())
	p.waitState(plain, "archived", 20*time.Second)
	r := p.row(plain)
	took := r.ArchivedAt.Sub(r.EndedAt)
	if took < delay || took > leeway(delay+8*time.Second) {
		t.Errorf("archived %s after the end, want %s and the time that it takes", took, delay)
	}
	figure(t, fmt.Sprintf("policy, archive_delay %s", delay), "archived %d ms after the end", took.Milliseconds())
	sleepUntil(p.row(longer).EndedAt.Add(delay + 6*time.Second))
	p.stays("a delay that became longer", longer, "ended")
	if r := p.row(longer); !about(r.ArchiveDue, r.EndedAt.Add(time.Hour)) || len(p.stored(longer)) > 0 {
		t.Errorf("due for archiving at %s, in the bucket %v", r.ArchiveDue, p.stored(longer))
	}
	p.set(map[string]any{"archive_delay": "0s"}) // the stream has its own
	sleepUntil(time.Now().Add(2 * time.Second))
	p.stays("a delay of the stream's own", longer, "ended")
}

func tryAge(t *testing.T, w policies) {
	p := w.publisher(t, "age", nil)
	p.stream("show", nil)
	p.stream("other", map[string]any{"retention": "0s"})
	ids := p.shows("show", "other")
	p.archived(ids...)
	p.plays("show", ids[0])
	p.plays("other", ids[1])
	age := soonAfter(p.row(ids[0]).EndedAt, 6*time.Second)
	p.set(map[string]any{"retention": age.String()})
	r := p.row(ids[0])
	due := r.EndedAt.Add(age)
	if !about(r.ExpireDue, due) || r.ExpireReason != "retention" {
		t.Errorf("due at %s by %q, want %s by retention", r.ExpireDue, r.ExpireReason, due)
	}
	sleepUntil(due.Add(-time.Second))
	if r := p.row(ids[0]); r.State != "archived" && time.Now().Before(due) {
		t.Errorf("%s before its time it is %s", time.Until(due), r.State)
	}
	p.gone("retention", "show", ids[0], due)
	p.stays("retention 0s of its stream", ids[1], "archived")
	p.plays("other", ids[1])
}

// A publisher's count is of all its streams, a stream's of its own; both hold.
func tryCount(t *testing.T, w policies) {
	p := w.publisher(t, "count", nil)
	p.stream("one", nil)
	p.stream("two", nil)
	ids := p.shows("one", "two", "one", "two", "two")
	p.archived(ids...)
	p.plays("one", ids[0], ids[2])
	p.plays("two", ids[1], ids[3], ids[4])
	changed := time.Now()
	p.set(map[string]any{"retention_count": 4})
	p.gone("retention_count of a publisher", "one", ids[0], changed)
	changed = time.Now()
	p.setStream("two", map[string]any{"retention_count": 1})
	p.gone("retention_count of a stream", "two", ids[1], changed)
	p.gone("retention_count of a stream, a second one", "two", ids[3], changed)
	for _, id := range []string{ids[2], ids[4]} {
		p.stays("within the counts", id, "archived")
	}
	more := p.shows("two") // one more makes one go
	p.gone("retention_count and a new recording", "two", ids[4], time.Now())
	p.archived(more[0])
	p.stays("another stream's", ids[2], "archived")
}

func tryBytes(t *testing.T, w policies) {
	p := w.publisher(t, "bytes", nil)
	p.stream("show", nil)
	ids := p.shows("show", "show", "show")
	p.archived(ids...)
	p.plays("show", ids...)
	changed := time.Now()
	p.set(map[string]any{"retention_bytes": p.row(ids[1]).Bytes + p.row(ids[2]).Bytes})
	p.gone("retention_bytes", "show", ids[0], changed)
	p.stays("within the bytes", ids[1], "archived")
	p.setStream("show", map[string]any{"retention_bytes": 1})
	p.gone("retention_bytes of a stream", "show", ids[1], time.Now())
	sleepUntil(time.Now().Add(4 * time.Second))
	p.stays("the newest", ids[2], "archived")
	p.plays("show", ids[2])
}

// The second tier takes the cluster's copy, and nothing else.
func tryLocalCopies(t *testing.T, w policies) {
	p := w.publisher(t, "local", nil)
	p.stream("counted", nil)
	p.stream("aged", nil)
	p.stream("room", nil)
	p.stream("waiting", map[string]any{"archive_delay": "1h", "local_retention": "1s", "local_count": 1})
	ids := p.shows("counted", "counted", "counted", "aged", "waiting", "room", "room")
	p.archived(ids[:4]...)
	p.archived(ids[5:]...)
	for _, id := range ids {
		if len(p.local(id)) == 0 {
			t.Fatalf("the copy of %s went before any policy", id)
		}
	}
	dropped := func(what, id string, since time.Time) {
		t.Helper()
		eventually(t, 10*time.Second, what+": the cluster's copy is gone", func() bool { return len(p.local(id)) == 0 })
		figure(t, "policy, "+what, "local copy gone after %d ms", time.Since(since).Milliseconds())
		p.stays(what, id, "archived")
		if len(p.stored(id)) == 0 {
			t.Errorf("%s: the bucket has nothing of %s", what, id)
		}
	}
	changed := time.Now()
	p.setStream("counted", map[string]any{"local_count": 2})
	dropped("local_count", ids[0], changed)
	changed = time.Now()
	p.setStream("counted", map[string]any{"local_count": 0, "local_bytes": p.row(ids[2]).Bytes})
	dropped("local_bytes", ids[1], changed)
	changed = time.Now()
	p.setStream("aged", map[string]any{"local_retention": "1s"})
	dropped("local_retention", ids[3], changed)
	p.keep(ids[2], true) // a hold is for the archive's copy
	changed = time.Now()
	p.setStream("counted", map[string]any{"local_retention": "1s"})
	dropped("local_retention of what is held", ids[2], changed)
	p.plays("counted", ids[:3]...)
	p.plays("aged", ids[3])
	if used := w.f.member("a-archiver").metric("oxbow_archiver_volume_used_ratio"); used > 0.02 && used < 0.75 {
		changed = time.Now()
		p.setStream("room", map[string]any{"local_free": 99}) // more than there will be: all go
		dropped("local_free", ids[5], changed)
		dropped("local_free, the next", ids[6], changed)
	} else {
		t.Logf("the volume is %.2f used: local_free is not tried", used)
	}
	p.stays("not archived", ids[4], "ended")
	if len(p.local(ids[4])) == 0 {
		t.Errorf("the only copy of %s is gone", ids[4])
	}
}

// A hold, of a recording or by the setting, beats retention and every request, and what was due goes when it ends.
func tryHolds(t *testing.T, w policies) {
	p := w.publisher(t, "holds", nil)
	p.stream("kept", nil)
	p.stream("held", map[string]any{"keep": true})
	p.stream("plain", nil)
	ids := p.shows("kept", "held", "plain")
	kept, held, plain := ids[0], ids[1], ids[2]
	p.archived(ids...)
	p.keep(kept, true)
	if r := p.row(held); !r.Held || r.Keep {
		t.Errorf("by the setting: held %v, keep %v", r.Held, r.Keep)
	}
	changed := time.Now()
	p.set(map[string]any{"retention": "1s", "retention_count": 1, "retention_bytes": 1})
	p.gone("retention beside holds", "plain", plain, changed)
	both := func() {
		t.Helper()
		for _, id := range ids[:2] {
			p.stays("a hold", id, "archived")
		}
	}
	both()
	for _, dry := range []string{"", "?dry_run=true"} {
		if text := p.refused(http.StatusConflict, http.MethodDelete, "/v1/recordings/"+kept+dry, nil); !strings.Contains(
			text, "it is kept: set keep to false first") {
			t.Errorf("delete what is kept: %s", text)
		}
		if text := p.refused(http.StatusConflict, http.MethodDelete, "/v1/recordings/"+held+dry, nil); !strings.Contains(
			text, "the setting keep of its publisher or stream holds it: set that to false first") {
			t.Errorf("delete what the setting holds: %s", text)
		}
	}
	var all bulk
	p.must(http.MethodDelete, "/v1/recordings?publisher="+p.name, nil, &all)
	if all.Deleted != 0 || len(all.Left) != 2 || all.Left[0].Recording != kept || all.Left[1].Recording != held ||
		!strings.Contains(all.Left[0].Reason, "set keep to false") || !strings.Contains(all.Left[1].Reason, "setting keep") {
		t.Errorf("delete all of the publisher's: %+v", all)
	}
	both()
	p.plays("kept", kept)
	p.plays("held", held)
	p.keep(held, false) // the setting holds it none the less
	sleepUntil(time.Now().Add(4 * time.Second))
	both()
	changed = time.Now()
	p.keep(kept, false)
	p.gone("keep set to false", "kept", kept, changed)
	changed = time.Now()
	p.setStream("held", map[string]any{"keep": false})
	p.gone("the setting keep set to false", "held", held, changed)
}

// A change of policy holds for what waits for its deletion.
func tryChanges(t *testing.T, w policies) {
	p := w.publisher(t, "changes", map[string]any{"retention": "2h"})
	for _, stream := range []string{"loosened", "forever", "tightened", "spared"} {
		p.stream(stream, nil)
	}
	p.setStream("tightened", map[string]any{"retention": "1h"})
	ids := p.shows("loosened", "forever", "tightened", "spared")
	p.keep(ids[3], true) // due soon, and held
	p.archived(ids...)
	p.plays("tightened", ids[2])
	soon := soonAfter(p.row(ids[3]).EndedAt, 10*time.Second)
	p.set(map[string]any{"retention": soon.String()})
	p.setStream("loosened", map[string]any{"retention": "1h"})
	p.setStream("forever", map[string]any{"retention": "0s"})
	due := p.row(ids[3]).EndedAt.Add(soon)
	if late := time.Since(p.row(ids[0]).EndedAt) - soon; late > 0 {
		t.Fatalf("the machine took the age that was to become another, and %v more", late)
	}
	changed := time.Now()
	p.setStream("tightened", map[string]any{"retention": "1s"})
	p.gone("retention 1h to 1s", "tightened", ids[2], changed)
	sleepUntil(due.Add(3 * time.Second))
	p.setStream("spared", map[string]any{"retention": "1h"}) // loosened while only the hold is in the way
	p.keep(ids[3], false)
	sleepUntil(time.Now().Add(4 * time.Second))
	for i, id := range []string{ids[0], ids[1], ids[3]} {
		p.stays([]string{"soon to 1h", "soon to for ever", "loosened when due"}[i], id, "archived")
	}
	if r := p.row(ids[1]); !r.ExpireDue.IsZero() || r.ExpireReason != "" {
		t.Errorf("kept for ever, yet due at %s by %q", r.ExpireDue, r.ExpireReason)
	}
	changed = time.Now()
	p.keep(ids[0], true)
	p.set(map[string]any{"retention_count": 1}) // over it: all but the newest
	p.gone("retention_count of what was spared", "forever", ids[1], changed)
	p.set(map[string]any{"retention_count": 0})
	p.keep(ids[0], false)
	sleepUntil(time.Now().Add(4 * time.Second))
	p.stays("a count that was loosened", ids[0], "archived")
	p.stays("the newest", ids[3], "archived")
}

// What is not recorded is live, can be wound back and seen to its end, and then goes; the bucket never has any of it.
func tryUnrecorded(t *testing.T, w policies) {
	p := w.publisher(t, "unrecorded", map[string]any{"record": "off", "dvr_window": "1m"})
	p.stream("before", map[string]any{"record": "on"})
	before := p.shows("before")[0]
	p.archived(before)
	p.setStream("before", map[string]any{"record": "off"}) // of shows to come
	if r := p.row(before); !r.ExpireDue.IsZero() {
		t.Errorf("what was archived before is due at %s by %q", r.ExpireDue, r.ExpireReason)
	}
	key := p.stream("show", nil)
	source := encodeSource(t, 10, "320x180", "200k")
	live := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+w.f.member("a1").rtmp.address+"/live/"+key)
	edge := w.edges[0]
	list := func(path string) string {
		_, text, _ := fetch("http://"+edge.http+"/"+p.name+"/show/"+path, nil)
		return string(text)
	}
	eventually(t, 20*time.Second, "the show is live", func() bool { return strings.Contains(list("index.m3u8"), "#EXTM3U") })
	id := p.recordings(p.name, "show")[0].ID
	eventually(t, 20*time.Second, "DVR has three segments", func() bool {
		return strings.Count(list(id+"/live/video.m3u8"), "#EXTINF") >= 3
	})
	if text := list(id + "/video.m3u8?start=0&end=2"); !strings.Contains(text, "#EXT-X-ENDLIST") {
		t.Errorf("a piece of the live show: %s", text)
	}
	if err := live.wait(time.Minute); err != nil {
		t.Fatal(err)
	}
	p.waitState(id, "ended", 10*time.Second)
	r := p.row(id)
	due := r.EndedAt.Add(time.Minute)
	if !about(r.ExpireDue, due) || r.ExpireReason != "record" || !r.ArchiveDue.IsZero() {
		t.Errorf("due at %s by %q, for archiving at %s; want %s by record, never archived", r.ExpireDue, r.ExpireReason,
			r.ArchiveDue, due)
	}
	if n := len(frameHashes(t, "http://"+edge.http+"/"+p.name+"/show/"+id+"/index.m3u8")); n != 300 {
		t.Errorf("the show that is over has %d pictures, want 300", n)
	}
	p.plays("show", id)
	sleepUntil(due.Add(-2 * time.Second))
	p.plays("show", id)
	p.stays("before the window is over", id, "ended")
	if stored := p.stored(id); len(stored) > 0 {
		t.Errorf("in the bucket: %v", stored)
	}
	p.gone("record=off and the dvr_window over", "show", id, due)
	p.plays("before", before)
	p.stays("what was archived before", before, "archived")
}

func tryDryRunOfSettings(t *testing.T, w policies) {
	p := w.publisher(t, "dry", map[string]any{"retention_count": 4})
	p.stream("one", nil)
	p.stream("two", nil)
	ids := p.shows("one", "two", "one", "two")
	p.archived(ids...)
	p.keep(ids[1], true)
	path := "/v1/publishers/" + p.name
	told := func(path string, change map[string]any) (d dryRun) {
		t.Helper()
		var before, after json.RawMessage
		p.must(http.MethodGet, path, nil, &before)
		p.must(http.MethodPatch, path+"?dry_run=true", change, &d)
		p.must(http.MethodGet, path, nil, &after)
		if string(before) != string(after) {
			t.Errorf("a dry run of %v changed %s into %s", change, before, after)
		}
		return d
	}
	// What would be deleted, is.
	change := map[string]any{"retention_count": 2}
	d := told(path, change)
	if got := recordingsOf(d.DryRun.Delete); !slices.Equal(got, ids[:1]) || d.DryRun.Deletes != 1 ||
		d.DryRun.Delete[0].Reason != "retention_count" || d.DryRun.DeleteBytes != p.row(ids[0]).Bytes || d.DryRun.Drops != 0 {
		t.Errorf("of %v is told %+v, want the deletion of %s", change, d, ids[0])
	}
	// What would be dropped, is.
	drop := map[string]any{"local_retention": "1s"}
	sleepUntil(p.row(ids[3]).ArchivedAt.Add(time.Second))
	e := told(path+"/streams/two", drop)
	if got := recordingsOf(e.DryRun.Drop); !slices.Equal(got, []string{ids[1], ids[3]}) || e.DryRun.Drops != 2 ||
		e.DryRun.Deletes != 0 {
		t.Errorf("of %v is told %+v, want the copies of %s and %s", drop, e, ids[1], ids[3])
	}
	sleepUntil(time.Now().Add(4 * time.Second)) // more than a step of the engine
	for _, id := range ids {
		if p.stays("a dry run", id, "archived"); len(p.local(id)) == 0 {
			t.Errorf("a dry run dropped the copy of %s", id)
		}
	}
	p.set(change)
	p.gone("what the dry run told", "one", ids[0], time.Now())
	p.setStream("two", drop)
	eventually(t, 10*time.Second, "the copies that the dry run told are gone", func() bool {
		return len(p.local(ids[1]))+len(p.local(ids[3])) == 0
	})
	for _, id := range ids[1:] {
		p.stays("what the dry run did not tell", id, "archived")
	}
	if len(p.local(ids[2])) == 0 {
		t.Errorf("the copy of %s went, which the dry run did not tell", ids[2])
	}
	// An error is the same, and so is what a stream's age would delete.
	for _, dry := range []string{"", "?dry_run=true"} {
		if text := p.refused(http.StatusUnprocessableEntity, http.MethodPatch, path+dry,
			map[string]any{"retention": "10ms"}); !strings.Contains(text, "body.retention") {
			t.Errorf("a wrong value: %s", text)
		}
	}
	age := map[string]any{"retention": "1s"}
	d = told(path+"/streams/one", age)
	if got := recordingsOf(d.DryRun.Delete); !slices.Equal(got, ids[2:3]) {
		t.Errorf("of %v is told %v, want %s", age, got, ids[2])
	}
	p.setStream("one", age)
	p.gone("what the dry run of a stream told", "one", ids[2], time.Now())
}

func tryDryRunOfDeletions(t *testing.T, w policies) {
	p := w.publisher(t, "drydelete", nil)
	p.stream("one", nil)
	p.stream("two", nil)
	ids := p.shows("one", "two", "one", "two", "one")
	p.archived(ids...)
	p.keep(ids[2], true)
	one := "/v1/recordings/" + ids[0]
	var r recording
	if status := p.api(http.MethodDelete, one+"?dry_run=true", nil, &r); status != http.StatusOK || r.State != "archived" {
		t.Errorf("dry run of a deletion: %d %+v", status, r)
	}
	p.plays("one", ids[0])
	p.stays("a dry run", ids[0], "archived")
	began := time.Now()
	if status := p.api(http.MethodDelete, one, nil, &r); status != http.StatusAccepted || r.State != "deleting" {
		t.Errorf("a deletion: %d %+v", status, r)
	}
	p.gone("DELETE", "one", ids[0], began)

	if text := p.refused(http.StatusUnprocessableEntity, http.MethodDelete, "/v1/recordings", nil); !strings.Contains(text,
		"it would delete every recording") {
		t.Errorf("delete without a filter: %s", text)
	}
	query := url.Values{"publisher": {p.name}, "before": {p.row(ids[4]).EndedAt.Format(time.RFC3339Nano)}, "limit": {"2"}}
	several := func(dry bool) (deleted, left []string, bytes int64) {
		t.Helper()
		query.Del("cursor")
		query.Del("dry_run")
		if dry {
			query.Set("dry_run", "true")
		}
		for pages := 1; ; pages++ {
			var page bulk
			p.must(http.MethodDelete, "/v1/recordings?"+query.Encode(), nil, &page)
			if page.DryRun != dry || page.Deleted != len(page.Items) {
				t.Errorf("page %d: %+v", pages, page)
			}
			deleted, bytes = append(deleted, page.deleted()...), bytes+page.Bytes
			for _, l := range page.Left {
				left = append(left, l.Recording+": "+l.Reason)
			}
			if page.Next == "" {
				return deleted, left, bytes
			}
			query.Set("cursor", page.Next)
		}
	}
	told, toldLeft, toldBytes := several(true)
	if !slices.Equal(told, []string{ids[1], ids[3]}) || len(toldLeft) != 1 || !strings.HasPrefix(toldLeft[0], ids[2]) {
		t.Errorf("told: delete %v, leave %v; want %v and %s", told, toldLeft, []string{ids[1], ids[3]}, ids[2])
	}
	for _, id := range ids[1:] {
		p.stays("a dry run of many", id, "archived")
	}
	began = time.Now()
	done, left, bytes := several(false)
	if !slices.Equal(done, told) || !slices.Equal(left, toldLeft) || bytes != toldBytes {
		t.Errorf("done: %v, left %v, %d bytes; told %v, %v, %d", done, left, bytes, told, toldLeft, toldBytes)
	}
	p.gone("DELETE of many", "two", ids[1], began)
	p.gone("DELETE of many, the last", "two", ids[3], began)
	p.stays("kept", ids[2], "archived")
	p.stays("not before", ids[4], "archived")
}

// GET /v1/retention lists what comes next in order, with the reason of each, whole and page by page.
func tryLookingAhead(t *testing.T, w policies) {
	p := w.publisher(t, "ahead", nil)
	for stream, settings := range map[string]map[string]any{
		"delayed": {"archive_delay": "1h", "retention": "4h"},
		"aged":    {"retention": "2h", "local_retention": "30m"},
		"held":    {"retention": "3h", "keep": true},
		"short":   {"archive_delay": "10h", "retention": "5h"}, // deleted before it would be archived
		"never":   {"local_retention": "6h"},
	} {
		p.stream(stream, settings)
	}
	ids := p.shows("delayed", "aged", "held", "short", "never")
	delayed, aged, held, short, never := ids[0], ids[1], ids[2], ids[3], ids[4]
	p.archived(aged, held, never)
	type step struct{ id, action, reason string }
	want := []step{
		{aged, "drop_local", "local_retention"}, {delayed, "archive", "archive_delay"}, {held, "drop_local", "grace"},
		{aged, "delete", "retention"}, {held, "delete", "retention"}, {delayed, "delete", "retention"},
		{short, "delete", "retention"}, {never, "drop_local", "local_retention"},
	}
	ask := func(query string) (items []plannedItem, next string) {
		t.Helper()
		var page struct {
			Items []plannedItem `json:"items"`
			Next  string        `json:"next"`
		}
		p.must(http.MethodGet, "/v1/retention?publisher="+p.name+query, nil, &page)
		return page.Items, page.Next
	}
	all, next := ask("")
	var got []step
	for i, item := range all {
		got = append(got, step{item.Recording, item.Action, item.Reason})
		if item.Held != (item.Recording == held && item.Action == "delete") {
			t.Errorf("%+v: held", item)
		}
		if i > 0 && item.Due.Before(all[i-1].Due) {
			t.Errorf("%+v comes before %+v", all[i-1], item)
		}
	}
	// The grace and the delay are both an hour, from times that differ.
	slices.SortStableFunc(got[1:3], func(a, b step) int { return strings.Compare(a.action, b.action) })
	slices.SortStableFunc(want[1:3], func(a, b step) int { return strings.Compare(a.action, b.action) })
	if !slices.Equal(got, want) || next != "" {
		t.Errorf("told %+v\nwant %+v", got, want)
	}
	var paged []plannedItem
	cursor := ""
	for range len(all) {
		items, next := ask("&limit=1&cursor=" + cursor)
		paged, cursor = append(paged, items...), next
	}
	if fmt.Sprint(paged) != fmt.Sprint(all) || cursor != "" {
		t.Errorf("page by page: %+v", paged)
	}
	until, _ := ask("&stream=aged&until=" + url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339)))
	if len(until) != 1 || until[0].Recording != aged || until[0].Action != "drop_local" {
		t.Errorf("of one stream within an hour: %+v", until)
	}
	// What is told next is what happens.
	p.setStream("aged", map[string]any{"retention": "1s", "local_retention": "1h"})
	p.gone("what is told next", "aged", aged, time.Now())
	rest, _ := ask("&stream=aged")
	if len(rest) > 0 {
		t.Errorf("of what is gone: %+v", rest)
	}
}
