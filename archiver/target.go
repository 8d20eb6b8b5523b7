package archiver

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/oxbow-video/oxbow/internal/media"
)

// target is a store that a job's recording is to be in.
type target struct {
	*job
	objects *archive
}

// unknownArchiveError: this archiver does not have the store that a recording names.
type unknownArchiveError struct{ name string }

func (e unknownArchiveError) Error() string {
	if e.name == media.DefaultArchive {
		return "the default archive is not configured on this archiver: add --archive URL"
	}
	return fmt.Sprintf("archive %q is not configured on this archiver: add --archives %s=URL", e.name, e.name)
}

// Unwrap makes errors.Is(err, media.ErrUnavailable) true.
func (unknownArchiveError) Unwrap() error { return media.ErrUnavailable }

// names gives the stores of the recording.
func (j *job) names() []string { return storesOf(j.claim.Recording) }

// storesOf names the stores of a recording: its archive, and then its mirror.
func storesOf(r media.Recording) []string {
	first, mirror := media.ArchiveName(r.Archive), r.Mirror
	if mirror == "" || media.ArchiveName(mirror) == first {
		return []string{first}
	}
	return []string{first, media.ArchiveName(mirror)}
}

// in gives the named store.
func (j *job) in(name string) (*target, error) {
	s, ok := j.archives[media.ArchiveName(name)]
	if !ok {
		return nil, unknownArchiveError{media.ArchiveName(name)}
	}
	return &target{job: j, objects: s}, nil
}

// targets gives the stores that the recording is to be in, the archive before its mirror.
func (j *job) targets() ([]*target, error) { return j.all(j.names()) }

// all gives the named stores.
func (j *job) all(names []string) ([]*target, error) {
	var targets []*target
	for _, name := range names {
		t, err := j.in(name)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// failed names the store in an error, if there are several.
func (t *target) failed(err error) error {
	if err != nil && len(t.archives) > 1 {
		return fmt.Errorf("archive %s: %w", t.objects.name, err)
	}
	return err
}

// upload is a multipart upload as it is noted. The default store is noted without its name.
func (t *target) upload(object, id string) media.Upload {
	u := media.Upload{Recording: t.id, Object: object, UploadID: id}
	if t.objects.name != media.DefaultArchive {
		u.Store = t.objects.name
	}
	return u
}

// noted gives the uploads to this store that the catalog knows of, by object.
func (t *target) noted(ctx context.Context) (map[string][]string, error) {
	list, err := t.uploads.Uploads(ctx, t.id)
	if err != nil {
		return nil, err
	}
	noted := make(map[string][]string)
	for _, u := range list {
		if media.ArchiveName(u.Store) == t.objects.name {
			noted[u.Object] = append(noted[u.Object], u.UploadID)
		}
	}
	return noted, nil
}

// forget makes sure that the store knows uploads no more, and then lets the catalog forget them. One that was completed
// is unknown already.
func (t *target) forget(ctx context.Context, object string, uploads []string) error {
	for _, id := range uploads {
		if err := t.objects.AbortUpload(ctx, object, id); err != nil {
			return err
		}
		if err := t.uploads.RemoveUpload(ctx, t.upload(object, id)); err != nil {
			return err
		}
	}
	return nil
}

// forgetAll is forget of all uploads to this store that the catalog knows of.
func (t *target) forgetAll(ctx context.Context) error {
	noted, err := t.noted(ctx)
	if err != nil {
		return err
	}
	for object, ids := range noted {
		if err := t.forget(ctx, object, ids); err != nil {
			return err
		}
	}
	return nil
}

// forgetElsewhere aborts uploads to stores that the recording is not to be in any more.
func (j *job) forgetElsewhere(ctx context.Context, targets []*target) error {
	list, err := j.uploads.Uploads(ctx, j.id)
	if err != nil {
		return err
	}
	for _, u := range list {
		if isTarget(targets, u.Store) {
			continue
		}
		t, err := j.in(u.Store)
		if err != nil { // the deletion asks for it again
			j.logger.Warn("an upload is left in an archive that the recording left", "archive", u.Store,
				"object", u.Object, "err", err)
			continue
		}
		if err := t.forget(ctx, u.Object, []string{u.UploadID}); err != nil {
			return t.failed(err)
		}
	}
	return nil
}

func isTarget(targets []*target, name string) bool {
	for _, t := range targets {
		if t.objects.name == media.ArchiveName(name) {
			return true
		}
	}
	return false
}

// maxVerified bounds what is remembered, for a store that keeps failing in mid-recording.
const maxVerified = 10_000

// verified are the objects of recordings under way that this process has put and verified, so that a retry does not sum
// up the same bytes again.
type verified struct {
	mu struct {
		sync.Mutex
		objects map[verifiedKey]media.Object
	}
}

type verifiedKey struct{ store, key string }

func (v *verified) note(store string, object media.Object) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mu.objects == nil || len(v.mu.objects) >= maxVerified {
		v.mu.objects = make(map[verifiedKey]media.Object)
	}
	v.mu.objects[verifiedKey{store, object.Key}] = object
}

// has says that the object is the one that was verified.
func (v *verified) has(store string, object media.Object) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	known, ok := v.mu.objects[verifiedKey{store, object.Key}]
	return ok && known.Size == object.Size && (!object.HasChecksum || known.Checksum == object.Checksum)
}

// forget is for when a recording's work is done.
func (v *verified) forget(dir string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for k := range v.mu.objects {
		if strings.HasPrefix(k.key, dir) {
			delete(v.mu.objects, k)
		}
	}
}
