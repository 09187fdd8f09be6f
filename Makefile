# Needs Python 3.11 or newer. PIP_ARGS is passed to pip, for example an index with CPU builds of torch.
PYTHON ?= python3
PIP_ARGS ?=
BENCH ?=
# Installed core: pyarrow 170, scipy 143, numpy 73, compiled files of all included.
MOST_MIB ?= 450
VENV := .venv
BIN := $(VENV)/bin

.PHONY: site wheel install quickstart test explore chaos fuzz lint types bench bench-all
install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable ".[dev]"
	touch $@

quickstart: install
	$(BIN)/bitskip sweep sweeps/quickstart.yaml
	$(BIN)/bitskip report results/quickstart
	$(BIN)/bitskip predict --bits 4 --hadamard --results results/quickstart

# Properties are tried on the same examples in each run, so that a change is judged by what it changes.
test: install
	$(BIN)/pytest -n 2 --dist loadfile --hypothesis-profile ci

# The same properties on other examples each time.
explore: install
	$(BIN)/pytest -n 2 --dist loadfile --hypothesis-profile default $$(grep -rl "@given" tests)

chaos: install
	CHAOS_KILLS=20 $(BIN)/pytest -s tests/chaos

# 1,000 damaged files of each kind that is read; FUZZ_SEED=1 takes others.
fuzz: install
	FUZZ_CASES=1000 $(BIN)/pytest -s -n 2 tests/fuzz

# The documentation as a site in build/site; a broken link or a docstring that is not there is an error.
site:
	$(PYTHON) -m venv build/docs-venv
	build/docs-venv/bin/pip install --quiet --constraint constraints.txt $(PIP_ARGS) mkdocs-material "mkdocstrings[python]"
	NO_MKDOCS_2_WARNING=1 build/docs-venv/bin/mkdocs build --quiet --strict

# The wheel alone in an empty environment, outside the checkout: the tutorial, what an extra brings, and the size in MiB.
EMPTY := build/empty
wheel:
	rm -rf $(EMPTY) && mkdir -p $(EMPTY)
	$(PYTHON) -m venv $(EMPTY)/venv
	$(EMPTY)/venv/bin/pip install --quiet --constraint constraints.txt $(PIP_ARGS) .
	cd $(EMPTY) && unset PYTHONPATH && export BITSKIP_CACHE=cache && \
	venv/bin/bitskip report > report.txt && \
	venv/bin/bitskip explain "bits 4 x hadamard" > explain.txt && \
	venv/bin/bitskip predict --bits 4 --hadamard && \
	venv/bin/bitskip suggest -n 4 > suggest.txt && \
	{ venv/bin/bitskip sweep quickstart 2>&1 || true; } | grep "bitskip\[train\]"
	size=$$(du -sm --exclude=pip --exclude=setuptools --exclude=pkg_resources $(EMPTY)/venv/lib | cut -f1); \
	echo "installed: $$size MiB"; test $$size -le $(MOST_MIB)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install
	$(BIN)/mypy

# One table of ratios, in less than ten minutes on two cores; BENCH=--quick for a look, BENCH="training kernels" for a part.
bench: install
	$(BIN)/python benchmarks/bench.py $(BENCH)

# What has tables of its own and takes longer.
bench-all: bench
	$(BIN)/python benchmarks/bench.py sweep_overhead growth
	$(BIN)/python benchmarks/breakdown.py
	$(BIN)/python benchmarks/stories.py
	$(BIN)/python benchmarks/text_throughput.py
	$(BIN)/python benchmarks/exits.py
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/diagnostics.py
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/rotation_error.py
	$(BIN)/python benchmarks/scaling_laws.py
	$(BIN)/python benchmarks/results_scale.py 1000
