package bitstream

import (
	"bytes"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// fuzzVideo has every access unit of a stream as a seed, with the record that the stream makes. Whatever comes: a record
// that is given is taken by another reader, in the same form; a sample is read again as it is.
func fuzzVideo(f *testing.F, at int, more ...[]byte) {
	const limit = 1 << 16
	for i := 1; i < len(more); i++ {
		f.Add([]byte{}, more[i-1], more[i])
	}
	stream := videoStreams(f)[at]
	s := stream.make()
	var record []byte
	for i, unit := range stream.units {
		u, err := s.Read(bytes.Clone(unit), limit, func(Fault) {})
		if err != nil {
			f.Fatal(err)
		}
		if i == 0 {
			record = u.Config
		}
		f.Add(record, unit, stream.units[0])
		f.Add([]byte{}, unit, unit)
	}
	f.Fuzz(func(t *testing.T, record, first, second []byte) {
		s := stream.make()
		config, fault := s.SetConfig(bytes.Clone(record))
		if config != nil && fault != "" {
			t.Fatalf("%x and %q", config, fault)
		}
		oneForm(t, stream.make(), config)
		for _, b := range [][]byte{first, second} {
			u, err := s.Read(bytes.Clone(b), limit, func(Fault) {})
			if err != nil {
				return
			}
			if len(u.Payload) > limit || len(u.Captions) > maxCaptions || len(u.Captions)%3 != 0 {
				t.Fatalf("%d bytes, %d of captions", len(u.Payload), len(u.Captions))
			}
			if u.Sync && !u.Picture {
				t.Fatal("a random access point without a picture")
			}
			if u.Width == 0 {
				oneForm(t, stream.make(), u.Config)
			}
			if !u.Picture {
				continue
			}
			again, err := stream.make().Read(bytes.Clone(u.Payload), limit, func(fault Fault) { t.Fatalf("again: %s", fault) })
			if err != nil {
				t.Fatal(err)
			}
			// Of AV1 the sequence header says whether any frame is a key frame: it need not be in this sample.
			if !again.Picture || again.Sync != u.Sync && stream.name != "av1" || again.Leading != u.Leading {
				t.Fatalf("%+v, again %+v", u, again)
			}
		}
	})
}

// oneForm has another reader take a configuration.
func oneForm(t *testing.T, s Video, config []byte) {
	if config == nil {
		return
	}
	if again, fault := s.SetConfig(config); !bytes.Equal(again, config) {
		t.Fatalf("%x is taken as %x, %q", config, again, fault)
	}
}

func FuzzAVC(f *testing.F) {
	var fields [][]byte
	for _, field := range paffFields(2) {
		b, _ := ByteStream(nil, field, 1<<16)
		fields = append(fields, b)
	}
	fuzzVideo(f, 0, fields...)
}
func FuzzHEVC(f *testing.F) { fuzzVideo(f, 1) }
func FuzzAV1(f *testing.F)  { fuzzVideo(f, 2) }
func FuzzVP9(f *testing.F)  { fuzzVideo(f, 3) }

func FuzzByteStream(f *testing.F) {
	f.Add(testdata(f, "avc.h264"), 1<<16)
	f.Add(testdata(f, "hevc.hevc"), 100)
	f.Add(testdata(f, "paff.h264"), 1<<20)
	f.Fuzz(func(t *testing.T, stream []byte, limit int) {
		limit &= 1<<20 - 1
		b, ok := ByteStream(nil, stream, limit)
		if len(b) > limit {
			t.Fatalf("%d bytes", len(b))
		}
		if !ok {
			return
		}
		for _, codec := range []media.Codec{media.H264, media.HEVC} {
			for rest := b; len(rest) > 0; {
				n := FirstUnit(rest, codec)
				if n <= 0 {
					t.Fatalf("an access unit of %d bytes", n)
				}
				rest = rest[n:]
			}
		}
		_, err := filter(b, func(fault Fault) { t.Fatal(fault) }, func(unit []byte) bool {
			if bytes.Contains(unit, []byte{0, 0, 1}) {
				t.Fatal("a start code is left")
			}
			return false
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func fuzzAudio(f *testing.F, header int, parse func([]byte) (AudioFrame, bool), names ...string) {
	for _, name := range names {
		b := testdata(f, name)
		f.Add(b)
		f.Add(b[:header])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for range 64 {
			a, ok := parse(b)
			if !ok {
				return
			}
			if a.Size <= a.Header || a.Size > len(b)+1<<13 || a.Rate <= 0 || a.Samples <= 0 || !a.SameTrack(a) {
				t.Fatalf("%+v", a)
			}
			if track := a.Track(); len(track.Config) < 2 || track.Codec != a.Codec {
				t.Fatalf("%+v", track)
			}
			if a.Size > len(b) {
				return
			}
			b = b[a.Size:]
		}
	})
}

func FuzzADTS(f *testing.F) { fuzzAudio(f, ADTSHeader, ParseADTS, "aac.adts") }
func FuzzAC3(f *testing.F)  { fuzzAudio(f, AC3Header, ParseAC3, "ac3.ac3", "eac3.eac3") }
func FuzzMPEGAudio(f *testing.F) {
	fuzzAudio(f, MPEGAudioHeader, ParseMPEGAudio, "mp3.mp3", "mp2.mp2")
}

func FuzzLATM(f *testing.F) {
	b := testdata(f, "aac.loas")
	f.Add(b)
	for _, at := range []int{3, 5, 9} {
		f.Add(b[:at])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var l LATM
		for range 64 {
			size, ok := l.Parse(b)
			if !ok || size > len(b) {
				return
			}
			units, track, changed, _ := l.Read(b[:size])
			total := 0
			for _, u := range units {
				total += len(u)
			}
			if total > size || changed != (track.Config != nil) || changed && !AACConfigOK(track.Config) {
				t.Fatalf("%d bytes of %d, %v, %+v", total, size, changed, track)
			}
			b = b[size:]
		}
	})
}

func FuzzOpus(f *testing.F) {
	b := testdata(f, "opus.ogg")
	f.Add(b[bytes.Index(b, []byte("OpusHead")):])
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, ok := OpusSamples(b); ok && (n < 120 || n > opusMaxSamples) {
			t.Fatal(n)
		}
		if config, ok := OpusOfHead(b); ok && (len(config) < 11 || len(config) > 13+255) {
			t.Fatalf("%x", config)
		}
	})
}

func FuzzFLAC(f *testing.F) {
	f.Add(testdata(f, "flac.flac")[:42])
	f.Fuzz(func(t *testing.T, b []byte) {
		if config, unit, ok := FLACOfHeader(b); ok && (len(config) != flacStreamInfo || unit < 16) {
			t.Fatalf("%x, %d", config, unit)
		}
	})
}

func FuzzAACConfig(f *testing.F) {
	f.Add([]byte{0x11, 0x90}, testdata(f, "aac.adts"))
	f.Fuzz(func(t *testing.T, config, unit []byte) {
		if AACConfigOK(config) && len(config) > maxAACConfig {
			t.Fatal(len(config))
		}
		if bare, ok := WithoutADTS(unit); len(bare) > len(unit) || ok == (len(bare) == len(unit)) {
			t.Fatalf("%d of %d, %v", len(bare), len(unit), ok)
		}
	})
}
