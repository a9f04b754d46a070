# Needs python3 (3.11 or newer) with venv and pip; everything else comes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ARGS ?=

.PHONY: help demo test bench lint format dashboards chart-docs config-docs screenshot lock clean
.DEFAULT_GOAL := help

help:  ## Show what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.run-time  ## See it work: a simulated Braze, and the exporter polling it
	$(BIN)/braze-exporter demo $(ARGS)

test: $(VENV)/.development  ## Run the whole test suite
	$(BIN)/python -m pytest $(ARGS)

bench: $(VENV)/.development  ## Measure speed beside what else there is (Linux, nginx)
	$(BIN)/python -m benchmarks $(ARGS)

lint: $(VENV)/.development  ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.development  ## Let ruff write the code as it wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dashboards: $(VENV)/.development  ## Write grafana/dashboards from grafana/generator
	$(BIN)/python -m grafana.generator

chart-docs: $(VENV)/.development  ## Write what the chart's README and schema take from elsewhere
	$(BIN)/python -m tests.chart.readme_tables
	$(BIN)/python -m tests.chart.schema_types

config-docs: $(VENV)/.development  ## Write the tables of docs/configuration.md from the options
	$(BIN)/python -m tests.docs.configuration_page

screenshot: $(VENV)/.development  ## Draw the README's picture of the demo (needs chromium)
	$(BIN)/python -m tests.docs.screenshot docs/images/status-page.png

lock:  ## Pin what pyproject.toml asks for, with hashes (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-strip-extras \
	  --extra build -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-strip-extras \
	  --extra build --extra dev -o requirements-dev.lock pyproject.toml

clean:  ## Remove what was made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

$(BIN)/python:
	@echo "Making $(VENV), once; what it holds is downloaded now..."
	@$(PYTHON) -m venv $(VENV)

# The locks hold the build backend too, so nothing is installed without its hash. Ours
# is compiled as pip compiles the rest: where Python may not write, each start would pay.
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
