# make demo    the main job, on a hospital of its own            make demo SUBJECTS=20
# make test    every test this machine can run                   make test TESTS='tests/records -k enum'
# make lint    style, types, import contracts
# make bench   what each step costs beside its peers: validators, bare clients, parsers, HAPI
# make storm   pushers killed under faults, two at a time      make storm STORM='--subjects 40 --server hapi'
# make clean   takes away what the others made

PYTHON ?= python3
SUBJECTS ?= 332
TESTS ?=
WORKERS ?= auto
STORM ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint bench storm clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# //p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "fhirbridge needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[test]'
	@touch $@ $(VENV)/demo.stamp

demo: $(VENV)/demo.stamp
	@$(BIN)/fhirbridge definitions install
	@exec $(BIN)/fhirbridge demo --subjects $(SUBJECTS)

test: $(VENV)/test.stamp
	@$(BIN)/fhirbridge definitions install
	@$(BIN)/python -m pytest $(if $(TESTS),$(TESTS),-n $(WORKERS) --dist loadgroup)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/test.stamp
	@$(PIP) install -q -c constraints.txt -e '.[bench]'
	@$(BIN)/fhirbridge definitions install
	@$(BIN)/python benchmarks/pipeline.py
	@$(BIN)/python benchmarks/validation.py
	@$(BIN)/python benchmarks/push.py
	@$(BIN)/python benchmarks/pull.py
	@$(BIN)/python benchmarks/inbox.py
	@$(BIN)/python benchmarks/hl7v2.py
	@$(BIN)/python benchmarks/api.py

storm: $(VENV)/test.stamp
	@$(BIN)/fhirbridge definitions install
	@$(BIN)/python -m tests.storm $(STORM)

clean:
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/hapi/target \
	  tests/api/clients/fhir_kit_client/node_modules
	find fhirbridge mappings tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
