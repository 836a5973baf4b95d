# Every verb prints the plain commands it runs, so they can be copied by hand.
# VENV and PYTHON may be set: `make test VENV=/tmp/venv PYTHON=python3.12`.
VENV ?= .venv
# The same package on JAX, without TensorFlow: its absence is tested.
JAX_VENV ?= .venv-jax
# PyTorch and torchdistill, for benchmarks/peers alone. TORCH pins versions:
# `make install-torch TORCH="torch==2.14.1 torchvision torchdistill"`.
TORCH_VENV ?= .venv-torch
TORCH ?= torch torchvision torchdistill
# May name PyTorch's index of wheels without CUDA; the usual ones take 5 GB.
TORCH_INDEX ?=
# MediaPipe's ImageClassifier, for tests/runtimes: it and tfmot ask for
# different absl-py. It needs Debian's libegl1 and libgles2.
MEDIAPIPE_VENV ?= .venv-mediapipe
# LiteRT on an emulated ARM processor, for tests/runtimes. It needs Debian 12
# with qemu-user-static.
AARCH64_VENV ?= .venv-aarch64
# What tests/runtimes runs in Chromium, from npm. It needs Node 18 or later.
BROWSER ?= .browser
# Kotlin's compiler, for tests/runtimes: an npm package. It needs Java 17.
KOTLIN ?= .kotlin
PYTHON ?= python3
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JAX_BIN := $(JAX_VENV)/bin
JAX_STAMP := $(JAX_VENV)/.installed
TORCH_STAMP := $(TORCH_VENV)/.installed
MEDIAPIPE_STAMP := $(MEDIAPIPE_VENV)/.installed
AARCH64_STAMP := $(AARCH64_VENV)/.installed
BROWSER_STAMP := $(BROWSER)/.installed
KOTLIN_STAMP := $(KOTLIN)/.installed
JAX_NEEDS := absl-py|grain|jax|keras|numpy|pytest

.PHONY: help install install-jax install-torch install-mediapipe
.PHONY: install-aarch64 install-browser install-kotlin
.PHONY: demo test test-long test-all test-fast table
.PHONY: lint format typecheck wheel clean

help:
	@echo "make demo       distill a student on embedded images, export, report"
	@echo "make test       run every test but the long ones"
	@echo "make test-long  run the long ones: browsers, kills, further cases"
	@echo "make test-all   run both"
	@echo "make test-fast  run the tests, stop at the first failure"
	@echo "make table      run every test, write docs/what_works_where.md"
	@echo "make lint       check style and formatting"
	@echo "make format     rewrite the code in the house style"
	@echo "make typecheck  check the type hints"
	@echo "make wheel      build the wheel and the sources into dist/, check both"
	@echo "make install-torch  PyTorch, for benchmarks/peers alone"
	@echo "make install-mediapipe  MediaPipe, for tests/runtimes alone"
	@echo "make install-aarch64  an emulated phone processor, likewise"
	@echo "make install-browser  LiteRT.js and others, likewise"
	@echo "make install-kotlin  Kotlin's compiler, likewise"
	@echo "make clean      remove what the other verbs made"

$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(STAMP)

# Versions are read off setup.cfg; pip would install TensorFlow with the rest.
$(JAX_STAMP): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(JAX_VENV)
	$(JAX_BIN)/python -m pip install --quiet \
	    $$(sed -nE 's/^    (($(JAX_NEEDS))>=.*)/\1/p' setup.cfg | sort -u)
	$(JAX_BIN)/python -m pip install --quiet --no-deps --editable .
	touch $(JAX_STAMP)

$(TORCH_STAMP):
	$(PYTHON) -m venv $(TORCH_VENV)
	$(TORCH_VENV)/bin/python -m pip install --quiet \
	    $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH)
	touch $(TORCH_STAMP)

$(MEDIAPIPE_STAMP):
	$(PYTHON) -m venv $(MEDIAPIPE_VENV)
	$(MEDIAPIPE_VENV)/bin/python -m pip install --quiet "mediapipe==1.2.2"
	touch $(MEDIAPIPE_STAMP)

# At the versions in $(VENV), whose answers it is compared with.
$(AARCH64_STAMP): tools/install_aarch64.py $(STAMP)
	$(BIN)/python tools/install_aarch64.py --out $(AARCH64_VENV)
	touch $(AARCH64_STAMP)

$(BROWSER_STAMP): $(wildcard tests/runtimes/browser/package*.json)
	mkdir -p $(BROWSER)
	cp $^ $(BROWSER)
	npm ci --prefix $(BROWSER) --no-audit --no-fund --loglevel=error
	touch $(BROWSER_STAMP)

$(KOTLIN_STAMP):
	npm install --silent --no-audit --no-fund --prefix $(KOTLIN) \
	    kotlin-compiler@2.4.20
	touch $(KOTLIN_STAMP)

install: $(STAMP)

install-jax: $(JAX_STAMP)

install-torch: $(TORCH_STAMP)

install-mediapipe: $(MEDIAPIPE_STAMP)

install-aarch64: $(AARCH64_STAMP)

install-browser: $(BROWSER_STAMP)

install-kotlin: $(KOTLIN_STAMP)

demo: $(STAMP)
	$(BIN)/keras-ft demo $(ARGS)

test test-long test-all test-fast table: export KERAS_FT_JAX_PYTHON = $(abspath $(JAX_BIN)/python)

# Two processes, each of which may take 3 GB; ARGS="-n 0" has all in one. A
# file's tests stay together, with the fixtures that they share.
test: $(STAMP) $(JAX_STAMP)
	$(BIN)/python -m pytest -n 2 --dist=loadfile -m "not long" $(ARGS)

test-long: $(STAMP) $(JAX_STAMP)
	$(BIN)/python -m pytest -n 2 --dist=loadfile -m long $(ARGS)

test-all: $(STAMP) $(JAX_STAMP)
	$(BIN)/python -m pytest -n 2 --dist=loadfile $(ARGS)

test-fast: $(STAMP) $(JAX_STAMP)
	$(BIN)/python -m pytest -n 2 --dist=loadfile -m "not slow and not long" \
	    --exitfirst $(ARGS)

table: $(STAMP) $(JAX_STAMP)
	$(BIN)/python -m pytest -n 2 --dist=loadfile --write-table $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Scripts have few hints: what they call must exist, under that name.
typecheck: $(STAMP)
	$(BIN)/mypy
	MYPYPATH=.:benchmarks:benchmarks/gpu:benchmarks/peers $(BIN)/mypy \
	    --config-file= --explicit-package-bases --check-untyped-defs \
	    --ignore-missing-imports --follow-imports=silent \
	    $(addprefix --disable-error-code=,arg-type assignment call-overload \
	        operator type-var union-attr var-annotated) \
	    $(wildcard $(addsuffix /*.py,benchmarks benchmarks/* \
	        examples examples/* tools))

wheel: $(STAMP)
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) $(JAX_VENV) $(TORCH_VENV) $(MEDIAPIPE_VENV) $(AARCH64_VENV)
	rm -rf $(BROWSER) $(KOTLIN) examples/browser/node_modules
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
