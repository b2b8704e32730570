# Everything that docrag needs on a fresh machine. Two commands do it all: `make demo` and `make test`.
SHELL := /bin/bash
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
BIN := .venv/bin
# The system's Python, where it is new enough: it is built with optimizations that one of pyenv's lacks, and a quarter faster.
PYTHON := $(shell /usr/bin/python3 -c 'import sys; print("/usr/bin/python3" if sys.version_info >= (3, 11) else ">=3.11")' 2>/dev/null \
  || echo ">=3.11")
LINKS := ingest index pipelines eval
# Containers often set it. Then each process compiles all that it imports again: 7 s where a worker of Ray takes 2.5.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check bench lock tesseract chromium clean

setup: .venv/.installed tesseract

# The lock file pins what is installed, without registry addresses: `uv` takes them from wherever this machine is set up to.
.venv/.installed: pyproject.toml requirements.lock
	@test -x "$$(command -v $(UV))" || python3 -m pip install --quiet --upgrade --target .tools uv
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$(PYTHON)" .venv
	$(UV) pip install --quiet --python $(BIN)/python --requirement requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

# Scanned pages need Tesseract. Without it all else works: such pages are counted as unread, and docrag says how to get it.
tesseract:
	@command -v tesseract >/dev/null || { \
	  if ! command -v apt-get >/dev/null; then echo "no apt-get here: install Tesseract yourself to have scans read" >&2; \
	  elif [ "$$(id -u)" = 0 ]; then (apt-get update -qq && apt-get install -y -qq tesseract-ocr) >/dev/null; \
	  elif sudo -n true 2>/dev/null; then (sudo apt-get update -qq && sudo apt-get install -y -qq tesseract-ocr) >/dev/null; \
	  else echo "no root here: to have scanned pages read, run: sudo apt-get install tesseract-ocr" >&2; fi; } \
	  || echo "Tesseract could not be installed: scanned pages will be counted as unread" >&2

# The report is tested in a real browser. Where there is none those tests say so and are skipped.
# Debian has Chromium without its windows as a package of its own, which starts in half the time.
chromium: BROWSER = $$(apt-cache show chromium-headless-shell >/dev/null 2>&1 && echo chromium-headless-shell || echo chromium)
chromium:
	@command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || { \
	  if ! command -v apt-get >/dev/null; then echo "no apt-get here: install Chromium yourself to have the report tested" >&2; \
	  elif [ "$$(id -u)" = 0 ]; then (apt-get update -qq && apt-get install -y -qq $(BROWSER)) >/dev/null; \
	  elif sudo -n true 2>/dev/null; then (sudo apt-get update -qq && sudo apt-get install -y -qq $(BROWSER)) >/dev/null; \
	  else echo "no root here: to have the report tested in a browser, run: sudo apt-get install chromium" >&2; fi; } \
	  || echo "Chromium could not be installed: the report is not tested in a browser" >&2

demo: setup
	@$(BIN)/docrag demo --out demo-out

# The tests' files lie in memory: where we may mount, in huge pages that nobody else sees and that end with the tests. Edge has chunks
# of 32 MiB mapped when it opens an index, which takes ten times as long by pages of 4 KiB.
IN_HUGE_PAGES = unshare --mount sh -c 'mount -t tmpfs -o huge=within_size tmpfs /dev/shm && exec "$$@"' sh

# A process for each CPU, up to four: each takes some 1.5 GiB.
test: setup chromium
	@$(if $(shell $(IN_HUGE_PAGES) true 2>/dev/null && echo yes),$(IN_HUGE_PAGES)) \
	  $(BIN)/pytest -q -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: setup
	@for name in $(LINKS); do test "$$(readlink docrag/$$name)" = "../$$name" || { \
	  echo "docrag/$$name is not the link ../$$name: clone with symbolic links on (git config core.symlinks true)" >&2; exit 1; }; done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	PYTHONPATH=. $(BIN)/lint-imports

# DATA is a folder in MMLongBench-Doc's form; without it the benchmark runs on the demo library. FLAGS as in `python -m bench --help`.
bench: setup
	@$(BIN)/python -m bench $(DATA) $(FLAGS)

lock: pyproject.toml
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 --quiet \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements.lock

clean:
	rm -rf .venv .tools demo-out build dist
