package reclog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Follower reads again and again what a growing recording has, each time only what is new: a look costs what was
// written since the last one, however long the show is. It is for one goroutine.
type Follower struct {
	files Files
	path  media.StreamPath
	id    media.RecordingID
	// writer is whose files the takes' were; another may have replaced the indexes.
	writer string
	takes  map[int]*followedTake
}

// GrowingFile is a file of a growing recording, as far as it may be copied.
type GrowingFile struct {
	// Name is the file's in Files, and Take and Track say whose it is; metadata has no track.
	Name  string
	Take  int
	Track string
	// Media is a track's file, all others are of lines.
	Media bool
	// Size is where the listed segments' media ends, or the last whole line. What lies behind may still be cut off.
	Size int64
	// Final says that no more will follow.
	Final bool
	// Edge is when the last listed segment ended, by the wall clock that playlists tell; zero for files of lines.
	Edge time.Time
}

// Growth is what a Follower saw.
type Growth struct {
	Manifest
	// Files are of all takes in order, media before the lines that tell of it. A take without listed media in each of
	// its tracks has none yet.
	Files []GrowingFile
}

type followedTake struct {
	tracks   []followedLines
	metadata followedLines
	// final: the take has its last line, as of the last look.
	final bool
}

// followedLines is how far a file of lines was read.
type followedLines struct {
	read int64 // whole lines
	msn  media.MSN
	end  int64 // of the media that they name
	edge time.Time
}

// NewFollower makes a follower of a recording on a storage.
func NewFollower(files Files, path media.StreamPath, id media.RecordingID) *Follower {
	return &Follower{files: files, path: path, id: id, takes: make(map[int]*followedTake)}
}

// Look reads what is new. media.ErrNotFound without the recording.
func (f *Follower) Look(ctx context.Context) (*Growth, error) {
	g, err := f.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("follow recording %s/%s: %w", f.path, f.id, err)
	}
	return g, nil
}

func (f *Follower) look(ctx context.Context) (*Growth, error) {
	if err := checkRef(f.path, f.id); err != nil {
		return nil, err
	}
	data, err := f.files.ReadFile(ctx, ManifestName(f.path, f.id))
	if err != nil {
		return nil, err
	}
	m, err := parseManifestOf(data, Ref{Path: f.path, ID: f.id})
	if err != nil {
		return nil, err
	}
	if m.Writer != f.writer {
		clear(f.takes)
		f.writer = m.Writer
	}
	g := &Growth{Manifest: *m}
	for at := range m.Takes {
		files, err := f.lookAt(ctx, m, at)
		if err != nil {
			return nil, err
		}
		g.Files = append(g.Files, files...)
	}
	return g, nil
}

// lookAt reads what is new of a take.
func (f *Follower) lookAt(ctx context.Context, m *Manifest, at int) ([]GrowingFile, error) {
	take := &m.Takes[at]
	have := f.takes[take.Number]
	if have == nil {
		have = &followedTake{tracks: make([]followedLines, len(take.Tracks))}
		for i, tr := range take.Tracks {
			have.tracks[i] = followedLines{msn: take.FirstMSN - 1, end: tr.InitSize}
		}
		f.takes[take.Number] = have
	}
	if !have.final {
		for i, tr := range take.Tracks {
			s := indexFollower{take: take, track: tr, below: belowOf(m.Takes, at)}
			name := IndexName(f.path, f.id, take.Number, tr.Name)
			if err := f.readLines(ctx, name, MaxLine, &have.tracks[i], s.line); err != nil {
				return nil, err
			}
		}
		name := MetadataName(f.path, f.id, take.Number)
		if err := f.readLines(ctx, name, MaxMetadataLine, &have.metadata, nil); err != nil {
			return nil, err
		}
		// Lines of gaps, and metadata, may follow the newest take's seal.
		have.final = take.Sealed && at+1 < len(m.Takes)
	}
	var files []GrowingFile
	for i, tr := range take.Tracks {
		if have.tracks[i].end <= tr.InitSize {
			return nil, nil
		}
		files = append(files, GrowingFile{
			Name: TrackName(f.path, f.id, take.Number, tr.Name), Take: take.Number, Track: tr.Name, Media: true,
			Size: have.tracks[i].end, Final: take.Sealed, Edge: have.tracks[i].edge,
		})
	}
	for i, tr := range take.Tracks {
		files = append(files, GrowingFile{
			Name: IndexName(f.path, f.id, take.Number, tr.Name), Take: take.Number, Track: tr.Name,
			Size: have.tracks[i].read, Final: have.final,
		})
	}
	if have.metadata.read > 0 {
		files = append(files, GrowingFile{
			Name: MetadataName(f.path, f.id, take.Number), Take: take.Number, Size: have.metadata.read, Final: have.final,
		})
	}
	return files, nil
}

// readLines reads the whole lines that a file has got since the last look. A file that is not there has none.
func (f *Follower) readLines(
	ctx context.Context, name string, longest int, have *followedLines, line func([]byte, *followedLines),
) error {
	storage, ok := f.files.(tailFiles)
	if !ok {
		return fmt.Errorf("%w: the storage does not tell where files end", media.ErrUnsupported)
	}
	in, err := storage.OpenTail(ctx, name, have.read)
	switch {
	case errors.Is(err, media.ErrNotFound), errors.Is(err, io.ErrUnexpectedEOF):
		return nil // there is none yet, or it was cut and will grow again
	case err != nil:
		return err
	}
	r := bufio.NewReaderSize(in, longest)
	for {
		text, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			have.read += int64(len(text)) // of a line that nobody reads
			continue
		}
		if err != nil {
			if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return errors.Join(err, in.Close())
		}
		have.read += int64(len(text))
		if line != nil {
			line(text[:len(text)-1], have)
		}
	}
}

// indexFollower takes the lines of a track in. Those that do not parse or do not follow are damage, which is for Load
// to tell of.
type indexFollower struct {
	take  *media.Take
	track media.Track
	below media.MSN
}

func (s indexFollower) line(text []byte, have *followedLines) {
	var seg media.Segment
	if parseLine(text, &seg) != nil || seg.MSN >= s.below || seg.MSN <= have.msn || seg.MSN > have.msn+maxFill ||
		seg.Offset < have.end {
		return
	}
	have.msn, have.end = seg.MSN, seg.Offset+seg.Size
	have.edge = seg.Date.Add(media.Duration(seg.Duration, s.track.Timescale))
}
