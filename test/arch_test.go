package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/oxbow-video/oxbow"

// allowed is the direction of imports (DESIGN section 3): for each package, what it may import of this module and of
// other modules. "media" stands for internal/media and so on. The standard library is always allowed.
var allowed = map[string][]string{
	"cmd/oxbow": {
		"ingest", "packager", "archiver", "cacheproxy", "api", "migrations", "web",
		"internal/media", "internal/hls", "internal/reclog", "internal/origin",
		"internal/objstore", "internal/registry", "internal/catalog", "internal/control", "internal/loadgen",
		"internal/inspect", "internal/reindex", "internal/doctor", "internal/thumbnail", "internal/operator",
		"internal/webhook", "internal/playback", "internal/fastlane", "internal/diskcache", "internal/blocks",
		"internal/slab",
		"github.com/alecthomas/kong", "github.com/goccy/go-yaml", "github.com/prometheus/client_golang",
		"github.com/oklog/ulid/v2", "golang.org/x/sync", "golang.org/x/sys",
		"github.com/bluenviron/gortmplib", "github.com/bluenviron/mediacommon/v2", // the built-in publisher of demo
	},
	"internal/media":       {},
	"internal/bitstream":   {"internal/media"},
	"internal/hls":         {"internal/media", "github.com/klauspost/compress"},
	"internal/reclog":      {"internal/media", "internal/hls", "golang.org/x/sys"},
	"internal/progressive": {"internal/media", "internal/reclog"},
	"internal/origin": {
		"internal/media", "internal/hls", "internal/reclog", "internal/progressive", "internal/slab",
		"github.com/prometheus/client_golang",
	},
	"internal/objstore":  {"internal/media", "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go", "golang.org/x/sync"},
	"internal/registry":  {"internal/media", "github.com/redis/go-redis/v9"},
	"internal/control":   {"internal/media"},
	"internal/slab":      {"golang.org/x/sys"},
	"internal/fastlane":  {"internal/slab", "golang.org/x/sys"},
	"internal/httpcache": {},
	"internal/blocks": {
		"internal/media", "internal/reclog", "internal/slab", "github.com/prometheus/client_golang", "golang.org/x/sync",
	},
	"internal/playback": {"internal/media", "github.com/golang-jwt/jwt/v5"},
	"internal/catalog": {
		"internal/media", "migrations", "modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/pressly/goose/v3",
		"github.com/oklog/ulid/v2", "github.com/prometheus/client_golang",
	},
	"internal/catalog/catalogtest":   {},                                                 // runs a real PostgreSQL for tests
	"internal/objstore/objstoretest": {"internal/media", "github.com/aws/aws-sdk-go-v2"}, // runs a real S3 server for tests
	"internal/loadgen":               {"internal/media", "ingest", "github.com/datarhei/gosrt"},
	"internal/inspect":               {"internal/media", "internal/progressive", "internal/reclog"},
	"internal/reindex":               {"internal/media", "internal/reclog", "golang.org/x/sync"},
	"internal/doctor":                {"internal/media", "golang.org/x/sys"},
	"internal/thumbnail":             {"internal/media", "golang.org/x/sys"},
	"internal/operator":              {"internal/media", "internal/playback"},
	"internal/webhook":               {"internal/media", "github.com/prometheus/client_golang"},
	"internal/upstream":              {"github.com/prometheus/client_golang"},
	"migrations":                     {},
	"web":                            {},
	"ingest": {
		"internal/media", "internal/bitstream", "github.com/prometheus/client_golang", "github.com/bluenviron/gortmplib", "github.com/datarhei/gosrt",
	},
	"packager": {
		"internal/media", "internal/hls", "internal/reclog",
		"github.com/prometheus/client_golang", "github.com/bluenviron/mediacommon/v2",
	},
	"archiver": {
		"internal/media", "internal/hls", "internal/reclog", "internal/thumbnail", "internal/progressive",
		"github.com/prometheus/client_golang", "golang.org/x/sync",
	},
	"internal/diskcache": {"github.com/prometheus/client_golang", "golang.org/x/sys"},
	"cacheproxy": {
		"internal/media", "internal/hls", "internal/playback", "internal/slab", "internal/upstream", "internal/fastlane",
		"internal/diskcache", "internal/httpcache",
		"github.com/prometheus/client_golang", "golang.org/x/sync",
	},
	"api": {
		"internal/media", "internal/playback", "github.com/go-chi", "github.com/danielgtaylor/huma/v2", "github.com/prometheus/client_golang",
	},
	"test":             {},
	"test/bench":       {"test/bench/proc"},
	"test/bench/edge":  {"test/bench/proc", "internal/catalog/catalogtest", "golang.org/x/sys"},
	"test/bench/proc":  {}, // reads Linux's /proc
	"test/bench/store": {"internal/media", "internal/objstore"},
	"test/cachetests":  {}, // judges from outside, as the suite does
	"test/hlscheck":    {}, // judges from outside: nothing of this module
}

// TestImportRules holds the table against what the packages import, tests left out.
func TestImportRules(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		rules, listed := allowed[name]
		if !listed {
			t.Errorf("package %s is not in the table of import rules: add it with what it may import", name)
			continue
		}
		for _, path := range p.Imports {
			imported := strings.TrimPrefix(path, module+"/")
			first, _, _ := strings.Cut(imported, "/")
			if imported == path && !strings.Contains(first, ".") {
				continue // standard library
			}
			if !slices.ContainsFunc(rules, func(rule string) bool {
				return imported == rule || strings.Contains(rule, ".") && strings.HasPrefix(imported, rule+"/")
			}) {
				t.Errorf("%s imports %s: the import rules do not allow it", name, imported)
			}
		}
	}
}

// TestPackageNames refuses names that say nothing.
func TestPackageNames(t *testing.T) {
	for _, p := range listPackages(t) {
		name := p.ImportPath[strings.LastIndex(p.ImportPath, "/")+1:]
		if slices.Contains([]string{"util", "utils", "common", "types", "config", "helpers", "models", "mock"}, name) {
			t.Errorf("package %s: name it for what it provides", p.ImportPath)
		}
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}
