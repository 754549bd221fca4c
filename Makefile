# SPDX-License-Identifier: MIT
# `make demo` shows the main job, `make test` runs all tests; each installs what it needs.

CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: help demo test check fuzz bench bench-hestia bench-stores deb deb-test deb-systems install generate pot clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1  /p' $(MAKEFILE_LIST)

demo: ## build, then back a sample Hestia user up and restore it; leaves nothing behind
	@tests/tools/setup.sh build
	$(CARGO) build --release --locked
	@tests/demo/run.sh target/release/ghostsnap

test: ## all tests; for a quick round while working: cargo test
	@tests/tools/setup.sh test
	@tests/tools/setup.sh deb
	$(MAKE) deb-test
	$(CARGO) test --locked --no-fail-fast

check: ## formatting, lints, documentation, shell scripts, generated files
	@tests/tools/setup.sh test
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items
	shellcheck --severity=style --external-sources $$(git ls-files '*.sh' '.ci/run' 'bin-shims/*')
	$(CARGO) run --locked --quiet -- generate --check
	web-panel-templates/pot.sh --check
	$(CARGO) test --locked --test tidy

# How long each decoder, and which ones: all, if nobody says.
FUZZ_SECONDS ?= 60
FUZZ ?=

fuzz: ## every decoder on what libFuzzer makes up: FUZZ_SECONDS=60 each, FUZZ="tree tar" for some
	@tests/tools/setup.sh fuzz
	CARGO=$(CARGO) fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ)

bench: ## compare with restic, borg and (if there) rustic; see benches/README.md
	@tests/tools/setup.sh bench
	$(CARGO) build --release --locked
	python3 benches/run.py --ghostsnap target/release/ghostsnap $(BENCH)

bench-hestia: ## nights of a large user, on a machine with HestiaCP that nobody uses
	@tests/tools/setup.sh bench
	$(CARGO) build --release --locked
	python3 benches/hestia.py --ghostsnap target/release/ghostsnap $(BENCH)

bench-stores: ## on S3 and Azurite, near and 50 ms away, against restic and rustic; counts requests
	@tests/tools/setup.sh test
	@tests/tools/setup.sh bench
	$(CARGO) build --release --locked
	python3 benches/stores.py --ghostsnap target/release/ghostsnap $(BENCH)

# Built in a copy of the tracked files, so that what dpkg-buildpackage puts beside its folder stays
# below target/. For another architecture: make deb DEB_HOST_ARCH=arm64 (docs/building.md).
ARCH = $(or $(DEB_HOST_ARCH),$(shell dpkg --print-architecture))

deb: ## build the Debian package: target/package/ghostsnap_VERSION_ARCH.deb
	@tests/tools/setup.sh deb
	rm -rf target/package/ghostsnap target/package/*_$(ARCH).*
	mkdir -p target/package/ghostsnap
	git ls-files -z | xargs -0 cp --parents --preserve=timestamps -t target/package/ghostsnap
	cd target/package/ghostsnap && CARGO_TARGET_DIR="$(CURDIR)/target" \
		dpkg-buildpackage --build=binary --no-sign --no-check-builddeps \
		$(if $(DEB_HOST_ARCH),--host-arch $(DEB_HOST_ARCH))
	lintian --fail-on error,warning target/package/ghostsnap_*_$(ARCH).changes

deb-test: deb ## install, upgrade and remove the package in a scratch root
	tests/deb.sh target/package/ghostsnap_*_$(ARCH).deb

SYSTEMS ?= bullseye bookworm trixie jammy noble

deb-systems: ## try the package on SYSTEMS="trixie noble trixie/arm64", made for it (root, network)
	tests/tools/systems.sh $(SYSTEMS)

install: ## build and install the binary below PREFIX (no Hestia files; use the .deb for those)
	@tests/tools/setup.sh build
	$(CARGO) build --release --locked
	install -D -m 0755 target/release/ghostsnap $(DESTDIR)$(PREFIX)/bin/ghostsnap

generate: ## write the generated files anew
	$(CARGO) run --locked --quiet -- generate

pot: ## write the catalogue of the pages' words anew
	web-panel-templates/pot.sh

clean:
	$(CARGO) clean
