PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo up test test-slow lint format benchmark faults clean

demo: $(VENV)/installed
	@exec $(BIN)/ringside demo

up: $(VENV)/installed
	@exec $(BIN)/ringside up

test: $(VENV)/installed-dev
	$(BIN)/pytest --numprocesses 2 --dist loadfile

test-slow: $(VENV)/installed-dev
	$(BIN)/pytest -m slow --timeout 1800

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.first_light

faults: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.faults

clean:
	rm -rf $(VENV) .ringside

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ringside needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo 'Installing into $(VENV), once; this takes about a minute.'
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/installed
