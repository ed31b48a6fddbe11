# `make help` lists the tasks. Each installs what it needs first (Debian, as root) or says what is missing.

PREFIX ?= /usr/local
PROCESSES ?= 4
PASSES ?= 5
export PREFIX PROCESSES PASSES MOODLE_DIR QUICK

.DEFAULT_GOAL := build
.PHONY: setup build demo check test test-moodle matrix bench experiment reference lint package install help

build: ## build the extension and the command (target/release)
	@tools/setup build
	@tools/build

setup: ## install what building and testing needs (Debian, as root), or say what is missing
	@tools/setup test

demo: ## replay recorded Moodle pages in several PHP processes (PROCESSES=4 PASSES=5)
	@tools/setup build
	@tools/demo

check: ## the quick part of `make test`: format, lints, unit tests, Redis, PHPT
	@tools/setup test
	@tools/check

test: ## check everything: format, lints, docs, Rust tests, PHPT, PHPUnit
	@tools/setup test
	@tools/test

test-moodle: ## run Moodle's own cache suites with this store, and pages through outages (MOODLE_DIR=/path/to/moodle)
	@tools/setup test
	@tools/test-moodle

matrix: ## run the suites on other releases of Debian and on aarch64 (root; alone: tools/matrix trixie phpt)
	@tools/matrix

bench: ## compare stores on the recorded pages, in one process each (PASSES=5)
	@tools/setup bench
	@tools/bench

experiment: ## load two web nodes with users, one cache store after the other (35 minutes; QUICK=1: six)
	@tools/setup experiment
	@tools/experiment

reference: ## the deployment of docs/aws.md in small on this machine, checked (MOODLE_DIR=/path/to/moodle)
	@tools/setup reference
	@tools/reference

lint: ## the part of `make test` that runs nothing
	@tools/setup build
	@tools/lint

package: ## make Debian packages, the plugin's ZIP and their checksums (target/packages)
	@tools/setup package
	@tools/package

install: ## install the extension into PHP and the command into PREFIX/bin (/usr/local)
	@tools/install

help: ## this list
	@echo "make TASK"
	@sed -n 's/^\([a-z-]*\): ## /  \1\t/p' Makefile | expand -t 16
