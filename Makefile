# One door for people and robots: make check. PYTHON is any environment with the extra `dev`.
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
CODE := src tests benchmarks docs
FAST := not slow and not gpu and not data
BUDGETS := coords crf dense segment neuronet memory cohort  # the scripts without arguments; neuronet wants NEURONAT_DATA

.PHONY: check checks fix format lint contracts types test tests data bench cli-docs

check: checks test  ## everything that decides, cheapest first

checks: format lint contracts types

format:
	$(PYTHON) -m ruff format --check $(CODE)

lint:
	$(PYTHON) -m ruff check $(CODE)

contracts:
	PYTHONPATH=src $(PYTHON) -c "from importlinter.cli import lint_imports_command as run; run()"

types:
	$(PYTHON) -m mypy

fix:  ## what can be repaired without thinking
	$(PYTHON) -m ruff check --fix $(CODE)
	$(PYTHON) -m ruff format $(CODE)

test:  ## fast tests, doctests and docs: no network, no accelerator, no scans
	$(PYTHON) -m pytest -m "$(FAST)"

tests:  ## all tests; those that need an accelerator or scans skip without
	$(PYTHON) -m pytest

data:  ## the tests on real scans, in the folder that NEURONAT_DATA names
	$(PYTHON) -m pytest -m data tests

cli-docs:
	$(PYTHON) docs/generate_cli.py

bench:  ## the budgets of time and memory
	for name in $(BUDGETS); do $(PYTHON) benchmarks/$$name.py || exit 1; done
