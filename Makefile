# What the project does with itself. Two commands are enough on a fresh machine: make demo, make test.
# Each target installs what it lacks (scripts/setup); where root is needed and you are not, sudo is asked.

SHELL := /bin/sh
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup check fix test test-vm demo bench build clean

help: ## Show these lines
	@sed -n 's/^\([a-z-]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## Install what is missing: Debian packages, .venv, pysup (editable), tools
	@scripts/setup

check: setup ## Lint, format, types, layers: all that needs no systemd
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy scripts bench tests/conftest.py tests/test_demo.py
	$(BIN)/lint-imports --no-logo

fix: setup ## Mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: ## Run all tests, in a box where they need a systemd: make test ARGS="-k scale -x"
	@scripts/setup tests
	scripts/as-root $(BIN)/pytest $(ARGS)

test-vm: ## Run those that need systemd 257 and cgroup v2 in a virtual machine: make test-vm ARGS="-k oom"
	@scripts/setup vm
	scripts/as-root $(BIN)/pytest --vm $(ARGS)

demo: setup ## The talk's demo in a box: an app once per core, killed, rebooted, and back
	scripts/as-root $(BIN)/python scripts/demo.py

bench: ## pysup beside PM2, supervisord and circus, as ratios: make bench ROW=list
	@scripts/setup bench
	@$(BIN)/python -m compileall -q supervisor # as pip does where users install it
	scripts/as-root env PYTHONPATH=scripts:tests $(BIN)/python -m bench $(if $(ROW),--row $(ROW)) $(ARGS)

build: setup ## The wheel and the sdist in dist/, and a try of the wheel without the source
	scripts/build

clean: ## Remove all that was made here, .venv too
	scripts/as-root rm -rf .venv .cache dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	scripts/as-root find . -name __pycache__ -prune -exec rm -rf {} +
