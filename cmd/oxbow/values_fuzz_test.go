package main

import (
	"encoding"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// values are the flags' own types, each with what must hold of one that is taken.
func values() map[string]func() (encoding.TextUnmarshaler, func(text string) bool) {
	return map[string]func() (encoding.TextUnmarshaler, func(string) bool){
		"listenAddress": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(listenAddress)
			return v, func(string) bool { _, _, err := net.SplitHostPort(string(*v)); return err == nil }
		},
		"byteSize": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(byteSize)
			return v, func(string) bool { return *v > 0 }
		},
		"fraction": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(fraction)
			return v, func(string) bool { return *v >= 0 && *v < 1 }
		},
		"share": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(share)
			return v, func(string) bool { return *v >= 0 && *v <= 1 }
		},
		"bitRate": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(bitRate)
			return v, func(string) bool { return *v >= 1 && *v <= 1e15 }
		},
		"apiRate": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(apiRate)
			return v, func(string) bool { return *v >= 0 && *v <= 1_000_000 }
		},
		"keepTime": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(keepTime)
			return v, func(string) bool { return *v > 0 }
		},
		"steeringTTL": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(steeringTTL)
			return v, func(string) bool { return time.Duration(*v) >= time.Second && time.Duration(*v)%time.Second == 0 }
		},
		"baseURL": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(baseURL)
			return v, func(string) bool { return !strings.Contains(string(*v), "?") && strings.HasPrefix(string(*v), "http") }
		},
		"baseURLs": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(baseURLs)
			return v, func(text string) bool { return len(*v) == 1+strings.Count(text, ",") }
		},
		"playbackURL": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(playbackURL) // it is put into a content security policy
			return v, func(string) bool { return !strings.ContainsAny(string(*v), " ;,'\"\r\n\t") }
		},
		"apiOrigins": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(apiOrigins)
			return v, func(string) bool { return len(*v) > 0 && !strings.ContainsAny(strings.Join(*v, ""), " ;'\"\r\n\t") }
		},
		"addressPrefixes": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(addressPrefixes)
			return v, func(string) bool {
				for _, p := range *v {
					if !p.IsValid() || p != p.Masked() {
						return false
					}
				}
				return len(*v) > 0
			}
		},
		"domainNames": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(domainNames)
			return v, func(string) bool {
				for _, name := range *v {
					if len(name) > maxDomain || strings.ContainsAny(name, "/\\*: \x00") || strings.Contains(name, "..") {
						return false
					}
				}
				return len(*v) > 0
			}
		},
		"fileNames": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(fileNames)
			return v, func(text string) bool { return len(*v) == 1+strings.Count(text, ",") }
		},
		"archiveURL": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(archiveURL)
			return v, func(string) bool { return (v.dir == "") != (v.bucket == "") }
		},
		"namedArchive": func() (encoding.TextUnmarshaler, func(string) bool) {
			v := new(namedArchive)
			return v, func(string) bool { return media.CheckArchiveName(v.name) == nil && v.name != media.DefaultArchive }
		},
	}
}

// FuzzValues: what a flag takes is in its range, and what it refuses is told with what to do, without the whole of it.
func FuzzValues(f *testing.F) {
	for _, text := range []string{
		":8080", "[::1]:0", "host:99999", "256MiB", "9223372036854775807GiB", "5%", "NaN", "Inf%", "1e400G", "10G", "720h", "9999999h", "90s",
		"https://example.com", "http://h/a?b", "hTtp://h/", "*", "https://a,https://b", "10.0.0.0/8,::1", "live.example.com", "*.example.com", "1.2.3.4",
		"cert.pem, other.pem", "dir:../x", "dir:", "s3://bucket/a/../b?region=r&endpoint=http://h", "s3://KEY:secret@bucket", "eu=dir:/x",
		"default=dir:/x", "s3://b?ca=%00", "http://u:p@h", "http://h\r\nX: y",
	} {
		f.Add(text)
	}
	all := values()
	f.Fuzz(func(t *testing.T, text string) {
		for name, of := range all {
			value, holds := of()
			err := value.UnmarshalText([]byte(text))
			switch {
			case err == nil && !holds(text):
				t.Errorf("%s takes %q: %+v", name, text, value)
			case err != nil && err.Error() == "":
				t.Errorf("%s refuses %q without a word", name, text)
			}
		}
	})
}

// FuzzConfigFile: a configuration file is read to values of flags or refused with its name, and one value is never more
// than the file was.
func FuzzConfigFile(f *testing.F) {
	for _, text := range []string{
		"http: \":1\"\nlog-level: debug\n", "a: &a [*a]\n", "a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", "- x\n", "a: {b: c}\n", "\t", "a: !!binary x\n",
		"a: |\n  x\n ? y\n", "? {}\n: 1\n", "a: .nan\nb: 0x7fffffffffffffffff\n", "%YAML 9\n---\n",
	} {
		f.Add(text)
	}
	name := filepath.Join(f.TempDir(), "oxbow.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 16<<10 {
			return
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := readConfigFile(name)
		if err != nil {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		for key, value := range file.values {
			switch value.(type) {
			case nil, map[string]any, []any:
			default:
				if shown := fmt.Sprint(value); len(shown) > 8*len(text)+64 {
					t.Errorf("%s has %d bytes of a file of %d", key, len(shown), len(text))
				}
			}
		}
	})
}
