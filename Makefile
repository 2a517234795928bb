# Everything starts here: `make demo` and `make test` set up what they need in .venv and run it.
#
# Variables: PYTHON (3.11 or newer) makes .venv; PIP_FLAGS is passed to pip;
# TORCH_INDEX is a package index with CPU builds of torch, where the default one would give a large CUDA build.

PYTHON ?= python3
PIP_FLAGS ?=
TORCH_INDEX ?=
OUT ?= demo-out

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile
KILLS ?= 60
MUTATIONS ?= 1000000

.DELETE_ON_ERROR:
.PHONY: help demo test check bench chaos fuzz docs clean

help:
	@echo "make demo    a whole federation on this machine; then open $(OUT)/report.html"
	@echo "make test    all tests"
	@echo "make check   format, lint, types, import contracts, tests: what CI runs"
	@echo "make bench   regenerate docs/benchmarks"
	@echo "make chaos   $(KILLS) kills at random instants; KILLS=n"
	@echo "make fuzz    $(MUTATIONS) mutated messages against every decoder; MUTATIONS=n"
	@echo "make docs    regenerate docs/cli.md"
	@echo "make clean   remove .venv, caches and demo output"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than Python 3.11; name a newer one with PYTHON=…" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: $(STAMP)
	$(BIN)/paceline demo --out $(OUT)

test: $(STAMP)
	$(PYTEST)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m simulations.chaos --kills 6
	$(PYTEST)

bench: $(STAMP)
	$(BIN)/python -m simulations.benchmarks
	$(BIN)/paceline bench exchange --again
	$(BIN)/paceline bench simulation --pip-flags "$(PIP_FLAGS)" --torch-index "$(TORCH_INDEX)"

chaos: $(STAMP)
	$(BIN)/python -m simulations.chaos --kills $(KILLS)

fuzz: $(STAMP)
	$(BIN)/python -m simulations.fuzz --mutations $(MUTATIONS)

docs: $(STAMP)
	$(BIN)/python -m federation.reference > docs/cli.md.new
	mv docs/cli.md.new docs/cli.md

clean:
	rm -rf $(VENV) $(OUT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
