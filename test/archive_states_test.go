package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// archiveState is what the API tells of a store.
type archiveState struct {
	Name      string
	State     string
	LastError string `json:"last_error"`
}

// archive gives a store as the API tells of it.
func (f *fleet) archive(name string) (found archiveState) {
	f.tb.Helper()
	var page struct{ Items []archiveState }
	if status := f.api.api(http.MethodGet, "/v1/archives", nil, &page); status != http.StatusOK {
		f.tb.Fatalf("archives: %d", status)
	}
	for _, a := range page.Items {
		if a.Name == name {
			found = a
		}
	}
	return found
}

// sickStore is one of several stores of an archiver, and what the API is to tell of it.
type sickStore struct {
	name  string
	place string // behind s3://
	state string
	words string // in the row's last_error, and in the store's
	// mirror: the recording's archive is the default one, and this its mirror.
	mirror bool
	// passes: recordings get there all the same.
	passes bool
	// heal mends it, so that what waits is archived; nil if it is not mended.
	heal func()

	id, dir string
	files   map[string]string
}

// TestArchiveStates gives an archiver eight stores and the default one, most of which have something amiss, with a recording for each: the
// API tells what, in a word and with what to do; the healthy ones wait for nobody; nothing is lost, and what is mended
// is archived.
func TestArchiveStates(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1, noArchiver: true})
	gateway, endpoint := f.s3, f.s3.Endpoint
	small := mustMountVolume(t, "-t", "tmpfs", "-o", "size=16m", "tmpfs")
	fullStore := objstoretest.MustStartGatewayWith(t, objstoretest.GatewayConfig{Dir: small})
	fullStore.MustMakeBucket(t, "tight")
	ballast := fillVolume(t, small)
	away := newFaultProxy(t, strings.TrimPrefix(endpoint, "http://"))
	away.refuse()
	plain := objstoretest.MustStartLacking(t, gateway, objstoretest.Lacks{CRC64NVME: true, SHA256: true})
	stores := []*sickStore{
		{name: "good", place: "good?endpoint=" + endpoint, state: "ok", passes: true},
		{name: "plain", place: "plain?endpoint=" + plain, state: "ok", passes: true},
		{name: "slow", state: "slow", words: "MB/s, less than 2.1", passes: true, place: "slow?endpoint=" +
			objstoretest.MustStartLacking(t, gateway, objstoretest.Lacks{Speed: 1 << 20})},
		{name: "denied", place: "denied?endpoint=" + endpoint, state: "denied", words: "check the access key"},
		{name: "tight", place: "tight?endpoint=" + fullStore.Endpoint, state: "full", words: "make room",
			heal: func() { mustRemove(t, ballast) }},
		{name: "missing", place: "missing?endpoint=" + endpoint, state: "missing", words: "create it",
			heal: func() { gateway.MustMakeBucket(t, "missing") }},
		{name: "unfit", place: "plain?checksums=required&endpoint=" + plain, state: "unfit", words: "checksums are required"},
		{name: "away", place: "away?endpoint=http://" + away.address, state: "unreachable", words: "check endpoint",
			mirror: true, heal: away.pass},
	}
	archiver := f.member("a-archiver")
	for _, s := range stores {
		if s.name != "missing" && s.name != "unfit" && s.name != "tight" {
			gateway.MustMakeBucket(t, s.name)
		}
		archiver.args = append(archiver.args, "--archives", s.name+"=s3://"+s.place+"&region=us-east-1")
	}
	archiver.env = append(archiver.env, "OXBOW_ARCHIVE_DENIED_ACCESS_KEY="+gateway.AccessKey,
		"OXBOW_ARCHIVE_DENIED_SECRET_KEY=wrong", "OXBOW_ARCHIVE_TIGHT_ACCESS_KEY="+fullStore.AccessKey,
		"OXBOW_ARCHIVE_TIGHT_SECRET_KEY="+fullStore.SecretKey)

	film := shootFilm(t, "256x144", "500k")
	root := openRecordings(t, f.recordings("a"))
	for _, s := range stores {
		setting := "archive"
		if s.mirror {
			setting = "mirror"
		}
		f.api.createStream(s.name, "show", map[string]any{"archive_delay": "0s", "thumbnail_interval": "0s", setting: s.name})
		times := 4
		if s.state == "slow" {
			times = 60
		}
		path := media.StreamPath{Publisher: s.name, Stream: "show"}
		s.id, s.files = string(film.show(t, root, path, times)), map[string]string{}
		s.dir = filepath.Join(f.recordings("a"), s.name, "show", s.id)
		sumTree(t, s.dir, s.files)
	}
	f.list("a")
	archiver.start()
	began := time.Now()
	for _, s := range stores[:2] {
		f.api.waitState(s.id, "archived", 20*time.Second)
	}
	figure(t, "beside six stores with something amiss", "recordings for two healthy ones are archived after %d ms",
		time.Since(began).Milliseconds())
	for _, s := range stores {
		f.wantState(s)
	}
	figure(t, "stores that fail", "their states, and the recordings of the others archived, after %d ms",
		time.Since(began).Milliseconds())
	for _, s := range stores {
		if s.passes {
			continue
		}
		kept := map[string]string{}
		sumTree(t, s.dir, kept)
		for name, sum := range s.files {
			if kept[name] != sum {
				t.Errorf("%s: %s is not on local storage as it was", s.name, name)
			}
		}
	}
	for _, s := range stores {
		if s.heal != nil {
			s.heal()
		}
	}
	mended := time.Now()
	for _, s := range stores {
		if s.heal == nil {
			continue
		}
		f.api.waitState(s.id, "archived", 3*time.Minute)
		eventually(t, time.Minute, s.name+" is ok", func() bool { return f.archive(s.name).State == "ok" })
		if said := f.row(s.id).LastError; said != "" {
			t.Errorf("%s: archived, and the row says %q", s.name, said)
		}
	}
	figure(t, "stores that are mended", "what waited is archived, and they are ok, after %d ms", time.Since(mended).Milliseconds())
	f.noUploads()
}

