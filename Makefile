# `make` lists what there is to do. Everything is built with the versions in Cargo.lock.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO_DENY_VERSION := 0.20.2
CARGO_DEB_VERSION := 3.8.0
# glibc brings its resolver along since 2.34, so that a static program finds names as any other does.
STATIC_TARGET := $(shell uname -m)-unknown-linux-gnu
STATIC := $(TARGET)/$(STATIC_TARGET)/release/millpond

# $(call need,TOOL,HOW TO GET IT): stops with words a person can act on when a tool is missing.
need = @command -v $(1) >/dev/null || { echo "make $@: $(1) is missing. To get it: $(2)" >&2; exit 1; }
RUST := see https://rustup.rs
PYTHON := apt-get install python3 python3-venv

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: ## a link goes down, the forwarder is killed, the link comes back: nothing is missing
	$(call need,cargo,$(RUST))
	cargo build --release --locked -p millpond
	$(TARGET)/release/millpond demo

.PHONY: test
test: ## everything that must be green: unit and integration tests, then interop and the web page
	$(call need,cargo,$(RUST))
	cargo test --workspace --locked
	$(MAKE) --no-print-directory interop
	$(MAKE) --no-print-directory web-page

# Other seeds each time; a failure prints the one that repeats it.
SEED := $(shell date +%s)000000

.PHONY: soak
soak: ## the queue's crash tests and the forwarder's long walks for an hour or two, from other seeds
	$(call need,cargo,$(RUST))
	QUEUE_FROM=$(SEED) QUEUE_HISTORIES=1000000 QUEUE_THOROUGH=1 QUEUE_MUTATIONS=300000 \
		QUEUE_FUZZ_FROM=$(SEED) QUEUE_FUZZ_SECS=1800 QUEUE_KILLS=1000 QUEUE_CUTS=300 \
		cargo test -p millpond-queue --locked
	cargo test -p millpond --lib --test forwarder_simulation --locked -- --ignored

.PHONY: interop
interop: ## forward to kinesis-local and moto, read back with boto3 (part of test)
	$(call need,cargo,$(RUST))
	cargo build --locked -p millpond
	MILLPOND_BIN=$(abspath $(TARGET))/debug/millpond tests/interop/run.sh

.PHONY: interop-self-test
interop-self-test: ## see the interop tests fail on a forwarder that does one thing wrong (4 min)
	tests/interop/self_test.sh

.PHONY: web-page
web-page: ## the page at the admin address in headless Chromium; screenshots in target/web-page (part of test)
	$(call need,cargo,$(RUST))
	cargo build --locked -p millpond
	MILLPOND_BIN=$(abspath $(TARGET))/debug/millpond tests/web_page/run.sh

.PHONY: acceptance
acceptance: ## 150 MB through outages, kill -9 and faults: 0 missing, memory bounded (some 6 min)
	$(call need,cargo,$(RUST))
	$(call need,python3,$(PYTHON))
	cargo build --release --locked -p millpond
	tests/acceptance.py --binary $(TARGET)/release/millpond

.PHONY: check
check: check-format check-lints check-dependencies check-fixtures check-deny docs ## format, lints, dependencies, licences, fixtures, pages

.PHONY: check-format
check-format:
	$(call need,rustfmt,rustup component add rustfmt)
	cargo fmt --all --check

.PHONY: check-lints
check-lints:
	$(call need,cargo-clippy,rustup component add clippy)
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: check-dependencies
check-dependencies:
	$(call need,cargo,$(RUST))
	tests/dependencies.sh

.PHONY: check-deny
check-deny:
	$(call need,cargo-deny,cargo install cargo-deny --locked --version $(CARGO_DENY_VERSION))
	cargo deny --locked check bans licenses sources

