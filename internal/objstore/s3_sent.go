package objstore

import (
	"context"
	"io"
	"net/http"
)

// sent counts the bytes of one part, or of an object that is sent whole, while they go out: a store that takes minutes
// for a part would else seem to stand still. The put's mu guards it.
type sent struct {
	put  *put
	done int64
	body *sentBody // that of the try under way
}

type sentKey struct{}

// counting gives a context whose requests' bodies are counted.
func (p *put) counting(ctx context.Context) (context.Context, *sent) {
	s := &sent{put: p}
	if p.options.Progress == nil {
		return ctx, s
	}
	return context.WithValue(ctx, sentKey{}, s), s
}

// end says how many of the bytes the store has, whatever went out. What is read later is not counted.
func (s *sent) end(size int64) {
	s.put.mu.Lock()
	defer s.put.mu.Unlock()
	s.body = nil
	s.setLocked(size)
}

func (s *sent) setLocked(done int64) {
	if s.put.options.Progress == nil || done == s.done && done != 0 {
		s.done = done
		return
	}
	s.put.mu.done += done - s.done
	s.done = done
	s.put.options.Progress(s.put.mu.done)
}

// count has the body of a request counted, as another try if there was one before.
func count(r *http.Request) *http.Request {
	s, ok := r.Context().Value(sentKey{}).(*sent)
	if !ok || r.Body == nil || r.Body == http.NoBody {
		return r
	}
	s.put.mu.Lock()
	defer s.put.mu.Unlock()
	counted := *r
	s.body = &sentBody{ReadCloser: r.Body, sent: s}
	counted.Body = s.body
	if s.done > 0 {
		s.setLocked(0)
	}
	return &counted
}

type sentBody struct {
	io.ReadCloser
	sent *sent
}

func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	s := b.sent
	s.put.mu.Lock()
	defer s.put.mu.Unlock()
	if s.body == b && n > 0 {
		s.setLocked(s.done + int64(n))
	}
	return n, err
}
