# Every target sets up what it needs first, on a fresh machine too:
#   make demo PYTHON=python3.12 PIP_FLAGS="..." FLAGS="--lang ja --port 8866"
PYTHON ?= python3
PIP_FLAGS ?=
FLAGS ?=

BIN := .venv/bin
PIP = @echo "Installing into .venv, once; this can take some minutes."; \
  $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt
AGAIN := $(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level ERROR \
  --ExecutePreprocessor.store_widget_state=False --ExecutePreprocessor.record_timing=False \
  --ClearMetadataPreprocessor.enabled=True --ClearMetadataPreprocessor.clear_cell_metadata=False \
  --ClearMetadataPreprocessor.preserve_nb_metadata_mask="{'kernelspec', ('language_info', 'name')}"

PYTEST := $(BIN)/python -m pytest
PAGES := tests/browser tests/notebooks

# More BLAS threads than idle cores make a decomposition many times slower.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo lab doctor test check notebooks bench wheel browser clean help

help:  ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'

demo: .venv/runtime  ## the rank board in your browser
	$(BIN)/lowrank-kit demo $(FLAGS)

lab: .venv/runtime  ## the notebooks in JupyterLab
	$(BIN)/lowrank-kit lab $(FLAGS)

# Two runs beside each other, on two cores: what opens pages and notebooks, and all others. What a run found no test
# for, 5, is no fault: FLAGS may choose some.
test: check browser  ## every check and every test
	@mkdir -p test-results
	@{ $(PYTEST) $(PAGES) $(FLAGS) >test-results/pages.log 2>&1; echo $$? >test-results/pages; } & \
	$(PYTEST) --doctest-modules lowrank_kit tests $(PAGES:%=--ignore=%) $(FLAGS); others=$$?; \
	echo "Waiting for the pages and notebooks."; wait; cat test-results/pages.log; pages=$$(cat test-results/pages); \
	for status in $$others $$pages; do [ $$status = 0 ] || [ $$status = 5 ] || exit $$status; done

check: .venv/dev  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: .venv/dev  ## run the stored notebooks again, in place
	LOWRANK_KIT_LANG=en $(AGAIN) notebooks/[0-9]*.ipynb
	LOWRANK_KIT_LANG=ja $(AGAIN) notebooks/ja/[0-9]*.ipynb

doctor: | .venv/bin/python  ## is this machine ready? also where the installation failed
	@$(BIN)/python -m lowrank_kit doctor $(FLAGS)

bench: .venv/dev  ## how long things take here
	$(BIN)/python -m benchmarks $(FLAGS)

wheel: .venv/dev  ## source archive and, from it, the wheel in dist/
	$(BIN)/python -m build --no-isolation

browser:  ## Chromium and Japanese fonts for the browser tests
	@if command -v chromium >/dev/null && fc-list 2>/dev/null | grep -q CJK; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -y -qq --no-install-recommends chromium fontconfig fonts-noto-cjk; \
	else echo "The browser tests need Chromium and Japanese fonts (on Debian: chromium, fonts-noto-cjk)."; fi

clean:  ## remove what these targets made, except .venv
	rm -rf dist build test-results .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find lowrank_kit data tests notebooks benchmarks \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "lowrank_kit needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/runtime: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e .
	@touch $@

.venv/dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e ".[dev]"
	@touch .venv/runtime $@
