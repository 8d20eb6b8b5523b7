package reclog

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// takenManifest is a manifest as it is on storage.
func takenManifest() Manifest {
	m := testManifest()
	m.Format, m.Writer, m.Continues = FormatVersion, "W", testID
	m.Takes = []media.Take{testTake(1, 1), testTake(3, 20)}
	m.Damage = []Damage{{File: "1/video.mp4", Offset: 7, Reason: "bad"}}
	return m
}

func TestManifestRoundTrip(t *testing.T) {
	m := takenManifest()
	data, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&m, back); diff != "" {
		t.Error(diff)
	}
	for _, word := range []string{`"format": 1`, `"publisher": "acme"`, `"state": "live"`, `"first_msn": 20`, `"archive_delay": "5m"`} {
		if !bytes.Contains(data, []byte(word)) {
			t.Errorf("%s is missing in %s", word, data)
		}
	}
	if bytes.Contains(data, []byte("ended_at")) {
		t.Error("a recording that grows has an end")
	}
}

func TestManifestIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Manifest){
		"format 0":         func(m *Manifest) { m.Format = 0 },
		"no id":            func(m *Manifest) { m.ID = "" },
		"id up a tree":     func(m *Manifest) { m.ID = "../../../../../../etc/pass" },
		"publisher":        func(m *Manifest) { m.Publisher = "v1" },
		"stream":           func(m *Manifest) { m.Stream = ".." },
		"continues":        func(m *Manifest) { m.Continues = "x" },
		"state":            func(m *Manifest) { m.State = "alive" },
		"take 0":           func(m *Manifest) { m.Takes[0].Number = 0 },
		"MSN 0":            func(m *Manifest) { m.Takes[0].FirstMSN = 0 },
		"MSN too high":     func(m *Manifest) { m.Takes[1].FirstMSN = MaxMSN + 1 },
		"takes not up":     func(m *Manifest) { m.Takes[1].Number = 1 },
		"MSNs not up":      func(m *Manifest) { m.Takes[1].FirstMSN = 1 },
		"no tracks":        func(m *Manifest) { m.Takes[0].Tracks = nil },
		"track name":       func(m *Manifest) { m.Takes[0].Tracks[0].Name = "../video" },
		"track twice":      func(m *Manifest) { m.Takes[0].Tracks[0].Name = "audio" },
		"other tracks":     func(m *Manifest) { m.Takes[1].Tracks = m.Takes[1].Tracks[:1] },
		"timescale":        func(m *Manifest) { m.Takes[0].Tracks[0].Timescale = 0 },
		"init size":        func(m *Manifest) { m.Takes[0].Tracks[0].InitSize = -1 },
		"init size, large": func(m *Manifest) { m.Takes[0].Tracks[0].InitSize = MaxInit + 1 },
		"too many takes":   func(m *Manifest) { m.Takes = make([]media.Take, MaxTakes+1) },
	} {
		m := takenManifest()
		change(&m)
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseManifest(data); !errors.Is(err, media.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := takenManifest()
	m.Format = ReferringVersion + 1
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseManifest(data); !errors.Is(err, media.ErrUnsupported) {
		t.Errorf("later format: %v", err)
	}
	if _, err := ParseManifest(make([]byte, MaxManifest+1)); !errors.Is(err, media.ErrTooLarge) {
		t.Errorf("large: %v", err)
	}
	if _, err := ParseManifest(nil); !errors.Is(err, media.ErrCorrupt) {
		t.Errorf("empty: %v", err)
	}
}

func TestManifestNamesItsFilesLast(t *testing.T) {
	m := takenManifest()
	want := []string{
		"1/video.mp4", "1/audio.mp4", "3/video.mp4", "3/audio.mp4",
		"1/video.idx", "1/audio.idx", "3/video.idx", "3/audio.idx", "recording.json",
	}
	var got []string
	for _, name := range m.FileNames() {
		got = append(got, strings.TrimPrefix(name, "acme/show/"+string(testID)+"/"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzManifest(f *testing.F) {
	m := takenManifest()
	data, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}"))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer fuzztest.Bound(t, 4<<20+512*len(data))()
		m, err := ParseManifest(data)
		if err != nil {
			return
		}
		text, err := m.encode()
		if err != nil {
			return // grew past the limit by its indentation
		}
		again, err := ParseManifest(text)
		if err != nil || again.ID != m.ID || len(again.Takes) != len(m.Takes) {
			t.Fatalf("%s: %v", text, err)
		}
	})
}
