PYTHON ?= python3
BIN := .venv/bin
# Fewer lines of TensorFlow about itself; set it to 0 to see them all.
export TF_CPP_MIN_LOG_LEVEL ?= 2

# In the order of collection, which tests/conftest.py has sorted.
PYTEST := -n 2 --dist loadfile --no-loadscope-reorder
PYTEST_SLOW := -m slow -n 2 --dist loadgroup

.PHONY: help demo test test-slow coverage bench check docs clean

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

# Random weights, since there may be no network: the head alone learns little on them, then conv5
# with its normalisation learns on random features of the stages below.
demo: .venv/.installed ## Draw synthetic radiographs, train, evaluate and predict on them
	rm -rf demo
	$(BIN)/keras-pneumo data phantoms demo/phantoms --image-size 128 128
	$(BIN)/keras-pneumo train demo/phantoms --output demo/run --prepared-dir demo/prepared \
		--weights none --image-size 96 96 --batch-size 16 --head-epochs 2 \
		--fine-tune-layers conv5 --train-batch-norm --fine-tune-learning-rate 0.001 \
		--fine-tune-epochs 8 --patience 8
	$(BIN)/keras-pneumo predict demo/run "$$(ls demo/phantoms/test/PNEUMONIA/*.jpeg | head -1)"
	@echo "Look at demo/run/evaluation/report.html"

test: .venv/.installed-dev ## Run the tests
	$(BIN)/python -m pytest $(PYTEST)

test-slow: .venv/.installed-dev ## Run the tests that test leaves out
	$(BIN)/python -m pytest $(PYTEST_SLOW)

coverage: .venv/.installed-dev ## Run the tests and say what they do not run; a quarter slower
	$(BIN)/python -m pytest $(PYTEST) --cov --cov-report=term:skip-covered

# Set KERAS_PNEUMO_DATA and KERAS_PNEUMO_BACKBONE for real images and weights.
bench: .venv/.installed-dev ## Run the benchmarks at their small sizes; half an hour, leave the machine alone
	for name in input extract growth two_phase; do \
		$(BIN)/python -m benchmarks.$$name --json benchmarks/results/$$name.json || exit 1; \
	done

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
