# Every target sets itself up: a fresh clone needs Python 3.11, make and a package index, nothing else.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
IMPRIMATUR_HOME ?= imprimatur-home
export IMPRIMATUR_HOME
# threads that wait leave the cores to others
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-platform test-library check proof bench constraints clean

help:  ## show what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(INSTALLED)  ## install everything into .venv, once

$(INSTALLED): pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade --constraint requirements/constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint requirements/constraints.txt --editable '.[gpu,dev]'
	touch $@

demo: $(INSTALLED)  ## train, register, evaluate, gate and serve on real digits (about 8 minutes)
	$(BIN)/imprimatur demo

up: $(INSTALLED)  ## start server, worker and gateway on this machine
	$(BIN)/imprimatur up

test: $(INSTALLED)  ## run the tests, the library's beside the platform's (15 to 17 minutes on 2 cores)
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-platform test-library

# the + lets this one speak while it runs; the library's report comes in one piece
test-platform: $(INSTALLED)
	+$(BIN)/python -m pytest tests platform/imprimatur --ignore=tests/evaluators

test-library: $(INSTALLED)
	$(BIN)/python -m pytest tests/evaluators evaluators/imprimatur_evaluators

check: $(INSTALLED)  ## format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy platform evaluators migrations tests
	$(BIN)/lint-imports

proof: $(INSTALLED)  ## the long forms of the tests: full counts and three demo seeds (under an hour)
	$(BIN)/python -m pytest --proof

bench: $(INSTALLED)  ## measure, as ratios against named peers
	$(BIN)/python -m imprimatur_evaluators.bench --write docs/benchmarks.md
	$(BIN)/python tests/support/registry_bench.py --write docs/benchmarks.md

constraints:  ## resolve every dependency anew and pin what came of it
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[gpu,ray,dev]'
	$(BIN)/python -m pip freeze --all --exclude-editable > requirements/constraints.txt

clean:  ## remove the environment and what the demo kept
	rm -rf .venv $(IMPRIMATUR_HOME)
