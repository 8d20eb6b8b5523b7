package archiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	// growingName is the object that tells what the archive has of a recording that grows.
	growingName = "recording.growing.json"
	// growingFormat is its version.
	growingFormat = 1
	// maxTail is how many bytes of a file's newest lines it has itself. When there are more, the file is stored as it
	// stands: an object can't be appended to, and the index of a long show is not sent again every few seconds.
	maxTail = 64 << 10
)

// growing is recording.growing.json: what the archive has of a recording that grows, stored behind all that it names.
//
//	{"format":1,"at":"...","manifest":{...},
//	 "media":[{"object":"1/video.mp4","size":812345,"part_size":16777216}],
//	 "lines":[{"object":"1/video.idx","base":65000,"tail":"..."}]}
//
// A file of lines is the first base bytes of its object, and tail behind them; one that is not named is its object.
type growing struct {
	Format   int             `json:"format"`
	At       time.Time       `json:"at"`
	Manifest reclog.Manifest `json:"manifest"`
	Media    []growingMedia  `json:"media"`
	Lines    []growingLines  `json:"lines,omitempty"`
	// Whole says that every file of lines is here, because the objects are being replaced.
	Whole bool `json:"whole,omitempty"`
}

type growingMedia struct {
	Object   string `json:"object"`
	Size     int64  `json:"size"`
	PartSize int64  `json:"part_size,omitempty"`
}

type growingLines struct {
	Object string `json:"object"`
	Base   int64  `json:"base,omitempty"`
	Tail   string `json:"tail,omitempty"`
}

func (j *job) growingKey() string { return j.dir() + growingName }

// parseGrowing reads recording.growing.json.
func parseGrowing(data []byte) (*growing, error) {
	var g growing
	if err := json.Unmarshal(data, &g); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", growingName, media.ErrCorrupt, err)
	}
	if g.Format != growingFormat {
		return nil, fmt.Errorf("%s: %w format %d: this version reads %d", growingName, media.ErrUnsupported, g.Format,
			growingFormat)
	}
	text, err := json.Marshal(g.Manifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", growingName, err)
	}
	m, err := reclog.ParseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", growingName, err)
	}
	g.Manifest = *m
	for _, l := range g.Lines {
		if l.Base < 0 || !filepath.IsLocal(l.Object) {
			return nil, fmt.Errorf("%s: %w: lines of %.80q", growingName, media.ErrCorrupt, l.Object)
		}
	}
	for _, m := range g.Media {
		if m.Size < 0 || m.PartSize < 0 || !filepath.IsLocal(m.Object) {
			return nil, fmt.Errorf("%s: %w: media of %.80q", growingName, media.ErrCorrupt, m.Object)
		}
	}
	return &g, nil
}

// partSize gives that of an object's upload; zero is not known.
func (g *growing) partSize(object string) int64 {
	for _, m := range g.Media {
		if m.Object == object {
			return m.PartSize
		}
	}
	return 0
}

// lines stores the files of lines as far as the description does not have them itself, and describes what there is.
func (s *show) lines(ctx context.Context, g *reclog.Growth) (*growing, error) {
	doc := &growing{Format: growingFormat, At: time.Now().UTC(), Manifest: g.Manifest}
	if g.Writer != s.writer { // the indexes may be others
		clear(s.base)
		s.writer = g.Writer
	}
	has := make(map[int]bool)
	for i := range g.Files {
		f := &g.Files[i]
		has[f.Take] = true
		object := strings.TrimPrefix(f.Name, s.dir())
		if f.Media {
			m := growingMedia{Object: object, Size: f.Size}
			if u := s.grown.open[f.Name]; u != nil {
				m.Size, m.PartSize = u.Size(), u.PartSize
			}
			doc.Media = append(doc.Media, m)
			continue
		}
		base, stored := s.base[f.Name]
		if f.Size < base {
			base, stored = 0, false
		}
		if f.Size-base > maxTail || f.Final && (!stored || base < f.Size) {
			if err := s.storeLines(ctx, f); err != nil {
				return nil, err
			}
			base = f.Size
			s.base[f.Name] = base
		}
		if f.Final {
			continue
		}
		tail, err := s.readLocal(ctx, f.Name, base, f.Size-base)
		if err != nil {
			return nil, err
		}
		doc.Lines = append(doc.Lines, growingLines{Object: object, Base: base, Tail: string(tail)})
	}
	doc.Manifest.Takes = nil
	for _, take := range g.Takes {
		if has[take.Number] {
			doc.Manifest.Takes = append(doc.Manifest.Takes, take)
		}
	}
	return doc, nil
}

// storeLines stores a file as it stands.
func (s *show) storeLines(ctx context.Context, f *reclog.GrowingFile) (err error) {
	source, err := s.local.Open(ctx, f.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if source.Size() < f.Size {
		return fmt.Errorf("%s: %w: %d of %d bytes", f.Name, io.ErrUnexpectedEOF, source.Size(), f.Size)
	}
	return s.put(ctx, file{key: f.Name}, io.NewSectionReader(source, 0, f.Size), f.Size, false)
}

func (s *show) readLocal(ctx context.Context, name string, offset, size int64) ([]byte, error) {
	in, err := s.local.Files().OpenRange(ctx, name, offset, size)
	if err != nil {
		return nil, err
	}
	text := make([]byte, size)
	_, err = io.ReadFull(in, text)
	return text, errors.Join(err, in.Close())
}

// describe stores recording.growing.json, if it tells anything new.
func (s *show) describe(ctx context.Context, doc *growing) error {
	at := doc.At
	doc.At = time.Time{}
	same, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode %s: %w", growingName, err)
	}
	sum := media.NewChecksum()
	_, _ = sum.Write(same)
	if sum.Sum64() == s.described {
		return nil
	}
	doc.At = at
	text, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode %s: %w", growingName, err)
	}
	if err := s.storeText(ctx, file{key: s.growingKey()}, append(text, '\n')); err != nil {
		return err
	}
	s.described = sum.Sum64()
	return nil
}
