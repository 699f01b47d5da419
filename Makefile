# Thin words over tools/ and the presets of CMakePresets.json; CI uses the same. `make` alone lists them.
.PHONY: help setup build run test test-asan test-tsan lint format fuzz-smoke conformance infra-test bench clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install what is missing: compilers, libraries, test runners (Debian 12)
	@tools/setup.sh

build: ## the release build, in build/release/
	@tools/setup.sh run
	@tools/build.sh release

run: ## build and start the gateway on 127.0.0.1:8080, with Claude or with the simulator
	@tools/run.sh

test: ## build and run every suite; the last line is `N passed, N failed`
	@tools/test.sh

test-asan: ## unit and integration tests under AddressSanitizer and UBSan
	@tools/test.sh dev

test-tsan: ## unit and integration tests under ThreadSanitizer
	@tools/test.sh tsan

lint: ## format, tidy, headers, shellcheck, clang-tidy on what changed (tools/lint.sh --all: on everything)
	@tools/lint.sh

format: ## format all C++ sources in place
	@tools/setup.sh dev
	@find src sim tests bench \( -path '*/node_modules' -o -path bench/work \) -prune -o \
	  \( -name '*.cpp' -o -name '*.hpp' \) -print0 | xargs -0 clang-format-19 -i

fuzz-smoke: ## every fuzz target for FUZZ_SECONDS (60)
	@tools/fuzz.sh

conformance: ## other clients and SDKs against the gateway
	@tools/setup.sh run test conformance
	@tools/build.sh release claude-proxy claude-sim
	@PATH="$(CURDIR)/build/node/bin:$$PATH" tests/conformance/run

infra-test: ## infra/: format, validity, Terraform's tests, applied to moto; says loudly what could not run
	@tools/infra_test.sh

bench: ## the gateway beside nginx; prints ratios and writes a report
	@tools/setup.sh run bench
	@tools/build.sh release claude-proxy claude-sim
	@bench/bench

clean: ## remove what was built (not var/, not the compiler cache)
	@rm -rf build bench/work tests/sdk/node_modules
