# Needs python3 (3.11 or newer) with venv and pip; all packages are installed in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=
# Worker processes of pytest. Tests of one file stay in one process: they share fixtures.
WORKERS ?= auto

.PHONY: help demo test bench lint format docs golden dashboards chart-docs config-docs \
  screenshot lock clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.run-time  ## Run a simulated Braze and the exporter that polls it
	$(BIN)/braze-exporter demo $(ARGS)

test: $(VENV)/.development  ## Run the tests, without those marked slow
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

bench: $(VENV)/.development  ## Measure speed beside alternatives (Linux, nginx)
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/.development  ## Check style, types, imports and words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/words.py

format: $(VENV)/.development  ## Format the code with ruff
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.development  ## Build the documentation site into site/
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

golden: $(VENV)/.development  ## Write the golden files of the tests; read the diff
	$(BIN)/python -m tests.golden

dashboards: $(VENV)/.development  ## Write grafana/dashboards, and copy them and the rules into the chart
	$(BIN)/python -m grafana.generator

chart-docs: $(VENV)/.development  ## Write the generated parts of the chart's README and schema
	$(BIN)/python -m tests.chart.readme_tables
	$(BIN)/python -m tests.chart.schema_types

config-docs: $(VENV)/.development  ## Write the tables of docs/configuration.md from the options
	$(BIN)/python -m tests.docs.configuration_page

screenshot: $(VENV)/.development  ## Write the README's screenshot of the demo (needs chromium)
	$(BIN)/python -m tests.docs.screenshot docs/images/status-page.png

lock:  ## Pin the dependencies of pyproject.toml, with hashes (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-strip-extras \
	  --extra build -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-strip-extras \
	  --extra build --extra dev -o requirements-dev.lock pyproject.toml

clean:  ## Remove all generated files
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

$(BIN)/python:
	@echo "Creating $(VENV); its packages are downloaded once..."
	@$(PYTHON) -m venv $(VENV)

# The locks contain the build backend, so nothing is installed without its hash. The
# package is compiled here, because the first user may not be allowed to write its cache.
$(VENV)/.run-time: requirements.lock pyproject.toml | $(BIN)/python
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q exporter
	@touch $@

$(VENV)/.development: requirements-dev.lock pyproject.toml | $(BIN)/python
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q exporter
	@touch $@ $(VENV)/.run-time
