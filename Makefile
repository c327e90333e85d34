# Each target does all its own set-up; a machine needs only Python >= 3.11 and make.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
PY := .venv/bin/python
TEXT ?= data/anna.txt
OUT ?= runs/anna

.PHONY: setup serve test check format train bench clean

setup: .venv/ready

.venv/ready: pyproject.toml $(wildcard model/native/*)
	@test -n "$(PYTHON)" || { echo "charstream needs Python 3.11 or newer; set PYTHON=/path/to/it"; exit 1; }
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --upgrade "setuptools>=77"
	$(PY) -m pip install --quiet --no-build-isolation --editable ".[dev]"
	@touch $@

serve: setup
	$(PY) -m app

test: setup
	$(PY) -m pytest

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

train: setup
	@test -f $(TEXT) || $(PY) -m training corpus anna --out $(TEXT)
	$(PY) -m training train --text $(TEXT) --out $(OUT)

bench: setup
	$(PY) -m pip install --quiet --no-build-isolation --editable ".[bench]"
	$(PY) -m benchmarks

clean:
	rm -rf .venv build *.egg-info
