# Every target is described by the ## comment behind it; `make help` prints them.

SHELL      := bash
.SHELLFLAGS := -euo pipefail -c
GO         ?= go
FUZZTIME   ?= 60s
FUZZ_IN    ?= .
TORTURE    ?= --duration 60s
BENCH      ?= .
BENCHTIME  ?= 1s
DATA       ?= ./data

# What only tests with PostgreSQL and the whole program need lives under the tag e2e; the long runs under soak.
EXPLORER       := TestEveryState|TestSleepSets|TestStatesTellAll|TestSearch|TestSurprises|TestLarger|TestTwinOfAMaker
FAULT_PACKAGES := ./e2e/linear ./e2e/power ./e2e/syscalls
E2E_PACKAGES   := ./e2e/attack ./e2e/disk ./e2e/front ./e2e/index/... ./e2e/indextest ./e2e/pgtest ./e2e/proxy ./e2e/running ./e2e/torture/... ./invalidate/... ./render/index/... ./cmd/...

.PHONY: help run build unit test e2e proof soak model fault fuzz torture race bench lint vuln clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Serve a package index with sample projects on 127.0.0.1:8080, kept in ./data
	exec bin/cachesrv index --demo --listen 127.0.0.1:8080 --dir $(DATA)

build: ## Build bin/cachesrv
	$(GO) build -trimpath -o bin/cachesrv ./cmd/cachesrv

unit: ## Tests that need nothing but Go, with the race detector; the portable back-end too
	$(GO) test -race ./...
	$(GO) test -tags cachesrv_portable ./cache/...

test: unit e2e proof ## unit, e2e and proof

e2e: ## Tests of the whole, against real PostgreSQL; installs what is missing (Debian, Ubuntu)
	e2e/install.sh
	$(GO) test -tags e2e -count=1 -timeout 20m $(E2E_PACKAGES)

# The proof in its short form: what takes hours in full. (Fuzzing anew, only where building for it takes seconds; all kept corpora
# are part of unit.)
proof: ## The short forms of model, fault and fuzz, 4 minutes in all; installs what is missing (needs root: disks are mounted)
	e2e/install.sh
	$(MAKE) --no-print-directory model MODEL=--short
	$(MAKE) --no-print-directory fault
	$(MAKE) --no-print-directory fuzz FUZZTIME=2000x FUZZ_IN='cache/key render/index/dist'

soak: ## The full counts: hours; see docs/RELIABILITY.md
	e2e/install.sh
	$(GO) test -count=1 -timeout 1h -v -run TestEveryInterleaving ./cache -every
	docs/model/check.sh
	$(GO) test -tags cachesrv_fault -count=1 -timeout 20h -v ./cache -run '$(EXPLORER)' -args -every -larger=10m
	$(GO) test -tags 'e2e soak' -count=1 -timeout 6h -v $(E2E_PACKAGES) $(FAULT_PACKAGES)
	$(MAKE) --no-print-directory fuzz FUZZTIME=60s

model: ## Every state of the protocol's model, and its controls (needs spin and gcc; an hour of CPU; MODEL=--short: a minute)
	docs/model/check.sh $(MODEL)

fault: ## Every schedule of two actors, faults at system calls, power cuts, histories: samples (needs root and PostgreSQL)
	$(GO) test -tags cachesrv_fault -count=1 -timeout 30m -v ./cache -run '$(EXPLORER)'
	$(GO) test -tags cachesrv_fault -count=1 ./cache/fault
	$(GO) test -tags e2e -count=1 -timeout 30m -v $(FAULT_PACKAGES)

torture: ## Readers and committers that race, on a PostgreSQL of its own (TORTURE='--help' lists what can be asked for)
	@mkdir -p bin
	$(GO) build -tags cachesrv_fault -o bin/torture-app ./e2e/torture/app
	$(GO) run ./e2e/torture/cmd/torture --app bin/torture-app --db postgres $(TORTURE)

race: ## Ten rounds of the concurrent packages under the race detector, on 1, 2 and 4 threads
	$(GO) test -race -count=10 -cpu 1,2,4 -timeout 60m ./cache/... ./render/... ./middleware/... ./static/... ./invalidate/...

fuzz: ## Every fuzz test, FUZZTIME (60s, or so many inputs: 2000x) each, below the folders FUZZ_IN
	@grep -rlE --include='*_test.go' '^func Fuzz' $(FUZZ_IN) | xargs -r -n1 dirname | sort -u | while read -r dir; do \
		dir=./$${dir#./}; \
		$(GO) test -tags cachesrv_fault -list '^Fuzz' "$$dir" | { grep '^Fuzz' || true; } | while read -r name; do \
			echo "== $$dir $$name"; \
			$(GO) test -tags cachesrv_fault -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "$$dir" </dev/null; \
		done; \
	done

bench: ## Every benchmark (BENCH=pattern, BENCHTIME=1s)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -timeout 60m ./...

lint: ## gofmt, go vet for every build, staticcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted (gofmt -w): $$unformatted" >&2; exit 1; }
	$(GO) vet ./...
	for tags in e2e 'e2e soak' cachesrv_portable 'e2e cachesrv_fault'; do $(GO) vet -tags "$$tags" ./...; done
	GOOS=darwin $(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) tool staticcheck -tags 'e2e soak cachesrv_fault' ./...

vuln: ## Known vulnerabilities in what we build with (asks vuln.go.dev)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...

clean: ## Remove what was built
	rm -rf bin
	$(GO) clean -testcache
