package main

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

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
	if err != nil && strings.Contains(string(text), "@") { // there may be a secret key before it
		return errors.New("it names a user: credentials are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: use dir:PATH, " +
			"or s3://BUCKET/PREFIX?region=REGION&endpoint=URL")
	}
	if err != nil {
		return fmt.Errorf("%q: %w: use dir:PATH, or s3://BUCKET/PREFIX?region=REGION&endpoint=URL", text, err)
	}
	*a = parsed
	return nil
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
				return archiveURL{}, fmt.Errorf("endpoint %q is no URL", value)
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
