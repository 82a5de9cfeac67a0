PYTHON ?= python3
BIN := .venv/bin
# Fewer lines of TensorFlow about itself; set it to 0 to see them all.
export TF_CPP_MIN_LOG_LEVEL ?= 2

# In the order of collection, which tests/conftest.py has sorted.
PYTEST := -n 2 --dist loadfile --no-loadscope-reorder
PYTEST_SLOW := -m slow -n 2 --dist loadgroup
WITHOUT_TENSORFLOW := tests/evaluation tests/pretrained/test_card.py tests/pretrained/test_resolve.py \
	tests/data/test_audit.py tests/data/test_image_files.py tests/data/test_layout.py \
	tests/data/test_phantom.py tests/data/test_splits.py tests/test_files.py tests/test_habits.py

.PHONY: help demo test test-fast test-slow coverage bench check lint types floors docs hooks clean

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

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

test-fast: .venv/.installed-dev ## Run the tests that need no TensorFlow, in half a minute
	NO_TENSORFLOW=1 $(BIN)/python -m pytest $(PYTEST) $(WITHOUT_TENSORFLOW)

test-slow: .venv/.installed-dev ## Run the tests that `make test` leaves out
	$(BIN)/python -m pytest $(PYTEST_SLOW)

coverage: .venv/.installed-dev ## Run all tests and list the lines that they do not reach
	$(BIN)/python -m pytest -m "slow or not slow" -n 2 --dist loadgroup --cov \
		--cov-report=term:skip-covered

# Set KERAS_PNEUMO_DATA and KERAS_PNEUMO_BACKBONE for real images and weights.
bench: .venv/.installed-dev ## Run the benchmarks at their small sizes; half an hour, leave the machine alone
	for name in input extract growth two_phase; do \
		$(BIN)/python -m benchmarks.$$name --json benchmarks/results/$$name.json || exit 1; \
	done

check: lint types floors ## Run lint, types and floors

lint: .venv/.installed-dev ## Check lint and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed-dev ## Check types
	$(BIN)/mypy

floors: .venv/.installed-dev ## Check which module imports which
	$(BIN)/lint-imports

docs: .venv/.installed-dev ## Build the site, strictly, into site/
	$(BIN)/mkdocs build --strict

hooks: .venv/.installed-dev ## Run lint, types and floors before each commit
	$(BIN)/pre-commit install

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
