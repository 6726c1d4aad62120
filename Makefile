# Every target makes the virtual environment it needs; nothing has to be installed first but Python 3.11.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test lint typecheck soak bench docs site clean

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(READY)  ## survey Python code with four agents: a pause, a kill -9, a resume elsewhere
	$(BIN)/mindswarm-exec demo

test: $(READY)  ## unit, ledger, model and end-to-end tests on a real Valkey server
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(READY)
	$(BIN)/mypy

soak: $(READY)  ## two minutes of random faults under load; python -m tests.soak --help for more
	$(BIN)/python -m tests.soak

bench: $(READY)  ## side by side with plain Celery; writes .bench/results.json
	$(BIN)/python -m benchmarks

docs: $(READY)  ## render the parts of docs/ that the code says
	$(BIN)/python -m docs.render

site: $(READY)  ## the documents as a static site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) .mindswarm .bench .pytest_cache .mypy_cache .ruff_cache site
