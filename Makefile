# `make help` lists what there is.

RELEASE := target/release
IMAGES := target/images
TEST_IMAGES := target/test-images
GUEST_RELEASE := guests/target/x86_64-unknown-linux-gnu/release
GUESTS := hello template clickos iperf netpipe redis redis-load
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PACKAGES := gcc binutils iproute2 iputils-ping netcat-openbsd
TEST_PACKAGES := systemd prometheus ethtool fonts-dejavu-core librsvg2-bin qemu-system-x86 busybox-static cpio kmod e2fsprogs libpcap0.8 iperf3 iptables netpipe-tcp openvswitch-switch-dpdk tshark dpdk dpdk-dev redis-server redis-tools python3-redis curl openssl chromium python3-venv
DEB_PACKAGES := mmdebstrap systemd-container
NOMAD_PACKAGES := containernetworking-plugins iptables curl python3-venv
SCHEMATHESIS := 4.32.5
OPENAPI_CLIENT := 0.26.2
# A package that carries axe-core 4.12.1, which finds faults of accessibility; it is not run itself.
AXE := 0.1.8
ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

# Since when: each step says how long the whole has taken so far.
BEGUN := $(shell date +%s)
say = @printf '\n[%d:%02d] %s\n' $$(( ($$(date +%s) - $(BEGUN)) / 60 )) $$(( ($$(date +%s) - $(BEGUN)) % 60 )) "$(1)"

# Whatever is built, packages are selected as a whole workspace: dependencies have the same features each time, and are
# compiled once.
PROGRAM := cargo build --release --workspace --bin
# Tests are compiled beside the programs, whose dependencies they share, and their own programs are put elsewhere. Clippy
# compiles them, so that nothing has to be compiled for it alone.
CHECKED := CARGO_BUILD_BUILD_DIR=$(CURDIR)/target CARGO_TARGET_DIR=$(CURDIR)/target/checked \
	RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
FAILPOINTS := --profile bench --workspace --features node/failpoints
TESTS := $(CHECKED) cargo test $(FAILPOINTS)

.DEFAULT_GOAL := build
.PHONY: screenshots help build failpoints images test-images demo-binaries demo-image binaries bench-program demo test test-linux test-nova test-nomad figures-nova figures-nomad nomad-driver install-nomad lint bench faults figures docs fuzz install uninstall deb test-deb clean packages test-packages nomad-packages

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: packages binaries images ## build the programs and the guest images

demo-binaries:
	$(call say,the command and its monitor)
	$(PROGRAM) microvisor --bin microvisor-vmm --no-default-features

binaries:
	$(call say,the programs)
	$(PROGRAM) microvisor --bin microvisor-vmm --bin microvisor-linux --bin microvisor-node --bin microvisor-switch --bin click

# Strips images; symbols stay beside them.
define strip-images
mkdir -p $(IMAGES)
for guest in $(1); do \
	objcopy --only-keep-debug $(GUEST_RELEASE)/$$guest $(IMAGES)/$$guest.debug; \
	objcopy --strip-all $(GUEST_RELEASE)/$$guest $(IMAGES)/$$guest.new; \
	mv $(IMAGES)/$$guest.new $(IMAGES)/$$guest; \
done
endef

demo-image:
	$(call say,the guest image clickos)
	cd guests && cargo rustc --release -p clickos -- -C llvm-args=-inline-threshold=25
	@$(call strip-images,clickos)

images: demo-image
	$(call say,the other guest images)
	cd guests && cargo build --release --workspace --exclude clickos --exclude tests
	@$(call strip-images,$(filter-out clickos,$(GUESTS)))

