# Hauberk. `make help` says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BIN     := bin
BINARIES := hauberk hauberk-agent hauberk-sensor hauberk-edge hauberk-decoy
LDFLAGS := -s -w -X main.version=$(VERSION)
GOBUILD  = CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
ARGS ?=
BENCHARGS ?=

# Tests that change the machine (BPF, namespaces) run as root only; there no
# skip is allowed.
NEED ?= $(if $(filter 0,$(shell id -u)),all,)

.PHONY: help
help: ## say what there is
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what building needs (Debian packages, a Go toolchain)
	@deploy/setup.sh build

.PHONY: build
build: setup ## build the binaries into bin/
	@mkdir -p $(BIN)
	@for b in $(BINARIES); do echo "building $(BIN)/$$b" >&2; $(GOBUILD) -o $(BIN)/$$b ./cmd/$$b; done

.PHONY: up
up: build ## build and start everything on this machine; ARGS="--data-dir DIR ..."
	@exec $(BIN)/hauberk up $(ARGS)

.PHONY: test
test: ## install what the tests need, then lint and run all of them
	@deploy/setup.sh test
	@$(MAKE) --no-print-directory build lint console-check
	@echo "testing (NEED=$(NEED))" >&2
	@NEED=$(NEED) go test -timeout 20m ./...

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, shellcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' | grep -v -E '\.pb\.go$$')); \
	  if [ -n "$$unformatted" ]; then echo "gofmt these: $$unformatted" >&2; exit 1; fi
	@go vet ./...
	@cd tools/staticcheck && go build -o ../../$(BIN)/staticcheck honnef.co/go/tools/cmd/staticcheck
	@$(BIN)/staticcheck ./...
	@if command -v shellcheck >/dev/null; then shellcheck -S warning $$(git ls-files '*.sh' .ci/run); fi

.PHONY: console-check
console-check: ## rebuild the console and compare with what is committed (where npm is)
	@if command -v npm >/dev/null; then console/build.sh --check >&2; \
	  else echo "no npm: console/dist is compared with its sources by their sums only" >&2; fi

# Each writes docs/perf/<area>.{json,md}. They take minutes and want a quiet
# machine; some need root.
BENCHES := $(patsubst labs/%bench/main.go,%,$(wildcard labs/*bench/main.go))

.PHONY: bench
bench: $(BENCHES:%=bench-%) ## measure every area; bench-AREA one of them (BENCHARGS="...")

.PHONY: $(BENCHES:%=bench-%)
$(BENCHES:%=bench-%): bench-%: setup
	@go run ./labs/$*bench $(BENCHARGS)

.PHONY: verify-sensor
verify-sensor: setup ## compare the sensor's events of all captures with Suricata 8.0.8's (root; installs it)
	@go run ./labs/sensorbench -verify

.PHONY: generate
generate: ## rebuild what is generated: protobuf, field table, BPF objects, console
	@deploy/setup.sh develop
	@proto/generate.sh
	@go generate ./...
	@console/build.sh

.PHONY: lab-edge
lab-edge: setup ## show the load balancer in network namespaces (root, a minute)
	@deploy/setup.sh test
	@mkdir -p $(BIN)
	@for b in hauberk hauberk-edge; do $(GOBUILD) -o $(BIN)/$$b ./cmd/$$b; done
	@go run ./labs/edgelab -bin $(BIN)

.PHONY: release
release: setup ## build the binaries for amd64 and arm64 into bin/<arch>/
	@for arch in amd64 arm64; do for b in $(BINARIES); do \
	  echo "building $(BIN)/$$arch/$$b" >&2; GOOS=linux GOARCH=$$arch $(GOBUILD) -o $(BIN)/$$arch/$$b ./cmd/$$b; done; done

.PHONY: install
install: build ## install binaries and systemd units below DESTDIR
	install -D -m 0755 -t $(DESTDIR)/usr/bin $(BINARIES:%=$(BIN)/%)
	install -D -m 0644 -t $(DESTDIR)/usr/lib/systemd/system deploy/systemd/*.service

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN)
