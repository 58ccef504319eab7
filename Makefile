# ntkrun: `make run` and `make test` do everything on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all test-faults lint types check bench docs ui clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(STAMP) ## create .venv and install the exact versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

run: $(STAMP) ## the main job on embedded data; ARGS="dataset=cifar10 ..." for another
	$(BIN)/ntkrun $(ARGS)

ui: $(STAMP) ## compare runs in the browser, on this machine only; ARGS="DIR --port N"
	$(BIN)/ntkrun ui $(ARGS)

test: $(STAMP) ## the test suite
	$(BIN)/pytest $(ARGS)

test-all: $(STAMP) ## the suite with its slow part
	$(BIN)/pytest -m "" $(ARGS)

test-faults: $(STAMP) ## all kills, errors, damages and bad inputs of tests/faults; four hours
	rm -f outputs/faults.jsonl; mkdir -p outputs
	NTKRUN_FAULTS=full NTKRUN_FAULTS_RECORD=$(CURDIR)/outputs/faults.jsonl $(BIN)/pytest -m "" --timeout 7200 tests/faults tests/test_store.py tests/test_report.py tests/test_commands.py tests/test_datasets.py tests/test_model.py $(ARGS)
	NTKRUN_FAULTS=full NTKRUN_FAULTS_RECORD=$(CURDIR)/outputs/faults.jsonl $(BIN)/python -m scripts.mutants
	$(BIN)/python -m scripts.reliability outputs/faults.jsonl docs/reliability.md

lint: $(STAMP) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy
	$(BIN)/mypy

check: lint types test ## what CI runs

bench: $(STAMP) ## tables and pictures of what this machine does; ARGS="data_dir=DIR speed"
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(STAMP) ## the documentation, outputs/docs/index.html
	$(BIN)/python -m sphinx -q -W -b html docs outputs/docs

clean: ## remove caches; outputs/ and .venv/ stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache *.egg-info
