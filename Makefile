PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready
PIP     = $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## make .venv and install the package with what its tests need

# torch first and by exact version: the package's open range would let pip choose another build.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "$(TORCH)"
	$(PIP) install --editable ".[dev]"
	@touch $@

demo: $(READY) ## double the frame rate of the bundled clip on the CPU, into demo/
	@mkdir -p demo
	$(BIN)/vfimamba interpolate tests/media/demo.mp4 --factor 2 --device cpu --yes -o demo/demo-2x.mp4

test: $(READY) ## the whole test suite (GPU tests skip without a GPU)
	$(BIN)/python -m pytest

test-gpu: ## the tests that need a GPU, with the Python that has it: make test-gpu PYTHON=...
	REQUIRE_GPU=1 $(PYTHON) -m pytest -m gpu

clips: $(READY) ## every real clip of ../shared, and two hours of film, through the whole tool
	$(BIN)/python -m pytest tests/test_real_clips.py tests/test_sync.py -m clips --quiet

format: $(READY) ## rewrite the code in the house format
	$(BIN)/ruff format vfimamba_cli tests
	$(BIN)/ruff check --fix vfimamba_cli tests

lint: $(READY) ## format, lint and types, changing nothing
	$(BIN)/ruff format --check vfimamba_cli tests
	$(BIN)/ruff check vfimamba_cli tests
	$(BIN)/mypy

check: lint test ## all that CI runs

clean: ## remove what the other targets made
	rm -rf $(VENV) demo runs .pytest_cache .mypy_cache .ruff_cache

.PHONY: help install demo test test-gpu clips format lint check clean
