package cacheproxy

import (
	"crypto/rand"

	"github.com/oxbow-video/oxbow/internal/httpcache"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// several are the ranges of an answer that has more than one, as a multipart/byteranges body (RFC 9110 section 14.6):
// text of the edge's own between runs of the object.
type several struct {
	runs        []httpcache.Range
	heads       []string // one before each run
	tail        string
	contentType string
	length      int64 // of all
}

func newSeveral(runs []httpcache.Range, o *object) *several {
	boundary := rand.Text() // nobody can have put it into the body
	s := &several{runs: runs, heads: make([]string, len(runs))}
	s.contentType = "multipart/byteranges; boundary=" + boundary
	kind := ""
	if text := o.header.Get("Content-Type"); text != "" {
		kind = "Content-Type: " + text + "\r\n"
	}
	for i, run := range runs {
		if i > 0 {
			s.heads[i] = "\r\n"
		}
		s.heads[i] += "--" + boundary + "\r\n" + kind + "Content-Range: " + run.ContentRange(o.length) + "\r\n\r\n"
		s.length += int64(len(s.heads[i])) + run.To - run.From
	}
	s.tail = "\r\n--" + boundary + "--\r\n"
	s.length += int64(len(s.tail))
	return s
}

// sendSeveral sends the runs, each as soon as it is there. A body under way is read anew for each, for they may be in
// any order.
func (b *body) sendSeveral(f *flight, o *object, s *several) error {
	for i, run := range s.runs {
		if err := b.text(s.heads[i]); err != nil {
			return err
		}
		b.from, b.to, b.at = run.From, run.To, 0
		if err := b.run(f, o); err != nil {
			return err
		}
	}
	if err := b.text(s.tail); err != nil {
		return err
	}
	return b.x.end()
}

func (b *body) text(text string) error {
	b.sent += int64(len(text))
	return b.x.write(slab.Of([]byte(text)))
}
