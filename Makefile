# The project's commands. `make` alone lists them.
#
#   BLAS feature   Linux links the system's OpenBLAS; on macOS Apple's Accelerate is used instead.
#   SCREENSHOTS    a folder for what `make window` saw
#   TEST_PROFILE   which build `make smoke` and `make window` run: release, or dev, the one of `make unit`, which has
#                  the smoke test among its own
#   CARGO_FLAGS    further flags for every cargo build, for example `make dream CARGO_FLAGS=--offline`

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

ifeq ($(shell uname -s),Darwin)
FEATURES := --no-default-features --features accelerate
else
FEATURES :=
endif
CARGO := cargo
CARGO_FLAGS ?=
BUILD_FLAGS := --locked $(FEATURES) $(CARGO_FLAGS)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
ONEIRIC := $(TARGET_DIR)/release/oneiric
TEST_PROFILE ?= release
TESTED := $(TARGET_DIR)/$(if $(filter dev,$(TEST_PROFILE)),debug,$(TEST_PROFILE))/oneiric
PHOTO ?= assets/flower.jpg

.NOTPARALLEL:

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: ## Install what building needs and is missing (OpenBLAS, a linker)
	@.ci/setup.sh

.PHONY: release
release: setup ## Build the optimized program
	$(CARGO) build --release $(BUILD_FLAGS)

.PHONY: dream
dream: release ## Dream a sample photo (another one: make dream PHOTO=…)
	@mkdir -p out
	$(ONEIRIC) dream "$(PHOTO)" --out "out/$(basename $(notdir $(PHOTO)))-dream.png"

.PHONY: desktop
desktop: release ## Open the window
	$(ONEIRIC)

# Where `make install` puts things: PREFIX=/usr/local for all users.
PREFIX ?= $(HOME)/.local

.PHONY: install
install: release ## Install the program, its icon and its menu entry under PREFIX (~/.local)
	install -D -m 755 "$(ONEIRIC)" "$(DESTDIR)$(PREFIX)/bin/oneiric"
	install -D -m 644 assets/icon.png "$(DESTDIR)$(PREFIX)/share/icons/hicolor/512x512/apps/oneiric.png"
	install -D -m 644 assets/oneiric.desktop "$(DESTDIR)$(PREFIX)/share/applications/oneiric.desktop"

.PHONY: test
test: setup fmt-check lint docs portable unit $(if $(filter dev,$(TEST_PROFILE)),,smoke) window ## Run every check that must pass
	@echo 'All checks passed.'

.PHONY: fmt-check
fmt-check:
	@.ci/setup.sh rustfmt
	$(CARGO) fmt --check

.PHONY: lint
lint:
	@.ci/setup.sh clippy
	$(CARGO) clippy --all-targets $(BUILD_FLAGS) -- -D warnings

.PHONY: docs
docs:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items $(BUILD_FLAGS)

# Without any BLAS the engine falls back to pure Rust; this is also what other platforms build.
.PHONY: portable
portable:
	$(CARGO) clippy --no-default-features --locked $(CARGO_FLAGS) -- -D warnings

# cargo-nextest runs every test in a process of its own and is faster; cargo's own runner runs the same tests.
define run_tests
  if $(CARGO) nextest --version >/dev/null 2>&1; then \
    $(CARGO) nextest run --no-fail-fast $(BUILD_FLAGS) $(1); \
  else \
    echo 'cargo-nextest is not installed (cargo install --locked cargo-nextest): using cargo test'; \
    $(CARGO) test --no-fail-fast $(BUILD_FLAGS) $(1); \
  fi
endef

.PHONY: unit
unit:
	$(call run_tests,--lib --bins --tests)

# The program that the two tests below run: the optimized one, unless TEST_PROFILE says otherwise.
.PHONY: tested
tested: setup
	$(CARGO) build --profile $(TEST_PROFILE) $(BUILD_FLAGS)

# The program as it is used: a small dream of the sample photo, checked.
.PHONY: smoke
smoke: tested
	ONEIRIC_BIN="$(abspath $(TESTED))" $(CARGO) test --test it $(BUILD_FLAGS) smoke

# The real window on a screen of its own (Linux; elsewhere there is no such screen).
.PHONY: window
window: tested
ifeq ($(shell uname -s),Linux)
	@.ci/setup.sh screen
	tests/gui_smoke.sh "$(TESTED)" $(SCREENSHOTS)
else
	@echo 'The test of the window needs Xvfb, which is for Linux: skipped.'
endif

.PHONY: bench
bench: release ## Measure the speed of dreaming, looking and learning: a table
	@$(ONEIRIC) bench

.PHONY: bench-peer
bench-peer: release ## The same steps in PyTorch in the same sitting, and the ratios
	@tests/benches/peer.sh $(ONEIRIC)

# The kernels' own tests under the address sanitizer, which the compiler has but does not offer yet; not part of CI. It
# builds everything anew into a folder of its own.
SANITIZE_TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')
.PHONY: sanitize
sanitize: setup ## Run the kernels' tests under the address sanitizer (minutes)
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$(TARGET_DIR)/sanitize \
	  $(CARGO) test --target $(SANITIZE_TARGET) --lib $(BUILD_FLAGS) -- base:: nn::

.PHONY: clean
clean: ## Remove what was built (pictures in out/ stay)
	$(CARGO) clean
