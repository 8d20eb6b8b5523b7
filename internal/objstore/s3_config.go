package objstore

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// What an S3 store does about checksums. Which of them it has is found out before the first put, by one that must be
// refused: see settle.
const (
	ChecksumsAuto      = "auto"      // CRC64NVME, else SHA-256, else none and a warning
	ChecksumsCRC64NVME = "crc64nvme" // CRC64NVME, else none and a warning
	ChecksumsSHA256    = "sha256"    // SHA-256, else none and a warning
	ChecksumsRequired  = "required"  // as auto, but puts fail where there is neither
	ChecksumsOff       = "off"       // none, and nothing is asked: the payload's signature guards the way in
)

const (
	minPartSize     = 5 << 20
	maxParts        = 10_000
	defaultPartSize = 16 << 20
	defaultParallel = 4
)

// S3Config says where a bucket is and how to talk to it.
type S3Config struct {
	// Endpoint is the base URL of an S3-compatible server; empty means Amazon's own for the region.
	Endpoint string
	// Region is that of the bucket; empty means what the SDK's default chain finds, else "us-east-1".
	Region string
	Bucket string
	// Prefix is put before every key; empty or without slashes at its ends.
	Prefix string
	// AccessKey and SecretKey, with SessionToken if they are temporary; empty means the SDK's default chain
	// (environment, shared files, roles).
	AccessKey    string
	SecretKey    string
	SessionToken string
	// VirtualHost addresses the bucket as a host name; the zero value as the first path element, which works with
	// every server of one's own.
	VirtualHost bool
	// CAFile is a PEM file of authorities that are trusted beside the system's.
	CAFile string
	// Checksums is one of the Checksums constants; empty means auto.
	Checksums string
	// PartSize is the size of an upload's parts, and of the largest object that is sent as a whole; zero means 16 MiB.
	// It is raised for objects that would need more than 10,000 parts.
	PartSize int64
	// Parallel is how many parts of one object are sent at a time; zero means 4.
	Parallel int
	// Stall is how long a connection may be silent before it is cut; zero means 2 minutes. It has to be longer than the
	// server takes to join the parts of an upload.
	Stall time.Duration
	// Limits is shared by all stores of a process; nil means NewLimits(LimitsConfig{}) for this one alone.
	Limits *Limits
	// Logger is told once what the store lacks; nil means nobody is.
	Logger *slog.Logger
}

func (c *S3Config) check() error {
	if c.Bucket == "" {
		return fmt.Errorf("%w: no bucket is named", media.ErrInvalid)
	}
	if c.Endpoint != "" {
		if u, err := url.Parse(c.Endpoint); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return fmt.Errorf("%w: endpoint %.200q: use http(s)://host[:port]", media.ErrInvalid, c.Endpoint)
		}
	}
	if c.Prefix != "" {
		if err := checkKey(c.Prefix); err != nil {
			return fmt.Errorf("prefix: %w", err)
		}
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		return fmt.Errorf("%w: access key and secret key go together", media.ErrInvalid)
	}
	switch c.Checksums {
	case "":
		c.Checksums = ChecksumsAuto
	case ChecksumsAuto, ChecksumsCRC64NVME, ChecksumsSHA256, ChecksumsRequired, ChecksumsOff:
	default:
		return fmt.Errorf("%w: checksums %.40q: use auto, crc64nvme, sha256, required or off",
			media.ErrInvalid, c.Checksums)
	}
	if c.PartSize == 0 {
		c.PartSize = defaultPartSize
	}
	if c.PartSize < minPartSize {
		return fmt.Errorf("%w: part size %d: S3 wants at least %d", media.ErrInvalid, c.PartSize, minPartSize)
	}
	if c.Stall < 0 {
		return fmt.Errorf("%w: stall of %v", media.ErrInvalid, c.Stall)
	}
	c.defaults()
	return nil
}

func (c *S3Config) defaults() {
	if c.Parallel <= 0 {
		c.Parallel = defaultParallel
	}
	if c.Stall == 0 {
		c.Stall = stallTimeout
	}
	if c.Limits == nil {
		c.Limits = newLimits(LimitsConfig{})
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// tls gives the TLS settings, nil where the system's do.
func (c *S3Config) tls() (*tls.Config, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%w: %s has no certificate in PEM form", media.ErrInvalid, c.CAFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
