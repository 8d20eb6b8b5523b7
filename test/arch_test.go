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
		"internal/webhook", "internal/playback", "internal/steering", "internal/fastlane", "internal/diskcache",
		"internal/progress", "internal/admission",
		"internal/blocks", "internal/slab", "internal/front", "internal/accesslog", "internal/viewing",
		"github.com/alecthomas/kong", "github.com/goccy/go-yaml", "github.com/prometheus/client_golang",
		"github.com/oklog/ulid/v2", "golang.org/x/sync", "golang.org/x/sys",
		"github.com/bluenviron/gortmplib", "github.com/bluenviron/mediacommon/v2", // the built-in publisher of demo
		"github.com/quic-go/quic-go", "github.com/caddyserver/certmagic", "github.com/mholt/acmez/v3", "go.uber.org/zap", // --https
		"github.com/coreos/go-systemd/v22",
	},
	"internal/media":       {},
	"internal/bitstream":   {"internal/media"},
	"internal/hls":         {"internal/media", "github.com/klauspost/compress"},
	"internal/reclog":      {"internal/media", "internal/hls", "internal/plainfile", "golang.org/x/sys"},
	"internal/progressive": {"internal/media", "internal/reclog"},
	"internal/origin": {
		"internal/admission",
		"internal/media", "internal/hls", "internal/reclog", "internal/progressive", "internal/slab",
		"github.com/prometheus/client_golang",
	},
	"internal/objstore":  {"internal/media", "internal/plainfile", "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go", "golang.org/x/sync"},
	"internal/registry":  {"internal/media", "github.com/redis/go-redis/v9"},
	"internal/control":   {"internal/media", "internal/admission"},
	"internal/admission": {"github.com/prometheus/client_golang"},
	"internal/slab":      {"golang.org/x/sys"},
	"internal/fastlane":  {"internal/slab", "golang.org/x/sys"},
	"internal/httpcache": {},
	"internal/accesslog": {"github.com/prometheus/client_golang"},
	"internal/front":     {"github.com/prometheus/client_golang"},
	"internal/cmcd":      {},
	"internal/viewing":   {"internal/media", "internal/admission", "internal/cmcd", "github.com/prometheus/client_golang"},
	"internal/blocks": {
		"internal/media", "internal/reclog", "internal/slab", "github.com/prometheus/client_golang", "golang.org/x/sync",
	},
	"internal/fuzztest":    {}, // for fuzz targets alone
	"internal/porttest":    {}, // for tests alone
	"internal/smuggletest": {}, // for tests alone
	"internal/plainfile":   {},
	"internal/progress":    {},
	"internal/playback":    {"internal/media", "github.com/golang-jwt/jwt/v5"},
	"internal/steering":    {"internal/media"},
	"internal/catalog": {
		"internal/media", "migrations", "modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/pressly/goose/v3",
		"github.com/oklog/ulid/v2", "github.com/prometheus/client_golang",
	},
	"internal/catalog/catalogtest":   {"internal/porttest"},                                                   // runs a real PostgreSQL for tests
	"internal/objstore/objstoretest": {"internal/media", "internal/porttest", "github.com/aws/aws-sdk-go-v2"}, // runs a real S3 server for tests
	"internal/loadgen":               {"internal/media", "internal/reclog", "ingest", "github.com/datarhei/gosrt"},
	"internal/inspect":               {"internal/media", "internal/plainfile", "internal/progressive", "internal/reclog"},
	"internal/reindex":               {"internal/media", "internal/reclog", "golang.org/x/sync"},
	"internal/doctor":                {"internal/media", "golang.org/x/sys"},
	"internal/thumbnail":             {"internal/media", "golang.org/x/sys"},
	"internal/operator":              {"internal/media", "internal/playback", "internal/progress"},
	"internal/webhook":               {"internal/media", "github.com/prometheus/client_golang"},
	"internal/transport":             {},
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
		"internal/diskcache", "internal/httpcache", "internal/steering", "internal/admission", "internal/transport",
		"github.com/prometheus/client_golang", "github.com/klauspost/compress", "golang.org/x/sync",
	},
	"api": {
		"internal/media", "internal/playback", "internal/steering", "internal/admission",
		"github.com/go-chi", "github.com/danielgtaylor/huma/v2", "github.com/prometheus/client_golang",
	},
	"deploy/stack":            {"github.com/compose-spec/compose-go/v2"},
	"test":                    {},
	"test/bench":              {"test/bench/proc"},
	"test/bench/edge":         {"test/bench/proc", "internal/catalog/catalogtest", "golang.org/x/sys", "github.com/quic-go/quic-go"},
	"test/bench/proc":         {}, // reads Linux's /proc
	"test/bench/store":        {"internal/media", "internal/objstore"},
	"deploy/grafana/generate": {}, // writes the dashboards
	"test/cachetests":         {}, // judges from outside, as the suite does
	"test/fuzz":               {}, // runs the fuzz targets
	"test/hlscheck":           {}, // judges from outside: nothing of this module
}

// TestImportRules holds the table against what the packages import, tests left out.
func TestImportRules(t *testing.T) {
	t.Parallel()
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
