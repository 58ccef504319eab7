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

setup: $(STAMP) ## create .venv with the exact versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

run: $(STAMP) ## run the default job on built-in data; ARGS="dataset=cifar10 ..." changes it
	$(BIN)/ntkrun $(ARGS)
	@$(if $(ARGS),:,printf '%s\n' '' 'next: make run ARGS="dataset=csv dataset.path=mine.csv"   your own table (docs/tables.md)' \
	  '      make run ARGS="-m feature_dim=256,1024 seed=0,1 baseline=none"   a sweep, with a report' \
	  '      make ui   compare all runs in the browser')

ui: $(STAMP) ## compare runs in the browser, on this machine only; ARGS="DIR --port N"
	$(BIN)/ntkrun ui $(ARGS)

test: $(STAMP) ## run the test suite
	$(BIN)/pytest $(ARGS)

test-all: $(STAMP) ## run the test suite with its slow tests
	$(BIN)/pytest -m "" $(ARGS)

test-faults: $(STAMP) ## run all kills, errors, damages and bad inputs of tests/faults; four hours
	rm -f outputs/faults.jsonl; mkdir -p outputs
	NTKRUN_FAULTS=full NTKRUN_FAULTS_RECORD=$(CURDIR)/outputs/faults.jsonl $(BIN)/pytest -m "" --timeout 7200 tests/faults tests/test_store.py tests/test_report.py tests/test_commands.py tests/test_datasets.py tests/test_model.py $(ARGS)
	NTKRUN_FAULTS=full NTKRUN_FAULTS_RECORD=$(CURDIR)/outputs/faults.jsonl $(BIN)/python -m scripts.mutants
	$(BIN)/python -m scripts.reliability outputs/faults.jsonl docs/reliability.md

lint: $(STAMP) ## run ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## run mypy
	$(BIN)/mypy

check: lint types test ## run lint, types and test, as CI does

bench: $(STAMP) ## measure this machine, as tables and plots; ARGS="data_dir=DIR speed"
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(STAMP) ## build the documentation, outputs/docs/index.html
	$(BIN)/python -m sphinx -q -W -b html docs outputs/docs

clean: ## remove caches; outputs/ and .venv/ stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache *.egg-info
