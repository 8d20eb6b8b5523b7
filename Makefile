# Oxbow. Two commands to know: `make run` shows a live picture, `make test` runs every test.
# What is missing on the machine is installed (Debian and its kin, when run as root) or named.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 30s
BENCHTIME ?= 1s
FAULT_RUNS ?= 100
SOAK ?= 10m
BENCH_EDGE ?=
# With the race detector, but not in the loop that sums up the stores' bytes, nor in what SQLite is made of: it was
# translated from C, keeps its data where the detector never looks, and watched takes three times as long.
unwatched = -gcflags=$(1)=-race=false
RACE := -race $(foreach package,hash/crc64 modernc.org/sqlite/lib modernc.org/libc modernc.org/memory,$(call unwatched,$(package)))
# Many packages' tests wait more than they work; those of the whole system have the machine to themselves.
PACKAGES_AT_ONCE ?= 4
export CGO_ENABLED ?= 0

.PHONY: run build web test check lint e2e faults bench bench-store bench-edge soak-edge cache-tests fuzz tools clean

run: build ## Build, then serve with a built-in publisher: open http://localhost:8080
	./bin/oxbow demo

build: web ## The one static binary, with the web page inside
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/oxbow ./cmd/oxbow

web: web/dist/index.html ## The web page's files; without npm the server shows a plain page instead

WEB_SOURCES := $(filter-out web/dist/%,$(wildcard web/*.json web/*.mjs web/src/* web/public/*))
web/dist/index.html: $(WEB_SOURCES)
	@if command -v npm >/dev/null 2>&1; then cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build; \
	else echo 'npm is not installed: building without the web page (Debian: apt-get install npm)'; fi

test: tools web ## Every test, with the race detector: needs ffmpeg and chromium; `make check` vets
	CGO_ENABLED=1 go test $(RACE) -vet=off -shuffle=on -timeout 18m -p $(PACKAGES_AT_ONCE) $$(go list ./... | grep -v '/oxbow/test$$')
	CGO_ENABLED=1 go test $(RACE) -vet=off -shuffle=on -timeout 18m ./test

check: ## Format, lint, import rules
	@test -z "$$(gofmt -l cmd api archiver cacheproxy ingest internal migrations packager test web)" || \
	  { gofmt -l cmd api archiver cacheproxy ingest internal migrations packager test web; echo 'run gofmt -w on these'; exit 1; }
	go vet ./...
	go run $(GOLANGCI) run ./...

e2e: export OXBOW_MATRIX := full
e2e: tools build ## The whole-system tests alone, with their figures and every publisher that Debian has
	CGO_ENABLED=1 go test $(RACE) -count=1 -v -timeout 45m ./test/...

faults: export OXBOW_FAULT_RUNS := $(FAULT_RUNS)
faults: tools ## FAULT_RUNS random fault schedules over two clusters: half an hour for a hundred
	go test ./test -run 'TestFaultSchedules$$' -count=1 -v -timeout 90m

bench: ## Benchmarks with allocations
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

bench-store: ## Putting a file of 512 MiB into an S3 server, beside s5cmd and rclone
	go run ./test/bench/store

bench-edge: build ## The edge's cache beside nginx, Varnish and Traffic Server: half an hour on a machine with nothing else to do
	go run ./test/bench/edge $(BENCH_EDGE)

soak-edge: build ## The edge for SOAK at the highest load that the machine holds
	go run ./test/bench/edge -parts soak -soak $(SOAK) $(BENCH_EDGE)

# The public test suite for HTTP caches; what its package has is older.
CACHE_TESTS_URL ?= https://github.com/http-tests/cache-tests
CACHE_TESTS_COMMIT := b55b8bda3dbb8c927c04e85bd8d496a8caa3e4ba
CACHE_TESTS ?= test/out/cache-tests

cache-tests: build $(CACHE_TESTS)/node_modules ## The score of `oxbow edge --upstream` in the public suite for HTTP caches
	go run ./test/cachetests -suite $(CACHE_TESTS) -oxbow $(CURDIR)/bin/oxbow

$(CACHE_TESTS)/node_modules:
	git init -q $(CACHE_TESTS)
	git -C $(CACHE_TESTS) fetch -q --depth 1 $(CACHE_TESTS_URL) $(CACHE_TESTS_COMMIT)
	git -C $(CACHE_TESTS) checkout -q FETCH_HEAD
	cd $(CACHE_TESTS) && npm install --omit=dev --no-package-lock --no-audit --no-fund --loglevel=error

fuzz: ## Every fuzz target for FUZZTIME each
	@set -e; for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p; done; done

tools: ## What the tests need beside Go
	@sh test/install-tools.sh

clean:
	rm -rf bin web/dist/* web/node_modules test/out
