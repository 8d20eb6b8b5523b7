package loadgen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	// madeSegment and madePart are the lengths of what WriteRecording writes, as a show of low latency has them.
	madeSegment = 2 * time.Second
	madePart    = 500 * time.Millisecond
	madeParts   = int(madeSegment / madePart)
	// madeAudio is the bytes that a second of sound has, if the recording has room for it.
	madeAudio = 16_000
)

// RecordingConfig says what recording is made.
type RecordingConfig struct {
	Path media.StreamPath
	ID   media.RecordingID
	// Size is about how many bytes of media it has, and Length how long the show is: a multiple of 2 s, and at least that.
	Size   int64
	Length time.Duration
	// Progress is told how many bytes are written, now and then; nil is fine.
	Progress func(size int64)
}

// CheckRecording says what is wrong with the size and length of a recording that is to be made.
func CheckRecording(size int64, length time.Duration) error {
	if length < madeSegment || length > 48*time.Hour {
		return fmt.Errorf("%w: a length of %v: use 2s to 48h", media.ErrInvalid, length)
	}
	segments := int64(length / madeSegment)
	const leastSegment, mostSegment = 16 << 10, 64 << 20
	if least, most := segments*leastSegment, segments*mostSegment; size < least || size > most {
		return fmt.Errorf("%w: %d bytes in %v: use %d to %d bytes for that length", media.ErrInvalid, size, length, least,
			most)
	}
	return nil
}

// WriteRecording makes a recording that has ended, of one take with video and audio, in segments of 2 s and parts of
// 0.5 s. Its media is random bytes in boxes that are right: nothing on its way can make it smaller. It gives the
// row that it has in a catalog.
func WriteRecording(root *reclog.Root, cfg RecordingConfig) (media.Recording, error) {
	if err := CheckRecording(cfg.Size, cfg.Length); err != nil {
		return media.Recording{}, err
	}
	segments := int(cfg.Length / madeSegment)
	ended := time.Now()
	started := ended.Add(-time.Duration(segments) * madeSegment)
	writer, err := root.Create(reclog.Manifest{
		ID: cfg.ID, Publisher: cfg.Path.Publisher, Stream: cfg.Path.Stream, State: media.Live, StartedAt: started,
		Settings: media.DefaultSettings(),
		Constants: media.Constants{
			TargetDuration: madeSegment, SegmentDuration: madeSegment, PartTarget: madePart,
		},
	})
	if err != nil {
		return media.Recording{}, err
	}
	tracks := []media.Track{
		{
			Name: "video", Kind: media.Video, Codec: media.H264, Config: []byte{1}, Timescale: 90000,
			CodecString: "avc1.64001f",
		},
		{
			Name: "audio", Kind: media.Audio, Codec: media.AAC, Config: []byte{2}, Timescale: 48000, CodecString: "mp4a.40.2",
		},
	}
	take, err := writer.StartTake(media.Take{
		Number: 1, Epoch: 1, StartedAt: started, Anchor: started, FirstMSN: 1, Tracks: tracks,
	}, [][]byte{madeInit(90000, "avc1"), madeInit(48000, "mp4a")})
	if err != nil {
		return media.Recording{}, err
	}
	m := newMaker(take, cfg, segments)
	for n := range segments {
		if err := m.segment(media.MSN(n + 1)); err != nil {
			return media.Recording{}, errors.Join(err, take.Seal())
		}
	}
	if err := take.Seal(); err != nil {
		return media.Recording{}, err
	}
	err = writer.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = media.Ended, ended })
	return media.Recording{
		ID: cfg.ID, Path: cfg.Path, State: media.Ended, StartedAt: started, EndedAt: ended,
		Duration: time.Duration(segments) * madeSegment, Bytes: m.written, Local: true,
	}, err
}

// maker writes the segments of a recording.
type maker struct {
	take    *reclog.TakeWriter
	tell    func(int64)
	random  *rand.ChaCha8
	payload [2]int // bytes of a part, by track
	buffer  []byte
	written int64
}

