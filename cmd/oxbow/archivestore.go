package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oxbow-video/oxbow/archiver"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
)

// archiveURL is the --archive flag: where finished recordings go.
//
//	dir:PATH                                   a directory
//	s3://BUCKET[/PREFIX]?region=R&endpoint=U   any S3-compatible store; credentials from the AWS environment
//
// More parameters of the latter: checksums, addressing, ca.
type archiveURL struct {
	dir      string // a directory store's path; empty for S3
	bucket   string
	prefix   string
	region   string
	endpoint string
	// checksums is "auto", "crc64nvme", "sha256", "required" or "off".
	checksums string
	// addressing is "auto", "path" or "virtual"; empty is auto.
	addressing string
	// ca is a PEM file of authorities to trust; empty means that of AWS_CA_BUNDLE.
	ca string
}

// UnmarshalText reads the URL.
func (a *archiveURL) UnmarshalText(text []byte) error {
	parsed, err := parseArchiveURL(string(text))
	switch before, _, asked := strings.Cut(string(text), "?"); {
	case err == nil:
	case strings.Contains(string(text), "@"): // there may be a secret key before it
		return errors.New("it names a user: credentials are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: use dir:PATH, " +
			"or s3://BUCKET/PREFIX?region=REGION&endpoint=URL")
	default:
		if asked {
			before += "?..." // the secret key may be among what has no place there
		}
		return fmt.Errorf("%q: %w: use dir:PATH, or s3://BUCKET/PREFIX?region=REGION&endpoint=URL", before, err)
	}
	*a = parsed
	return nil
}

// namedArchive is one of the --archives: a store beside the default one, which publishers choose by its name.
type namedArchive struct {
	name string
	archiveURL
}

// UnmarshalText reads NAME=URL.
func (a *namedArchive) UnmarshalText(text []byte) error {
	name, rest, ok := strings.Cut(string(text), "=")
	if !ok || strings.ContainsAny(name, ":/") {
		return errors.New("it has no name: use NAME=URL, like eu=s3://BUCKET/PREFIX?region=REGION&endpoint=URL")
	}
	if err := media.CheckArchiveName(name); err != nil {
		return err
	}
	if name == media.DefaultArchive {
		return fmt.Errorf("%q is the store of --archive: choose another name", name)
	}
	a.name = name
	return a.archiveURL.UnmarshalText([]byte(rest))
}

// storesFlags name the stores of finished recordings.
type storesFlags struct {
	Archive  archiveURL     `placeholder:"URL" help:"Where finished recordings go: dir:PATH, or s3://BUCKET/PREFIX?region=R&endpoint=URL with credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Default of serve: dir:DATA/archive."`
	Archives []namedArchive `placeholder:"NAME=URL" help:"More stores, which publishers choose by name (settings archive and mirror). Their credentials are in OXBOW_ARCHIVE_NAME_ACCESS_KEY and OXBOW_ARCHIVE_NAME_SECRET_KEY, else those of --archive."`
}

// distinct refuses a name that is given twice.
func (f *storesFlags) distinct() error {
	for i, a := range f.Archives {
		if slices.ContainsFunc(f.Archives[:i], func(b namedArchive) bool { return a.name == b.name }) {
			return fmt.Errorf("--archives: %q is named twice", a.name)
		}
	}
	return nil
}

// all gives the stores by name, the default one too.
func (f *storesFlags) all() map[string]archiveURL {
	all := map[string]archiveURL{media.DefaultArchive: f.Archive}
	for _, a := range f.Archives {
		all[a.name] = a.archiveURL
	}
	return all
}

// needArchive refuses a role that was given no store.
func (f *storesFlags) needArchive() error {
	if f.Archive == (archiveURL{}) {
		return errors.New("--archive: say where recordings are kept: dir:PATH, or " +
			"s3://BUCKET/PREFIX?region=REGION&endpoint=URL")
	}
	return nil
}

