# Every target is described by the ## comment behind it; `make help` prints them.

SHELL      := bash
.SHELLFLAGS := -euo pipefail -c
GO         ?= go
FUZZTIME   ?= 10s
BENCH      ?= .
BENCHTIME  ?= 1s
DATA       ?= ./data

# What only tests with PostgreSQL and the whole program need lives under the tag e2e; the long runs under soak.
E2E_PACKAGES := ./e2e/... ./invalidate/... ./render/index/... ./cmd/...

.PHONY: help run build unit test e2e soak race fuzz bench lint vuln clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Serve a package index with sample projects on 127.0.0.1:8080, kept in ./data
	exec bin/cachesrv index --demo --listen 127.0.0.1:8080 --dir $(DATA)

build: ## Build bin/cachesrv
	$(GO) build -trimpath -o bin/cachesrv ./cmd/cachesrv

unit: ## Tests that need nothing but Go, with the race detector; the portable back-end too
	$(GO) test -race ./...
	$(GO) test -tags cachesrv_portable ./cache/...

test: unit e2e ## unit and e2e

e2e: ## Tests of the whole, against real PostgreSQL; installs what is missing (Debian, Ubuntu)
	e2e/install.sh
	$(GO) test -tags e2e -count=1 -timeout 20m $(E2E_PACKAGES)

soak: ## The long forms: 60 s of load per combination, 200 kills, every order of two fills and two invalidators
	e2e/install.sh
	$(GO) test -count=1 -timeout 1h -v -run TestEveryInterleaving ./cache -every
	$(GO) test -tags 'e2e soak' -count=1 -timeout 3h -v $(E2E_PACKAGES)

race: ## Ten rounds of the concurrent packages under the race detector, on 1, 2 and 4 threads
	$(GO) test -race -count=10 -cpu 1,2,4 -timeout 60m ./cache/... ./render/... ./middleware/... ./static/... ./invalidate/...

fuzz: ## Every fuzz test, FUZZTIME (10s) each
	@grep -rlE --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u | while read -r dir; do \
		$(GO) test -list '^Fuzz' "$$dir" | { grep '^Fuzz' || true; } | while read -r name; do \
			echo "== $$dir $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null; \
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
