# make demo    a world model answers actions, on the CPU, nothing to download
# make studio  drive, fork and compare in a browser
# make setup   the environment alone, in .venv
# make check   lint, types and the core's tests, in a minute and a half
# make test    every test, on all cores (WORKERS=1: on one; WORKERS=0: in pytest's own process)
# make test-browser   the studio in Chromium;  make screenshots   its pictures for the README
# make lint    ruff and mypy

VENV := .venv
BIN := $(VENV)/bin

# The first interpreter that runs and is new enough; `make PYTHON=/path/to/python` picks another.
PYTHON := $(shell for python in python3.11 python3 python3.12 python3.13; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo "$$python"; break; }; done)

# How many processes the tests are shared by; auto: as many as there are cores, and memory for.
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=10

# What `make check` tests: all that the core is, but what takes more than a few seconds.
CORE := tests/test_*.py $(addprefix tests/,envs episodes pictures policies prompters rollouts \
	scenarios settings whatif)

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: demo studio setup setup-dev check test test-browser screenshots lint
.DEFAULT_GOAL := demo

demo: $(VENV)/.base
	@$(BIN)/chronosim demo
	@$(BIN)/chronosim demo scenario=pusht horizon=16 attempts=4

studio: $(VENV)/.base
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[studio]'
	@$(BIN)/chronosim studio

setup: $(VENV)/.base

setup-dev: $(VENV)/.dev

test: $(VENV)/.dev
	$(PYTEST)

check: lint
	$(PYTEST) -m "not slow" $(wildcard $(CORE))

# Both need Chromium (Debian: apt-get install chromium), or CHRONOSIM_CHROMIUM=/path/to/it.
test-browser: $(VENV)/.dev
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[browser]'
	$(BIN)/python -m pytest -m browser tests/studio

screenshots: $(VENV)/.dev
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[browser]'
	$(BIN)/python -m tests.studio.screenshots

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "chronosim needs Python 3.11 or newer, but there is none on this machine's path:" \
			"install it, or say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@if ! "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) cannot make a virtual environment:" \
			"on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; fi
	@"$(PYTHON)" -m venv $(VENV)

# The stamps are as new as what they were installed from: a second run sets nothing up again.
$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) (once, a few minutes) ..."
	@$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) with what tests need (once, a few minutes) ..."
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(VENV)/.base $@