// archiveError says by which flag a store was named.
func archiveError(name string, err error) error {
	if name == media.DefaultArchive {
		return fmt.Errorf("--archive: %w", err)
	}
	return fmt.Errorf("--archives: %s: %w", name, err)
}

// openArchives opens all stores, for the archiver and the edge.
func (n *node) openArchives(ctx context.Context) error {
	if err := n.distinct(); err != nil {
		return err
	}
	limits, err := objstore.NewLimits(objstore.LimitsConfig{
		BytesPerSecond: int64(n.ArchiveBandwidth), Connections: n.ArchiveConnections,
	})
	if err != nil {
		return fmt.Errorf("--archive-bandwidth, --archive-connections: %w", err)
	}
	n.archives = make(map[string]archiver.Objects)
	for name, a := range n.all() {
		store, err := n.openArchive(ctx, name, a, limits)
		if err != nil {
			return archiveError(name, err)
		}
		n.archives[name] = store
	}
	return nil
}

func (n *node) openArchive(
	ctx context.Context, name string, a archiveURL, limits *objstore.Limits,
) (archiver.Objects, error) {
	if a.bucket == "" {
		dir, err := objstore.OpenDir(a.dir)
		if err != nil {
			return nil, err
		}
		n.onClose(dir.Close)
		return dir, nil
	}
	config := a.s3Config(name)
	config.Logger, config.Limits = n.logger, limits
	s3, err := objstore.OpenS3(ctx, config)
	if err != nil {
		return nil, err
	}
	n.onClose(func() error { s3.Close(); return nil })
	return s3, nil
}

// stores gives the opened stores to the archiver.
func (n *node) stores() map[string]archiver.Store {
	stores := make(map[string]archiver.Store)
	for name, a := range n.all() {
		stores[name] = archiver.Store{Objects: n.archives[name], Place: a.place()}
	}
	return stores
}

// place tells an operator where the store is, without secrets: they are not in the URL.
func (a archiveURL) place() string {
	if a.bucket == "" {
		return "dir:" + a.dir
	}
	place := "s3://" + a.bucket
	if a.prefix != "" {
		place += "/" + a.prefix
	}
	if a.endpoint != "" {
		place += " at " + a.endpoint
	}
	return place
}

// openS3 prepares the bucket of the named store, without limits.
func (a archiveURL) openS3(ctx context.Context, name string) (*objstore.S3, error) {
	return objstore.OpenS3(ctx, a.s3Config(name))
}

func parseArchiveURL(text string) (archiveURL, error) {
	if path, ok := strings.CutPrefix(text, "dir:"); ok {
		if path == "" {
			return archiveURL{}, errors.New("no path")
		}
		return archiveURL{dir: filepath.Clean(path)}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return archiveURL{}, errors.New("no URL")
	}
	if u.Scheme != "s3" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return archiveURL{}, errors.New("not an archive")
	}
	a := archiveURL{bucket: u.Host, prefix: strings.Trim(u.Path, "/"), checksums: "auto"}
	for name, values := range u.Query() {
		value := values[0]
		switch name {
		case "region":
			a.region = value
		case "endpoint":
			if e, err := url.Parse(value); err != nil || e.Host == "" || e.User != nil {
				return archiveURL{}, errors.New("its endpoint is no URL, or names a user") // whose password is a secret
			}
			a.endpoint = value
		case "checksums":
			if err := oneOf(&a.checksums, name, value, objstore.ChecksumsAuto, objstore.ChecksumsCRC64NVME,
				objstore.ChecksumsSHA256, objstore.ChecksumsRequired, objstore.ChecksumsOff); err != nil {
				return archiveURL{}, err
			}
		case "addressing":
			if err := oneOf(&a.addressing, name, value, addressingAuto, addressingPath, addressingVirtual); err != nil {
				return archiveURL{}, err
			}
		case "ca":
			a.ca = value
		default:
			return archiveURL{}, fmt.Errorf("unknown parameter %q", name)
		}
	}
	return a, nil
}
