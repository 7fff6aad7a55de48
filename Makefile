# `make book` and `make test` do all that a fresh machine needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NOTEBOOKS := $(sort $(wildcard book/*.ipynb))
ASSIGNMENTS := $(sort $(wildcard assignments/*.ipynb))
export PYTHONUTF8 = 1
# two processes of one thread each are faster than two of two on two cores
OMP_NUM_THREADS ?= 1
export OMP_NUM_THREADS
PROCESSES ?= 2
PARALLEL := --numprocesses $(PROCESSES) --dist

.DEFAULT_GOAL := help
.PHONY: help install book pdf zip serve test test-all lint unit notebook-tests \
        browser-tests mutants notebooks chapter page clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
	  awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

install: $(INSTALLED)  ## create .venv with the pinned requirements
$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	  sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  "Python 3.11 to 3.13 is needed, this is %d.%d: " % v + \
	  "make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

book: $(INSTALLED)  ## execute the notebooks and build the book
	DGM_STATIC=1 $(BIN)/jupyter-book build . --warningiserror --keep-going --quiet
	@echo "The book: $(CURDIR)/_build/html/index.html  (make serve)"

pdf: book  ## print the book into one file (needs chromium)
	$(BIN)/python book/_ext/offline.py pdf

zip: pdf  ## pack pages and PDF, to be read without a network
	$(BIN)/python book/_ext/offline.py zip

serve: book  ## show the book on http://localhost:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

test: lint unit notebook-tests book browser-tests  ## everything that CI runs

test-all: test  ## and what takes long
	$(BIN)/python -m pytest -m slow
	for what in wheel sdist lowest; do \
	  $(BIN)/python tests/environments.py $$what || exit 1; done
	$(BIN)/python tests/random_mutants.py --number $(N) --library

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(INSTALLED)  ## tests of the library and of the book's structure
	$(BIN)/python -m pytest $(PARALLEL) loadfile -m 'not slow and not browser' \
	  --doctest-modules tests dgm_course

notebook-tests: $(INSTALLED)  ## run every notebook, compare its check cells
	DGM_PROFILE=smoke $(BIN)/python -m pytest $(PARALLEL) loadfile --nbval-lax \
	  --nbval-cell-timeout 300 $(NOTEBOOKS) $(ASSIGNMENTS)

browser-tests: book  ## open the built pages in Chromium
	$(BIN)/python -m pytest $(PARALLEL) worksteal -m browser tests/browser

N ?= 20
mutants: $(INSTALLED)  ## make mutants N=100: break the library at random
	$(BIN)/python tests/random_mutants.py --number $(N)

page: $(INSTALLED)  ## make page NAME=04_autoregressive_flows: build this page alone
	@ls book/$(NAME).ipynb book/$(NAME).md 2>/dev/null | grep -q . || \
	  { echo "NAME=$(NAME) is no page of book/; use one of its names"; exit 1; }
	@mkdir -p _build/page
	@echo '{format: jb-book, root: book/$(NAME)}' > _build/page/_toc.yml
	DGM_STATIC=1 $(BIN)/jupyter-book build . --toc $(CURDIR)/_build/page/_toc.yml \
	  --path-output _build/page --quiet
	@echo "The page: $(CURDIR)/_build/page/_build/html/book/$(NAME).html"

notebooks: $(INSTALLED)  ## re-run the check cells, strip all other outputs
	$(BIN)/python book/_ext/notebooks.py run $(NOTEBOOKS)
	$(BIN)/python -m dgm_course.cli assignment build

chapter: $(INSTALLED)  ## make chapter NAME=12_score_matching: a new chapter
	$(BIN)/python book/_ext/notebooks.py new "$(NAME)"

clean:  ## remove what was built; keep .venv
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