.PHONY: check-fixtures
check-fixtures:
	$(call need,python3,$(PYTHON))
	@directory=$$(mktemp -d); trap 'rm -r "$$directory"' EXIT; \
	fixtures/logs/generate.py "$$directory"; \
	for file in "$$directory"/*; do \
		cmp "$$file" "fixtures/logs/$${file##*/}" || { echo "make $@: run \`make fixtures\` and look at the difference" >&2; exit 1; }; \
	done; \
	echo "ok   fixtures/logs is what generate.py writes"

.PHONY: audit
audit: ## known vulnerabilities and abandoned crates (fetches the advisories)
	$(call need,cargo-deny,cargo install cargo-deny --locked --version $(CARGO_DENY_VERSION))
	cargo deny --locked check advisories

.PHONY: bench
bench: ## the queue, the inner loops, then the whole way of an event against its limits (some 10 min, 25 GB of disk)
	$(call need,cargo,$(RUST))
	cargo bench --locked -p millpond-queue --bench queue
	cargo bench --locked -p millpond --bench loops
	cargo bench --locked -p millpond --bench way

VALGRIND := apt-get install valgrind

.PHONY: instructions
instructions: ## instructions that the inner loops take, against the recorded baseline
	$(call need,cargo,$(RUST))
	$(call need,valgrind,$(VALGRIND))
	cargo bench --locked -p millpond --bench instructions

.PHONY: instructions-record
instructions-record: ## record that baseline anew
	$(call need,cargo,$(RUST))
	$(call need,valgrind,$(VALGRIND))
	MILLPOND_RECORD=1 cargo bench --locked -p millpond --bench instructions

.PHONY: docs
docs: ## the crates' documentation into target/doc; links and configurations of the pages
	$(call need,cargo,$(RUST))
	$(call need,python3,$(PYTHON))
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	cargo build --locked -p millpond
	tests/pages.py --binary $(TARGET)/debug/millpond

.PHONY: fixtures
fixtures: ## write fixtures/logs again: the same bytes, unless generate.py changed
	$(call need,python3,$(PYTHON))
	fixtures/logs/generate.py
	@git diff --stat -- fixtures/logs

.PHONY: install
install: ## build and install `millpond` for this user
	$(call need,cargo,$(RUST))
	cargo install --path crates/supervisor --locked

.PHONY: static
static: ## a release build that needs no library: one file for any Linux; prints its size
	$(call need,cargo,$(RUST))
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked -p millpond --target $(STATIC_TARGET)
	@LC_ALL=C ldd $(STATIC) 2>&1 | grep -Eq 'statically linked|not a dynamic executable' || { echo "make $@: $(STATIC) still needs libraries" >&2; ldd $(STATIC) >&2; exit 1; }
	@echo "$(STATIC): $$(stat -c %s $(STATIC)) bytes, no libraries"

.PHONY: static-path
static-path:
	@echo $(STATIC)

.PHONY: static-test
static-test: static ## that program alone in an empty directory: names, TLS, forwarding (needs root)
	$(call need,python3,$(PYTHON))
	cargo build --locked -p millpond
	tests/static.py --static $(STATIC) --binary $(TARGET)/debug/millpond

.PHONY: deb
deb: ## a Debian package, with the unit for systemd
	$(call need,cargo,$(RUST))
	$(call need,cargo-deb,cargo install cargo-deb --locked --version $(CARGO_DEB_VERSION))
	cargo build --release --locked -p millpond
	$(MAKE) --no-print-directory shell-pages
	cargo deb -p millpond --locked --no-build

# What the program says of itself, for the manual and for shells.
.PHONY: shell-pages
shell-pages:
	mkdir -p $(TARGET)/release/man $(TARGET)/release/completions
	$(TARGET)/release/millpond man --dir $(TARGET)/release/man
	gzip -9nf $(TARGET)/release/man/*.1
	for shell in bash zsh fish; do $(TARGET)/release/millpond completions $$shell > $(TARGET)/release/completions/$$shell; done

.PHONY: clean
clean: ## remove target/: builds, the interop set-up, its logs
	rm -rf $(TARGET)