func newMaker(take *reclog.TakeWriter, cfg RecordingConfig, segments int) *maker {
	m := &maker{take: take, tell: cfg.Progress}
	if m.tell == nil {
		m.tell = func(int64) {}
	}
	var seed [32]byte
	copy(seed[:], cfg.ID) // no two recordings alike: a store may keep the same bytes once
	m.random = rand.NewChaCha8(seed)
	part := cfg.Size / int64(segments*madeParts)
	audio := min(int64(madeAudio*madePart.Seconds()), part/4)
	m.payload = [2]int{int(part - audio), int(audio)}
	return m
}

// madeSamples is how many samples a part of each track has: 30 pictures and 46.875 frames of sound a second, about.
func madeSamples() [2]int { return [2]int{15, 24} }

func (m *maker) segment(msn media.MSN) error {
	for track, scale := range []int64{90000, 48000} {
		partTicks := scale * int64(madePart) / int64(time.Second)
		seg := media.Segment{
			MSN: msn, DTS: int64(msn-1) * partTicks * int64(madeParts), Duration: partTicks * int64(madeParts), Sync: true,
		}
		for i := range madeParts {
			m.buffer = m.part(m.buffer[:0], reclog.SequenceNumber(msn, i), seg.DTS+int64(i)*partTicks, partTicks,
				madeSamples()[track], m.payload[track])
			offset, err := m.take.AppendPart(track, m.buffer)
			if err != nil {
				return err
			}
			if i == 0 {
				seg.Offset = offset
			}
			seg.Size += int64(len(m.buffer))
		}
		if err := m.take.FinishSegment(track, seg); err != nil {
			return err
		}
		m.written += seg.Size
	}
	m.tell(m.written)
	return nil
}

// part appends a moof and an mdat with random bytes (ISO/IEC 14496-12, 8.8). The samples share ticks and payload.
func (m *maker) part(to []byte, sequence uint32, dts, ticks int64, samples, payload int) []byte {
	samples = min(samples, payload)
	run := madeWords(nil, 0x1|0x100|0x200, uint32(samples), 0)
	for i := range samples {
		length, size := ticks/int64(samples), payload/samples
		if i == samples-1 {
			length, size = ticks-length*int64(i), payload-size*i
		}
		run = madeWords(run, uint32(length), uint32(size))
	}
	const head, fixed = 8, 8 + 16 + 8 + 16 + 20 + 8 // of a box; moof, mfhd, traf, tfhd, tfdt, trun's header
	moof := uint32(fixed + len(run))
	binary.BigEndian.PutUint32(run[8:], moof+head) // where the first sample begins
	to = append(madeWords(to, moof), "moof"...)
	to = madeWords(append(madeWords(to, 16), "mfhd"...), 0, sequence)
	to = append(madeWords(to, moof-8-16), "traf"...)
	to = madeWords(append(madeWords(to, 16), "tfhd"...), 0x020000, 1)
	to = madeWords(append(madeWords(to, 20), "tfdt"...), 1<<24, uint32(dts>>32), uint32(dts))
	to = append(append(madeWords(to, uint32(8+len(run))), "trun"...), run...)
	to = append(madeWords(to, uint32(head+payload)), "mdat"...)
	at := len(to)
	to = append(to, make([]byte, payload)...)
	_, _ = m.random.Read(to[at:]) // it never fails
	return to
}

// madeInit makes an initialization section that says no more than a track's timescale and kind of samples.
func madeInit(timescale uint32, entry string) []byte {
	mdhd := madeBox("mdhd", madeWords(nil, 0, 0, 0, timescale, 0, 0x55c40000)) // in no language
	const entrySize = 78                                                       // of a VisualSampleEntry
	stsd := madeBox("stsd", append(madeWords(nil, 0, 1), madeBox(entry, make([]byte, entrySize))...))
	mdia := madeBox("mdia", append(mdhd, madeBox("minf", madeBox("stbl", stsd))...))
	moov := madeBox("moov", madeBox("trak", mdia))
	return append(madeBox("ftyp", []byte("iso6\x00\x00\x00\x00")), moov...)
}

func madeWords(to []byte, values ...uint32) []byte {
	for _, v := range values {
		to = binary.BigEndian.AppendUint32(to, v)
	}
	return to
}

func madeBox(kind string, payload []byte) []byte {
	return append(append(madeWords(nil, uint32(len(payload)+8)), kind...), payload...)
}
