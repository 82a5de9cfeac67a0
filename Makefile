PYTHON ?= python3
BIN := .venv/bin
# Fewer lines of TensorFlow about itself; set it to 0 to see them all.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help demo test check docs clean

help: ## Say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

demo: .venv/.installed ## Draw a synthetic collection, train, evaluate and predict on it
	rm -rf demo
	$(BIN)/python examples/demo.py demo

test: .venv/.installed-dev ## Run the tests
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered

check: .venv/.installed-dev ## Lint, formatting, types, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.installed-dev ## Build the site, strictly, into site/
	$(BIN)/mkdocs build --strict

clean: ## Delete what can be made again
	rm -rf .venv demo site build dist .coverage

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