// wantState waits for what the API is to tell of a store, and of the recording that is to go there.
func (f *fleet) wantState(s *sickStore) {
	tb := f.tb
	tb.Helper()
	began, told := time.Now(), archiveState{}
	defer func() {
		if tb.Failed() {
			tb.Logf("%s: %+v; the row: %+v", s.name, told, f.row(s.id))
		}
	}()
	eventually(tb, 2*time.Minute, s.name+" is "+s.state, func() bool {
		told = f.archive(s.name)
		return told.State == s.state && strings.Contains(told.LastError, s.words)
	})
	if s.passes {
		f.api.waitState(s.id, "archived", 2*time.Minute)
		return
	}
	eventually(tb, time.Minute, "the recording says that "+s.name+" is "+s.state, func() bool {
		return f.row(s.id).LastError != ""
	})
	row := f.row(s.id)
	want := fmt.Sprintf("archive %s: %s: ", s.name, s.state)
	if row.State != "ended" && row.State != "archiving" || !strings.HasPrefix(row.LastError, want) ||
		!strings.Contains(row.LastError, s.words) {
		tb.Errorf("%s: %s, %q, want it to begin with %q", s.name, row.State, row.LastError, want)
	}
	tb.Logf("%s after %d ms: %.160s", s.name, time.Since(began).Milliseconds(), row.LastError)
}

// row is a recording as the API tells of it.
func (f *fleet) row(id string) (r recording) {
	f.tb.Helper()
	f.api.api(http.MethodGet, "/v1/recordings/"+id, nil, &r)
	return r
}

func mustRemove(tb testing.TB, file string) {
	tb.Helper()
	if err := os.Remove(file); err != nil {
		tb.Fatal(err)
	}
}
