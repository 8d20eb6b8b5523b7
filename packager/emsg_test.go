package packager

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestCMF21_EventsFallIntoTheirPart(t *testing.T) {
	at := func(seconds ...int) *emsgQueue {
		e := &emsgQueue{timescale: 1000}
		for i, s := range seconds {
			e.add(time.Duration(s)*time.Second, int64(i+1), []byte("ID3"))
		}
		return e
	}
	for name, tc := range map[string]struct {
		e    *emsgQueue
		end  int64
		want string // ids
		left int
	}{
		"none":                      {at(), 1000, "", 0},
		"in time":                   {at(0, 1, 2), 1500, "\x01\x02", 1},
		"at the end is the next's":  {at(1), 1000, "", 1},
		"late ones go all the same": {at(3, 1), 9000, "\x02\x01", 0},
		"of one time in order":      {at(1, 1, 1), 9000, "\x01\x02\x03", 0},
	} {
		var ids string
		for _, a := range atoms(t, tc.e.appendDue(nil, tc.end)) {
			ids += string(a.body[23:24])
		}
		if ids != tc.want || len(tc.e.list) != tc.left || tc.e.bytes != 3*tc.left {
			t.Errorf("%s: %q, %d left, %d bytes", name, ids, len(tc.e.list), tc.e.bytes)
		}
	}
}

func TestCMF21_EventsAreBounded(t *testing.T) {
	e := &emsgQueue{timescale: 90000}
	largest := bytes.Repeat([]byte("x"), media.MaxMetadata)
	for i := range 2 * maxTagBytes / len(largest) {
		e.add(0, int64(i+1), largest)
	}
	if e.bytes != maxTagBytes {
		t.Errorf("%d bytes wait", e.bytes)
	}
	for n := len(e.list); n > 0; n-- {
		if got := atoms(t, e.appendDue(nil, 1)); len(got) != 1 || got[0].u32(20) != uint32(maxTagBytes/len(largest)-n+1) {
			t.Fatalf("%d boxes", len(got))
		}
	}
	for range 2 * maxTags {
		e.add(0, 1, []byte("small"))
	}
	if len(e.list) != maxTags {
		t.Errorf("%d wait", len(e.list))
	}
	if n := len(e.appendDue(nil, 1)); n > maxPartEmsg || n < maxPartEmsg/2 {
		t.Errorf("%d bytes in a part", n)
	}
}

func TestEventsCostNoPartAnAllocation(t *testing.T) {
	f := &fragment{video: true}
	e := &emsgQueue{timescale: 90000}
	payload := make([]byte, 1000)
	part := func() []byte {
		e.add(0, 1, payload)
		f.add(append(f.next(), payload...), sample{duration: 3000, sync: true})
		f.emsg = e.appendDue(f.emsg[:0], 3000)
		return f.cut(1, 1)
	}
	data := part()
	if kinds := atoms(t, data); len(kinds) != 3 || kinds[0].kind != "emsg" || len(data) != len(f.head)+1000 {
		t.Fatalf("%v", kinds)
	}
	// The part and the slices that bytes.Join is given; the queue of events reuses its array.
	if n := testing.AllocsPerRun(100, func() { part() }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

func TestCMF21_AudioCarriesTheEventsOfAShowWithoutVideo(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, nil)
		audio := audioTrack()
		s.tracks(p, audio)
		for i := range 400 {
			s.write(p)(audioFrame(0, ms(time.Duration(i)*1024*time.Second/48000)))
			if i == 300 {
				s.tell(p, media.ID3, 6500*time.Millisecond, "ID3")
			}
		}
		show := s.show()
		s.close(p, true)
		count := 0
		for _, part := range readTrack(t, s.file(show, 1, "audio")).parts {
			for _, e := range part.events {
				count++
				if at := binary.BigEndian.Uint64(e.body[8:]); at != 6500*48 || e.u32(4) != 48000 {
					t.Errorf("event at %d of %d", at, e.u32(4))
				}
			}
		}
		if count != 1 {
			t.Errorf("%d events", count)
		}
	})
}

// toldLog fails metadata only.
type toldLog struct {
	showLog
	err error
}

func (l *toldLog) AppendMetadata(media.Metadata) error { return l.err }

func TestMetadataThatStorageRefusesIsStillLive(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 4*time.Second)
		show := s.show()
		show.recorder.call(job{kind: jobState, do: func() error {
			show.recorder.log = &toldLog{show.recorder.log, errors.New("no space")}
			return nil
		}}, time.Second)
		s.tell(p, media.SCTE35, 4*time.Second, "\xfc")
		s.play(p, src, 4*time.Second)
		if got := testutil.ToFloat64(s.metrics.metadataLost); got != 1 {
			t.Errorf("%v pieces lost", got)
		}
		if n := len(s.newest().Metadata); n != 1 {
			t.Errorf("%d pieces live", n)
		}
		s.checkDegraded(0) // the next whole segment ends the outage
		s.close(p, true)
		rec := s.stored(show.ID())
		if len(rec.Metadata) != 0 || len(rec.Tracks[0].Segments) < 3 || strings.Contains(strings.Join(rec.FileNames(), " "), "metadata") {
			t.Errorf("%d pieces, %d segments", len(rec.Metadata), len(rec.Tracks[0].Segments))
		}
	})
}
