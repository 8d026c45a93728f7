# make demo            set everything up, tokenize and reconstruct speech with the bundled model
# make demo IN=my.wav  the same with your file
# make test            set everything up, run the checks and the tests
# make test-eval       the tests of the metrics that need a C compiler to install
# make test-slow       the tests that take longer
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-eval test-slow check format clean

# Installed again only when the project's metadata changed.
.venv/installed: pyproject.toml
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: .venv/installed
	$(BIN)/vqaudio demo --force $(if $(IN),"$(IN)")

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# A file's tests stay together: many share a run folder that takes a while to make.
test: check
	$(BIN)/pytest -n auto --dist loadfile

.venv/installed-eval: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[eval]'
	touch $@

test-eval: .venv/installed-eval
	$(BIN)/pytest -n auto --dist loadfile tests/test_metrics*.py

test-slow: .venv/installed
	$(BIN)/pytest -n auto --dist loadfile -m slow

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis demo
