# ntkrun: `make run` and `make test` do everything on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all lint types check bench ui clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(STAMP) ## create .venv and install the exact versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

run: $(STAMP) ## the main job on embedded data; ARGS="dataset=cifar10 ..." for another
	$(BIN)/ntkrun $(ARGS)

ui: $(STAMP) ## compare runs in the browser, on this machine only
	$(BIN)/mlflow ui --host 127.0.0.1 --port $${PORT:-5000} \
	  --backend-store-uri "sqlite:///$$(realpath -m "$${NTKRUN_OUTPUT_DIR:-outputs}")/mlflow.db"

test: $(STAMP) ## the test suite
	$(BIN)/pytest $(ARGS)

test-all: $(STAMP) ## the suite with its slow part
	$(BIN)/pytest -m "" $(ARGS)

lint: $(STAMP) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy
	$(BIN)/mypy

check: lint types test ## what CI runs

bench: $(STAMP) ## tables and pictures of what this machine does; ARGS="data_dir=DIR speed"
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## remove caches; outputs/ and .venv/ stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache *.egg-info
