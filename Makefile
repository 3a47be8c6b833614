# `make help` lists what there is. Every target installs what it needs (board/host/needs; root), and nothing when that is there.

BOARDS := $(patsubst board/%/facts,%,$(wildcard board/*/facts))
# What a board runs; those that exist.
PRODUCTS := $(patsubst Sources/%/,%,$(wildcard Sources/governor/ Sources/market/ Sources/vault/ Sources/simulate/))
SWIFT_FILES := $(wildcard Package.swift Sources Tests)
SCRIPT_FOLDERS := $(wildcard board Tests hardware-tests rootfs-overlay .ci)
ARCH := $(shell dpkg --print-architecture 2>/dev/null)

# For the scripts behind demo, test, bench and image.
export KEEP PLAIN CI SUBLET_CACHE SUBLET_URL SUBLET_UPDATE SUBLET_IMAGES

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# needs-build, needs-run, …: the groups of board/host/packages. No stamp: looking takes 0.2 s, and a stamp can lie.
.PHONY: FORCE
needs-%: FORCE
	@board/host/needs $*

.PHONY: build
build: needs-build ## governor, market and vault for this machine
	@mkdir -p .build/tmp
	TMPDIR=$$PWD/.build/tmp swift build -c release --static-swift-stdlib --product governor
	TMPDIR=$$PWD/.build/tmp swift build -c release --static-swift-stdlib --product market
	@board/host/static vault >/dev/null

# A lease is begun only on a machine that has all it needs; nothing is changed before that is known. The space is for packages and
# what is unpacked on the way, for the base image, for what is built here, and for drives.
CACHE = $(or $(SUBLET_CACHE),/var/cache/sublet)
SPACE = --space 2 /usr --space 1 $(CACHE) --space 1 $(CURDIR) --space 4 /var/tmp

# Where this kernel has no device-mapper the demo's device runs in the rig; PLAIN=1 does without encryption instead.
RIG = $(filter rig,$(shell PLAIN=$(PLAIN) board/host/encryption))

.PHONY: demo
demo: ## the whole lease on this machine; KEEP=1 leaves it running
	@board/host/needs --toolchain
	@board/host/check-kernel $(RIG:%=--rig --space 1 $(CACHE)) $(SPACE)
	@board/host/needs build run demo $(RIG)
	@$(MAKE) --no-print-directory build
	@Tests/Demo/demo

.PHONY: test
test: ## unit tests, and integration tests on real parts
	@board/host/needs --toolchain
	@board/host/check-kernel $(SPACE)
	@board/host/needs build run test rig vm pi embedded image
	@Tests/run

.PHONY: bench-vm
ifdef BOARD
bench-vm: build image
	@board/host/needs run test vm $(if $(filter pi-%,$(BOARD)),pi)
	hardware-tests/suite-rig .build/image/sublet-$(BOARD).img.xz --tier $(or $(TIER),safe)
else
bench-vm: ## hardware tests on virtual machines: drives, USB, lamp, 300 power cuts, cards of SUBLET_BOARDS (the PC's; many hours); BOARD=pi-arm64 TIER=safe: inside a card
	@board/host/needs --toolchain
	@board/host/needs build run test rig vm embedded pi image
	@$(MAKE) --no-print-directory build
	@for board in $(or $(SUBLET_BOARDS),virtualbox-amd64); do \
		[ -e .build/image/sublet-$$board.img.xz ] || $(MAKE) --no-print-directory image BOARD=$$board || exit; \
	done
	SUBLET_LONG=1 SUBLET_CUTS=300 bats --tap --recursive hardware-tests
endif

.PHONY: check
check: lint shellcheck embedded ## what must hold before a commit: formatting, scripts, all boards

.PHONY: embedded
embedded: $(BOARDS:%=embedded-%) ## build for every board; run the self-test of the ARM ones

.PHONY: $(BOARDS:%=embedded-%)
$(BOARDS:%=embedded-%): embedded-%: needs-build needs-embedded
	$(if $(PRODUCTS),board/build $* $(PRODUCTS))
	$(if $(filter governor,$(PRODUCTS)),board/run $* .build/$*/release/governor selftest --offline)
	$(if $(filter vault,$(PRODUCTS)),board/run $* .build/$*-static/release/vault --version)

.PHONY: sysroots
sysroots: needs-embedded ## the boards' headers and libraries (cached)
	@for board in $(BOARDS); do board/sysroot $$board; done

.PHONY: base
base: BOARD = $(patsubst board/%/facts,%,$(firstword $(shell grep -lx ARCH=$(ARCH) board/*/facts)))
base: needs-build needs-run $(if $(filter-out $(shell dpkg --print-architecture),$(ARCH)),needs-foreign needs-embedded) ## the renter's base image (cached); ARCH=arm64 or armhf for another processor
	@$(if $(filter $(shell dpkg --print-architecture),$(ARCH)),board/host/static vault,board/build $(BOARD) vault) >/dev/null
	@board/base-image $(ARCH)

.PHONY: image
image: needs-build needs-image needs-run needs-embedded $(if $(filter pi-%,$(BOARD)),needs-foreign) ## an SD card for a board, to be flashed: BOARD=pi-arm64
	$(if $(filter $(BOARD),$(BOARDS)),,$(error make image wants BOARD=, one of: $(BOARDS)))
	board/build $(BOARD) governor vault
	@board/image $(BOARD)

.PHONY: bundle
bundle: needs-image ## an update for devices of a board, of its last card: BOARD=virtualbox-amd64
	$(if $(filter $(BOARD),$(BOARDS)),,$(error make bundle wants BOARD=, one of: $(BOARDS)))
	@board/bundle $(BOARD)

.PHONY: lint
lint: needs-build ## formatting, strictly
	$(if $(SWIFT_FILES),swift format lint --strict --recursive --parallel $(SWIFT_FILES))

.PHONY: fmt
fmt: needs-build ## format the Swift code in place
	$(if $(SWIFT_FILES),swift format --in-place --recursive --parallel $(SWIFT_FILES))

.PHONY: shellcheck
shellcheck: needs-test ## read the shell scripts (SC2317 takes what a trap calls for unreachable)
	@grep -rlE '^#!/bin/(ba)?sh' $(SCRIPT_FOLDERS) | sort | xargs -r shellcheck -e SC2317 -x board/host/lib.sh

.PHONY: lamp
lamp: needs-build ## draw the README's picture of the lamp anew
	SUBLET_DRAW=1 swift test --filter LampPicture

.PHONY: simulate
simulate: needs-build ## devices and market through faults, in virtual time; LEASES=1000000 SEED=1
	swift build -c release --product simulate && .build/release/simulate --seed $(or $(SEED),1) --leases $(or $(LEASES),20000)

.PHONY: simulate-bugs
simulate-bugs: needs-build ## puts deliberate bugs in, one by one, and wants the simulator to catch each
	Tests/Simulator/run

.PHONY: fuzz
fuzz: needs-build ## fuzz what comes from outside, 10 minutes each; FOR=60 TARGETS="json vault"
	Tests/Fuzz/run --seconds $(or $(FOR),600) $(TARGETS)

.PHONY: sanitize
# XCTest itself leaks, and what an enum marks in a pointer's spare bits makes the leak detector miss the pointer.
sanitize: needs-build ## unit tests under the address sanitizer, then under the thread sanitizer
	ASAN_OPTIONS=detect_leaks=0 swift test --sanitize=address --scratch-path .build/address
	swift test --sanitize=thread --scratch-path .build/thread

.PHONY: bench
bench: needs-build needs-run needs-embedded needs-test needs-rig needs-bench ## size, memory, speed, beside their peers
	Tests/Bench/bench

.PHONY: clean
clean: ## remove what was built here (not the cache in SUBLET_CACHE)
	rm -rf .build