test-images: images
	$(call say,the guests of the tests)
	mkdir -p $(TEST_IMAGES)
	cp $(GUEST_RELEASE)/{hello,clickos,iperf,netpipe,redis,redis-load} $(TEST_IMAGES)/
	cd guests && cargo build --release -p tests
	for source in guests/tests/src/bin/*.rs; do cp $(GUEST_RELEASE)/$$(basename $$source .rs) $(TEST_IMAGES)/; done

# Only what it runs, host and guest at the same time.
demo: packages ## start a firewall, send packets through it, show what happened, clean up
	@echo "MicroVisor: building the command, the monitor and one guest image"
	+@$(MAKE) --no-print-directory -j2 BEGUN=$(BEGUN) demo-binaries demo-image
	$(call say,the demonstration)
	@scripts/demo

test: build failpoints test-images bench-program test-packages ## run every test
	$(call say,tests of what guests run)
	cargo test --manifest-path guests/Cargo.toml -p minios -p iperf-protocol -p netpipe-protocol -p redis-engine
	$(call say,tests of each crate and of the whole)
	$(TESTS)

failpoints: ## build the node with failpoints, for the tests that have it die
	$(call say,the node with failpoints)
	$(CHECKED) cargo build $(FAILPOINTS) --bin microvisor-node

test-nova: build bench-program test-images test-packages ## run the tests of the driver for OpenStack Nova, against a real OpenStack (about 5 minutes; 10 the first time)
	cd integrations/nova/e2e && /usr/bin/python3 -W ignore::ResourceWarning -m unittest -v
	scripts/verified record nova

test-linux: build test-images test-packages ## run the tests of Linux guests that need an emulated host each (about 6 minutes)
	$(TESTS) --test emulated -- --ignored
	scripts/verified record linux

NOVA_TIMELINES := target/figures-nova/timelines.json
figures-nova: build bench-program test-packages ## draw figures 12, 14 and 15 from 90 servers of a real Nova, to target/figures-nova (about 10 minutes)
	mkdir -p $(dir $(NOVA_TIMELINES))
	integrations/nova/e2e/measure.py --servers 30 $(NOVA_TIMELINES)
	$(RELEASE)/microvisor-bench fig12 fig14 fig15 --quick --timelines $(NOVA_TIMELINES) --out $(dir $(NOVA_TIMELINES))

nomad-driver: ## build the task driver for HashiCorp Nomad
	$(call say,the driver for Nomad)
	$(PROGRAM) nomad-driver-microvisor

test-nomad: build test-images nomad-driver nomad-packages ## run the tests of the driver for Nomad, against a real Nomad (about 4 minutes; 7 the first time)
	cd integrations/nomad/e2e && /usr/bin/python3 -W ignore::ResourceWarning -m unittest -v
	scripts/verified record nomad

NOMAD_TIMELINES := target/figures-nomad/timelines.json
figures-nomad: build bench-program nomad-driver nomad-packages test-packages ## draw figures 13, 16 and 17 from 90 tasks of a real Nomad, to target/figures-nomad (about 3 minutes)
	mkdir -p $(dir $(NOMAD_TIMELINES))
	integrations/nomad/e2e/measure.py --tasks 30 $(NOMAD_TIMELINES)
	$(RELEASE)/microvisor-bench fig11 fig13 fig16 fig17 --quick --timelines $(NOMAD_TIMELINES) --out $(dir $(NOMAD_TIMELINES))

lint: ## check formatting and have Clippy compile the tests
	cargo fmt --check
	cd guests && cargo fmt --check -p minios -p iperf -p iperf-protocol -p netpipe -p netpipe-protocol -p hello -p template -p clickos -p tests -p redis -p redis-load -p redis-engine
	$(TESTS) --no-run
	cd guests && cargo clippy --release --workspace -- -D warnings

screenshots: build test-packages ## draw the pictures of docs/page.md from a node with 1,000 instances (about a minute)
	$(TESTS) --test node -- --ignored pictures_of_the_page

bench-program:
	$(call say,the measurements microvisor-bench)
	$(PROGRAM) microvisor-bench

bench: build bench-program ## measure what SPECIFICATION.md promises (BENCH=redis, tcp, switch, node or click for those; BENCH=--json for numbers only)
	$(RELEASE)/microvisor-bench spec $(BENCH)

faults: build bench-program ## do one bad thing at a time to a node with traffic, and print what others lost
	$(RELEASE)/microvisor-bench faults

figures: build bench-program test-packages ## draw all figures from a quick run, to target/figures
	$(RELEASE)/microvisor-bench all --quick --out target/figures

docs: binaries ## write the manual of elements to docs/elements
	rm -rf docs/elements
	$(RELEASE)/microvisor elements --write docs/elements

fuzz: ## fuzz the parsers and rings, SECONDS each (default 600); needs the nightly toolchain
	scripts/fuzz $${SECONDS_EACH:-600}

PREFIX ?= /usr/local
ETC ?= /etc
PLACES = PREFIX=$(PREFIX) ETC=$(ETC) DESTDIR=$(DESTDIR)
install: build bench-program ## install under PREFIX (default /usr/local), below DESTDIR if that is set
	$(PLACES) packaging/prepare microvisor-bench
	$(PLACES) packaging/install

uninstall: ## remove what `make install` has installed
	$(PLACES) packaging/install --remove

deb: build ## build Debian packages, to target/debian; nothing is compiled that is there
	@$(call install-missing,dpkg-dev)
	packaging/debian/build

test-deb: deb ## install, use, upgrade and remove the packages in a Debian of its own (about 5 minutes)
	@$(call install-missing,$(DEB_PACKAGES))
	$(ROOT) packaging/debian/test

install-nomad: nomad-driver ## install the task driver for Nomad under PREFIX
	install -D -t $(DESTDIR)$(PREFIX)/lib/nomad/plugins $(RELEASE)/nomad-driver-microvisor

clean: ## remove everything that was built
	cargo clean --quiet
	cd guests && cargo clean --quiet

# Installs what is missing, and says nothing if nothing is.
define install-missing
missing=(); for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing+=($$p); done; \
if [ $${#missing[@]} -gt 0 ]; then \
	echo "installing $${missing[*]}"; \
	$(ROOT) apt-get -qq update && DEBIAN_FRONTEND=noninteractive $(ROOT) apt-get -qq install -y --no-install-recommends $${missing[@]} >/dev/null; \
fi
endef

packages:
	@$(call install-missing,$(PACKAGES))

nomad-packages:
	@$(call install-missing,$(NOMAD_PACKAGES))

# Installs a Python program in an environment of its own, unless it is there.
define install-python
[ -x target/$(1)/bin/$(2) ] || { /usr/bin/python3 -m venv target/$(1) && \
	target/$(1)/bin/pip --quiet --disable-pip-version-check --retries 1 --timeout 15 install $(2)==$(3); } || \
	echo "$(2) cannot be installed"
endef

# Debian has neither schemathesis nor a generator of clients. Without a way to PyPI their tests say that they were not run.
test-packages:
	@$(call install-missing,$(TEST_PACKAGES))
	@$(call install-python,schemathesis,schemathesis,$(SCHEMATHESIS))
	@$(call install-python,openapi-client,openapi-python-client,$(OPENAPI_CLIENT))
	@[ -d target/axe/lib ] || { /usr/bin/python3 -m venv target/axe && target/axe/bin/pip --quiet --disable-pip-version-check --retries 1 --timeout 15 install --no-deps axe-playwright-python==$(AXE); } || echo "axe-core cannot be installed"
