# One name for each habit. Every target sets up what it needs: a virtual environment, dependencies, servers.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo serve test check format bench bench-quality chaos fuzz fuzz-api hostile zoo airflow examples docs clean
.DEFAULT_GOAL := test

$(BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Pith needs Python 3.11 or newer; name one: make PYTHON=python3.12"'
	$(PYTHON) -m venv $(VENV)

# What runs the service and the demo, then what the tests need on top. Each stamp is remade when its pins change.
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing Pith and its dependencies (PyTorch among them: some minutes, some gigabytes)"
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing Pith with what its tests need (PyTorch among them: some minutes, some gigabytes)"
	$(PIP) --editable '.[dev]'
	@touch $(VENV)/.demo $@

# The other official client of the upload protocol, and an auditor of pages, where there is npm; without it their tests
# skip, and say so. So do those of the pages where there is no chromium (Debian: apt install chromium).
JS := $(VENV)/js/node_modules/axe-core
$(JS): | $(BIN)/python
	@mkdir -p $(VENV)/js
	-@command -v npm > /dev/null && npm install --silent --no-save --no-package-lock --prefix $(VENV)/js tus-js-client@4.3.1 axe-core@4.14.1

# A real MLflow server for the tests, where it can be had; its dependencies do not go with ours. Without it they skip.
$(VENV)/mlflow: | $(BIN)/python
	$(PYTHON) -m venv $@
	-$@/bin/python -m pip install --quiet --disable-pip-version-check mlflow==3.17.2 onnx onnxruntime

# A real Airflow for the test of its example, likewise.
airflow: | $(BIN)/python
	$(PYTHON) -m venv $(VENV)/airflow
	$(VENV)/airflow/bin/python -m pip install --quiet --disable-pip-version-check apache-airflow==3.3.2 httpx click rich

demo: $(VENV)/.demo
	$(BIN)/python examples/demo/demo.py

serve: $(VENV)/.demo
	$(BIN)/pith up

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check $(JS) $(VENV)/mlflow
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python -m bench

# Hours: every technique against its paper or its peer. CASES="soup coding" runs some; each writes its part of the page.
bench-quality: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.quality $(CASES)

# Faults that take some seconds each, then fifty jobs, struck two hundred times. ARGS="--seed 1 --postgresql"
chaos: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m chaos
	$(BIN)/python -W ignore -m tests.chaos $(ARGS)

# The report of one job for each kind of data, into docs/examples; WANTED="image table" makes some.
examples: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m bench.examples $(WANTED)

docs: $(VENV)/.dev
	$(BIN)/python -m pith.catalogue > docs/techniques.md

# Every model of the conformance zoo, two at a time; writes docs/zoo.md. ARGS=--failed or a model's name walks fewer.
zoo: $(VENV)/.dev
	$(BIN)/python -m tests.zoo $(ARGS)

# Files that are neither accepted nor refused in words are kept in fuzz-found/. make fuzz COUNT=100000 SEED=1
COUNT ?= 10000
SEED ?= 0
fuzz: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.fuzz $(COUNT) --seed $(SEED)

# Every route of the description, without keys and with one. make fuzz-api CASES=200 SEED=1
fuzz-api: $(VENV)/.dev
	$(BIN)/python -W ignore -m tests.fuzz_api $(or $(CASES),50) --seed $(SEED)

hostile: $(VENV)/.dev
	$(BIN)/python -W ignore -m tests.hostile

clean:
	rm -rf fuzz-found build dist *.egg-info demo-out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
