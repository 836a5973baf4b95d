# Every verb prints the plain commands it runs, so they can be copied by hand.
# VENV and PYTHON may be set: `make test VENV=/tmp/venv PYTHON=python3.12`.
VENV ?= .venv
PYTHON ?= python3
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test test-fast lint format typecheck wheel clean

help:
	@echo "make demo       distil a student on embedded images, export, report"
	@echo "make test       run every test"
	@echo "make test-fast  run the tests, stop at the first failure"
	@echo "make lint       check style and formatting"
	@echo "make format     rewrite the code in the house style"
	@echo "make typecheck  check the type hints"
	@echo "make wheel      build dist/*.whl"
	@echo "make clean      remove what the other verbs made"

$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/keras-ft demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

test-fast: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" --exitfirst $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(STAMP)
	$(BIN)/mypy

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
