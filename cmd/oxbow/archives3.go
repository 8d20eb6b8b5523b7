package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/oxbow-video/oxbow/internal/objstore"
)

// How a bucket is addressed: a host name of its own, as at Amazon, or the first element of the path, as at most other
// servers.
const (
	addressingAuto    = "auto" // by path where an endpoint is given
	addressingPath    = "path"
	addressingVirtual = "virtual"
)

// s3Config gives the named store's settings, without limits and logger.
func (a archiveURL) s3Config(name string) objstore.S3Config {
	variable := "OXBOW_ARCHIVE_" + strings.ReplaceAll(strings.ToUpper(name), "-", "_")
	ca := a.ca
	if ca == "" {
		ca = os.Getenv("AWS_CA_BUNDLE")
	}
	return objstore.S3Config{
		Endpoint: a.endpoint, Region: a.region, Bucket: a.bucket, Prefix: a.prefix, Checksums: a.checksums,
		VirtualHost: a.addressing == addressingVirtual || (a.addressing != addressingPath && a.endpoint == ""), CAFile: ca,
		AccessKey: os.Getenv(variable + "_ACCESS_KEY"), SecretKey: os.Getenv(variable + "_SECRET_KEY"),
	}
}

// oneOf takes a parameter's value if it is one of those allowed.
func oneOf(to *string, name, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			*to = value
			return nil
		}
	}
	return fmt.Errorf("%s %q: use one of %v", name, value, allowed)
}
