# Everything here makes its own environment first; nothing has to be installed before but Python 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format lives clean

demo: .venv/installed ## Watch the shipped model answer questions in parallel threads.
	$(BIN)/apar demo

test: .venv/installed ## Run the tests.
	$(BIN)/python -m pytest

check: .venv/installed ## Style, types, and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed ## Put the code into the one format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lives: .venv/installed ## The engine against the slow oracle over 2,000 random cases (minutes).
	$(BIN)/python -m tests.engine.random_lives --cases 2000

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[local,adapters,data,sentencepiece,dev]"
	touch $@

clean: ## Remove the environment and the caches.
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
