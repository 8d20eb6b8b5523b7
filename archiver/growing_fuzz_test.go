package archiver

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
)

// FuzzGrowing: a description of a growing show that is believed names nothing outside of its recording, and is believed
// when it is written again.
func FuzzGrowing(f *testing.F) {
	const manifest = `{"format":2,"id":"01arz3ndektsv4rrffq69g5fav","publisher":"acme","stream":"show","created":"2026-11-22T10:00:00Z"}`
	for _, text := range []string{
		`{"format":1,"manifest":` + manifest + `,"media":[{"object":"1/video.mp4","size":5}],"lines":[{"object":"1/video.idx","base":3,"tail":"x"}]}`,
		`{"format":1,"manifest":` + manifest + `,"lines":[{"object":"../../x","base":-1}]}`,
		`{"format":1,"manifest":` + manifest + `,"media":[{"object":"/etc/passwd","size":-5,"part_size":-1}]}`,
		`{"format":9}`, `{}`, `[`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		defer fuzztest.Bound(t, 4<<20+256*len(data))()
		g, err := parseGrowing(data)
		if err != nil {
			return
		}
		for _, l := range g.Lines {
			if l.Base < 0 || leaves(l.Object) {
				t.Errorf("lines of %q at %d", l.Object, l.Base)
			}
		}
		for _, m := range g.Media {
			if m.Size < 0 || m.PartSize < 0 || leaves(m.Object) {
				t.Errorf("media %+v", m)
			}
		}
		text, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseGrowing(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(text, twice) {
			t.Errorf("%s is %s afterwards: %v", text, twice, err)
		}
	})
}

// leaves says that a name joined to a directory may end up beside it.
func leaves(name string) bool {
	return strings.HasPrefix(name, "/") || strings.Contains("/"+name+"/", "/../")
}
