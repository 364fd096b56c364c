# `make` alone prints the list. Every target sets up what it needs, quickly the second time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where the environment switches bytecode off, every start would parse everything again.
export PYTHONDONTWRITEBYTECODE =
export UV_PYTHON_DOWNLOADS = never

.DEFAULT_GOAL := help
.PHONY: help setup demo notebook test laws lint format check bench benchmarks-page serve lock clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 16

$(STAMP): requirements.txt requirements-uv.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps -e .
	@touch $(STAMP)

setup: $(STAMP) ## install everything into .venv from the hash lock

demo: $(STAMP) ## the main job, offline, on a simulated market: its page in reports/demo
	@# The first time, a second process compiles what the demo needs last while it makes its market.
	@test -e $(VENV)/.warm || { $(BIN)/python -m virtuoso.precompile && touch $(VENV)/.warm; } & $(BIN)/virtuoso demo

$(VENV)/.notebook: requirements-notebook.txt $(STAMP)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements-notebook.txt
	@touch $@

notebook: $(VENV)/.notebook ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir notebooks

test: $(STAMP) ## every test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -p no:benchmark

laws: $(STAMP) ## the laws of the prism over every component, and the seeded leaks
	$(BIN)/python -m pytest -q tests/laws

lint: $(STAMP) ## ruff, mypy --strict, import-linter (the floors)
	$(BIN)/ruff check virtuoso tests pipelines
	$(BIN)/ruff format --check virtuoso tests pipelines
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## write the code in the house style
	$(BIN)/ruff check --fix virtuoso tests pipelines
	$(BIN)/ruff format virtuoso tests pipelines

check: lint test ## what must hold before a change is proposed

bench: $(STAMP) ## benchmarks: ratios against peers in one run
	$(BIN)/python -m pytest -q tests/benchmarks --benchmark-only --benchmark-columns=min,median,rounds -p no:randomly

benchmarks-page: $(STAMP) ## docs/benchmarks.md: own signals beside vectorbt and raptorbt, trades compared first
	$(BIN)/python -m tests.benchmarks.own_signals

serve: $(STAMP) ## show the pages on http://127.0.0.1:8000 until the signals API is there
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory reports

lock: $(STAMP) ## resolve the dependencies anew into requirements.txt
	echo uv | $(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet -o requirements-uv.txt
	echo "jupyterlab>=4.4" | $(BIN)/uv pip compile - -c requirements.txt --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet -o requirements-notebook.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet -o requirements.txt

clean: ## delete the environment and caches; data, reports and experiments stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
