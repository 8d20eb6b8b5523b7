# Oxbow. Two commands to know: `make run` shows a live picture, `make test` runs every test.
# What is missing on the machine is installed (Debian and its kin, when run as root) or named.

VERSION ?= $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null || echo dev)
# The source's, never the build's time: two builds give the same bytes.
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)$(shell git diff --quiet HEAD 2>/dev/null || echo -dirty)
DATE ?= $(shell TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
GO_BUILD = go build -trimpath -buildvcs=false \
	-ldflags '-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)'
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

.PHONY: run build web test check lint e2e faults bench bench-store bench-edge soak-edge cache-tests fuzz tools \
	stack stack-down stack-status stack-logs secrets test-nested package licences reproducible clean

run: build ## Build, then serve with a built-in publisher: open http://localhost:8080
	./bin/oxbow demo

build: web ## The one static binary, with the web page inside
	$(GO_BUILD) -o bin/oxbow ./cmd/oxbow

web: web/dist/index.html ## The web page's files; without npm the server shows a plain page instead

WEB_SOURCES := $(filter-out web/dist/%,$(wildcard web/*.json web/*.mjs web/src/* web/public/*))
web/dist/index.html: $(WEB_SOURCES)
	@if command -v npm >/dev/null 2>&1; then cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build; \
	else echo 'npm is not installed: building without the web page (Debian: apt-get install npm)'; fi

test: tools web ## Every test, with the race detector: needs ffmpeg and chromium; `make check` vets
	CGO_ENABLED=1 go test $(RACE) -vet=off -shuffle=on -timeout 18m -p $(PACKAGES_AT_ONCE) $$(go list ./... | grep -v '/oxbow/test$$')
	CGO_ENABLED=1 go test $(RACE) -vet=off -shuffle=on -timeout 18m ./test
	@$(MAKE) --no-print-directory test-nested

check: ## Format, lint, import rules
	@test -z "$$(gofmt -l cmd api archiver cacheproxy deploy ingest internal migrations packager test web)" || \
	  { gofmt -l cmd api archiver cacheproxy deploy ingest internal migrations packager test web; echo 'run gofmt -w on these'; exit 1; }
	go vet ./...
	go run $(GOLANGCI) run ./...
	@set -e; for m in $(NESTED); do echo "in $$m"; (cd $$m && go run $(GOLANGCI) run ./...); done

e2e: export OXBOW_MATRIX := full
e2e: tools build ## The whole-system tests alone, with their figures and every publisher that Debian has
	CGO_ENABLED=1 go test $(RACE) -count=1 -v -timeout 45m ./test/...
	go test -count=1 ./internal/reclog # with more crashes than under the race detector

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

tools: ## What the tests need beside Go
	@sh test/install-tools.sh

# Flags of all of them, like STACK='-net 127.21.0 -profiles demo'.
STACK ?=

stack: build ## docker-compose.yml as processes: two clusters and all that they need, on loopback addresses
	@go run ./deploy/stack up $(STACK)

stack-down: ## Stop them, and leave nothing
	@go run ./deploy/stack down $(STACK)

stack-status: ## What is where, and how well
	@go run ./deploy/stack status $(STACK)

stack-logs: ## The ends of all logs; of some: go run ./deploy/stack logs -follow SERVICE...
	@go run ./deploy/stack logs $(STACK)

secrets: ## The secrets of docker-compose.yml, those that are not there
	@./deploy/secrets.sh

# Modules of their own, so that what packages and manifests need is not among the product's.
NESTED := deploy/package deploy/kubernetes

test-nested: ## The tests of the modules that are not the product's
	@set -e; for m in $(NESTED); do (cd $$m && go test -vet=off -shuffle=on ./...); done

ARCHITECTURES ?= amd64 arm64
MAINTAINER ?= Oxbow maintainers <maintainers@oxbow.invalid>

package: build licences ## The Debian packages, in dist/
	@set -e; for arch in $(ARCHITECTURES); do \
	  GOOS=linux GOARCH=$$arch $(GO_BUILD) -o dist/bin/oxbow-$$arch ./cmd/oxbow; \
	  go run -C deploy/package -exec 'env -C $(CURDIR)' ./deb -arch $$arch -version '$(VERSION)' -date '$(DATE)' \
	    -maintainer '$(MAINTAINER)' -binary dist/bin/oxbow-$$arch -native bin/oxbow; done

licences: build web/node_modules ## SBOM and third-party notices in dist/; fails on a licence that is not in the allow-list
	go run -C deploy/package -exec 'env -C $(CURDIR)' ./licences -binary bin/oxbow -version '$(VERSION)' -date '$(DATE)'

web/node_modules:
	cd web && npm ci --no-audit --no-fund --loglevel=error

reproducible: ## Builds HEAD in two fresh directories, once with an empty build cache, and compares the bytes: some minutes
	sh deploy/package/reproducible.sh

# How long a target is to be run in all is FUZZTIME; FUZZ is a pattern for PACKAGE.TARGET, JOBS how many run at a time, and
# FRESH=1 forgets what was run before.
FUZZ ?=
JOBS ?= 1
FRESH ?=

fuzz: ## Every fuzz target until it has FUZZTIME: runs add up, see docs/fuzzing.md
	go run ./test/fuzz -time $(FUZZTIME) -jobs $(JOBS) -targets '$(FUZZ)' $(if $(FRESH),-fresh)

clean:
	rm -rf bin dist web/dist/* web/node_modules test/out
