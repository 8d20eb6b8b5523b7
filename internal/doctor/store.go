package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Archive is one of the stores of finished recordings.
type Archive struct {
	// Name is empty for the default one.
	Name  string
	Store Store
	// Date asks its server for the time; nil is no server.
	Date func(ctx context.Context) (time.Time, error)
}

// title is how its checks begin.
func (a Archive) title() string {
	if a.Name == "" {
		return "archive"
	}
	return "archive " + a.Name
}

// Store is what the archiver does with an archive.
type Store interface {
	Put(ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions) (media.Object, error)
	Stat(ctx context.Context, key string) (media.Object, error)
	OpenRange(ctx context.Context, key string, offset, size int64) (io.ReadCloser, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix string) iter.Seq2[media.Object, error]
	AbortUpload(ctx context.Context, key, uploadID string) error
}

// multipart is more than a part of an upload has by default.
const multipart = 17 << 20

// storeCheck works on objects below a random key.
type storeCheck struct {
	Store
	title  string
	prefix string
	data   []byte
	sums   bool
	digest bool // the store keeps SHA-256
	multi  bool // the store knows multipart uploads
}

func (a Archive) check(ctx context.Context, r *Report) {
	c := &storeCheck{
		Store: a.Store, title: a.title(), prefix: "oxbow-doctor-" + strings.ToLower(rand.Text()) + "/",
		data: make([]byte, multipart),
	}
	_, _ = rand.Read(c.data)
	defer c.clean(ctx, r)
	for _, step := range []struct {
		name, do string
		run      func(context.Context) error
		text     string
	}{
		{"put", "check endpoint, bucket and keys; the key needs s3:PutObject", c.put, "an object is put"},
		{"get", "allow s3:GetObject", c.get, "a range of it is read"},
		{"list", "allow s3:ListBucket", c.list, "it is listed: reindex needs that"},
		{"multipart", "allow s3:PutObject for parts, or make room", c.upload, "an object is put in parts"},
		{"abort", "allow s3:AbortMultipartUpload, or uploads that failed cost money", c.abort,
			"an upload is aborted"},
		{"delete", "allow s3:DeleteObject: retention needs it", c.delete, "objects are deleted"},
	} {
		begun := time.Now()
		if err := step.run(ctx); err != nil {
			r.add(Fail, c.title+" "+step.name, step.do, "%s", reason(err))
			if step.name == "put" {
				return
			}
			continue
		}
		r.ok(c.title+" "+step.name, "%s, in %v", step.text, time.Since(begun).Round(time.Millisecond))
	}
	switch {
	case c.sums:
		r.ok(c.title+" checksums", "the store keeps CRC-64/NVME of whole objects")
	case c.digest:
		r.ok(c.title+" checksums", "the store keeps SHA-256")
	default:
		r.ok(c.title+" checksums", "the store keeps none: the archiver reads back what it wrote, once")
	}
}

func (c *storeCheck) put(ctx context.Context) error {
	const size = 1000
	if _, err := c.Put(ctx, c.prefix+"small", bytes.NewReader(c.data), size, media.PutOptions{}); err != nil {
		return err
	}
	object, err := c.Stat(ctx, c.prefix+"small")
	if err == nil && object.Size != size {
		err = fmt.Errorf("of %d bytes the store has %d", size, object.Size)
	}
	c.sums, c.digest = object.HasChecksum, object.SHA256 != ""
	return err
}

func (c *storeCheck) get(ctx context.Context) error { return c.same(ctx, "small", 100, 200) }

func (c *storeCheck) same(ctx context.Context, name string, offset, size int64) error {
	body, err := c.OpenRange(ctx, c.prefix+name, offset, size)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(body, size+1))
	err = errors.Join(err, body.Close())
	if err == nil && !bytes.Equal(data, c.data[offset:offset+size]) {
		err = fmt.Errorf("range %d+%d gave other bytes than were put", offset, size)
	}
	return err
}

func (c *storeCheck) list(ctx context.Context) error {
	found := false
	for object, err := range c.List(ctx, c.prefix) {
		if err != nil {
			return err
		}
		found = found || object.Key == c.prefix+"small"
	}
	if !found {
		return errors.New("what was put is not listed")
	}
	return nil
}

func (c *storeCheck) upload(ctx context.Context) error {
	_, err := c.Put(ctx, c.prefix+"large", bytes.NewReader(c.data), multipart, media.PutOptions{
		NoteUpload: func(context.Context, string) error { c.multi = true; return nil },
	})
	if err != nil {
		return err
	}
	return c.same(ctx, "large", multipart-300, 300)
}

// errStop ends an upload behind its beginning.
var errStop = errors.New("stopped on purpose")

func (c *storeCheck) abort(ctx context.Context) error {
	if !c.multi {
		return nil // a directory
	}
	var id string
	_, err := c.Put(ctx, c.prefix+"aborted", bytes.NewReader(c.data), multipart, media.PutOptions{
		NoteUpload: func(_ context.Context, upload string) error { id = upload; return errStop },
	})
	if !errors.Is(err, errStop) {
		return errors.Join(errors.New("an upload did not stop when it was told to"), err)
	}
	if err := c.AbortUpload(ctx, c.prefix+"aborted", id); err != nil {
		return err
	}
	if _, err := c.Stat(ctx, c.prefix+"aborted"); !errors.Is(err, media.ErrNotFound) {
		return errors.Join(errors.New("an aborted upload left an object"), err)
	}
	return nil
}

func (c *storeCheck) delete(ctx context.Context) error {
	for _, name := range []string{"small", "large"} {
		if err := c.Delete(ctx, c.prefix+name); err != nil {
			return err
		}
		if _, err := c.Stat(ctx, c.prefix+name); !errors.Is(err, media.ErrNotFound) {
			return errors.Join(errors.New("a deleted object is still there"), err)
		}
	}
	return nil
}

// clean removes what a failed step left.
func (c *storeCheck) clean(ctx context.Context, r *Report) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), serviceTimeout)
	defer cancel()
	for _, name := range []string{"small", "large", "aborted"} {
		if _, err := c.Stat(ctx, c.prefix+name); err != nil {
			continue
		}
		if err := c.Delete(ctx, c.prefix+name); err != nil {
			r.add(Warn, c.title, "delete it by hand", "%s%s is left: %s", c.prefix, name, reason(err))
		}
	}
}
