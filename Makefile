# Python 3.11+ and make are all that a machine must have. Everything is installed into .venv from the
# hashed locks in requirements/; a second call finds the stamps in .venv and installs nothing.

.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
PEER := .venv-peers/x402/.installed
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

# A shell's PYTHONPATH must not reach into our environment; uv must never fetch an interpreter.
unexport PYTHONPATH PYTHONHOME
export UV_PYTHON_DOWNLOADS := never
# The system's certificates, as pip has them: a company's own authority is known there alone.
export UV_SYSTEM_CERTS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test drills interop check bench contracts test-contracts docs format lock wheel clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(DEV) ## Install everything into .venv: the node, the SDK and the developer's tools

demo: $(RUNTIME) ## An agent pays a real API 10,000 times; every cent is accounted for
	@$(BIN)/aisa demo

test: $(DEV) ## Run the tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -q

contracts: $(DEV) ## Compile the contracts and export their artifacts
	@$(BIN)/python -m contracts build

test-contracts: $(DEV) ## Test the contracts, their gas and their artifacts; part of `make test`
	@$(BIN)/python -m contracts test
	@$(BIN)/python -m contracts check

drills: $(DEV) ## Kill, cut and fuzz for up to 50 minutes; can be interrupted and resumed
	@$(BIN)/python -m tests.drills

interop: $(DEV) ## Pay and be paid by the x402 and MPP implementations of others; writes build/interop.json
	@$(BIN)/python -m tests.interop

check: $(DEV) ## Style, types and the directions between rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-logo

bench: $(DEV) $(PEER) ## Measure every claim of speed; writes build/bench.json
	@$(BIN)/python -m benchmarks

docs: $(DEV) ## Build the documentation into build/docs
	@$(BIN)/sphinx-build -n -W --keep-going -q -b html -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

format: $(DEV) ## Format the code and apply safe fixes
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

lock: $(DEV) ## Resolve requirements/*.txt again from pyproject.toml, and the peers from versions.toml
	@$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(COMPILE) pyproject.toml --extra demo --group build -o requirements/runtime.txt
	@$(COMPILE) pyproject.toml --extra all --group dev -c requirements/runtime.txt -o requirements/dev.txt
	@$(BIN)/python -m tests.interop.locks

wheel: $(RUNTIME) ## Build the wheel into dist/
	@$(BIN)/python -m hatchling build -t wheel -d dist

clean: ## Remove what was built; .venv and .venv-peers stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@sh requirements/venv.sh $(VENV)

$(RUNTIME): requirements/bootstrap.txt requirements/runtime.txt pyproject.toml | $(BIN)/python
	@sh requirements/install.sh $(VENV) requirements/runtime.txt
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@sh requirements/install.sh $(VENV) requirements/dev.txt
	@touch $@

$(PEER): requirements/peer-x402.txt | $(DEV)
	@sh requirements/peer.sh .venv-peers/x402 requirements/peer-x402.txt
	@touch $@
